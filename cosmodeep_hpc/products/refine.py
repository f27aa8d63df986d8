"""Refinement: which pixels in and beside signal cells belong to the emission, at beam scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.ndimage
from astropy.stats import mad_std
from numpy.typing import NDArray

from cosmodeep_hpc.images.beam import FWHM
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.products.islands import Islands
from cosmodeep_hpc.products.labels import EIGHT
from cosmodeep_hpc.products.pixelareas import flux_areas, pixel_areas
from cosmodeep_hpc.survey.result import MosaicResult, PlaneResult

SCALES = (1, 2, 4, 8)  # beams, or pixels where there is no beam
REACH = 3.0  # sigmas at which a smoothing kernel ends
LEAST_WEIGHT = 0.1  # share of a kernel on pixels with data that are not found yet, at least
WINDOWS = 32  # quiet cells that the noise of smoothed maps is measured in, at most
FEWEST = 8  # below which it is calculated instead
COLUMNS = 2048


@dataclass(frozen=True)
class Kernels:
    """The smoothing kernels of an image: round Gaussians.

    Attributes:
        sigmas: their widths [pixel], growing.
        gains: what each makes of the noise of a pixel.
    """

    sigmas: tuple[float, ...]
    gains: tuple[float, ...]

    @property
    def margin(self) -> int:
        """Pixels around a window that its result depends on: a scale sees those found before."""
        return sum(int(REACH * sigma + 0.5) for sigma in self.sigmas)


@dataclass(frozen=True)
class Refined:
    """Measures of the refined islands, (n,) each, in the order of their numbers.

    Attributes:
        n_pix: pixels. solid_angle: of these [arcsec^2]. flux: their sum [Jy].
    """

    n_pix: NDArray[np.float64]
    solid_angle: NDArray[np.float64]
    flux: NDArray[np.float64]


def widths(image: Image, tile: int) -> tuple[float, ...]:
    """Return the kernels' widths (sigma) [pixel]: 1, 2, 4 and 8 beams, none wider than a tile.

    Larger structures are seen by the network tile by tile; and the time of a tile stays bounded.
    """
    beam = 1.0
    if image.beam is not None:
        beam = max(1.0, float(np.sqrt(image.beam.major * image.beam.minor)) / image.pixel_scale)
    beam = min(beam, float(tile))
    return tuple(scale * beam / FWHM for scale in SCALES if scale * beam < 1.01 * tile)


def smoothed(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Smooth values by a Gaussian; there is nothing beyond the edge.

    A pixel's sum is of the same terms in the same order wherever a window begins.
    """
    through: NDArray[np.float32] = scipy.ndimage.gaussian_filter(
        values, sigma, truncate=REACH, mode="constant"
    )
    return through


def detected(
    significance: NDArray[np.float32], kernels: Kernels, threshold: float
) -> NDArray[np.bool_]:
    """Find the pixels of a map that stand out at any scale.

    From the finest scale to the coarsest, what was found is left out of the coarser ones: there a
    bright source would spread far beyond its shape.

    Args:
        significance: brightness over local noise; NaN: no data.
        threshold: in units of the noise of each smoothed map.
    """
    valid = np.isfinite(significance)
    found = np.zeros(valid.shape, np.bool_)
    for sigma, gain in zip(kernels.sigmas, kernels.gains, strict=True):
        left = valid & ~found
        weight = smoothed(left.astype(np.float32), sigma)
        value = smoothed(np.where(left, significance, np.float32(0)), sigma)
        # the mean is value / weight, and its noise that of the map over the root of the weight
        limit = np.float32(threshold * gain) * np.sqrt(np.maximum(weight, 0))
        found |= left & (weight > LEAST_WEIGHT) & (value > limit)
    return found


