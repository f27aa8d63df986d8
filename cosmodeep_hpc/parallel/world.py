"""The MPI world: this rank's number, its part of the work, and how all ranks stop together.

Every stage runs alone, under mpirun and under srun. Only several ranks need MPI: mpi4py is imported
if a launcher started them.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar, cast

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.parallel import environment, memory, streams
from cosmodeep_hpc.parallel.launcher import launched

if TYPE_CHECKING:
    from mpi4py import MPI
    from numpy.typing import DTypeLike, NDArray

T = TypeVar("T")

QUEUE_SECONDS = 0.002  # between two checks for a rank that asks for work


def rank_range(n: int, rank: int, size: int) -> range:
    """Return the rows of `n` that `rank` owns; the first `n % size` ranks own one more."""
    base, extra = divmod(n, size)
    start = rank * base + min(rank, extra)
    return range(start, start + base + (rank < extra))


def collective(error: Exception) -> Exception:
    """Mark an error that every rank raises, and return it.

    Such an error is printed once, and each rank ends by itself. A rank with any other error must
    end the other ranks, which may be waiting for it.
    """
    error.known_to_all = True  # type: ignore[attr-defined]
    return error


def is_collective(error: Exception) -> bool:
    """Return whether every rank raises this error; see `collective`."""
    return getattr(error, "known_to_all", False)


class Ranks(Protocol):
    """The calls that stages make on a group of ranks; each is collective, and as in mpi4py."""

    def Get_rank(self) -> int:
        """Return this rank's number in the group."""

    def Get_size(self) -> int:
        """Return the number of ranks in the group."""

    def Barrier(self) -> None:
        """Wait for all ranks."""

    def bcast(self, obj: Any, root: int = 0) -> Any:
        """Return the object of the rank `root`."""

    def gather(self, sendobj: Any, root: int = 0) -> list[Any] | None:
        """Return the objects of all ranks on the rank `root`, None on the others."""

    def allgather(self, sendobj: Any) -> list[Any]:
        """Return the objects of all ranks."""

    def Abort(self, errorcode: int = 0) -> NoReturn:
        """End all ranks with this exit status."""


class OneRank:
    """A group of one rank: nothing is sent, and MPI is not needed."""

    def Get_rank(self) -> int:
        """Return 0."""
        return 0

    def Get_size(self) -> int:
        """Return 1."""
        return 1

    def Barrier(self) -> None:
        """Return at once."""

    def bcast(self, obj: Any, root: int = 0) -> Any:
        """Return the object itself."""
        return obj

    def gather(self, sendobj: Any, root: int = 0) -> list[Any] | None:
        """Return a list of the object itself."""
        return [sendobj]

    def allgather(self, sendobj: Any) -> list[Any]:
        """Return a list of the object itself."""
        return [sendobj]

    def Abort(self, errorcode: int = 0) -> NoReturn:
        """Leave the process with this exit status."""
        raise SystemExit(errorcode)


