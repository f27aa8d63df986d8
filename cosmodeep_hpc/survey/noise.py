"""Local noise: measured on a mesh over the plane, and brought to that of the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from cosmodeep_hpc.tiles.median import have_data

MESH = 5  # tiles along the side of a cell of the mesh: 200 pixels, wider than most sources
SAMPLE = 4096  # pixels of a cell at most that its noise is measured on: to 2 %
LEAST = 64  # pixels with data without which a cell's noise is not measured
TOLERANCE = 1.25
"""Noise within this factor of the training's is left as it is."""
TO_SIGMA = np.float32(1.4826)  # from the median absolute deviation of a Gaussian


@dataclass(frozen=True)
class Mesh:
    """What was measured in cells of a mesh, row by row of them.

    Attributes:
        sigma: robust noise [Jy/arcsec^2], float32 (rows, cols); NaN: too few pixels with data.
        low, high: the extremes [Jy/arcsec^2], as above; NaN: no data.
        side: of a cell [pixel].
    """

    sigma: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    side: int


def measure(pixels: NDArray[np.float32], side: int) -> Mesh:
    """Measure the noise and the extremes of pixels (ny, nx) in cells of `side` x `side`.

    The noise is 1.4826 times the median absolute deviation from the median, of an even sample.
    Pixels that are exactly 0 are padding and do not count.
    """
    ny, nx = pixels.shape
    rows, cols = -(-ny // side), -(-nx // side)
    mesh = mesh_of(np.full((3, rows, cols), np.nan, dtype=np.float32), side)
    step = max(1, int(np.sqrt(side * side / SAMPLE)))
    for row in range(rows):
        strip = pixels[row * side : (row + 1) * side]
        lowest, highest = np.fmin.reduce(strip, axis=0), np.fmax.reduce(strip, axis=0)
        starts = np.arange(0, nx, side)
        mesh.low[row] = np.fmin.reduceat(lowest, starts)
        mesh.high[row] = np.fmax.reduceat(highest, starts)
        sampled = strip[step // 2 :: step] if len(strip) > step else strip
        whole = nx // side
        if whole:
            mesh.sigma[row, :whole] = _sigmas(sampled[:, : whole * side], side, step)
        if whole < cols:
            mesh.sigma[row, whole] = _sigma(sampled[:, whole * side :: step])
    return mesh


def _sigmas(sampled: NDArray[np.float32], side: int, step: int) -> NDArray[np.float32]:
    """The robust noise of cells that lie side by side, each of `side` columns: all at once."""
    cells = sampled.reshape(len(sampled), -1, side)[:, :, ::step].transpose(1, 0, 2)
    samples = cells.reshape(len(cells), -1)
    if samples.shape[1] < LEAST or not have_data(samples.reshape(-1)):
        return np.array([_sigma(sample) for sample in samples], dtype=np.float32)
    middle = samples.shape[1] // 2
    median = np.partition(samples, middle, axis=1)[:, middle]
    deviation = np.abs(samples - median[:, None])
    return np.asarray(TO_SIGMA * np.partition(deviation, middle, axis=1)[:, middle])


def _sigma(sample: NDArray[np.float32]) -> float:
    """The robust noise of a sample; NaN where it is too small."""
    sample = sample.ravel()
    sample = sample[np.isfinite(sample) & (sample != 0)]
    if len(sample) < LEAST:
        return np.nan
    middle = len(sample) // 2
    median = np.partition(sample, middle)[middle]
    return float(TO_SIGMA * np.partition(np.abs(sample - median), middle)[middle])


def mesh_of(array: NDArray[np.float32], side: int) -> Mesh:
    """A mesh from its three grids stacked: float32 (3, rows, cols)."""
    return Mesh(array[0], array[1], array[2], side)


def joined(parts: list[Mesh]) -> Mesh:
    """One mesh of parts that lie above each other, lowest first."""
    stacked = [np.stack([part.sigma, part.low, part.high]) for part in parts]
    return mesh_of(np.concatenate(stacked, axis=1), parts[0].side)


def smoothed(sigma: NDArray[np.float32]) -> NDArray[np.float32]:
    """The noise of a mesh without what single sources add: the median of 3 x 3 cells.

    Cells that were not measured take their nearest neighbour's; all NaN where none was.
    """
    measured = np.isfinite(sigma) & (sigma > 0)
    if not measured.any():
        return np.full_like(sigma, np.nan)
    around = np.pad(np.where(measured, sigma, np.nan), 1, mode="edge")
    rows, cols = sigma.shape
    nine = np.stack([around[y : y + rows, x : x + cols] for y in range(3) for x in range(3)])
    calm = np.nanmedian(nine[:, measured], axis=0)
    whole = np.full_like(sigma, np.nan)
    whole[measured] = calm
    nearest = distance_transform_edt(~measured, return_distances=False, return_indices=True)
    return np.asarray(whole[tuple(nearest)])


def is_as_trained(sigma: NDArray[np.float32], trained: float) -> bool:
    """Whether nine tenths of a plane have the noise of the training, within TOLERANCE."""
    low, high = np.nanpercentile(sigma, [5, 95]) / trained
    return bool(low > 1 / TOLERANCE and high < TOLERANCE)


def interpolated(
    mesh: NDArray[np.float32], side: int, rows: NDArray[np.floating], cols: NDArray[np.floating]
) -> NDArray[np.float32]:
    """A mesh at pixels: bilinear between the centres of its cells, constant beyond the outermost.

    Args:
        rows, cols: places [pixel] along both axes; pixel centres are whole numbers.

    Returns:
        float32 (len(rows), len(cols)).
    """
    below, above, share = _between(rows, side, mesh.shape[0])
    lines = mesh[below] * (1 - share)[:, None] + mesh[above] * share[:, None]
    left, right, share = _between(cols, side, mesh.shape[1])
    found = lines[:, left]
    found *= 1 - share
    found += lines[:, right] * share
    return np.asarray(found, dtype=np.float32)


def _between(places: NDArray[np.floating], side: int, count: int) -> tuple[Any, Any, Any]:
    """The two cells whose centres a place lies between, and how far it is from the first."""
    at = np.clip((places + 0.5) / side - 0.5, 0, count - 1)
    first = np.minimum(at.astype(np.int64), count - 1)
    return first, np.minimum(first + 1, count - 1), (at - first).astype(np.float32)
