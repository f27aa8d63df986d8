"""The tiles of a run in memory: read once a node, checked, and shared by its ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.config.learn import Train, levels
from cosmodeep_hpc.config.tiles import Label
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io.checksum import BLOCK
from cosmodeep_hpc.learn.rules import Rules
from cosmodeep_hpc.learn.sampler import Sampler, noise_pool
from cosmodeep_hpc.parallel import runtime
from cosmodeep_hpc.parallel.world import World, collective, rank_range
from cosmodeep_hpc.tiles.labels import exceeded, is_signal
from cosmodeep_hpc.tiles.shard import DatasetLocation, Shard, open_shard
from cosmodeep_hpc.tiles.tileset import ShardEntry, TileSet

JOB = 32  # blocks that a thread reads before it takes the next: some 50 MB
READERS = 4  # threads of a rank, at most: a few requests keep a parallel file system busy


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What a counts network learns from the tiles of a store.

    Attributes:
        bright: number of pixels brighter than each threshold, uint16 (n, T).
        exceeded: the thresholds that each pixel exceeds, uint8 (n, size, size), a bit for each; in
            memory shared by the ranks of the node.
        rules: the labelling rules of these thresholds.
        label: the rule by which training is watched.
    """

    bright: NDArray[np.uint16]
    exceeded: NDArray[np.uint8]
    rules: Rules
    label: Label


@dataclass(frozen=True, kw_only=True)
class Store:
    """Tiles and labels; a `Sampler` draws positions in them.

    Attributes:
        tiles: float32 (n, window, window), in memory shared by the ranks of the node.
        signal: bool (n,), the labels.
        sampler: the order in which training tiles are seen.
        validation: int64, positions of the validation tiles, all of them in their natural mix.
        counted: for a counts network only.
    """

    tiles: NDArray[np.float32]
    signal: NDArray[np.bool_]
    sampler: Sampler
    validation: NDArray[np.int64]
    counted: Counted | None = None

    def in_batches(self, batch: int) -> Store:
        """Return the same tiles, drawn in global batches of another size."""
        return replace(self, sampler=replace(self.sampler, batch=batch))

    def batch(
        self, positions: NDArray[np.int64], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Return the tiles at these positions, contiguous: float32 (n, window, window).

        With `out`, an array of the same shape or a longer one, no memory is allocated.
        """
        if out is not None:
            out = out[: len(positions)]
        # the sampler's positions are in range; with mode "raise" np.take copies once more
        return np.take(self.tiles, positions, axis=0, out=out, mode="clip")


def fill(
    tileset: TileSet, label: Label, train: Train, world: World, *, counted: bool = False
) -> Store:
    """Read what a run needs of a tile set; a collective call.

    Each rank first reads the bright-pixel counts of some shards. The counts decide which tiles are
    kept: all signal tiles, a pool of noise tiles, and all tiles of the validation images. Then each
    rank of a node reads its part of the tiles.

    Args:
        counted: whether the tiles are for a counts network. Any tile with a pixel brighter than the
            faintest threshold is then drawn as signal, whatever the label.

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
    tiles = _read_tiles(tileset, locations["tiles"], kept, world)
    of_sky = None
    if counted:
        of_sky = _counted(tileset, label, locations["sky"], counts, kept, world)
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
        counted=of_sky,
    )


def _counted(
    tileset: TileSet,
    label: Label,
    locations: list[DatasetLocation],
    counts: NDArray[np.uint16],
    kept: NDArray[np.int64],
    world: World,
) -> Counted:
    """Return what a counts network learns from the rows `kept`; a collective call."""
    size = tileset.preprocessing.tile_size
    return Counted(
        bright=counts[kept],
        exceeded=_read_exceeded(tileset, locations, kept, world),
        rules=Rules(thresholds=tileset.thresholds, levels=levels(size)),
        label=label,
    )


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


def _read_tiles(
    tileset: TileSet, locations: list[DatasetLocation], kept: NDArray[np.int64], world: World
) -> NDArray[np.float32]:
    """Read the tiles of the rows `kept` (ascending) into the node's memory; a collective call."""
    side = tileset.preprocessing.window
    shape = (len(kept), side, side)
    tiles: NDArray[np.float32] = world.node_array(shape, np.float32, cleared=False)
    _read(tileset, kept, world, partial(_read_job, locations=locations, tiles=tiles))
    return tiles


