"""The canvas of a stripe: its rows, with what is around them, in an array of one of few shapes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine.blocks import EDGE, EVEN
from cosmodeep_hpc.survey.grid import CellGrid
from cosmodeep_hpc.survey.scales import BESIDE, FACTORS

HALO = FACTORS[-1] * (EDGE + BESIDE)
"""Pixels around a stripe that the coarsest scale needs: what the network sees around cells, and
cells that values are interpolated with."""
STEPS = 8
"""Sides of canvases between a number and its double."""


@dataclass(frozen=True)
class Canvas:
    """What is sent to a device of a stripe.

    Attributes:
        pixels: as they are read, float32 (rows + 2 `halo`, columns); NaN beyond the view.
        first: row of the view that the stripe begins with.
        halo: rows of `pixels` above and below those of the stripe: `HALO`, or 0 for a whole view.
        shape: rows and columns of the view.
    """

    pixels: NDArray[np.float32]
    first: int
    halo: int
    shape: tuple[int, int]

    @classmethod
    def of(cls, layout: CellGrid, owned: range) -> Canvas:
        """Return an empty canvas for rows of a view."""
        unit = math.lcm(FACTORS[-1] * EVEN, layout.size)
        halo = 0 if len(owned) == layout.shape[0] else HALO
        shape = padded(len(owned), unit) + 2 * halo, padded(layout.shape[1], unit)
        pixels = np.full(shape, np.nan, dtype=np.float32)
        return cls(pixels, owned.start, halo, layout.shape)

    @property
    def seen(self) -> tuple[int, int]:
        """Rows and columns of the stripe with `HALO` pixels on all sides."""
        rows, cols = self.pixels.shape
        return rows + 2 * (HALO - self.halo), cols + 2 * HALO

    @property
    def rows(self) -> range:
        """The rows of the view that it has room for."""
        first = self.first - self.halo
        return range(max(first, 0), min(first + len(self.pixels), self.shape[0]))

    def place(self, pixels: NDArray[np.float32], rows: range) -> None:
        """Put rows of the view into their room, as far as they belong there."""
        inside = range(max(rows.start, self.rows.start), min(rows.stop, self.rows.stop))
        if len(inside):
            into = self.pixels[inside.start - self.first + self.halo :][: len(inside)]
            into[:, : self.shape[1]] = pixels[inside.start - rows.start :][: len(inside)]


def padded(length: int, unit: int) -> int:
    """Return the side of a canvas for a length: programs are compiled for few of them.

    A multiple of `unit`, and `STEPS` sides from each number to its double: at most an eighth is
    added to what is longer than `STEPS` units.
    """
    step = unit
    while length > 2 * STEPS * step:
        step *= 2
    return -(-length // step) * step
