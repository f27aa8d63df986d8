"""The scales at which a network sees a plane: its view, and that averaged 2 x 2 and 4 x 4 more."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cosmodeep_hpc.engine.blocks import EVEN, STEP, seen
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.noise.mesh import MOST, is_small, tiles_of

FACTORS = (1, 2, 4)
"""Pixels of the view along the side of one at each scale."""
WIDE, NARROW = 1280, 640
"""Columns of a block, at most, and those below which no more cores are given some [pixel]: a
network is shown up to 200 around a block, and the memory that a core needs grows with its width."""
BESIDE = EVEN
"""Rows of a coarser scale above and below a stripe that its values are interpolated with."""


@dataclass(frozen=True)
class Scale:
    """A view, or one that is averaged further.

    Attributes:
        factor: one of `FACTORS`.
        shape: rows and columns.
        size: side of a tile [pixel].
        beam: in units of a pixel; None: not known.
    """

    factor: int
    shape: tuple[int, int]
    size: int
    beam: Beam | None

    @classmethod
    def all_of(cls, shape: tuple[int, int], size: int, beam: Beam | None) -> tuple[Scale, ...]:
        """Return the scales of a view, finest first."""
        return tuple(
            cls(
                factor=factor,
                shape=(-(-shape[0] // factor), -(-shape[1] // factor)),
                size=size,
                beam=None if beam is None else beam.in_pixels(factor),
            )
            for factor in FACTORS
        )

    @property
    def whole(self) -> tuple[int, int]:
        """Rows and columns up to whole tiles."""
        rows, cols = (-(-side // self.size) * self.size for side in self.shape)
        return rows, cols

    @property
    def mesh_side(self) -> int:
        """Side of the cells that the noise is measured in [pixel]."""
        return self.size * tiles_of(self.size, self.beam)

    @property
    def is_small(self) -> bool:
        """Whether the noise takes all pixels."""
        return is_small(self.shape, self.mesh_side)

    @property
    def beam_area(self) -> float | None:
        """Area of the beam [pixel]."""
        return None if self.beam is None else self.beam.area

    def rows(self, owned: range) -> range:
        """Return which rows are computed for rows of the view.

        These begin at a multiple of `stripe_unit`. A coarser scale has some more on both sides,
        that its values are interpolated with.
        """
        length = self.whole[0]
        if self.factor == 1:
            return range(owned.start, min(-(-owned.stop // self.size) * self.size, length))
        first = max(owned.start // self.factor - BESIDE, 0)
        last = -(-owned.stop // (self.factor * EVEN)) * EVEN + BESIDE
        return range(first, min(last, length))

    def blocks(self, cores: int) -> list[range]:
        """Divide the columns into blocks of about equal width, that begin with tiles.

        Those of a scale of up to twice `WIDE` are one block for one core.

        Args:
            cores: that blocks are computed on at the same time.
        """
        length, unit = self.whole[1], math.lcm(STEP, self.size)
        most = WIDE if length > 2 * WIDE else 2 * WIDE
        count = max(-(-length // (most // unit * unit)), min(cores, length // NARROW))
        wide = -(-length // (count * unit)) * unit
        return [range(first, min(first + wide, length)) for first in range(0, length, wide)]

    def seen_rows(self, owned: range) -> range:
        """Return which rows the network is shown for them; some lie beyond the edges."""
        return seen(self.rows(owned), self.whole[0])

    def seen_columns(self, block: range) -> range:
        """Return which columns it is shown for a block; some lie beyond the edges."""
        return seen(block, self.whole[1])


def stripe_unit(size: int) -> int:
    """Return a number of rows of a view that are whole cells, patches and tiles at all scales."""
    return math.lcm(STEP * FACTORS[-1], size * MOST * FACTORS[-1])
