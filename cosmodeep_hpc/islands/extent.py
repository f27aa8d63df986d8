"""How large islands are on the sky: the largest angular size, and the ellipse of their moments."""

from __future__ import annotations

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from cosmodeep_hpc.islands.positions import directions, icrs


def largest_sizes(
    wcs: WCS, rows: NDArray[np.int64], count: int, cell: int, shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the largest angular size of each island, float64 (count,) [arcsec].

    The distance on the sky of the two corners of its cells that lie farthest apart; NaN beyond the
    edge of the projection.

    Args:
        rows: where islands end: island from 0, row, first and last column of cells (n, 4).
        cell: side of a cell [pixel]. shape: (ny, nx) of the image, which cuts the last cells.
    """
    order = np.argsort(rows[:, 0], kind="stable")
    owner, ends = rows[order, 0], rows[order, 1:]
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    hulls, owners = [np.zeros((0, 2), np.int64)], list[int]()
    for part in np.split(np.arange(len(owner)), starts[1:]) if len(owner) else ():
        row, left, right = ends[part].T
        y, x = np.concatenate([row, row + 1]), np.concatenate([left, left])
        x, y = np.concatenate([x, right + 1, right + 1]), np.concatenate([y, row, row + 1])
        corners = np.unique(np.stack([x, y], axis=-1), axis=0)
        hulls.append(corners[ConvexHull(corners).vertices])
        owners.append(int(owner[part[0]]))
    every = np.minimum(np.concatenate(hulls) * cell, shape[::-1]) - 0.5
    towards = directions(icrs(wcs, every[:, 0], every[:, 1]))  # of all at once, which is quicker
    chords = np.full(count, np.nan)
    ends = np.cumsum([len(hull) for hull in hulls[1:]])
    for number, own in zip(owners, np.split(towards, ends[:-1]), strict=False):
        chords[number] = np.linalg.norm(own[:, None] - own[None], axis=-1).max()
    return np.asarray(np.rad2deg(2 * np.arcsin(np.minimum(chords / 2, 1.0))) * 3600)


def ellipses(
    spread: NDArray[np.float64], steps: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the ellipses of the same second moments as islands' pixels.

    Args:
        spread: mean squares and products of columns and rows about the middle [pixel^2], (n, 2, 2).
        steps: what pixels are on the sky, as `positions.steps` gives it [arcsec], (n, 2, 2).

    Returns:
        full long and short axes [arcsec], and position angles from north through east, 0 to 180
        [deg]: (n,) each. A disc has its diameter for both.
    """
    own = spread + np.eye(2) / 12  # a pixel's own extent
    sky = np.nan_to_num(steps @ own @ steps.transpose(0, 2, 1))  # east first, then north
    values, vectors = np.linalg.eigh(sky)
    values = np.maximum(values, 0.0)
    angle = np.rad2deg(np.arctan2(vectors[:, 0, 1], vectors[:, 1, 1])) % 180
    return 4 * np.sqrt(values[:, 1]), 4 * np.sqrt(values[:, 0]), angle
