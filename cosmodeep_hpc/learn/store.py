"""The tiles of a run in memory: read once a node, checked, and shared by its ranks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc import runtime
from cosmodeep_hpc.config import Label, Train
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn.sampler import Sampler, noise_pool
from cosmodeep_hpc.tiles.checksum import BLOCK
from cosmodeep_hpc.tiles.labels import is_signal
from cosmodeep_hpc.tiles.shard import Layout, Shard, open_shard
from cosmodeep_hpc.tiles.tileset import ShardEntry, TileSet
from cosmodeep_hpc.world import World, known, rank_range

JOB = 32  # blocks that a thread reads before it takes the next: some 50 MB
READERS = 4  # threads of a rank, at most: a few requests keep a parallel file system busy


@dataclass(frozen=True, kw_only=True)
class Store:
    """Tiles and labels; positions in them are what a `Sampler` draws.

    Attributes:
        tiles: float32 (n, window, window), in memory shared by the ranks of the node.
        signal: bool (n,), the labels.
        sampler: the order in which training tiles are seen.
        validation: int64, positions of the validation tiles, all of them in their natural mix.
    """

    tiles: NDArray[np.float32]
    signal: NDArray[np.bool_]
    sampler: Sampler
    validation: NDArray[np.int64]

    def batch(
        self, positions: NDArray[np.int64], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """The tiles at these positions, contiguous: float32 (len(positions), window, window).

        With `out`, an array of the same shape or a longer one that is used again and again, no
        memory is asked for.
        """
        if out is not None:
            out = out[: len(positions)]
        # positions come from the sampler; with another mode np.take makes a copy more
        return np.take(self.tiles, positions, axis=0, out=out, mode="clip")


def fill(tileset: TileSet, label: Label, train: Train, world: World) -> Store:
    """Read what a run needs of a tile set; a collective call.

    First the bright-pixel counts, each rank those of some shards; they decide which tiles are
    kept: all signal tiles, a pool of noise tiles, and all tiles of the validation images. Then
    the tiles, each rank of a node its part.

    Raises:
        InputError: a shard is missing or damaged, or there is nothing to learn from.
    """
    column = tileset.column(label.f_th)
    counts, layouts = _survey(tileset, column, world)
    signal = is_signal(counts, label.n_pix)
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
    tiles = _read_tiles(tileset, layouts, kept, world)
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
    )


def _rows_of(tileset: TileSet, split: str) -> NDArray[np.bool_]:
    """Which rows of the set come from images of this split: bool (n_rows,)."""
    images = [tileset.images[number] for shard in tileset.shards for number in shard.images]
    return np.repeat([image.split == split for image in images], [i.tiles for i in images])


def _check_belongs(shard: Shard, tileset: TileSet, entry: ShardEntry) -> None:
    """Refuse a shard that is not the one that the index was written for.

    The checksums of its blocks give that of each dataset, without reading it; that each block
    has its own is seen when it is read.
    """
    found = {"margin": 0, **shard.attributes, "rows": shard.n_rows, "window": shard.window}
    expected = {
        "rows": entry.rows,
        **asdict(tileset.preprocessing),
        "thresholds": list(tileset.thresholds),
        "window": tileset.preprocessing.window,
    }
    for name in ("tiles", "counts"):
        found[f"CRC-32 of {name!r}"] = shard.layout(name).whole_crc32
        expected[f"CRC-32 of {name!r}"] = entry.crc32[name]
    for name, value in expected.items():
        if found.get(name) != value:
            raise InputError(
                f"{shard.path}: {name} {found.get(name)}; expected {value} as in the index: it "
                "belongs to another tile set, or is damaged"
            )


def _survey(tileset: TileSet, column: int, world: World) -> tuple[NDArray[np.uint16], list[Layout]]:
    """What is known of each shard before its tiles are read; a collective call.

    Each shard is opened by one rank of the job: thousands that ask a parallel file system for
    the same few kilobytes wait for each other.

    Returns:
        the bright-pixel counts of all rows at one threshold, uint16 (n_rows,); and where the
        tiles of each shard lie.
    """
    found: list[tuple[int, NDArray[np.uint16], Layout]] = []
    failure = None
    try:
        for number in world.share(len(tileset.shards)):
            entry = tileset.shards[number]
            with open_shard(tileset.folder / entry.file) as shard:
                _check_belongs(shard, tileset, entry)
                counts = shard.read("counts", 0, shard.n_rows)[:, column].copy()
                found.append((number, counts, shard.layout("tiles")))
    except InputError as error:
        failure = error
    world.agree(failure)
    everywhere = [part for of_rank in world.comm.allgather(found) for part in of_rank]
    everywhere.sort(key=lambda part: part[0])
    counts = np.concatenate([counts for _, counts, _ in everywhere])
    return counts, [layout for _, _, layout in everywhere]


def _read_tiles(
    tileset: TileSet, layouts: list[Layout], kept: NDArray[np.int64], world: World
) -> NDArray[np.float32]:
    """The tiles of the rows `kept` (ascending) in the node's memory; a collective call.

    Each block that holds one of them is read once a node, by one of its ranks, and no other.
    """
    side = tileset.preprocessing.window
    shape = (len(kept), side, side)
    tiles: NDArray[np.float32] = world.node_array(shape, np.float32, cleared=False)
    pieces = _pieces(tileset, kept)
    share = rank_range(len(pieces), world.local_rank, world.local_size)
    mine = pieces[share.start : share.stop]
    together = [list(group) for _, group in groupby(mine, key=lambda piece: piece.shard)]
    jobs = [part[start : start + JOB] for part in together for start in range(0, len(part), JOB)]
    threads = min(runtime.cores_of_rank(world), READERS, max(len(jobs), 1))
    failure = None
    with ThreadPoolExecutor(threads) as pool:
        done = [pool.submit(_read_job, job, layouts, tiles) for job in jobs]
        try:
            for job in done:
                job.result()
        except InputError as error:
            failure = error
            pool.shutdown(cancel_futures=True)
    world.agree(failure)
    world.node.Barrier()
    return tiles


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """A block that holds rows to keep: which of its rows, and from where on they are kept."""

    shard: int
    block: int
    rows: NDArray[np.int64]
    first: int


def _pieces(tileset: TileSet, kept: NDArray[np.int64]) -> list[_Piece]:
    """The blocks that hold a row of `kept` (ascending), in order."""
    firsts = np.array(tileset.first_rows)
    shard = np.searchsorted(firsts, kept, side="right") - 1
    block, row = np.divmod(kept - firsts[shard], BLOCK)
    starts = np.flatnonzero(np.diff(shard, prepend=-1) | np.diff(block, prepend=-1))
    return [
        _Piece(shard=int(shard[first]), block=int(block[first]), rows=row[first:end], first=first)
        for first, end in pairwise([*starts.tolist(), len(kept)])
    ]


def _read_job(job: list[_Piece], layouts: list[Layout], tiles: NDArray[np.float32]) -> None:
    """Read blocks of one shard and put what is kept into `tiles`."""
    layout = layouts[job[0].shard]
    scratch = np.empty((BLOCK, *tiles.shape[1:]), tiles.dtype)
    with layout.opened() as read_block:
        for piece in job:
            rows = layout.rows_of(piece.block)
            into = tiles[piece.first : piece.first + len(piece.rows)]
            if len(into) == len(rows):
                read_block(piece.block, into)
            else:
                read_block(piece.block, scratch[: len(rows)])
                # the mode says that the rows are there: np.take then writes without a copy
                np.take(scratch, piece.rows, axis=0, out=into, mode="clip")
            if not np.isfinite(into).all():
                bad = ~np.isfinite(into).all(axis=(1, 2))
                row = rows.start + int(piece.rows[np.argmax(bad)])
                raise InputError(
                    f"{layout.where(range(row, row + 1))}: a pixel is not finite, as it was "
                    "written; make the tile set again, and look at the images it is made of"
                )
