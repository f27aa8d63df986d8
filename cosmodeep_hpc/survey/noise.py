"""Local noise: measured on a mesh over the plane, and brought to that of the training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.tiles.noise import have_data

MESH = 5  # tiles along the side of a cell of the mesh: 200 pixels, wider than most sources
SAMPLE = 4096  # pixels of a cell at most that its noise is measured on: to 2 %
LEAST = 64  # pixels with data without which a cell's noise is not measured
TOLERANCE = 1.25
"""Noise within this factor of the training's is left as it is."""
TO_SIGMA = np.float32(1.4826)  # as `MAD_TO_SIGMA`, rounded: another would change all products
APART = 1.5  # beams between the pixels of a difference, at least: their noise hardly correlates
ROUNDING = np.float32(1e-6)  # of a level: what float32 and sums over it leave of a constant
STRUCTURE = 1.1  # noise that is this much lower in differences has emission in it


@dataclass(frozen=True)
class Mesh:
    """What was measured in cells of a mesh, row by row of them.

    Attributes:
        sigma: robust noise [Jy/arcsec^2], float32 (rows, cols); NaN: too few pixels with data.
        low, high: the extremes [Jy/arcsec^2], as above; NaN: no data.
        quiet: as `sigma`, of the image's own pixels, and without what extended emission adds.
        side: of a cell [pixel].
    """

    sigma: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    quiet: NDArray[np.float32]
    side: int

    @property
    def grids(self) -> NDArray[np.float32]:
        """The four grids stacked: float32 (4, rows, cols)."""
        return np.stack([self.sigma, self.low, self.high, self.quiet])


