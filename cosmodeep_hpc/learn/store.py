"""The tiles of a run, in memory or on disk, and the order in which they are seen."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.config.learn import Train, levels
from cosmodeep_hpc.config.tiles import Label
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn import tilesinmemory, tilesondisk
from cosmodeep_hpc.learn.rules import Rules
from cosmodeep_hpc.learn.sampler import Sampler, noise_pool
from cosmodeep_hpc.learn.tilesinmemory import TilesInMemory
from cosmodeep_hpc.learn.tilesondisk import OpenedRows, TilesOnDisk
from cosmodeep_hpc.parallel import memory
from cosmodeep_hpc.parallel.world import World, collective
from cosmodeep_hpc.tiles.labels import is_signal
from cosmodeep_hpc.tiles.shard import DatasetLocation, Shard, open_shard
from cosmodeep_hpc.tiles.tileset import ShardEntry, TileSet

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What a counts network learns from the tiles of a store, beside the thresholds of each pixel.

    Attributes:
        bright: number of pixels brighter than each threshold, uint16 (n, T).
        rules: the labelling rules of these thresholds.
        label: the rule by which training is watched.
    """

    bright: NDArray[np.uint16]
    rules: Rules
    label: Label


@dataclass(frozen=True, kw_only=True)
class Store:
    """Tiles and labels; a `Sampler` draws positions in them.

    Attributes:
        tiles: n of them; both kinds give the same ones, bit for bit.
        signal: bool (n,), the labels.
        sampler: the order in which training tiles are seen.
        validation: int64, positions of the validation tiles, all of them in their natural mix.
        counted: for a counts network only.
    """

    tiles: TilesInMemory | TilesOnDisk
    signal: NDArray[np.bool_]
    sampler: Sampler
    validation: NDArray[np.int64]
    counted: Counted | None = None

    def in_batches(self, batch: int) -> Store:
        """Return the same tiles, drawn in global batches of another size."""
        return replace(self, sampler=replace(self.sampler, batch=batch))


def fill(
    tileset: TileSet,
    label: Label,
    train: Train,
    world: World,
    *,
    counted: bool = False,
    opened: OpenedRows = DatasetLocation.opened_rows,
) -> Store:
    """Read what a run needs of a tile set; a collective call.

    Each rank first reads the bright-pixel counts of some shards. The counts decide which tiles are
    kept: all signal tiles, a pool of noise tiles, and all tiles of the validation images. Then the
    ranks of each node read these tiles into memory; or, where `train.store` says so or they do not
    fit, the ranks of the job read and check them once, and later each reads what it trains on.

    Args:
        counted: whether the tiles are for a counts network. Any tile with a pixel brighter than the
            faintest threshold is then drawn as signal, whatever the label.
        opened: opens a dataset whose tiles stay on disk, and gives the function that reads rows.

    Raises:
        InputError: a shard is missing or damaged, or there is nothing to learn from.
    """
    column = tileset.column(label.f_th)
    names = ["tiles", "sky"] if counted else ["tiles"]
    columns = range(len(tileset.thresholds)) if counted else [column]
    counts, locations = _survey(tileset, names, columns, world)
    signal = is_signal(counts[:, column if counted else 0], label.n_pix)
    drawn, rule = signal, label
    if counted:
        rule = Label(f_th=min(tileset.thresholds), n_pix=0)
        drawn = is_signal(counts[:, tileset.column(rule.f_th)], rule.n_pix)
    for_validation = _rows_of(tileset, "validation")
    training = ~for_validation
    signal_rows = np.flatnonzero(drawn & training)
    noise_rows = np.flatnonzero(~drawn & training)
    for rows, kind in ((signal_rows, "signal"), (noise_rows, "noise")):
        if len(rows) == 0:
            text = (
                f"{tileset.folder}: no {kind} tile among {int(training.sum())} training tiles at "
                f"F_th = {rule.f_th:g} Jy/arcsec^2, N_pix = {rule.n_pix}; expected both kinds: "
                "make more images, or change label.f_th or label.n_pix"
            )
            raise collective(InputError(text))
    noise_rows = noise_pool(noise_rows, len(signal_rows), train.noise_pool, train.seed)
    validation_rows = np.flatnonzero(for_validation)
    kept = np.sort(np.concatenate([signal_rows, noise_rows, validation_rows]))
    where = _where(tileset, len(kept), train.store, world, counted=counted)
    if where == "disk":
        ahead = train.read_ahead * 2**20
        tiles: TilesInMemory | TilesOnDisk = tilesondisk.check_tiles(
            tileset, locations, kept, world, ahead, opened
        )
    else:
        tiles = tilesinmemory.read_tiles(tileset, locations, kept, world)
    sampler = Sampler(
        signal=np.searchsorted(kept, signal_rows),
        noise=np.searchsorted(kept, noise_rows),
        batch=train.batch,
        noise_per_signal=train.noise_per_signal,
        epoch_tiles=train.epoch_tiles,
        seed=train.seed,
    )
    return Store(
        tiles=tiles,
        signal=signal[kept],
        sampler=sampler,
        validation=np.searchsorted(kept, validation_rows),
        counted=_counted(tileset, label, counts[kept]) if counted else None,
    )


