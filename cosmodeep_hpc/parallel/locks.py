"""Lock files: one process makes what those of many jobs want, and the others wait or leave.

A lock is a small file beside what it guards, `NAME.lock`, which says who holds it. Its holder
renews it. A lock whose holder has ended is broken: at once by a process of the same node, and by
the same Slurm job after a requeue; by others when it was not renewed for a while.

The algorithm is the known one of lock files on shared folders (open(2), O_EXCL; Debian's
lockfile-create; flufl.lock): a file of one's own, a hard link to the wanted name, and a link count
of 2 as the proof. It is not taken from flufl.lock 10, which breaks no dead holder's lock before its
lifetime ends, compares times of different nodes' clocks, needs hard links, knows no Slurm job, and
says `stale` of another user's living process where /proc hides it.
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
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

from cosmodeep_hpc.errors import naming
from cosmodeep_hpc.parallel.signals import warned_by_sigterm

BEAT = 30.0
"""Seconds between two renewals of a lock."""
STALE = 600.0
"""Seconds without renewal after which a lock counts for nothing: file systems of clusters may show
another node's renewal a minute late."""
POLL = 5.0
"""Seconds between two looks at what others make."""

PF_EXITING = 0x4
"""The kernel's flag of a process on its way out (linux/sched.h)."""
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems without a second name for a file answer."""


@dataclass(frozen=True)
class LockHolder:
    """The process that holds a lock.

    Attributes:
        host: name of its node.
        processes: its PID namespace: a container has its own numbers.
        pid: its number.
        started: when it started, in the kernel's ticks: numbers are used again.
        job: of Slurm, or empty.
        token: of this lock alone.
        restart: how often Slurm has started the job again.
        since: when the lock was taken, by the clock of its node.
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

    @classmethod
    def current(cls) -> LockHolder:
        """Return this process as the holder of a new lock."""
        pid = os.getpid()
        return cls(
            host=socket.gethostname(),
            processes=_processes(),
            pid=pid,
            started=_started(pid) or "",
            job=_job(),
            token=uuid4().hex,
            restart=restarts(),
            since=time.strftime("%Y-%m-%d %H:%M:%S"),
        )

    @property
    def is_gone(self) -> bool:
        """Whether the process has certainly ended.

        That can be known on its own node, and in its own job: Slurm starts a job again when all
        of it has ended, on whatever nodes. A process that /proc hides, as it does another user's
        under `hidepid`, is believed to live.
        """
        if self.job and self.job == _job() and self.restart < restarts():
            return True
        if (self.host, self.processes) != (socket.gethostname(), _processes()):
            return False
        with suppress(PermissionError):  # it is another user's
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:
                return True
        return bool(self.started) and _started(self.pid) not in (self.started, None)


def _processes() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Return when a process started, in ticks since the kernel did; None where that is hidden.

    Zombie and exiting processes have no start: they keep their number until the parent reaps them.
    """
    try:
        state, *numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" or int(numbers[5]) & PF_EXITING else numbers[18]
    except (OSError, ValueError, IndexError):
        return None


def _job() -> str:
    """Return the Slurm job that this is, as scancel and squeue call it; empty where it is none."""
    get = os.environ.get
    if array := get("SLURM_ARRAY_JOB_ID"):
        return f"{array}_{get('SLURM_ARRAY_TASK_ID')}"
    return get("SLURM_JOB_ID", "")


def restarts() -> int:
    """Return how often Slurm has started this job again: after a requeue, or the loss of a node."""
    count = os.environ.get("SLURM_RESTART_COUNT", "")
    return int(count) if count.isdecimal() else 0


def lock_of(path: Path) -> Path:
    """Return the name of the lock file that guards `path`."""
    return path.with_name(f"{path.name}.lock")


def holder_of(path: Path) -> LockHolder | None:
    """Return who holds the lock on `path`; None: nobody, or nobody who can be told."""
    return _read(lock_of(path))


def renewed(path: Path) -> int | None:
    """Return when the lock on `path` was renewed, in ns; None where nobody holds it any more."""
    file = lock_of(path)
    try:
        return file.stat().st_mtime_ns if _looks_held(file) else None
    except FileNotFoundError:  # given back between the two looks
        return None


def taken_by(path: Path) -> LockHolder | None:
    """Return who took over this process's lock on `path` while it was suspended, or None."""
    holder, me = holder_of(path), LockHolder.current()
    return None if holder is None or (holder.host, holder.pid) == (me.host, me.pid) else holder


