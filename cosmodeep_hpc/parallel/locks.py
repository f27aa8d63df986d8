"""Claims: one process makes what the processes of many jobs want, and the others wait or leave.

A claim is a small file beside the wanted one, which says who holds it. A claim whose holder is gone
is broken: at once by a process of the same node or by the same job of Slurm, started again, and by
others when the holder has not renewed it for a while.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

from cosmodeep_hpc.errors import naming

BEAT = 30.0
"""Seconds between two renewals of a claim."""
STALE = 600.0
"""Seconds without renewal after which a claim counts for nothing: file systems of clusters may show
another node's renewal a minute late."""
POLL = 5.0
"""Seconds between two looks at what others make."""

PF_EXITING = 0x4
"""The kernel's flag of a process on its way out (linux/sched.h)."""
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems without a second name for a file answer."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a claim.

    Attributes:
        host: name of its node.
        processes: the set of processes in which its number counts: a container has its own.
        pid: its number.
        started: when it started, in the kernel's ticks: numbers are given again.
        job: of Slurm, or empty.
        token: of this claim alone.
        restart: how often Slurm has started the job again.
        since: when the claim was made, of the clock of its node.
    """

    host: str
    processes: str
    pid: int
    started: str
    job: str
    token: str
    restart: int = 0
    since: str = ""

    def __str__(self) -> str:
        job = f", job {self.job}" if self.job else ""
        return f"process {self.pid} on {self.host}{job}"

    @property
    def is_gone(self) -> bool:
        """Whether the process has certainly ended.

        That can be known of the own node, and of the own job: Slurm starts a job again when all
        of it has ended, on whatever nodes.
        """
        if self.job and self.job == _job() and self.restart < restarts():
            return True
        if (self.host, self.processes) != (socket.gethostname(), _processes()):
            return False
        return _started(self.pid) != self.started


def _processes() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process started, in ticks since the kernel did; empty where there is none.

    One that is dead and not yet buried, or whose memory is just being given back, is none: it
    runs no more, but has its number until its parent asks what became of it.
    """
    try:
        state, *numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" or int(numbers[5]) & PF_EXITING else numbers[18]
    except (OSError, ValueError, IndexError):
        return ""


def _job() -> str:
    """The job of Slurm that this is, as scancel and squeue call it; empty where it is none."""
    get = os.environ.get
    if array := get("SLURM_ARRAY_JOB_ID"):
        return f"{array}_{get('SLURM_ARRAY_TASK_ID')}"
    return get("SLURM_JOB_ID", "")


def restarts() -> int:
    """How often Slurm has started this job again: after a requeue, or the loss of a node."""
    count = os.environ.get("SLURM_RESTART_COUNT", "")
    return int(count) if count.isdecimal() else 0


def _myself() -> Holder:
    pid, since = os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S")
    return Holder(
        socket.gethostname(),
        _processes(),
        pid,
        _started(pid),
        _job(),
        uuid4().hex,
        restarts(),
        since,
    )


def claim_of(path: Path) -> Path:
    """The file that claims `path`."""
    return path.with_name(f"{path.name}.lock")


def holder_of(path: Path) -> Holder | None:
    """Who holds the claim on `path`: nobody, or nobody that can be told."""
    return _read(claim_of(path))


def taken_by(path: Path) -> Holder | None:
    """Who holds the claim on `path` that this process had: it was stopped, and others broke it."""
    holder, me = holder_of(path), _myself()
    return None if holder is None or (holder.host, holder.pid) == (me.host, me.pid) else holder


def _read(claim: Path) -> Holder | None:
    try:
        return Holder(**json.loads(claim.read_text()))
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def claimed(path: Path, *, alone: bool = True) -> Iterator[bool]:
    """Try to claim `path` for as long as the block lasts; yields whether it is ours.

    The claim is renewed by a thread, and given back when the block ends, however that is; on
    SIGTERM too, by which batch systems end a job. A claim that others broke meanwhile, since this
    process was stopped for long, is left to them.

    Args:
        alone: whether this claim listens for SIGTERM itself: it must then be made and given back
            in the main thread. Whoever holds many does that for all, with `on_sigterm`.

    Raises:
        InputError: the folder cannot be written.
    """
    claim, me = claim_of(path), _myself()
    with naming(claim, "write"):
        mine = not _is_held(claim) and _take(claim, me)
    if not mine:
        yield False
        return
    ended = threading.Event()
    keeper = threading.Thread(target=_renew, args=(claim, me, ended), daemon=True)
    keeper.start()
    try:
        with on_sigterm(partial(_give_back, claim, me)) if alone else nullcontext():
            yield True
    finally:
        ended.set()
        keeper.join()
        _give_back(claim, me)