def _where(
    tileset: TileSet,
    tiles: int,
    wanted: Literal["auto", "memory", "disk"],
    world: World,
    *,
    counted: bool,
) -> Literal["memory", "disk"]:
    """Return where so many tiles are held, on all nodes alike, and say why; a collective call."""
    made = tileset.preprocessing
    needed = tiles * (made.window**2 * np.dtype(np.float32).itemsize + counted * made.tile_size**2)
    least = min(world.comm.allgather(memory.room(world.local_size, os.environ)))
    room = f"{max(least.bytes, 0) / 1e9:.2f} GB by {least.by}"
    where: Literal["memory", "disk"] = "memory" if wanted == "auto" else wanted
    if wanted == "auto" and needed > least.bytes:
        where = "disk"
    if world.is_root and where == "disk":
        why = "train.store" if wanted == "disk" else f"a node has room for {room}"
        logger.info("%.2f GB of tiles stay on disk and are read ahead: %s", needed / 1e9, why)
    elif world.is_root:
        logger.debug("%.2f GB of tiles in memory; a node has room for %s", needed / 1e9, room)
    return where


def _counted(tileset: TileSet, label: Label, bright: NDArray[np.uint16]) -> Counted:
    """Return what a counts network learns from tiles with these counts (n, T)."""
    size = tileset.preprocessing.tile_size
    rules = Rules(thresholds=tileset.thresholds, levels=levels(size))
    return Counted(bright=bright, rules=rules, label=label)


def _rows_of(tileset: TileSet, split: str) -> NDArray[np.bool_]:
    """Return which rows of the set come from images of this split: bool (n_rows,)."""
    images = [tileset.images[number] for shard in tileset.shards for number in shard.images]
    return np.repeat([image.split == split for image in images], [i.tiles for i in images])


def _check_belongs(shard: Shard, tileset: TileSet, entry: ShardEntry, names: Sequence[str]) -> None:
    """Raise if a shard is not the one that the index was written for.

    The index holds a checksum of the checksums of each dataset's blocks; that each block has its
    own is seen when it is read. An index of format 1 holds another, which only all rows of the
    dataset would give: it is not looked at.
    """
    found = {"margin": 0, **shard.attributes, "rows": shard.n_rows, "window": shard.window}
    expected = {
        "rows": entry.rows,
        **asdict(tileset.preprocessing),
        "thresholds": list(tileset.thresholds),
        "window": tileset.preprocessing.window,
    }
    for name in (*names, "counts") if tileset.format > 1 else ():
        found[f"CRC-32 of {name!r}"] = shard.location(name).joined_crc32
        expected[f"CRC-32 of {name!r}"] = entry.crc32[name]
    for name, value in expected.items():
        if found.get(name) != value:
            raise InputError(
                f"{shard.path}: {name} {found.get(name)}; expected {value} as in the index: the "
                "shard belongs to another tile set, or is damaged; make the tile set again"
            )


def _survey(
    tileset: TileSet, names: Sequence[str], columns: Sequence[int], world: World
) -> tuple[NDArray[np.uint16], dict[str, list[DatasetLocation]]]:
    """Read the counts of all shards, and where their datasets lie; a collective call.

    Each shard is opened by one rank of the job: thousands of ranks that ask a parallel file system
    for the same few kilobytes wait for each other.

    Args:
        names: the datasets that are read later.
        columns: the columns of the counts to read now.

    Returns:
        the bright-pixel counts of all rows, uint16 (n_rows, len(columns)); and where the rows of
        each dataset lie in each shard.
    """
    for entry in tileset.shards:
        if "sky" in names and "sky" not in entry.crc32:
            text = (
                f"{tileset.folder / entry.file}: no Sky tiles in it; a counts network learns from "
                "them: make the tile set again with tiles.keep_sky = true"
            )
            raise collective(InputError(text))
    found: list[tuple[int, NDArray[np.uint16], list[DatasetLocation]]] = []
    failure = None
    try:
        for number in world.share(len(tileset.shards)):
            entry = tileset.shards[number]
            with open_shard(tileset.folder / entry.file) as shard:
                _check_belongs(shard, tileset, entry, names)
                counts = shard.read("counts", 0, shard.n_rows)[:, columns]
                found.append((number, counts, [shard.location(name) for name in names]))
    except InputError as error:
        failure = error
    world.agree(failure)
    everywhere = [part for of_rank in world.comm.allgather(found) for part in of_rank]
    everywhere.sort(key=lambda part: part[0])
    counts = np.concatenate([counts for _, counts, _ in everywhere])
    lie = zip(*(locations for _, _, locations in everywhere), strict=True)
    return counts, {name: list(locations) for name, locations in zip(names, lie, strict=True)}
