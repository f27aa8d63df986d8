"""The tiles of a run in memory: read once a node, checked, and shared by its ranks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.config import Label, Train
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn.sampler import Sampler, noise_pool
from cosmodeep_hpc.tiles.labels import is_signal
from cosmodeep_hpc.tiles.shard import BLOCK, Shard, open_shard
from cosmodeep_hpc.tiles.tileset import ShardEntry, TileSet
from cosmodeep_hpc.world import World, known, rank_range

PIECE = 16 * BLOCK  # rows read at once


@dataclass(frozen=True, kw_only=True)
class Store:
    """Tiles and labels; positions in them are what a `Sampler` draws.

    Attributes:
        tiles: float32 (n, size, size), in memory shared by the ranks of the node.
        signal: bool (n,), the labels.
        sampler: the order in which training tiles are seen.
        validation: int64, positions of the validation tiles, all of them in their natural mix.
    """

    tiles: NDArray[np.float32]
    signal: NDArray[np.bool_]
    sampler: Sampler
    validation: NDArray[np.int64]


def fill(tileset: TileSet, label: Label, train: Train, world: World) -> Store:
    """Read what a run needs of a tile set; a collective call.

    First the bright-pixel counts, each rank its part of all rows; they decide which tiles are
    kept: all signal tiles, a pool of noise tiles, and all tiles of the validation images. Then
    the tiles, each rank of a node its part.

    Raises:
        InputError: a shard is missing or damaged, or there is nothing to learn from.
    """
    column = tileset.column(label.f_th)
    signal = is_signal(_read_counts(tileset, column, world), label.n_pix)
    for_validation = _rows_of(tileset, "validation")
    training = ~for_validation
    signal_rows = np.flatnonzero(signal & training)
    noise_rows = np.flatnonzero(~signal & training)
    for rows, kind in ((signal_rows, "signal"), (noise_rows, "noise")):
        if len(rows) == 0:
            text = (
                f"{tileset.folder}: no {kind} tile among {int(training.sum())} training tiles at "
                f"F_th = {label.f_th:g} Jy/arcsec^2, N_pix = {label.n_pix}; expected both kinds: "
                "make more images, or change label.f_th or label.n_pix"
            )
            raise known(InputError(text))
    noise_rows = noise_pool(noise_rows, len(signal_rows), train.noise_pool, train.seed)
    validation_rows = np.flatnonzero(for_validation)
    kept = np.sort(np.concatenate([signal_rows, noise_rows, validation_rows]))
    tiles = _read_tiles(tileset, kept, world)
    sampler = Sampler(
        signal=np.searchsorted(kept, signal_rows),
        noise=np.searchsorted(kept, noise_rows),
        batch=train.batch,
        noise_per_signal=train.noise_per_signal,
        seed=train.seed,
    )
    return Store(
        tiles=tiles,
        signal=signal[kept],
        sampler=sampler,
        validation=np.searchsorted(kept, validation_rows),
    )


def _rows_of(tileset: TileSet, split: str) -> NDArray[np.bool_]:
    """Which rows of the set come from images of this split: bool (n_rows,)."""
    images = [tileset.images[number] for shard in tileset.shards for number in shard.images]
    return np.repeat([image.split == split for image in images], [i.tiles for i in images])


def _pieces(tileset: TileSet, rank: int, size: int) -> Iterator[tuple[int, int, int]]:
    """This rank's share of all rows, by shard: (shard number, first row, last row + 1).

    Ranks meet at the edges of blocks, so that each block is read and checked by one rank.
    """
    blocks = [-(-shard.rows // BLOCK) for shard in tileset.shards]
    mine = rank_range(sum(blocks), rank, size)
    before = 0
    for number, count in enumerate(blocks):
        start = max(mine.start - before, 0) * BLOCK
        stop = min(max(mine.stop - before, 0) * BLOCK, tileset.shards[number].rows)
        for first in range(start, stop, PIECE):
            yield number, first, min(first + PIECE, stop)
        before += count


def _read_pieces(
    tileset: TileSet, name: str, rank: int, size: int
) -> Iterator[tuple[int, NDArray[Any]]]:
    """This rank's share of a dataset in pieces: (number of its first row in the set, rows)."""
    firsts = tileset.first_rows
    for number, start, stop in _pieces(tileset, rank, size):
        entry = tileset.shards[number]
        with open_shard(tileset.folder / entry.file) as shard:
            _check_belongs(shard, tileset, entry)
            yield firsts[number] + start, shard.read(name, start, stop)


def _check_belongs(shard: Shard, tileset: TileSet, entry: ShardEntry) -> None:
    """Refuse a shard whose tiles were made in another way than the index says."""
    found = {**shard.attributes, "rows": shard.n_rows, "tile_size": shard.tile_size}
    expected = {
        "rows": entry.rows,
        **asdict(tileset.preprocessing),
        "thresholds": list(tileset.thresholds),
    }
    for name, value in expected.items():
        if found.get(name) != value:
            raise InputError(
                f"{shard.path}: {name} {found.get(name)}; expected {value} as in the index: it "
                "belongs to another tile set"
            )


def _read_counts(tileset: TileSet, column: int, world: World) -> NDArray[np.uint16]:
    """The bright-pixel counts of all rows at one threshold, uint16 (n_rows,), on every rank."""
    found: list[tuple[int, NDArray[np.uint16]]] = []
    failure = None
    try:
        for first, counts in _read_pieces(tileset, "counts", world.rank, world.size):
            found.append((first, counts[:, column]))
    except InputError as error:
        failure = error
    world.agree(failure)
    everywhere = np.empty(tileset.n_rows, dtype=np.uint16)
    for part in world.comm.allgather(found):
        for first, counts in part:
            everywhere[first : first + len(counts)] = counts
    return everywhere


def _read_tiles(tileset: TileSet, kept: NDArray[np.int64], world: World) -> NDArray[np.float32]:
    """The tiles of the rows `kept` (ascending) in the node's memory."""
    side = tileset.preprocessing.tile_size
    tiles: NDArray[np.float32] = world.node_array((len(kept), side, side), np.float32)
    failure = None
    try:
        for first, rows in _read_pieces(tileset, "tiles", world.local_rank, world.local_size):
            begin, end = np.searchsorted(kept, [first, first + len(rows)])
            tiles[begin:end] = rows[kept[begin:end] - first]
    except InputError as error:
        failure = error
    world.agree(failure)
    world.node.Barrier()
    return tiles
