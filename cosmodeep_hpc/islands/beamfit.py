"""Beams fitted to an image at the places of compact sources, to neighbours together.

Around each source the level is the median of a ring. Above it, amplitudes and small moves follow
from linear least squares, some times over: photutils' and astropy's fits of the same take 5 to 60
ms a source, and do not agree with each other where sources are crowded.

Source: Stetson (1987), PASP 99, 191 (fits of groups).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from cosmodeep_hpc.islands.pixelbeam import PixelBeam

FITTED = 0.75
"""Distance from its place within which a beam is fitted [beam]."""
AROUND = (1.25, 2.0)
"""Radii of the ring whose median is the level around a source [beam]."""
NEIGHBOURS = 1.5
"""Distance of sources that are fitted together [beam]."""
MOVED = 0.5
"""Beams that the fit may move a source."""
ROUNDS = 4
"""Fits, each from the places of the one before."""
STEP = 0.2
"""Beams that one of them may move a source."""


def fit(
    pixels: NDArray[np.float64], places: NDArray[np.float64], beam: PixelBeam
) -> NDArray[np.float64]:
    """Fit beams to sources: column, row and peak of each, (n, 3).

    Args:
        pixels: (ny, nx); NaN: no data.
        places: column and row of each source [pixel], (n, 2).
    """
    found = np.column_stack([places, np.zeros(len(places))])
    level = np.array([_level(pixels, place, beam) for place in places])
    pairs = KDTree(places).sparse_distance_matrix(KDTree(places), NEIGHBOURS * beam.major)
    _, group = connected_components(pairs)
    for number in range(group.max(initial=-1) + 1):
        own = np.flatnonzero(group == number)
        found[own] = _fit_group(pixels, places[own], level[own], beam)
    return found


def box(
    pixels: NDArray[np.float64], place: NDArray[np.float64], reach: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows (n, 1) and columns (1, n) of the pixels within a square around a place."""
    ny, nx = pixels.shape
    x, y = place
    rows = np.arange(max(0, math.ceil(y - reach)), min(ny, math.floor(y + reach) + 1))
    cols = np.arange(max(0, math.ceil(x - reach)), min(nx, math.floor(x + reach) + 1))
    return rows[:, None], cols[None, :]


def _level(pixels: NDArray[np.float64], place: NDArray[np.float64], beam: PixelBeam) -> float:
    """Return the median of the ring around a place; 0 where it has no data."""
    rows, cols = box(pixels, place, AROUND[1] * beam.major)
    away = np.hypot(cols - place[0], rows - place[1]) / beam.major
    ring = pixels[rows, cols][(away >= AROUND[0]) & (away <= AROUND[1])]
    ring = ring[np.isfinite(ring)]
    return float(np.median(ring)) if len(ring) else 0.0


def _fit_group(
    pixels: NDArray[np.float64],
    places: NDArray[np.float64],
    level: NDArray[np.float64],
    beam: PixelBeam,
) -> NDArray[np.float64]:
    """Fit sources together; each pixel is above the level of the source nearest to it."""
    boxes = [box(pixels, place, FITTED * beam.major) for place in places]
    low = min(int(rows[0, 0]) for rows, _ in boxes)
    left = min(int(cols[0, 0]) for _, cols in boxes)
    high, right = (max(int(ends[part].max()) for ends in boxes) + 1 for part in (0, 1))
    inside = np.zeros((high - low, right - left), np.bool_)
    for rows, cols in boxes:
        inside[rows - low, cols - left] = True
    row, col = np.nonzero(inside & np.isfinite(pixels[low:high, left:right]))
    row, col = row + low, col + left
    if not len(row):
        return np.column_stack([places, np.zeros(len(places))])
    nearest = KDTree(places).query(np.column_stack([col, row]))[1]
    value = pixels[row, col] - level[nearest]
    at, most = places.copy(), MOVED * beam.major
    for _ in range(ROUNDS):
        shape, slope_x, slope_y = beam.slopes(col[:, None] - at[:, 0], row[:, None] - at[:, 1])
        known = np.linalg.lstsq(np.hstack([shape, slope_x, slope_y]), value, rcond=1e-6)[0]
        peak, moved = known[: len(at)], known[len(at) :].reshape(2, -1).T
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(peak[:, None] > 0, moved / peak[:, None], 0.0)
        step = np.clip(step, -STEP * beam.major, STEP * beam.major)
        at = places + np.clip(at + step - places, -most, most)
    shape = beam.profile(col[:, None] - at[:, 0], row[:, None] - at[:, 1])
    peak = np.linalg.lstsq(shape, value, rcond=1e-6)[0]
    return np.column_stack([at, peak])
