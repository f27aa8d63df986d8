"""Smoothed maps of cells, with compact sources and without: the plain rivals of a map of pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, median_filter

from cosmodeep_hpc.comparison.detectors import smoothed
from cosmodeep_hpc.comparison.scoredmasks import MASKED, SMOOTHED
from cosmodeep_hpc.tiles.noise import MAD_TO_SIGMA

AROUND = 5
"""Side of the square of cells whose median a compact source leaves as it is."""
COMPACT = 5.0
"""How far a cell of a compact source stands out from that median [scatter of such differences]."""


def smoothed_maps(
    cells: NDArray[np.float32], side: int, kernels: Sequence[float]
) -> Iterator[tuple[str, float, NDArray[np.float32]]]:
    """Yield the detector, the width of the kernel (sigma) [pixel], and the smoothed map.

    Args:
        cells: mean of the image's pixels in each cell, float32 (rows, cols).
        side: of a cell [pixel].
        kernels: widths [pixel].
    """
    masked = without_compact(cells)
    for sigma in kernels:
        yield SMOOTHED, sigma, smoothed(cells, sigma / side)
        yield MASKED, sigma, smoothed(masked, sigma / side)


def without_compact(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cells with those of compact sources, and their neighbours, set to a median around.

    A source is compact if it fills less than half of a square of `AROUND` x `AROUND` cells: then it
    stands out from the square's median.
    """
    median = median_filter(cells, AROUND)
    difference = cells - median
    scatter = MAD_TO_SIGMA * float(np.median(np.abs(difference)))
    compact = binary_dilation(difference > COMPACT * scatter, np.ones((3, 3)))
    return np.where(compact, median, cells)
