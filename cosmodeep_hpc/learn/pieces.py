"""The blocks of a tile set that hold rows to keep, and how the ranks read them in pieces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io.checksum import BLOCK
from cosmodeep_hpc.parallel import runtime
from cosmodeep_hpc.parallel.world import World
from cosmodeep_hpc.tiles.shard import DatasetLocation
from cosmodeep_hpc.tiles.tileset import TileSet

JOB = 32  # blocks that a thread reads before it takes the next: some 50 MB
READERS = 4  # threads of a rank, at most: a few requests keep a parallel file system busy


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A block that holds rows to keep: which rows of it, and the position of the first kept one."""

    shard: int
    block: int
    rows: NDArray[np.int64]
    first: int

    @property
    def positions(self) -> slice:
        """The positions of its rows among those that are kept."""
        return slice(self.first, self.first + len(self.rows))


def pieces_of(tileset: TileSet, kept: NDArray[np.int64]) -> list[Piece]:
    """Return the blocks that hold a row of `kept` (ascending), in order."""
    firsts = np.array(tileset.first_rows)
    shard = np.searchsorted(firsts, kept, side="right") - 1
    block, row = np.divmod(kept - firsts[shard], BLOCK)
    starts = np.flatnonzero(np.diff(shard, prepend=-1) | np.diff(block, prepend=-1))
    return [
        Piece(shard=int(shard[first]), block=int(block[first]), rows=row[first:end], first=first)
        for first, end in pairwise([*starts.tolist(), len(kept)])
    ]


def read(mine: Sequence[Piece], world: World, read_job: Callable[[list[Piece]], None]) -> None:
    """Read this rank's pieces, job by job, by a few threads; a collective call.

    Args:
        read_job: called with pieces of one shard.

    Raises:
        InputError: of the lowest rank that has one, on all ranks.
    """
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


def check_finite(tiles: NDArray[np.float32], piece: Piece, location: DatasetLocation) -> None:
    """Raise if a pixel of a piece's tiles (n, window, window) is not finite."""
    if not np.isfinite(tiles).all():
        bad = ~np.isfinite(tiles).all(axis=(1, 2))
        row = location.rows_of(piece.block).start + int(piece.rows[np.argmax(bad)])
        raise InputError(
            f"{location.where(range(row, row + 1))}: a pixel is not finite, although "
            "its checksum is right; make the tile set again, and check its images"
        )