def kernels_of(plane: PlaneResult, signal: NDArray[np.bool_], cell: int, tile: int) -> Kernels:
    """Return the kernels of a plane, their gains measured in cells far from signal.

    How noise averages depends on how it is correlated, which the beam tells of only in part.
    """
    image = plane.image
    sigmas = widths(image, tile)
    noise = plane.tiles.noise
    blank = plane.blank(0, plane.shape[0]) | ~np.isfinite(noise) | (noise <= 0)
    busy = scipy.ndimage.binary_dilation(signal | blank, structure=EIGHT)
    quiet = np.argwhere(~busy & (plane.tiles.coverage >= 1))
    if len(quiet) < FEWEST:
        return Kernels(sigmas, tuple(expected_gain(image, sigma) for sigma in sigmas))
    picked = quiet[np.unique(np.linspace(0, len(quiet) - 1, WINDOWS).astype(int))]
    samples: list[list[NDArray[np.float32]]] = [[] for _ in sigmas]
    for row, col in picked:
        window = Window.around(image.shape, row * cell, col * cell, cell, cell, _widest(sigmas))
        significance = window.read(image) / noise[row, col]
        valid = np.isfinite(significance)
        filled = np.where(valid, significance, np.float32(0))
        for number, sigma in enumerate(sigmas):
            weight = smoothed(valid.astype(np.float32), sigma)
            value = smoothed(filled, sigma) / np.sqrt(np.maximum(weight, LEAST_WEIGHT))
            samples[number].append(window.inner(value)[window.inner(valid)])
    return Kernels(
        sigmas,
        tuple(
            float(np.clip(mad_std(np.concatenate(some)), _white(sigma) / 2, 1.0))
            for some, sigma in zip(samples, sigmas, strict=True)
        ),
    )


def expected_gain(image: Image, sigma: float) -> float:
    """Return the gain where noise is white before the beam, or on pixels without a beam."""
    if image.beam is None:
        return _white(sigma)
    major, minor = (
        side / FWHM / image.pixel_scale for side in (image.beam.major, image.beam.minor)
    )
    both = (major**2 + sigma**2) * (minor**2 + sigma**2)
    return max(float(np.sqrt(major * minor / np.sqrt(both))), _white(sigma))


