"""Tiles on disk: those of the coming steps are read ahead, in the order in which they are seen."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io.checksum import BLOCK, row_checksums
from cosmodeep_hpc.learn import pieces
from cosmodeep_hpc.learn.batch import DrawnTiles
from cosmodeep_hpc.learn.pieces import Piece
from cosmodeep_hpc.parallel.world import World
from cosmodeep_hpc.tiles.labels import exceeded
from cosmodeep_hpc.tiles.shard import DatasetLocation, ReadRows
from cosmodeep_hpc.tiles.tileset import TileSet

GAP = 2**16
"""Bytes between two rows that are read and dropped: a disk gives them while it would begin anew."""
PART = 2**20  # bytes that a thread reads before it takes the next; up to twice as many
OpenedRows = Callable[[DatasetLocation], AbstractContextManager[ReadRows]]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """Rows of one shard that a thread reads together.

    Attributes:
        runs: first row in the shard, and number, of rows that follow each other: int64 (m, 2).
        kept: int64 (k,), the rows to keep among all that are read.
        into: where those go, among the positions that were asked for.
    """

    shard: int
    runs: NDArray[np.int64]
    kept: NDArray[np.int64]
    into: slice


@dataclass(frozen=True, kw_only=True)
class KeptRows:
    """The rows of a dataset that a run needs, in the files of its shards.

    Attributes:
        locations: of the dataset in each shard.
        firsts: int64, the number of each shard's first row in the set.
        kept: int64 (n,), the rows in the set, ascending.
        crc32: uint32 (n,), of each row, taken when its block was checked.
        opened: opens a dataset and gives the function that reads rows of it.
    """

    locations: Sequence[DatasetLocation]
    firsts: NDArray[np.int64]
    kept: NDArray[np.int64]
    crc32: NDArray[np.uint32]
    opened: OpenedRows

    def parts(self, positions: NDArray[np.int64]) -> list[_Part]:
        """Return how the rows at these positions (ascending) are read, in the order of the disk."""
        if len(positions) == 0:
            return []
        numbers = self.kept[positions]
        shard = np.searchsorted(self.firsts, numbers, side="right") - 1
        row = numbers - self.firsts[shard]
        of_row = self.locations[0].row_bytes
        together = max(PART // of_row, 1)
        # a run ends where the next row is far away, in another shard, or too much for one part
        ends = (np.diff(shard) != 0) | ((np.diff(row) - 1) * of_row > GAP)
        ends |= np.diff(row // together) != 0
        first = np.append(0, np.flatnonzero(ends) + 1)
        bounds = np.append(first, len(row))
        count = row[bounds[1:] - 1] + 1 - row[first]
        before = np.cumsum(count) - count  # rows that are read before each run
        run = np.append(0, np.cumsum(ends))
        place = row - row[first][run] + before[run]
        part = np.stack([shard[first], before // together])
        cuts = np.flatnonzero((np.diff(part) != 0).any(axis=0)) + 1
        return [
            _Part(
                shard=int(part[0, a]),
                runs=np.stack([row[first[a:b]], count[a:b]], axis=1),
                kept=place[bounds[a] : bounds[b]] - before[a],
                into=slice(int(bounds[a]), int(bounds[b])),
            )
            for a, b in pairwise([0, *cuts.tolist(), len(first)])
        ]

    def read(
        self,
        part: _Part,
        positions: NDArray[np.int64],
        take: Callable[[slice, NDArray[np.float32]], None],
    ) -> None:
        """Read a part of the rows at these positions; give `take` them, and where they go.

        Raises:
            InputError: a row cannot be read, or is not what it was when its block was checked.
        """
        location = self.locations[part.shard]
        read = np.empty((int(part.runs[:, 1].sum()), *location.row_shape), np.float32)
        place = 0
        with self.opened(location) as read_rows:
            for row, count in part.runs.tolist():
                read_rows(range(row, row + count), read[place : place + count])
                place += count
        rows = read if len(part.kept) == len(read) else read[part.kept]
        chosen = positions[part.into]
        differs = row_checksums(rows) != self.crc32[chosen]
        if differs.any():
            row = int(self.kept[chosen[np.argmax(differs)]] - self.firsts[part.shard])
            raise InputError(
                f"{location.where(range(row, row + 1))}: differs from what was read as the job "
                "began: the file was changed, or its disk is failing; make it whole and start the "
                "job again, which goes on from its checkpoint"
            )
        take(part.into, rows)


@dataclass(kw_only=True)
class _Window:
    """The tiles of some steps, while they are read and after."""

    steps: list[NDArray[np.int64]]
    places: NDArray[np.int64]
    pixels: NDArray[np.float32]
    exceeded: NDArray[np.uint8] | None
    reading: list[Future[None]]

    def drawn(self) -> Iterator[DrawnTiles]:
        """Yield copies of the tiles of each step, once all are read."""
        for part in self.reading:
            part.result()
        first = 0
        for step in self.steps:
            places = self.places[first : first + len(step)]
            first += len(step)
            yield DrawnTiles(
                positions=step,
                pixels=self.pixels[places],
                exceeded=None if self.exceeded is None else self.exceeded[places],
            )


@dataclass(frozen=True, kw_only=True)
class TilesOnDisk:
    """The tiles of a run, in the files of their shards.

    Attributes:
        tiles: their rows.
        sky: for a counts network, the rows of their Sky tiles.
        thresholds: of the Sky pixels [Jy/arcsec^2].
        ahead: bytes of memory for tiles that are read ahead. At least two steps are held.
    """

    tiles: KeptRows
    sky: KeptRows | None
    thresholds: tuple[float, ...]
    ahead: int

    def stream(
        self, positions: Iterable[NDArray[np.int64]], *, bare: bool = False
    ) -> Generator[DrawnTiles, None, None]:
        """Yield the tiles of each step, given their positions; threads read the coming steps.

        While the steps of one window are seen, those of the next are read, sorted by their places
        on the disk. A window is half of `ahead`; the first has one step, so that training begins at
        once, and each later one twice as many.

        Args:
            bare: leave out the thresholds that Sky pixels exceed.

        Raises:
            InputError: a row cannot be read, or is damaged.
        """
        sky = None if bare else self.sky
        with ThreadPoolExecutor(pieces.READERS, "read-ahead") as pool:
            try:
                begin = partial(self._begin, pool, sky)
                windows = map(begin, _windows(positions, self._tiles_of_window(sky)))
                coming = next(windows, None)
                while coming is not None:
                    seen = coming.drawn()
                    first = next(seen)  # once it is there, the memory of the last window is free
                    coming = next(windows, None)
                    yield first
                    yield from seen
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _tiles_of_window(self, sky: KeptRows | None) -> int:
        of_tile = self.tiles.locations[0].row_bytes
        if sky is not None:
            of_tile += sky.locations[0].row_bytes // np.dtype(np.float32).itemsize
        return self.ahead // 2 // of_tile

    def _begin(
        self, pool: ThreadPoolExecutor, sky: KeptRows | None, steps: list[NDArray[np.int64]]
    ) -> _Window:
        """Begin to read the tiles of some steps; a tile that is seen twice is read once."""
        positions, places = np.unique(np.concatenate(steps), return_inverse=True)
        pixels = np.empty((len(positions), *self.tiles.locations[0].row_shape), np.float32)

        def take(where: slice, rows: NDArray[np.float32]) -> None:
            pixels[where] = rows

        reading = [
            pool.submit(self.tiles.read, part, positions, take)
            for part in self.tiles.parts(positions)
        ]
        above: NDArray[np.uint8] | None = None
        if sky is not None:
            above = np.empty((len(positions), *sky.locations[0].row_shape), np.uint8)
            into = above

            def take_sky(where: slice, rows: NDArray[np.float32]) -> None:
                into[where] = exceeded(rows, self.thresholds)

            reading += [
                pool.submit(sky.read, part, positions, take_sky) for part in sky.parts(positions)
            ]
        return _Window(steps=steps, places=places, pixels=pixels, exceeded=above, reading=reading)


def _windows(
    positions: Iterable[NDArray[np.int64]], tiles: int
) -> Iterator[list[NDArray[np.int64]]]:
    """Group steps: 1, then 2, 4 and so on, while together they have at most so many tiles."""
    window: list[NDArray[np.int64]] = []
    most, count = 1, 0
    for step in positions:
        if window and (len(window) >= most or count + len(step) > tiles):
            yield window
            most, count = 2 * len(window), 0
            window = []
        window.append(step)
        count += len(step)
    if window:
        yield window


def check_tiles(
    tileset: TileSet,
    locations: dict[str, list[DatasetLocation]],
    kept: NDArray[np.int64],
    world: World,
    ahead: int,
    opened: OpenedRows,
) -> TilesOnDisk:
    """Read each block that holds a row of `kept` (ascending) once, and check it; a collective call.

    The ranks of the job share the blocks. What is kept in memory of a row is its checksum, so that
    it can be read later without its block.

    Args:
        locations: of the datasets "tiles" and, for a counts network, "sky", in each shard.
        ahead: bytes of memory for tiles that are read ahead, of each rank.
        opened: opens a dataset and gives the function that reads rows of it.

    Raises:
        InputError: a block is damaged or missing.
    """
    found = pieces.pieces_of(tileset, kept)
    share = world.share(len(found))
    mine = found[share.start : share.stop]
    rows = {}
    for name, of_shards in locations.items():
        crc32 = np.zeros(len(kept), np.uint32)
        pieces.read(mine, world, partial(_check_job, locations=of_shards, crc32=crc32))
        own = crc32[mine[0].first : mine[-1].positions.stop] if mine else crc32[:0]
        rows[name] = KeptRows(
            locations=of_shards,
            firsts=np.array(tileset.first_rows),
            kept=kept,
            crc32=np.concatenate(world.comm.allgather(own)),
            opened=opened,
        )
    return TilesOnDisk(
        tiles=rows["tiles"], sky=rows.get("sky"), thresholds=tileset.thresholds, ahead=ahead
    )


def _check_job(
    job: list[Piece], locations: list[DatasetLocation], crc32: NDArray[np.uint32]
) -> None:
    """Read blocks of one shard and write the checksums of the kept rows to `crc32`."""
    location = locations[job[0].shard]
    scratch = np.empty((BLOCK, *location.row_shape), np.float32)
    with location.opened() as read_block:
        for piece in job:
            read_block(piece.block, scratch[: len(location.rows_of(piece.block))])
            rows = scratch[piece.rows]
            if location.name == "tiles":
                pieces.check_finite(rows, piece, location)
            crc32[piece.positions] = row_checksums(rows)
