"""From islands to tiles: the tiles that a source finder has found, and its false islands."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label, maximum

from cosmodeep_hpc.comparison.scoredtiles import IslandCount, Scoring

EIGHT = np.ones((3, 3), dtype=np.bool_)  # neighbours, as PyBDSF and Aegean count them
ANY = "any island pixel"


def with_peak(
    mask: NDArray[np.bool_], significance: NDArray[np.float32], peak: float
) -> NDArray[np.bool_]:
    """Return the islands of a mask whose brightest pixel exceeds `peak`, as both finders do."""
    labels, count = label(mask, EIGHT)
    if count == 0:
        return mask
    bright = np.zeros(count + 1, dtype=np.bool_)
    bright[1:] = maximum(significance, labels, np.arange(1, count + 1)) > peak
    return np.asarray(bright[labels])


def counted(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> IslandCount:
    """Count the islands of a mask; those that touch no pixel of `truth` are false."""
    labels, count = label(mask, EIGHT)
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    touched = np.bincount(labels[truth], minlength=count + 1)[1:] > 0
    return IslandCount(
        int(count), int(area.sum()), int((~touched).sum()), int(area[~touched].sum())
    )


def tile_scores(
    family: str,
    thresholds: Sequence[float],
    mask: Callable[[float], NDArray[np.bool_]],
    size: int,
    n_pix: Sequence[int],
) -> dict[Scoring, NDArray[np.float32]]:
    """Score tiles by the highest threshold at which they are found; NaN if they never are.

    A tile is found if an island has a pixel in it, or, for labels of N_pix, if islands have more
    than N_pix pixels in it. Islands of a lower threshold hold those of a higher one, so a tile
    found at one threshold is found at all lower ones.

    Args:
        family: of the detector.
        thresholds: of the islands [sigma].
        mask: gives the island pixels at each threshold, bool (ny, nx).
        size: side of a tile [pixel].
        n_pix: pixel thresholds N_pix of labels.

    Returns:
        scores of the whole tiles, row by row.
    """
    ways = [
        Scoring(family, ANY),
        *(Scoring(family, f"more than {n} island pixels", n) for n in n_pix),
    ]
    limits = [0, *n_pix]
    scores: dict[Scoring, NDArray[np.float32]] = {}
    for threshold in sorted(thresholds):
        found = mask(threshold)
        rows, cols = found.shape[0] // size, found.shape[1] // size
        blocks = found[: rows * size, : cols * size].reshape(rows, size, cols, size)
        count = blocks.sum(axis=(1, 3)).ravel()
        for way, limit in zip(ways, limits, strict=True):
            score = scores.setdefault(way, np.full(len(count), np.nan, dtype=np.float32))
            score[count > limit] = threshold
    return scores
