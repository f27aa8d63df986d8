"""Sums over the pixels of islands, strip by strip: flux, area, moments and the brightest pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.islands.compact import CompactSources
from cosmodeep_hpc.islands.labels import LabelStrip
from cosmodeep_hpc.islands.measuredplane import MeasuredPlane
from cosmodeep_hpc.islands.pixelareas import flux_areas, pixel_areas

PIXELS_AT_ONCE = 2**20  # read at most


@dataclass(frozen=True)
class IslandSums:
    """Sums over the pixels of islands of a plane, float64 (n,) each.

    Brightness is less the background, and `diffuse` is less the compact sources, too.

    Attributes:
        pixels: with data. area: of these [arcsec^2]. flux: their sum [Jy].
        flux_area: what makes the flux of a level of brightness in them [arcsec^2].
        compact: the part of it that compact sources have [Jy].
        background: sum of the background that was subtracted [Jy/arcsec^2].
        x, y, xx, xy, yy: sums of their columns and rows from `origin`, and of squares and products.
        diffuse, diffuse_x, diffuse_y: sums of the brightness of diffuse emission
            [Jy/arcsec^2], and the same times column and row from `origin`.
        peak: of the brightest pixel [Jy/arcsec^2]; peak_x, peak_y: where it is, int64.
        origin: row and column that each island's moments count from, int64 (n, 2).
    """

    pixels: NDArray[np.float64]
    area: NDArray[np.float64]
    flux: NDArray[np.float64]
    flux_area: NDArray[np.float64]
    compact: NDArray[np.float64]
    background: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    xx: NDArray[np.float64]
    xy: NDArray[np.float64]
    yy: NDArray[np.float64]
    diffuse: NDArray[np.float64]
    diffuse_x: NDArray[np.float64]
    diffuse_y: NDArray[np.float64]
    peak: NDArray[np.float64]
    peak_x: NDArray[np.int64]
    peak_y: NDArray[np.int64]
    origin: NDArray[np.int64]

    @classmethod
    def nothing(cls, origin: NDArray[np.int64]) -> IslandSums:
        """Return the sums before the first pixel.

        Args:
            origin: a place in or near each island, (n, 2): row and column.
        """
        count = len(origin)
        made: dict[str, Any] = {name: np.zeros(count) for name in cls.__dataclass_fields__}
        made |= {name: np.zeros(count, np.int64) for name in ("peak_x", "peak_y")}
        return cls(**made | {"peak": np.full(count, -np.inf), "origin": origin})

    def middle(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the column and row of the middle of each island's pixels [pixel]."""
        count = np.maximum(self.pixels, 1)
        return self.x / count + self.origin[:, 1], self.y / count + self.origin[:, 0]

    def spread_about(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums of squares and products about places [pixel]: (n, 2, 2), x first."""
        x, y = x - self.origin[:, 1], y - self.origin[:, 0]
        xx = self.xx - 2 * x * self.x + x * x * self.pixels
        yy = self.yy - 2 * y * self.y + y * y * self.pixels
        xy = self.xy - x * self.y - y * self.x + x * y * self.pixels
        return np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], -1)

    def add(
        self,
        plane: MeasuredPlane,
        strip: LabelStrip,
        compact: CompactSources,
        at_once: int = PIXELS_AT_ONCE,
    ) -> None:
        """Add the pixels of a strip, row after row: to the last bit the same in any strips.

        Args:
            compact: sources of the plane.
            at_once: pixels read at most.

        Raises:
            InputError: the image cannot be read.
        """
        labels, cell = strip.labels, plane.cell
        areas = pixel_areas(plane.image, labels > 0, cell, strip.first)
        per_flux = flux_areas(plane.image, areas)
        for rows, columns in plane.runs(labels > 0, strip.first, at_once):
            level = plane.level(rows, columns)
            pixels = plane.read(rows, columns, level)
            down = np.asarray(rows) // cell - strip.first
            across = np.asarray(columns) // cell
            row, col = np.nonzero((labels > 0)[np.ix_(down, across)])
            cells = down[row], across[col]
            island = labels[cells].astype(np.intp) - 1  # NumPy adds at other numbers slowly
            pixel = pixels[row, col]
            finite = np.isfinite(pixel)
            value = np.where(finite, pixel, 0).astype(np.float64)
            part = np.where(finite, compact.pixels(rows, columns)[row, col], 0)
            background = np.where(finite, level[row, col], 0)
            x, y = col + columns.start, row + rows.start
            from_x, from_y = x - self.origin[island, 1], y - self.origin[island, 0]
            rest = value - part
            of_pixels = {
                "pixels": finite,
                "area": finite * areas[cells],
                "flux": value * per_flux[cells],
                "flux_area": finite * per_flux[cells],
                "compact": part * per_flux[cells],
                "background": background,
                "x": finite * from_x,
                "y": finite * from_y,
                "xx": finite * from_x**2,
                "xy": finite * from_x * from_y,
                "yy": finite * from_y**2,
                "diffuse": rest,
                "diffuse_x": rest * from_x,
                "diffuse_y": rest * from_y,
            }
            for what, values in of_pixels.items():
                np.add.at(getattr(self, what), island, np.asarray(values, np.float64))
            self._brightest(np.where(finite, pixel, -np.inf), island, x, y)

    def _brightest(
        self,
        pixel: NDArray[np.floating],
        island: NDArray[np.intp],
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
