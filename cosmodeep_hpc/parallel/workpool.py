"""A pool of tasks: the ranks draw what is ready, and a foreman on rank 0 takes what they made.

Unlike `World.queue` the tasks need not be known beforehand: a result may make others ready.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.parallel.world import World

if TYPE_CHECKING:
    from mpi4py import MPI

LOOK_SECONDS = 0.002
"""Between two looks for a message, or for a task that may have become ready."""


class Idle(Enum):
    """In place of a task."""

    WAIT = auto()  # none is ready yet
    END = auto()  # there will be none


Done = tuple[Any, Any] | None
"""A task and its result."""


class TaskSource(Protocol):
    """Who knows the tasks; lives on rank 0 and is called from one thread at a time."""

    def draw(self) -> Any:
        """The next task, never to be drawn again; Idle.END once all drawn tasks are taken back."""

    def take(self, task: Any, result: Any) -> None:
        """Take what became of a task: what was made of it, or the InputError it ended with."""


def work(
    world: World,
    foreman: TaskSource | None,
    prepare: Callable[[Any], Any],
    finish: Callable[[Any, Any], Any],
) -> None:
    """Work on the foreman's tasks until there are no more; a collective call.

    Which rank draws which task depends on timing: results must not. A rank prepares its next task
    in a thread while it finishes the one before.

    Args:
        foreman: on rank 0; None on the others.
        prepare: called with a task; reads, and computes little.
        finish: called with a task and what was prepared for it; its result goes to the foreman.

    Raises:
        Exception: what the foreman raises, on rank 0 alone: the others wait for its answers, and
            are ended with the job.
    """
    if world.size == 1:
        assert foreman is not None
        _work(_guarded(foreman), prepare, finish)
        return
    comm = cast("MPI.Intracomm", world.comm).Dup()
    if foreman is None:
        _work(partial(comm.sendrecv, dest=0, source=0), prepare, finish)
    else:
        answer, failures = _guarded(foreman), list[Exception]()
        server = threading.Thread(target=_serve, args=(comm, answer, failures), daemon=True)
        server.start()

        def own_answer(done: Done) -> Any:
            if failures:  # nobody answers the other ranks any more
                raise failures[0]
            return answer(done)

        _work(own_answer, prepare, finish)
        server.join()
        if failures:
            raise failures[0]
    comm.Free()


def _guarded(foreman: TaskSource) -> Callable[[Done], Any]:
    """What the foreman says to one who has done a task and wants another, thread after thread."""
    lock = threading.Lock()

    def answer(done: Done) -> Any:
        with lock:
            if done is not None:
                foreman.take(*done)
            return foreman.draw()

    return answer


def _work(
    answer: Callable[[Done], Any],
    prepare: Callable[[Any], Any],
    finish: Callable[[Any, Any], Any],
) -> None:
    """Draw, prepare and finish until the end."""
    done: Done = None
    ahead: tuple[Any, Future[Any]] | None = None
    with ThreadPoolExecutor(1, "prepare") as thread:
        while True:
            task = answer(done)
            done = None
            drawn = None if isinstance(task, Idle) else (task, thread.submit(prepare, task))
            if ahead is not None:
                done = ahead[0], _outcome(*ahead, finish)
            elif task is Idle.END:
                return
            elif drawn is None:
                time.sleep(LOOK_SECONDS)
            ahead = drawn


def _outcome(task: Any, prepared: Future[Any], finish: Callable[[Any, Any], Any]) -> Any:
    """The result of a task, or the InputError that it ended with; other errors are faults."""
    try:
        return finish(task, prepared.result())
    except InputError as error:
        return error


def _serve(comm: MPI.Intracomm, answer: Callable[[Done], Any], failures: list[Exception]) -> None:
    """Answer the other ranks until each has been told of the end."""
    from mpi4py import MPI

    waiting, request = comm.Get_size() - 1, MPI.Status()
    try:
        while waiting:
            while not comm.iprobe(status=request):
                time.sleep(LOOK_SECONDS)  # a blocking receive would keep rank 0's core busy
            done = comm.recv(source=request.source)
            task = answer(done)
            comm.send(task, request.source)
            waiting -= task is Idle.END
    except Exception as error:  # raised by the main thread, which ends the job
        failures.append(error)
