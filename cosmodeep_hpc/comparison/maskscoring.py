"""Scores the masks of one image: the network's islands, smoothed maps, and finders' islands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.comparison.scoredmasks import MaskWay
from cosmodeep_hpc.comparison.scoredtiles import MODEL
from cosmodeep_hpc.comparison.smoothedmaps import smoothed_maps
from cosmodeep_hpc.evaluation.fields import bright_cells
from cosmodeep_hpc.evaluation.fieldtruth import FieldTruth
from cosmodeep_hpc.evaluation.mappedfield import MappedField
from cosmodeep_hpc.evaluation.mapscore import MapScore, precision_of
from cosmodeep_hpc.islands.labels import label

SIDE = 2
"""Side of a cell where no network gives one [pixel]."""
HALF = 0.5
"""Share of a cell's pixels in a finder's islands from which on the cell is in them."""
FinderMask = tuple[str, float | None, NDArray[np.bool_]]
"""A detector, its threshold (None: its own), and its islands' pixels, bool (ny, nx)."""


def of_network(truth: FieldTruth, field: MappedField, threshold: float) -> dict[MaskWay, MapScore]:
    """Score a network's islands, ranked by its probability.

    Args:
        threshold: of its map.
    """
    score = MapScore.of(truth, field.islands, precision_of(truth, field.probability))
    return {MaskWay(MODEL, "probability", threshold): score}


def of_smoothed(
    truth: FieldTruth,
    side: int,
    f_th: float,
    *,
    kernels: Sequence[float],
    levels: Sequence[float],
    min_beams: float,
) -> dict[MaskWay, MapScore]:
    """Score smoothed maps at several levels, ranked by their brightness.

    Args:
        side: of a cell [pixel].
        f_th: flux threshold F_th [Jy/arcsec^2].
        kernels: widths (sigma) [pixel].
        levels: thresholds [F_th].
        min_beams: area from which islands are kept, as of a network's [beam].
    """
    scores: dict[MaskWay, MapScore] = {}
    least = min_beams * truth.beam_area / truth.cell_area
    for family, sigma, cells in smoothed_maps(truth.image, side, kernels):
        ranked = precision_of(truth, cells)
        for level in levels:
            found = label(cells >= np.float32(level * f_th), least) > 0
            way = MaskWay(family, f"sigma {sigma:g}, F_th", level)
            scores[way] = MapScore.of(truth, found, ranked)
    return scores


def of_finders(
    truth: FieldTruth, side: int, masks: Iterable[FinderMask]
) -> dict[MaskWay, MapScore]:
    """Score finders' islands; nothing ranks their cells.

    Args:
        side: of a cell [pixel].
    """
    scores: dict[MaskWay, MapScore] = {}
    for family, threshold, mask in masks:
        way = MaskWay(family, "islands", threshold)
        cells = bright_cells(mask.astype(np.float32), HALF, side)
        scores[way] = MapScore.of(truth, cells)
    return scores
