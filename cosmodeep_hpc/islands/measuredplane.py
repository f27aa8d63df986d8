"""A plane as its islands are measured on it: without its background, and with its local noise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.islands.excluded import ExcludedPixels
from cosmodeep_hpc.noise.mesh import interpolated
from cosmodeep_hpc.survey.result import MosaicResult

ROWS = 64
"""Rows that the background is interpolated in at once, to stay in the processor's cache."""


@dataclass(frozen=True)
class MeasuredPlane:
    """A plane of a swept mosaic.

    Attributes:
        image: the plane as it is in the file.
        noise, background: in tiles, float32 (rows, cols) [Jy/arcsec^2]; the noise is NaN where it
            is not known.
        tile: side of a tile [pixel]. cell: that of a cell of islands.
        excluded: what a user leaves out; None: nothing.
    """

    image: Image
    noise: NDArray[np.float32]
    background: NDArray[np.float32]
    tile: int
    cell: int
    excluded: ExcludedPixels | None = None

    @classmethod
    def of(
        cls, swept: MosaicResult, index: int, excluded: ExcludedPixels | None = None
    ) -> MeasuredPlane:
        """Return a plane by its place among those swept."""
        plane = swept.planes[index]
        return cls(
            plane.image,
            plane.tiles.noise,
            plane.tiles.background,
            swept.tile_cell,
            swept.cell,
            excluded,
        )

    @property
    def patch(self) -> float:
        """Solid angle of the beam, or of a pixel where it is not known or smaller [arcsec^2]."""
        pixel = self.image.pixel_scale**2
        return pixel if self.image.beam is None else max(pixel, self.image.beam.area)

    @property
    def beam_cells(self) -> float:
        """Width of the beam, or of a cell where that is wider [cell]."""
        return max(1.0, math.sqrt(self.patch) / (self.image.pixel_scale * self.cell))

    @property
    def beam(self) -> Beam | None:
        """The beam [pixel]; None where it is not known."""
        beam = self.image.beam
        return None if beam is None else beam.in_pixels(self.image.pixel_scale)

    def read(
        self, rows: range, columns: range, level: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Read pixels less their background [Jy/arcsec^2]; NaN: no data, or left out.

        Args:
            level: their background, where it is known already.

        Raises:
            InputError: the image cannot be read.
        """
        found = self.image.data(rows.start, rows.stop, slice(columns.start, columns.stop))
        if level is not None:
            found -= level
        elif self.background.any():
            for start in range(0, len(rows), ROWS):
                some = rows[start : start + ROWS]
                found[start : start + ROWS] -= self.level(some, columns)
        if self.excluded is not None:
            found[self.excluded.inside(rows, columns)] = np.nan
        return found

    def level(self, rows: range, columns: range) -> NDArray[np.float32]:
        """Return the background of pixels: float32 (rows, columns) [Jy/arcsec^2]."""
        return interpolated(self.background, self.tile, np.asarray(rows), np.asarray(columns))

    def cells_inside(self, rows: range, columns: range) -> tuple[range, range]:
        """Return the pixels of some cells, as far as they lie inside the image."""
        ny, nx = self.image.shape
        return (
            range(rows.start * self.cell, min(rows.stop * self.cell, ny)),
            range(columns.start * self.cell, min(columns.stop * self.cell, nx)),
        )

    def runs(
        self, where: NDArray[np.bool_], first: int, most: int
    ) -> Iterator[tuple[range, range]]:
        """Yield boxes of pixels that cover cells `where` (rows, cols), row after row of them.

        Args:
            first: row of the plane that `where` begins with.
            most: pixels of a box, about.
        """
        nx = self.image.shape[1]
        rows = np.flatnonzero(where.any(axis=1))
        for run in _runs(rows, max(1, most // (self.cell * nx))):
            cols = np.flatnonzero(where[run.start : run.stop].any(axis=0))
            cells = range(first + run.start, first + run.stop)
            inside, columns = self.cells_inside(cells, range(int(cols[0]), int(cols[-1]) + 1))
            height = max(1, most // len(columns))
            for start in range(inside.start, inside.stop, height):
                yield range(start, min(start + height, inside.stop)), columns


def _runs(rows: NDArray[np.int64], most: int) -> Iterator[range]:
    """Yield neighbouring rows, at most some of them at a time."""
    if not len(rows):
        return
    for group in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
        for start in range(int(group[0]), int(group[-1]) + 1, most):
            yield range(start, min(start + most, int(group[-1]) + 1))
