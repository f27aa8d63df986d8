"""Sums over the pixels of islands, strip by strip: flux, area, moments and the brightest pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.products.labels import LabelStrip
from cosmodeep_hpc.products.pixelareas import flux_areas, pixel_areas

PIXELS_AT_ONCE = 2**21  # read at most


@dataclass(frozen=True)
class IslandSums:
    """Sums over the pixels of islands of a plane, float64 (n,) each.

    Attributes:
        pixels: with data. area: of these [arcsec^2]. flux: their sum [Jy].
        x, y: sums of their columns and rows.
        weight, weight_x, weight_y: the same, weighted by brightness; below 0 it counts as 0.
        peak: of the brightest pixel [Jy/arcsec^2]; peak_x, peak_y: where it is, int64.
    """

    pixels: NDArray[np.float64]
    area: NDArray[np.float64]
    flux: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    weight: NDArray[np.float64]
    weight_x: NDArray[np.float64]
    weight_y: NDArray[np.float64]
    peak: NDArray[np.float64]
    peak_x: NDArray[np.int64]
    peak_y: NDArray[np.int64]

    @classmethod
    def nothing(cls, count: int) -> IslandSums:
        """Return the sums before the first pixel."""
        zero = {name: np.zeros(count) for name in cls.__dataclass_fields__}
        whole = {name: np.zeros(count, np.int64) for name in ("peak_x", "peak_y")}
        made: dict[str, Any] = {**zero, **whole, "peak": np.full(count, -np.inf)}
        return cls(**made)

    def centre(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the column and row of each centroid, weighted by brightness [pixel]."""
        with_flux = self.weight > 0
        weight = np.where(with_flux, self.weight, np.maximum(self.pixels, 1))
        x = np.where(with_flux, self.weight_x, self.x) / weight
        return x, np.where(with_flux, self.weight_y, self.y) / weight

    def add(
        self, image: Image, strip: LabelStrip, cell: int, at_once: int = PIXELS_AT_ONCE
    ) -> None:
        """Add the pixels of a strip, row after row: to the last bit the same in any strips.

        Args:
            cell: side of a cell [pixel].
            at_once: pixels read at most.

        Raises:
            InputError: the image cannot be read.
        """
        labels = strip.labels
        areas = pixel_areas(image, labels > 0, cell, strip.first)
        per_flux = flux_areas(image, areas)
        for start, columns, pixels in _read(image, strip, cell, at_once):
            down = np.arange(start, start + len(pixels)) // cell - strip.first
            across = np.arange(columns.start, columns.stop) // cell
            row, col = np.nonzero((labels > 0)[np.ix_(down, across)])
            cells = down[row], across[col]
            island = labels[cells] - 1
            pixel = pixels[row, col]
            x, y = col + columns.start, row + start
            finite = np.isfinite(pixel)
            value = np.where(finite, pixel, 0).astype(np.float64)
            weight = np.maximum(value, 0)
            of_pixels = {
                "pixels": finite,
                "area": finite * areas[cells],
                "flux": value * per_flux[cells],
                "x": finite * x,
                "y": finite * y,
                "weight": weight,
                "weight_x": weight * x,
                "weight_y": weight * y,
            }
            for what, values in of_pixels.items():
                np.add.at(getattr(self, what), island, values)
            self._brightest(np.where(finite, pixel, -np.inf), island, x, y)

    def _brightest(
        self,
        pixel: NDArray[np.floating],
        island: NDArray[np.int32],
        x: NDArray[np.int64],
        y: NDArray[np.int64],
    ) -> None:
        """Look for brighter pixels; of equal ones the first row, then the first column counts.

        Args:
            pixel, island, x, y: of pixels, row by row.
        """
        order = np.lexsort((-pixel, island))  # it keeps the order of equal ones
        first = order[np.flatnonzero(np.diff(island[order], prepend=-1))]
        first = first[pixel[first] > self.peak[island[first]]]
        which = island[first]
        self.peak[which], self.peak_x[which], self.peak_y[which] = pixel[first], x[first], y[first]


def _read(
    image: Image, strip: LabelStrip, cell: int, most: int
) -> Iterator[tuple[int, slice, NDArray[np.float32]]]:
    """Read the rows of cells with islands, from the first to the last such column.

    Yields:
        first row of pixels, columns, and pixels [Jy/arcsec^2].
    """
    ny, nx = image.shape
    where = strip.labels > 0
    rows = np.flatnonzero(where.any(axis=1))
    if not len(rows):
        return
    for run in _runs(rows, max(1, most // (cell * nx))):
        cols = np.flatnonzero(where[run.start : run.stop].any(axis=0))
        columns = slice(int(cols[0]) * cell, min((int(cols[-1]) + 1) * cell, nx))
        height = max(1, most // (columns.stop - columns.start))
        begin = (strip.first + run.start) * cell
        end = min((strip.first + run.stop) * cell, ny)
        for start in range(begin, end, height):
            yield start, columns, image.data(start, min(start + height, end), columns)


def _runs(rows: NDArray[np.int64], most: int) -> Iterator[range]:
    """Yield neighbouring rows, at most some of them at a time."""
    for group in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
        for start in range(int(group[0]), int(group[-1]) + 1, most):
            yield range(start, min(start + most, int(group[-1]) + 1))