def _read(file: Path) -> LockHolder | None:
    try:
        return LockHolder(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def locked(path: Path, *, alone: bool = True, beat: float = BEAT) -> Iterator[bool]:
    """Try to lock `path` for as long as the block lasts; yield whether this process holds it.

    A thread renews the lock. It is given back when the block ends, however it ends, and on
    SIGTERM, by which batch systems end a job. A lock that others broke meanwhile, because this
    process was suspended for long, is left to them.

    Args:
        alone: whether this lock listens for SIGTERM itself: it must then be taken and given back
            in the main thread. Whoever holds many does that for all, with `on_sigterm`.
        beat: seconds between two renewals.

    Raises:
        InputError: the folder cannot be written.
    """
    lock = FileLock(lock_of(path), LockHolder.current())
    with naming(lock.file, "write"):
        mine = lock.take()
    if not mine:
        yield False
        return
    ended = threading.Event()
    keeper = threading.Thread(target=lock.renew_until, args=(ended, beat), daemon=True)
    keeper.start()
    try:
        with on_sigterm(lock.give_back) if alone else nullcontext():
            yield True
    finally:
        ended.set()
        keeper.join()
        lock.give_back()


@dataclass(frozen=True)
class FileLock:
    """A lock file, and the process that wants it."""

    file: Path
    me: LockHolder

    def take(self) -> bool:
        """Take the lock, where nobody holds it or its holder is gone; return whether it is ours."""
        if _looks_held(self.file):
            return False
        own = self.file.with_name(f".{self.file.name}.{self.me.token}")
        own.write_text(json.dumps(asdict(self.me)))
        try:
            if _linked(own, self.file):
                return True
            if not _is_stale(self.file, own):
                return False
            self._break(own)
            return _linked(own, self.file)
        finally:
            own.unlink(missing_ok=True)

    def renew_until(self, ended: threading.Event, beat: float) -> None:
        """Renew the lock every `beat` seconds, as long as it is ours."""
        while not ended.wait(beat):
            if _read(self.file) == self.me:
                with suppress(OSError):
                    os.utime(self.file)

    def give_back(self) -> None:
        """Remove the lock, if it is still ours."""
        if _read(self.file) == self.me:
            self.file.unlink(missing_ok=True)

    def _break(self, own: Path) -> None:
        """Remove a stale lock, and not one that took its place: one process at a time does so."""
        breaking = self.file.with_name(f".{self.file.name}.breaking")
        if _linked(own, breaking):
            try:
                if _is_stale(self.file, own):
                    self.file.unlink(missing_ok=True)
            finally:
                breaking.unlink(missing_ok=True)
        elif _is_stale(breaking, own):  # its process ended in just that moment
            breaking.unlink(missing_ok=True)


def _looks_held(file: Path) -> bool:
    """Whether a lock is valid by this node's own clock: a look that writes nothing."""
    try:
        age = time.time() - file.stat().st_mtime
    except OSError:
        return False
    holder = _read(file)
    return abs(age) < STALE and not (holder is not None and holder.is_gone)


def _is_stale(file: Path, own: Path) -> bool:
    """Whether a lock file is there that nobody holds any more; `own` is a file of just now.

    Both times are the file server's: the clocks of nodes may differ.
    """
    try:
        age = own.stat().st_mtime - file.stat().st_mtime
    except FileNotFoundError:
        return False  # given back
    holder = _read(file)
    return age >= STALE or (holder is not None and holder.is_gone)


def _linked(own: Path, file: Path) -> bool:
    """Give `own` the name `file` too, where that is free: one process alone succeeds."""
    try:
        os.link(own, file)
        return True
    except FileExistsError:
        # over NFS a link may be made and its answer lost, and the second try then finds the first
        return own.stat().st_nlink == 2
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
    with suppress(FileExistsError), file.open("x") as new:
        new.write(own.read_text())
        return True
    return False


@contextmanager
def on_sigterm(action: Callable[[], None]) -> Iterator[None]:
    """Have SIGTERM call `action` while the block lasts, and then do what it did before.

    The first one is only a warning where a `StopRequest` listens.

    In another thread than the main one, which alone can listen, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: Any = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL  # None: not set by Python

    def stop(number: int, frame: FrameType | None) -> None:
        if warned_by_sigterm():
            return
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
    *,
    poll: float = POLL,
) -> None:
    """Make every file that nobody else makes, and wait for the others.

    Args:
        paths: of the files.
        is_made: whether a file, by its place in `paths`, is there.
        make: makes one, whole or not at all.
        waiting: called now and then with what is waited for.
        poll: seconds between two looks at what others make.

    Raises:
        InputError: a lock cannot be written.
    """
    left = list(range(len(paths)))
    while left:
        before = len(left)
        for number in list(left):
            if not is_made(number):
                with locked(paths[number]) as mine:
                    if mine and not is_made(number):
                        make(number)
                if not mine:
                    continue
            left.remove(number)
        if len(left) == before:
            holder = holder_of(paths[left[0]])
            by = f", made by {holder}" if holder else ""
            waiting(f"waiting for {len(left)} of {len(paths)}: {paths[left[0]].name}{by}")
            time.sleep(poll)


@contextmanager
def in_turn(path: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock on `path` for the block, after all who hold it now.

    Raises:
        InputError: the folder cannot be written.
    """
    while True:
        with locked(path) as mine:
            if mine:
                yield
                return
        waiting(f"waiting for {holder_of(path) or 'another process'}, who writes {path.name}")
        time.sleep(POLL / 5)