def _white(sigma: float) -> float:
    """Return the gain for noise that is independent from pixel to pixel."""
    reach = int(REACH * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return float((kernel**2).sum() / kernel.sum() ** 2)


def _widest(sigmas: Sequence[float]) -> int:
    return int(REACH * max(sigmas) + 0.5)


@dataclass(frozen=True)
class Window:
    """Pixels `rows`, `columns` of an image, with those around that their result depends on."""

    rows: slice
    columns: slice
    top: int
    left: int
    height: int
    width: int

    @classmethod
    def around(
        cls, shape: tuple[int, int], row: int, col: int, height: int, width: int, margin: int
    ) -> Window:
        """Return a window whose inner part begins at (row, col)."""
        rows = slice(max(0, row - margin), min(shape[0], row + height + margin))
        columns = slice(max(0, col - margin), min(shape[1], col + width + margin))
        height, width = min(height, shape[0] - row), min(width, shape[1] - col)
        return cls(rows, columns, row - rows.start, col - columns.start, height, width)

    def read(self, image: Image) -> NDArray[np.float32]:
        """Read its pixels [Jy/arcsec^2]."""
        return image.data(self.rows.start, self.rows.stop, self.columns)

    def inner(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the inner part of values in the window."""
        return values[self.top : self.top + self.height, self.left : self.left + self.width]

    def cells(self, grid: NDArray[Any], cell: int) -> NDArray[Any]:
        """Spread the grid's cells on the window's pixels; the last go on beyond the grid."""
        row = np.minimum(np.arange(self.rows.start, self.rows.stop) // cell, grid.shape[0] - 1)
        col = np.minimum(
            np.arange(self.columns.start, self.columns.stop) // cell, grid.shape[1] - 1
        )
        return grid[np.ix_(row, col)]


class Refinement:
    """The refined mask of a mosaic, made strip by strip, and its measures as far as it is made.

    Every pixel must be asked for once. The mask does not depend on the strips.
    """

    def __init__(
        self, swept: MosaicResult, islands: Islands, threshold: float, columns: int = COLUMNS
    ) -> None:
        """Measure the noise of each plane's smoothed maps.

        Args:
            threshold: in units of that noise.
            columns: pixels refined at once along a row, about.

        Raises:
            InputError: the image cannot be read.
        """
        count = len(islands.islands)
        self.refined = Refined(np.zeros(count), np.zeros(count), np.zeros(count))
        self._swept, self._threshold, self._columns = swept, threshold, columns
        self._planes = [
            _RefinedPlane(plane, islands.whole(number), swept)
            for number, plane in enumerate(swept.planes)
        ]

    def paint(self, number: int, start: int, stop: int) -> NDArray[np.uint8]:
        """Paint rows of a plane: 1 emission, 0 none, uint8 (stop - start, columns of the image).

        Raises:
            InputError: the image cannot be read.
        """
        plane = self._planes[number]
        mask = np.zeros((stop - start, plane.image.shape[1]), np.uint8)
        for window in plane.windows(self._swept.cell, start, stop, self._columns):
            pixels = window.read(plane.image)
            noise = window.cells(plane.noise, self._swept.cell)
            found = window.inner(detected(pixels / noise, plane.kernels, self._threshold))
            owner = window.inner(window.cells(plane.owner, self._swept.cell))
            found = found & (owner > 0)
            left = window.columns.start + window.left
            mask[:, left : left + window.width] = found
            self._add(plane, window, found, owner, window.inner(pixels))
        return mask

    def _add(
        self,
        plane: _RefinedPlane,
        window: Window,
        found: NDArray[np.bool_],
        owner: NDArray[np.int32],
        pixels: NDArray[np.float32],
    ) -> None:
        """Add the pixels found to the measures of their islands."""
        own, cell = owner[found], self._swept.cell
        area = window.inner(window.cells(plane.areas, cell))[found]
        per_flux = window.inner(window.cells(plane.per_flux, cell))[found]
        count = len(self.refined.n_pix) + 1
        self.refined.n_pix[:] += np.bincount(own, minlength=count)[1:]
        self.refined.solid_angle[:] += np.bincount(own, area, count)[1:]
        self.refined.flux[:] += np.bincount(own, pixels[found] * per_flux, count)[1:]


class _RefinedPlane:
    """What the refinement of a plane needs.

    Attributes:
        noise: as of the plane, NaN where it is of no use.
        owner: number of the island that a pixel found in a cell belongs to; 0: not looked at.
    """

    def __init__(self, plane: PlaneResult, labels: NDArray[np.int32], swept: MosaicResult) -> None:
        signal = labels > 0
        self.image = plane.image
        noise = plane.tiles.noise
        self.noise = np.where(noise > 0, noise, np.float32(np.nan))
        beside = scipy.ndimage.grey_dilation(labels, footprint=EIGHT, mode="constant")
        self.owner = np.where(signal, labels, np.where(plane.blank(0, plane.shape[0]), 0, beside))
        self.areas = pixel_areas(plane.image, self.owner > 0, swept.cell)
        self.per_flux = flux_areas(plane.image, self.areas)
        none = Kernels((), ())
        any_signal = bool(signal.any())
        self.kernels = kernels_of(plane, signal, swept.cell, swept.tile) if any_signal else none

    def windows(self, cell: int, start: int, stop: int, columns: int) -> Iterator[Window]:
        """Yield the windows of rows `start` to `stop` that have cells to look at.

        Args:
            columns: of a window, about.
        """
        shape = self.image.shape
        rows = self.owner[start // cell : -(-stop // cell)]
        cols = np.flatnonzero((rows > 0).any(axis=0))
        if len(cols) == 0:
            return
        most = max(1, columns // cell)
        margin = self.kernels.margin
        near = 1 + 2 * margin // cell  # margins of cells nearer than this overlap: read them once
        for run in np.split(cols, np.flatnonzero(np.diff(cols) > near) + 1):
            for first in range(int(run[0]), int(run[-1]) + 1, most):
                width = min(most, int(run[-1]) + 1 - first) * cell
                yield Window.around(shape, start, first * cell, stop - start, width, margin)
