"""Tiles in memory: read once a node, checked, and shared by its ranks."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.io.checksum import BLOCK
from cosmodeep_hpc.learn import pieces
from cosmodeep_hpc.learn.batch import DrawnTiles
from cosmodeep_hpc.learn.pieces import Piece
from cosmodeep_hpc.parallel.world import World, rank_range
from cosmodeep_hpc.tiles.labels import exceeded
from cosmodeep_hpc.tiles.shard import DatasetLocation
from cosmodeep_hpc.tiles.tileset import TileSet


@dataclass(frozen=True, kw_only=True)
class TilesInMemory:
    """The tiles of a run, in memory shared by the ranks of the node.

    Attributes:
        pixels: float32 (n, window, window).
        exceeded: for a counts network, the thresholds that each Sky pixel exceeds, uint8
            (n, size, size), a bit for each.
    """

    pixels: NDArray[np.float32]
    exceeded: NDArray[np.uint8] | None = None

    def batch(
        self, positions: NDArray[np.int64], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Return the tiles at these positions, contiguous: float32 (n, window, window).

        With `out`, an array of the same shape or a longer one, no memory is allocated.
        """
        if out is not None:
            out = out[: len(positions)]
        # the sampler's positions are in range; with mode "raise" np.take copies once more
        return np.take(self.pixels, positions, axis=0, out=out, mode="clip")

    def stream(
        self, positions: Iterable[NDArray[np.int64]], *, bare: bool = False
    ) -> Generator[DrawnTiles, None, None]:
        """Yield copies of the tiles of each step, given their positions.

        Args:
            bare: leave out the thresholds that Sky pixels exceed.
        """
        for chosen in positions:
            found = None if bare or self.exceeded is None else self.exceeded[chosen]
            yield DrawnTiles(positions=chosen, pixels=self.batch(chosen), exceeded=found)


def read_tiles(
    tileset: TileSet,
    locations: dict[str, list[DatasetLocation]],
    kept: NDArray[np.int64],
    world: World,
) -> TilesInMemory:
    """Read the rows `kept` (ascending) into the node's memory; a collective call.

    Only blocks that hold one of the rows are read, each once a node, by one of its ranks.

    Args:
        locations: of the datasets "tiles" and, for a counts network, "sky", in each shard.

    Raises:
        InputError: a block is damaged or missing, or there is too little memory.
    """
    window, size = tileset.preprocessing.window, tileset.preprocessing.tile_size
    found = pieces.pieces_of(tileset, kept)
    share = rank_range(len(found), world.local_rank, world.local_size)
    mine = found[share.start : share.stop]
    tiles: NDArray[np.float32] = world.node_array(
        (len(kept), window, window), np.float32, cleared=False
    )
    pieces.read(mine, world, partial(_read_job, locations=locations["tiles"], tiles=tiles))
    above: NDArray[np.uint8] | None = None
    if "sky" in locations:
        above = world.node_array((len(kept), size, size), np.uint8, cleared=False)
        job = partial(
            _read_sky_job,
            locations=locations["sky"],
            thresholds=tileset.thresholds,
            exceeded_by=above,
        )
        pieces.read(mine, world, job)
    world.node.Barrier()
    return TilesInMemory(pixels=tiles, exceeded=above)


def _read_job(
    job: list[Piece], locations: list[DatasetLocation], tiles: NDArray[np.float32]
) -> None:
    """Read blocks of one shard and copy the kept rows into `tiles`."""
    location = locations[job[0].shard]
    scratch = np.empty((BLOCK, *tiles.shape[1:]), tiles.dtype)
    with location.opened() as read_block:
        for piece in job:
            rows, into = location.rows_of(piece.block), tiles[piece.positions]
            if len(into) == len(rows):
                read_block(piece.block, into)
            else:
                read_block(piece.block, scratch[: len(rows)])
                # with this mode np.take writes without a copy; the rows are in range
                np.take(scratch, piece.rows, axis=0, out=into, mode="clip")
            pieces.check_finite(into, piece, location)


def _read_sky_job(
    job: list[Piece],
    locations: list[DatasetLocation],
    thresholds: Sequence[float],
    exceeded_by: NDArray[np.uint8],
) -> None:
    """Read blocks of Sky tiles of one shard and write the thresholds exceeded to `exceeded_by`."""
    location = locations[job[0].shard]
    scratch = np.empty((BLOCK, *exceeded_by.shape[1:]), np.float32)
    with location.opened() as read_block:
        for piece in job:
            read_block(piece.block, scratch[: len(location.rows_of(piece.block))])
            exceeded_by[piece.positions] = exceeded(scratch[piece.rows], thresholds)