def _read_exceeded(
    tileset: TileSet, locations: list[DatasetLocation], kept: NDArray[np.int64], world: World
) -> NDArray[np.uint8]:
    """Read Sky tiles of the rows `kept` and return the thresholds that their pixels exceed."""
    side = tileset.preprocessing.tile_size
    found: NDArray[np.uint8] = world.node_array((len(kept), side, side), np.uint8, cleared=False)
    job = partial(
        _read_sky_job, locations=locations, thresholds=tileset.thresholds, exceeded_by=found
    )
    _read(tileset, kept, world, job)
    return found


def _read(
    tileset: TileSet,
    kept: NDArray[np.int64],
    world: World,
    read_job: Callable[[list[_Piece]], None],
) -> None:
    """Read the rows `kept` (ascending), job by job; a collective call.

    Only blocks that hold one of the rows are read, each once a node, by one of its ranks.
    """
    pieces = _pieces(tileset, kept)
    share = rank_range(len(pieces), world.local_rank, world.local_size)
    mine = pieces[share.start : share.stop]
    together = [list(group) for _, group in groupby(mine, key=lambda piece: piece.shard)]
    jobs = [part[start : start + JOB] for part in together for start in range(0, len(part), JOB)]
    threads = min(runtime.cores_of_rank(world), READERS, max(len(jobs), 1))
    failure = None
    with ThreadPoolExecutor(threads) as pool:
        done = [pool.submit(read_job, job) for job in jobs]
        try:
            for job in done:
                job.result()
        except InputError as error:
            failure = error
            pool.shutdown(cancel_futures=True)
    world.agree(failure)
    world.node.Barrier()


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """A block that holds rows to keep: which rows, and the position of the first kept one."""

    shard: int
    block: int
    rows: NDArray[np.int64]
    first: int


def _pieces(tileset: TileSet, kept: NDArray[np.int64]) -> list[_Piece]:
    """Return the blocks that hold a row of `kept` (ascending), in order."""
    firsts = np.array(tileset.first_rows)
    shard = np.searchsorted(firsts, kept, side="right") - 1
    block, row = np.divmod(kept - firsts[shard], BLOCK)
    starts = np.flatnonzero(np.diff(shard, prepend=-1) | np.diff(block, prepend=-1))
    return [
        _Piece(shard=int(shard[first]), block=int(block[first]), rows=row[first:end], first=first)
        for first, end in pairwise([*starts.tolist(), len(kept)])
    ]


def _read_job(
    job: list[_Piece], locations: list[DatasetLocation], tiles: NDArray[np.float32]
) -> None:
    """Read blocks of one shard and copy the kept rows into `tiles`."""
    location = locations[job[0].shard]
    scratch = np.empty((BLOCK, *tiles.shape[1:]), tiles.dtype)
    with location.opened() as read_block:
        for piece in job:
            rows = location.rows_of(piece.block)
            into = tiles[piece.first : piece.first + len(piece.rows)]
            if len(into) == len(rows):
                read_block(piece.block, into)
            else:
                read_block(piece.block, scratch[: len(rows)])
                # with this mode np.take writes without a copy; the rows are in range
                np.take(scratch, piece.rows, axis=0, out=into, mode="clip")
            if not np.isfinite(into).all():
                bad = ~np.isfinite(into).all(axis=(1, 2))
                row = rows.start + int(piece.rows[np.argmax(bad)])
                raise InputError(
                    f"{location.where(range(row, row + 1))}: a pixel is not finite, although "
                    "its checksum is right; make the tile set again, and check its images"
                )


def _read_sky_job(
    job: list[_Piece],
    locations: list[DatasetLocation],
    thresholds: Sequence[float],
    exceeded_by: NDArray[np.uint8],
) -> None:
    """Read blocks of Sky tiles of one shard and write the thresholds exceeded to `exceeded_by`."""
    location = locations[job[0].shard]
    scratch = np.empty((BLOCK, *exceeded_by.shape[1:]), np.float32)
    with location.opened() as read_block:
        for piece in job:
            rows = location.rows_of(piece.block)
            read_block(piece.block, scratch[: len(rows)])
            into = exceeded_by[piece.first : piece.first + len(piece.rows)]
            into[:] = exceeded(scratch[piece.rows], thresholds)