@dataclass(frozen=True)
class World:
    """The ranks of this job.

    Attributes:
        comm: all ranks.
        node: the ranks that share this node's memory.
    """

    comm: Ranks
    node: Ranks

    @property
    def rank(self) -> int:
        """This rank's number in the job."""
        return int(self.comm.Get_rank())

    @property
    def size(self) -> int:
        """Number of ranks in the job."""
        return int(self.comm.Get_size())

    @property
    def local_rank(self) -> int:
        """This rank's number on its node: the number of its GPU."""
        return int(self.node.Get_rank())

    @property
    def local_size(self) -> int:
        """Number of ranks on this node."""
        return int(self.node.Get_size())

    @property
    def is_root(self) -> bool:
        """Whether this is rank 0, which prints and writes."""
        return self.rank == 0

    def share(self, n: int) -> range:
        """Return the rows of `n` that belong to this rank."""
        return rank_range(n, self.rank, self.size)

    def on_root(self, function: Callable[[], T]) -> T:
        """Run `function` on rank 0; return its result, or raise its error, on every rank."""
        outcome: tuple[bool, Any] = (True, None)
        if self.is_root:
            try:
                outcome = (True, function())
            except Exception as error:  # carried to every rank, and raised there
                outcome = (False, error)
        done, value = self.comm.bcast(outcome, root=0)
        if done:
            return cast(T, value)
        raise collective(value)

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set on any rank; a collective call, the same on all ranks."""
        return any(self.comm.allgather(flag))

    def agree(self, error: Exception | None) -> None:
        """Raise on every rank the error of the lowest rank that brings one; a collective call."""
        found = next((e for e in self.comm.allgather(error) if e is not None), None)
        if found is not None:
            raise collective(found)

    def queue(self, n: int) -> Iterator[int]:
        """Draw the numbers 0 .. n-1 from a queue shared by all ranks, each number once.

        Results must not depend on which rank draws which number, which depends on timing. A
        collective call: every rank draws until the queue is empty.
        """
        if self.size == 1:
            yield from range(n)
            return
        # Messages, not a window of one-sided MPI: Open MPI 4 has none between nodes without RDMA.
        comm = cast("MPI.Intracomm", self.comm).Dup()
        draw = itertools.count().__next__  # one step of the interpreter: safe between two threads
        if self.is_root:
            server = threading.Thread(target=_hand_out, args=(comm, draw, n), daemon=True)
            server.start()
        while (number := draw() if self.is_root else comm.sendrecv(None, 0, source=0)) < n:
            yield number
        if self.is_root:
            server.join()
        comm.Free()  # not after a failure: it would wait for all other ranks

    def map(
        self,
        work: Callable[[int], T],
        count: int,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[T]:
        """Do parts 0 to `count - 1` of some work, drawn from a queue; a collective call.

        Args:
            work: called with the number of a part; its result must not depend on the rank.
            count: of parts.
            progress: called with (parts done, parts in all); with several ranks, earlier parts of
                other ranks may still be under way. Never called if there are no parts.

        Returns:
            the results of all parts, on every rank.

        Raises:
            InputError: of the lowest rank that has one, on all ranks; parts begun are ended first.
        """
        done: dict[int, T] = {}
        failure: InputError | None = None
        for number in self.queue(count):
            progress(number, count)
            if failure is None:  # after an error, draw the rest without doing it
                try:
                    done[number] = work(number)
                except InputError as error:
                    failure = error
        self.agree(failure)
        if count:
            progress(count, count)
        every = {number: one for part in self.comm.allgather(done) for number, one in part.items()}
        return [every[number] for number in range(count)]

    def node_array(
        self, shape: tuple[int, ...], dtype: DTypeLike, *, cleared: bool = True
    ) -> NDArray[Any]:
        """Return an array in memory shared by the ranks of this node; a collective call.

        The memory is held once a node, by its first rank, and lives as long as the world.

        Args:
            cleared: fill it with zeros. Without, each page of memory is made by the rank that first
                writes it, so that all ranks make pages at once.

        Raises:
            InputError: a node has too little memory, or too little of it that can be shared.
        """
        import numpy as np  # imported here, so that `cosmodeep --help` needs no numpy

        kind = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        size = max(count, 1) * kind.itemsize  # an empty window has no memory to map
        failure, array = None, np.empty(0, kind)
        if self.local_size > 1:
            failure = memory.too_little_shared(size, os.environ)
        else:
            try:
                array = np.zeros(shape, kind) if cleared else np.empty(shape, kind)
            except MemoryError:
                failure = InputError(
                    f"{size / 1e9:.2f} GB of memory: this process gets no more; ask for a node or "
                    f"a job with more, see `ulimit -v`, or {memory.ADVICE}"
                )
        self.agree(failure)
        if self.local_size == 1:
            return array
        from mpi4py import MPI

        window = MPI.Win.Allocate_shared(
            size if self.local_rank == 0 else 0,
            kind.itemsize,
            comm=cast("MPI.Intracomm", self.node),
        )
        shared: Any = window.Shared_query(0)[0]
        array = np.ndarray(shape, kind, shared)
        if cleared:
            if self.local_rank == 0:
                array.fill(0)
            self.node.Barrier()
        return array

    def abort(self, status: int) -> None:
        """End every rank of the job now, with this exit status."""
        streams.settle()
        self.comm.Abort(status)


def _hand_out(comm: MPI.Intracomm, draw: Callable[[], int], n: int) -> None:
    """Answer the other ranks with the next number of a queue, until each has one past its end."""
    from mpi4py import MPI

    waiting, request = comm.Get_size() - 1, MPI.Status()
    while waiting:
        while not comm.iprobe(status=request):
            time.sleep(QUEUE_SECONDS)  # a blocking receive would keep rank 0's core busy
        comm.recv(source=request.source)
        number = draw()
        comm.send(number, request.source)
        waiting -= number >= n


def alone() -> World:
    """Return a world of this process alone, which never touches MPI."""
    return World(OneRank(), OneRank())


def open_world() -> World:
    """Join the ranks that a launcher started; one rank needs no MPI, and opens none.

    Raises:
        InputError: there are several ranks, and no mpi4py.
        ImportError, RuntimeError: there are several ranks, and their MPI does not start.
    """
    launch = launched(os.environ)
    # under a launcher that is not known here the ranks find each other by `python -m mpi4py`
    if launch.tasks == 1 and "mpi4py.MPI" not in sys.modules:
        return alone()
    if find_spec("mpi4py") is None:
        started = f"{launch.tasks} ranks were started"
        if launch.tasks is None:
            started = f"{launch.program} started this rank, perhaps with others"
        raise InputError(f"{started}, and Python finds no mpi4py: pip install 'cosmodeep_hpc[mpi]'")
    environment.before_mpi()
    from mpi4py import MPI

    node = cast(MPI.Intracomm, MPI.COMM_WORLD.Split_type(MPI.COMM_TYPE_SHARED))
    return World(MPI.COMM_WORLD, node)