def _is_held(claim: Path) -> bool:
    """Whether a claim is there that looks valid by this node's own clock."""
    try:
        age = time.time() - claim.stat().st_mtime
    except OSError:
        return False
    holder = _read(claim)
    return abs(age) < STALE and not (holder is not None and holder.is_gone)


def _take(claim: Path, me: Holder) -> bool:
    """Claim for `me`, having broken a stale claim; whether that was done."""
    own = claim.with_name(f".{claim.name}.{me.token}")
    own.write_text(json.dumps(asdict(me)))
    try:
        if _linked(own, claim):
            return True
        if _is_stale(claim, own):
            _break(claim, own)
            return _linked(own, claim)
        return False
    finally:
        own.unlink(missing_ok=True)


def _is_stale(claim: Path, own: Path) -> bool:
    """Whether a claim is there that nobody holds any more; `own` is a file of just now.

    Both times are the file server's: the clocks of nodes may differ.
    """
    try:
        age = own.stat().st_mtime - claim.stat().st_mtime
    except FileNotFoundError:
        return False  # given back
    holder = _read(claim)
    return age >= STALE or (holder is not None and holder.is_gone)


def _linked(own: Path, claim: Path) -> bool:
    """Give the file `own` the name `claim` too, where that is free: one process alone succeeds."""
    try:
        os.link(own, claim)
        return True
    except FileExistsError:
        # over NFS a link may be made and its answer lost, and the second try then finds the first
        return own.stat().st_nlink == 2
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
    with suppress(FileExistsError), claim.open("x") as file:
        file.write(own.read_text())
        return True
    return False


def _break(claim: Path, own: Path) -> None:
    """Remove a stale claim, and not one that took its place: one process at a time looks again."""
    breaking = claim.with_name(f".{claim.name}.breaking")
    if _linked(own, breaking):
        try:
            if _is_stale(claim, own):
                claim.unlink(missing_ok=True)
        finally:
            breaking.unlink(missing_ok=True)
    elif _is_stale(breaking, own):  # its process ended in just that moment
        breaking.unlink(missing_ok=True)


def _renew(claim: Path, me: Holder, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        if _read(claim) == me:
            with suppress(OSError):
                os.utime(claim)


def _give_back(claim: Path, me: Holder) -> None:
    if _read(claim) == me:
        claim.unlink(missing_ok=True)


@contextmanager
def on_sigterm(action: Callable[[], None]) -> Iterator[None]:
    """While the block lasts, SIGTERM calls `action`, and then does what it did before.

    In another thread than the main one, which alone can listen, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: Any = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL  # None: not set by Python

    def stop(number: int, frame: FrameType | None) -> None:
        action()
        signal.signal(signal.SIGTERM, before)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def make_each_once(
    paths: Sequence[Path],
    is_made: Callable[[int], bool],
    make: Callable[[int], None],
    waiting: Callable[[str], None],
) -> None:
    """Have every file made: those that nobody else makes by this process; it waits for the others.

    Args:
        paths: of the files.
        is_made: whether a file, by its place in `paths`, is there.
        make: makes one, whole or not at all.
        waiting: called now and then with what is waited for.

    Raises:
        InputError: a claim cannot be written.
    """
    left = list(range(len(paths)))
    while left:
        before = len(left)
        for number in list(left):
            if not is_made(number):
                with claimed(paths[number]) as mine:
                    if mine and not is_made(number):
                        make(number)
                if not mine:
                    continue
            left.remove(number)
        if len(left) == before:
            holder = holder_of(paths[left[0]])
            by = f", made by {holder}" if holder else ""
            waiting(f"waiting for {len(left)} of {len(paths)}: {paths[left[0]].name}{by}")
            time.sleep(POLL)


@contextmanager
def in_turn(path: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Claim `path` for the block, after all who hold it now.

    Raises:
        InputError: the folder cannot be written.
    """
    while True:
        with claimed(path) as mine:
            if mine:
                yield
                return
        waiting(f"waiting for {holder_of(path) or 'another process'}, who writes {path.name}")
        time.sleep(POLL / 5)