def measure(
    pixels: NDArray[np.float32],
    side: int,
    unaveraged: NDArray[np.float32] | None = None,
    beam: Beam | None = None,
    *,
    sample: float = SAMPLE,
    apart: float = APART,
) -> Mesh:
    """Measure the noise and the extremes of pixels (ny, nx) in cells of `side` x `side`.

    The noise is 1.4826 times the median absolute deviation from the median, of an even sample.
    Pixels that are exactly 0 are padding and do not count.

    Args:
        unaveraged: where pixels are averages, one pixel of the image from each: (ny, nx).
        beam: in units of a pixel; without it extended emission counts as noise.
        sample: pixels of a cell at most that its noise is measured on.
        apart: beams between the pixels of a difference, at least.
    """
    ny, nx = pixels.shape
    rows, cols = -(-ny // side), -(-nx // side)
    mesh = mesh_of(np.full((4, rows, cols), np.nan, dtype=np.float32), side)
    step = max(1, int(np.sqrt(side * side / sample)))
    for row in range(rows):
        of_row = slice(row * side, (row + 1) * side)
        strip = pixels[of_row]
        lowest, highest = np.fmin.reduce(strip, axis=0), np.fmax.reduce(strip, axis=0)
        starts = np.arange(0, nx, side)
        mesh.low[row] = np.fmin.reduceat(lowest, starts)
        mesh.high[row] = np.fmax.reduceat(highest, starts)
        for cells, samples in _samples(strip, side, step):
            mesh.sigma[row, cells] = _sigmas(samples)
            if unaveraged is None:
                sigma = mesh.sigma[row, cells]
                mesh.quiet[row, cells] = _quiet(samples, sigma, step, beam, apart)
        if unaveraged is not None:
            for cells, samples in _samples(unaveraged[of_row], side, step):
                sigma = _sigmas(samples)
                mesh.quiet[row, cells] = _quiet(samples, sigma, step, beam, apart)
    return mesh


def _samples(
    strip: NDArray[np.float32], side: int, step: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield every `step`-th pixel, both ways, of cells that lie side by side.

    Yields:
        first the cells of `side` columns, then the one that is cut: which they are, and float32
        (cells, lines, columns); NaN: no data.
    """
    lines = strip[step // 2 :: step] if len(strip) > step else strip
    whole = strip.shape[1] // side
    if whole:
        cells = lines[:, : whole * side].reshape(len(lines), whole, side)[:, :, ::step]
        yield slice(whole), _with_data(cells.transpose(1, 0, 2))
    if whole * side < strip.shape[1]:
        yield slice(whole, whole + 1), _with_data(lines[None, :, whole * side :: step])


def _with_data(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    samples = np.ascontiguousarray(samples)
    if have_data(samples.reshape(-1)):
        return samples
    return np.where(np.isfinite(samples) & (samples != 0), samples, np.float32(np.nan))


def _sigmas(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the robust noise of samples (cells, lines, columns): float32 (cells,); NaN: too few.

    A constant but for rounding, as padding that was regridded, has none: 0.
    """
    flat = samples.reshape(len(samples), -1)
    level = _medians(flat)
    sigma = TO_SIGMA * _medians(np.abs(flat - level[:, None]))
    return np.where(sigma <= ROUNDING * np.abs(level), np.float32(0), sigma)


def _quiet(
    samples: NDArray[np.float32],
    sigma: NDArray[np.float32],
    step: int,
    beam: Beam | None,
    beams_apart: float,
) -> NDArray[np.float32]:
    """Return the noise of samples without extended emission, by differences if these are far lower.

    In a second difference 2 x(i) - x(i-d) - x(i+d) along a column emission cancels but for its
    curvature, while white noise through a beam, whose correlation at a distance is rho, keeps a
    variance of 6 - 8 rho(d) + 2 rho(2 d). Elsewhere `sigma`, which has the smaller error, holds.

    Source: Stoehr et al. (2008), ADASS XVII, ASP Conf. 394, 505 (DER_SNR), for rho = 0.
    """
    if beam is None:
        return sigma
    apart = math.ceil(beams_apart * beam.major / step)
    if samples.shape[1] <= 4 * apart:
        return sigma
    differences = np.float32(2) * samples[:, apart:-apart]
    differences -= samples[:, : -2 * apart]
    differences -= samples[:, 2 * apart :]
    size = _medians(np.abs(differences, out=differences).reshape(len(samples), -1))
    near, far = beam.noise_correlation(0.0, np.array([1, 2]) * apart * step)
    found = TO_SIGMA / np.float32(math.sqrt(6 - 8 * near + 2 * far)) * size
    structured = (found > 0) & (sigma > np.float32(STRUCTURE) * found)
    return np.where(structured, found, sigma)


def _medians(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median of finite values in each row, the upper of two; NaN: fewer than LEAST."""
    if values.shape[1] >= LEAST and np.isfinite(values).all():
        return _upper(values)
    finite = (row[np.isfinite(row)] for row in values)
    return np.array([_upper(v[None])[0] if len(v) >= LEAST else np.nan for v in finite], "f4")


def _upper(values: NDArray[np.float32]) -> NDArray[np.float32]:
    middle = values.shape[1] // 2
    return np.asarray(np.partition(values, middle, axis=1)[:, middle])


def mesh_of(array: NDArray[np.float32], side: int) -> Mesh:
    """Return a mesh from its four grids stacked: float32 (4, rows, cols)."""
    return Mesh(array[0], array[1], array[2], array[3], side)


def joined(parts: list[Mesh]) -> Mesh:
    """Return one mesh of parts that lie above each other, lowest first."""
    return mesh_of(np.concatenate([part.grids for part in parts], axis=1), parts[0].side)


def smoothed(sigma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the noise of a mesh without what single sources add: the median of 3 x 3 cells.

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
    """Return whether nine tenths of a plane have the noise of the training, within TOLERANCE."""
    low, high = np.nanpercentile(sigma, [5, 95]) / trained
    return bool(low > 1 / TOLERANCE and high < TOLERANCE)


def interpolated(
    mesh: NDArray[np.float32], side: int, rows: NDArray[np.floating], cols: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Interpolate a mesh at pixels: bilinear between the centres of cells, constant beyond them.

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
    """Return the two cells whose centres a place lies between, and its distance from the first."""
    at = np.clip((places + 0.5) / side - 0.5, 0, count - 1)
    first = np.minimum(at.astype(np.int64), count - 1)
    return first, np.minimum(first + 1, count - 1), (at - first).astype(np.float32)
