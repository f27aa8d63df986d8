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

PIXELS_AT_ONCE = 2**23  # read at most: 32 MiB


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
        """Add the pixels of a strip, row of cells after row of cells.

        Args:
            cell: side of a cell [pixel].
            at_once: pixels read at most.

        Raises:
            InputError: the image cannot be read.
        """
        labels = strip.labels
        areas = pixel_areas(image, labels > 0, cell, strip.first)
        per_flux = flux_areas(image, areas)
        for row, start, columns, read in _read(image, strip, cell, at_once):
            every = np.arange(columns.start, columns.stop)
            own = labels[row, every // cell] > 0
            col, pixels = every[own], read[:, own]
            owner = labels[row, col // cell]
            y = np.arange(start, start + len(pixels), dtype=float)
            finite = np.isfinite(pixels)
            value = np.where(finite, pixels, 0).astype(np.float64)
            positive = np.maximum(value, 0)
            a_column = {
                "pixels": finite.sum(axis=0),
                "area": finite.sum(axis=0) * areas[row, col // cell],
                "flux": value.sum(axis=0) * per_flux[row, col // cell],
                "x": finite.sum(axis=0) * col,
                "y": y @ finite,
                "weight": positive.sum(axis=0),
                "weight_x": positive.sum(axis=0) * col,
                "weight_y": y @ positive,
            }
            here, place = np.unique(owner, return_inverse=True)
            for what, values in a_column.items():
                getattr(self, what)[here - 1] += np.bincount(place, values, len(here))
            self._brightest(np.where(finite, pixels, -np.inf), owner, col, start)

    def _brightest(
        self,
        pixels: NDArray[np.floating],
        owner: NDArray[np.int32],
        col: NDArray[np.int64],
        start: int,
    ) -> None:
        """Look for brighter pixels; of equal ones the first row, then the first column counts."""
        brightest = pixels.max(axis=0)
        order = np.lexsort((col, -brightest, owner))
        is_first = np.append(True, owner[order][1:] != owner[order][:-1])
        for best in order[is_first].tolist():
            i = int(owner[best]) - 1
            if brightest[best] > self.peak[i]:
                self.peak[i], self.peak_x[i] = brightest[best], col[best]
                self.peak_y[i] = start + int(np.argmax(pixels[:, best]))


def _read(
    image: Image, strip: LabelStrip, cell: int, most: int
) -> Iterator[tuple[int, int, slice, NDArray[np.float32]]]:
    """Read the rows of cells with islands, from the first to the last such column.

    Yields:
        row of the strip, first row of pixels, columns, and pixels [Jy/arcsec^2].
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
        first, last = ((strip.first + row) * cell for row in (run.start, run.stop))
        tall = min(last, ny) - first
        pixels = image.data(first, min(last, ny), columns) if tall <= height else None
        for row in run:
            begin = (strip.first + row) * cell
            end = min(begin + cell, ny)
            if pixels is not None:
                yield row, begin, columns, pixels[begin - first : end - first]
                continue
            for start in range(begin, end, height):
                stop = min(start + height, end)
                yield row, start, columns, image.data(start, stop, columns)


def _runs(rows: NDArray[np.int64], most: int) -> Iterator[range]:
    """Yield neighbouring rows, at most some of them at a time."""
    for group in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
        for start in range(int(group[0]), int(group[-1]) + 1, most):
            yield range(start, min(start + most, int(group[-1]) + 1))
