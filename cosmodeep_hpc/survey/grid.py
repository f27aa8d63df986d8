"""How a view is laid out for the sweep: cells, the tiles over them, and stripes of work."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.noise.mesh import MOST
from cosmodeep_hpc.survey.scales import FACTORS, Scale, stripe_unit

MAP_ROWS = 1280  # rows of a stripe of a map of pixels, about
MAX_THUMBNAIL = 1500  # pixels of a side of the quick look: screens have no more


@dataclass(frozen=True)
class Stripe:
    """Neighbouring rows of cells, `start` to `stop`, and the tiles that begin in them.

    Attributes:
        tiles: rows of tiles: row r of them begins in row r of the cells.
    """

    start: int
    stop: int
    tiles: range


@dataclass(frozen=True)
class CellGrid:
    """A view of `shape` (ny, nx) [pixel] in cells of side `stride`, with tiles of side `size`.

    A tile begins at every cell, as far as tiles are needed to cover the view; it is `overlap`
    cells wide. Where stride and size are equal, cells are tiles. The network sees `margin` pixels
    around a tile, too.

    Attributes:
        beam: in units of a pixel; None: not known.
        finest: side of a cell of the network's map of pixels; 0: it gives tiles alone.
        n_scales: how many scales the map is made from.
    """

    shape: tuple[int, int]
    size: int
    stride: int
    margin: int = 0
    beam: Beam | None = None
    finest: int = 0
    n_scales: int = 1

    @cached_property
    def scales(self) -> tuple[Scale, ...]:
        """The scales that the network sees, finest first."""
        return Scale.all_of(self.shape, self.size, self.beam)[: self.n_scales]

    def map_rows(self, stripe: Stripe) -> range:
        """Return the rows of the map of pixels that a stripe has."""
        first = stripe.start * self.stride // self.finest
        return range(first, min(stripe.stop * self.stride // self.finest, self.map_shape[0]))

    @property
    def map_shape(self) -> tuple[int, int]:
        """Rows and columns of the map of pixels; none where there is no map."""
        ny, nx = self.shape
        return (-(-ny // self.finest), -(-nx // self.finest)) if self.finest else (0, 0)

    @property
    def overlap(self) -> int:
        """Cells along the side of a tile."""
        return self.size // self.stride

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of cells; the last of each may be cut."""
        return -(-self.shape[0] // self.stride), -(-self.shape[1] // self.stride)

    @property
    def tiles(self) -> tuple[int, int]:
        """Rows and columns of tiles; the last of each may reach beyond the view."""
        rows, cols = self.cells
        return max(1, rows - self.overlap + 1), max(1, cols - self.overlap + 1)

    @property
    def block(self) -> int:
        """Side of the blocks that the thumbnail averages [pixel]; cells are whole numbers of it."""
        wanted = max(self.shape) / MAX_THUMBNAIL
        fitting = (b for b in range(1, self.stride) if self.stride % b == 0 and b >= wanted)
        return next(fitting, self.stride)

    def stripes(self, batch: int, map_rows: int = MAP_ROWS) -> list[Stripe]:
        """Return stripes of about one batch of tiles, or of MOST rows of tiles where that is more.

        Stripes of a map of pixels are taller, since all scales need what is around them.

        A function of the layout and these numbers alone: the same for any number of ranks.

        Args:
            batch: tiles of a stripe, about.
            map_rows: rows of pixels of one, about, where there is a map.
        """
        rows, (tile_rows, tile_cols) = self.cells[0], self.tiles
        if self.finest:
            unit = stripe_unit(self.size)
            height = max(map_rows // unit, 1) * unit // self.stride
            if rows <= 2 * height:
                height = rows
        else:
            step = MOST * self.overlap
            height = max(1, batch // (tile_cols * step)) * step
        starts = range(0, rows, height)
        return [
            Stripe(start, min(start + height, rows), range(start, min(start + height, tile_rows)))
            for start in starts
        ]

    def pixel_rows(self, stripe: Stripe) -> tuple[range, range, range]:
        """Return the rows of pixels that a stripe needs, those of its tiles, and its own."""
        ny = self.shape[0]
        owned = range(stripe.start * self.stride, min(stripe.stop * self.stride, ny))
        reach = stripe.tiles[-1] * self.stride + self.size if stripe.tiles else 0
        tiles = range(owned.start, min(max(owned.stop, reach), ny))
        if not self.finest:
            seen = range(max(tiles.start - self.margin, 0), min(tiles.stop + self.margin, ny))
            return seen, tiles, owned
        shown = [scale.seen_rows(owned) for scale in self.scales]
        first = min(s.start * scale.factor for s, scale in zip(shown, self.scales, strict=True))
        last = max(s.stop * scale.factor for s, scale in zip(shown, self.scales, strict=True))
        coarsest = FACTORS[-1]
        return range(max(first // coarsest * coarsest, 0), min(last, ny)), tiles, owned


def pixels_inside(
    shape: tuple[int, ...], side: int, rows: slice = slice(None), cols: slice = slice(None)
) -> NDArray[np.int64]:
    """Count the pixels of cells that lie inside an image: int64 (rows, cols).

    Args:
        shape: (ny, nx) of the image [pixel].
        side: of a cell [pixel].
        rows, cols: of the cells that are asked for.
    """
    places = (
        np.arange(*part.indices(-(-n // side))) for n, part in zip(shape, (rows, cols), strict=True)
    )
    height, width = (np.minimum(n - p * side, side) for n, p in zip(shape, places, strict=True))
    return np.asarray(np.outer(height, width), dtype=np.int64)


def averaged(tiles: NDArray[np.float32], layout: CellGrid) -> NDArray[np.float32]:
    """Return each cell's mean probability over the tiles that cover it and have data.

    Args:
        tiles: float32 `layout.tiles`; NaN: no data.

    Returns:
        float32 `layout.cells`; NaN: no tile with data.
    """
    if layout.overlap == 1:
        return tiles
    total, count = np.zeros(layout.cells), np.zeros(layout.cells, dtype=np.int64)
    known = np.isfinite(tiles)
    filled = np.where(known, tiles, 0.0)
    for y in range(layout.overlap):
        for x in range(layout.overlap):
            under = total[y : y + tiles.shape[0], x : x + tiles.shape[1]]
            part = slice(under.shape[0]), slice(under.shape[1])  # a view smaller than a tile
            under += filled[part]
            count[y : y + tiles.shape[0], x : x + tiles.shape[1]] += known[part]
    mean = np.full(layout.cells, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean.astype(np.float32)
