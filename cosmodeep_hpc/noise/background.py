"""The level that a view's pixels would have without emission: offsets and slopes, not bowls.

A plane is fitted to the levels of the cells around each cell, weighted by their distance. Cells
above the fit have emission and lose their weight, and the fit is made again. So the background
follows what is as wide as SCALE or wider, and not a halo that stands above it.

Source: local linear regression, Cleveland (1979), J. Am. Stat. Assoc. 74, 829, with weights of one
side as in asymmetric least squares, Eilers & Boelens (2005).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, percentile_filter

from cosmodeep_hpc.noise.localnoise import LocalNoise
from cosmodeep_hpc.noise.mesh import Mesh

SCALE = 200.0
"""Standard deviation of the weights by distance [pixel of the view]."""
ROUNDS = 30
ABOVE = 2.0
"""Errors above the fit at which a cell has half of its weight."""
ERROR = 2.0
"""Of a level, in standard deviations of the mean of all pixels of its cell."""
REACH = 1.5
"""Times SCALE: how far from a cell the levels are looked at that tell whether it is a hole."""
HOLES = 20
"""Percentage of them that may lie lower."""
BELOW = 3.0
"""Errors below these up to which a level is taken as it is."""
LARGEST = 128
"""Cells along a side that the fit is made of, at most: blocks of them where there are more."""


def background(mesh: Mesh, noise: LocalNoise, beam_area: float | None) -> NDArray[np.float32]:
    """Return the background in the cells of a mesh: float32 (rows, cols) [Jy/arcsec^2].

    Args:
        beam_area: of the view's beam [pixel]; None where it is not known.
    """
    block = -(-max(mesh.level.shape) // LARGEST)
    known = np.isfinite(mesh.level) & (mesh.sigma > 0)
    sigma = _blocks(noise.view.astype(np.float64), block)
    level = _blocks(np.where(known, mesh.level, np.nan), block)
    error = ERROR * np.sqrt(max(1.0, 2 * (beam_area or 0.0))) / (mesh.side * block) * sigma
    scale = SCALE / (mesh.side * block)
    found = _fit(_without_holes(level, error, scale), error, scale)
    rows, cols = mesh.level.shape
    spread = np.repeat(np.repeat(found, block, axis=0), block, axis=1)[:rows, :cols]
    return spread.astype(np.float32)


def _blocks(values: NDArray[np.float64], block: int) -> NDArray[np.float64]:
    """Return the mean of the known values of blocks of `block` x `block`; NaN: there is none."""
    if block == 1:
        return values
    rows, cols = (np.arange(0, side, block) for side in values.shape)
    known = np.isfinite(values)
    total = np.add.reduceat(np.add.reduceat(np.where(known, values, 0.0), rows, 0), cols, 1)
    count = np.add.reduceat(np.add.reduceat(known.astype(np.int64), rows, 0), cols, 1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _without_holes(
    level: NDArray[np.float64], error: NDArray[np.float64], scale: float
) -> NDArray[np.float64]:
    """Raise what lies far below nearly all levels around it: bowls are not the background.

    Beyond the edges the levels go on as they fall or rise there.
    """
    reach = max(1, round(REACH * scale))
    rows, cols = level.shape
    nearest = distance_transform_edt(np.isnan(level), return_distances=False, return_indices=True)
    filled = level[tuple(nearest)]
    widths = [min(reach, side - 1) for side in (rows, cols)]
    around = (
        np.pad(filled, [(w, w) for w in widths], mode="reflect", reflect_type="odd")
        if min(widths) > 0
        else np.pad(filled, [(w, w) for w in widths], mode="edge")
    )
    every = np.zeros((2 * reach + 1, 2 * reach + 1), bool)
    every[reach % 2 :: 2, reach % 2 :: 2] = True  # every second cell tells as much
    usual = percentile_filter(around, HOLES, footprint=every, mode="nearest")
    usual = usual[widths[0] : widths[0] + rows, widths[1] : widths[1] + cols]
    return np.asarray(np.maximum(level, usual - BELOW * error))


def _fit(
    level: NDArray[np.float64], error: NDArray[np.float64], scale: float
) -> NDArray[np.float64]:
    """Return the fit to levels, NaN where there is none, of these errors and this scale [cell]."""
    known = np.isfinite(level)
    filled = np.where(known, level, 0.0)
    y, x = np.mgrid[: level.shape[0], : level.shape[1]].astype(np.float64)
    own = np.where(known, (np.median(error) / error) ** 2, 0.0)
    weight, fit = own, np.zeros_like(filled)
    for _ in range(ROUNDS):
        before, fit = fit, _plane(filled, weight, x, y, scale)
        if (np.abs(fit - before) < 0.1 * error).all():
            break
        above = np.maximum(filled - fit, 0.0) / (ABOVE * error)
        weight = own / (1 + above**4)
    return fit


def _plane(
    level: NDArray[np.float64],
    weight: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    scale: float,
) -> NDArray[np.float64]:
    """Return the value at each cell of the plane fitted around it."""

    def around(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(gaussian_filter(weight * values, scale, mode="constant", truncate=4.0))

    n = around(np.ones_like(level)) + 1e-12
    mx, my, mean = around(x) / n, around(y) / n, around(level) / n
    xx, xy, yy = around(x * x) / n - mx**2, around(x * y) / n - mx * my, around(y * y) / n - my**2
    lx, ly = around(x * level) / n - mx * mean, around(y * level) / n - my * mean
    # a plane of one or two lines of cells, or far from all with weight, is held level
    steady = 0.005 * scale**2
    xx, yy = xx + steady, yy + steady
    determinant = xx * yy - xy**2
    slope_x, slope_y = (lx * yy - ly * xy) / determinant, (ly * xx - lx * xy) / determinant
    return np.asarray(mean + slope_x * (x - mx) + slope_y * (y - my))
