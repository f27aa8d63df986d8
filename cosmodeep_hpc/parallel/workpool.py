"""A pool of tasks: ranks draw tasks that are ready, and return results to a source on rank 0.

Unlike `World.queue`, tasks need not be known beforehand: a result may make others ready.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.parallel.world import World

if TYPE_CHECKING:
    from mpi4py import MPI

LOOK_SECONDS = 0.002
"""Time between two checks for a message, or for a task that may have become ready."""


class Idle(Enum):
    """The answers to a rank that gets no task."""

    WAIT = auto()  # none is ready yet
    END = auto()  # there will be no more


Done = tuple[Any, Any] | None
"""A task and its result."""


class TaskSource(Protocol):
    """The owner of the tasks; lives on rank 0 and is called from one thread at a time."""

    def draw(self) -> Any:
        """Return the next task, once; or Idle.END when all drawn tasks have been taken back."""

    def take(self, task: Any, result: Any) -> None:
        """Take back a task with its result, or with the InputError that it ended with."""


def work(
    world: World,
    source: TaskSource | None,
    prepare: Callable[[Any], Any],
    finish: Callable[[Any, Any], Any],
    threads: int = 1,
) -> None:
    """Work on the source's tasks until there are no more; a collective call.

    Results must not depend on which rank draws which task, which depends on timing. A rank prepares
    its next tasks in threads while it finishes one of those before.

    Args:
        source: on rank 0; None on the others.
        prepare: called with a task; reads, and computes little.
        finish: called with a task and the result of `prepare`; its result goes to the source.
        threads: tasks that a rank prepares at a time.

    Raises:
        Exception: raised by the source, on rank 0 alone: the others wait for its answers, and end
            with the job.
    """
    if world.size == 1:
        assert source is not None
        _work(_guarded(source), prepare, finish, threads)
        return
    comm = cast("MPI.Intracomm", world.comm).Dup()
    if source is None:
        _work(partial(comm.sendrecv, dest=0, source=0), prepare, finish, threads)
    else:
        answer, failures = _guarded(source), list[Exception]()
        server = threading.Thread(target=_serve, args=(comm, answer, failures), daemon=True)
        server.start()

        def own_answer(done: Done) -> Any:
            if failures:  # the server has ended, and the other ranks get no answers
                raise failures[0]
            return answer(done)

        _work(own_answer, prepare, finish, threads)
        server.join()
        if failures:
            raise failures[0]
    comm.Free()


def _guarded(source: TaskSource) -> Callable[[Done], Any]:
    """Return a function that takes back a done task and draws another, for one thread at a time."""
    lock = threading.Lock()

    def answer(done: Done) -> Any:
        with lock:
            if done is not None:
                source.take(*done)
            return source.draw()

    return answer


def _work(
    answer: Callable[[Done], Any],
    prepare: Callable[[Any], Any],
    finish: Callable[[Any, Any], Any],
    threads: int,
) -> None:
    """Draw, prepare and finish tasks until the end; the first that is prepared is finished."""
    done: Done = None
    ahead: dict[Future[Any], Any] = {}
    with ThreadPoolExecutor(threads, "prepare") as pool:
        while True:
            task = answer(done)
            done = None
            if not isinstance(task, Idle):
                ahead[pool.submit(prepare, task)] = task
                if len(ahead) <= threads:
                    continue
            if ahead:
                ready = wait(ahead, return_when=FIRST_COMPLETED).done
                first = next(future for future in ahead if future in ready)
                task = ahead.pop(first)
                done = task, _outcome(task, first, finish)
            elif task is Idle.END:
                return
            else:
                time.sleep(LOOK_SECONDS)


def _outcome(task: Any, prepared: Future[Any], finish: Callable[[Any, Any], Any]) -> Any:
    """Return the result of a task, or its InputError; other errors are faults and are raised."""
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
