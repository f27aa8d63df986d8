"""What all ranks do at the same step: stop since the job is about to end, save since it is time.

A signal sets a flag, a step boundary looks at it.
"""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Any

import numpy as np

from cosmodeep_hpc.world import World

STOPPED = 75  # exit status of a run that saved all and wants to be started again (sysexits.h)


class Notice:
    """Listens for USR1, which a batch system sends some time before the end (`--signal`).

    Nothing is done when the signal comes: a rank may be in the middle of a sum over ranks.
    slurm/launch.sh starts the ranks with it blocked: one that comes before a rank listens, or
    after, does not end it, and an early one is heard at the first step.
    """

    def __init__(self) -> None:
        """Listen from `with` on."""
        self._given = False
        self._earlier: Any = None

    def __enter__(self) -> Notice:
        self._earlier = signal.signal(signal.SIGUSR1, self._take)
        self._mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        return self

    def __exit__(self, *exception: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        signal.signal(signal.SIGUSR1, self._earlier)

    @property
    def given(self) -> bool:
        """Whether this rank was given notice."""
        return self._given

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._given = True

    def heard(self, world: World, timer: Timer) -> tuple[bool, bool]:
        """Whether any rank was given notice, and whether rank 0's timer has run out.

        A collective call, the same answer on all ranks.
        """
        flags = np.array([self._given, world.is_root and timer.is_due], dtype=np.uint8)
        if world.size > 1:
            from mpi4py import MPI

            world.comm.Allreduce(MPI.IN_PLACE, flags, op=MPI.MAX)
        return bool(flags[0]), bool(flags[1])


class Timer:
    """Runs out some minutes after it was last set; never where they are 0."""

    def __init__(self, minutes: float) -> None:
        """Set it."""
        self._seconds = 60 * minutes
        self.set()

    def set(self) -> None:
        """Let it run from now on."""
        self._since = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it has run out."""
        return 0 < self._seconds <= time.monotonic() - self._since
