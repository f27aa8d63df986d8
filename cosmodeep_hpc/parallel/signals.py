"""Decisions that all ranks carry out at the same step: to stop before the job ends, and to save.

A signal sets a flag, and the next step sends the flag to all ranks with its gradient.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

STOPPED = 75  # exit status of a run that saved all and wants to be started again (sysexits.h)


class StopRequest:
    """Listens for USR1, which a batch system sends some time before the end (`--signal`).

    The signal only sets a flag: a rank may be in the middle of a sum over ranks. slurm/launch.sh
    starts the ranks with USR1 blocked: a signal that comes before or after a rank listens does not
    end it, and an early one counts at the first step.
    """

    def __init__(self) -> None:
        """Prepare to listen; `with` begins it."""
        self._given = False
        self._earlier: Any = None

    def __enter__(self) -> StopRequest:
        self._earlier = signal.signal(signal.SIGUSR1, self._take)
        self._mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        return self

    def __exit__(self, *exception: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        signal.signal(signal.SIGUSR1, self._earlier)

    @property
    def given(self) -> bool:
        """Whether this rank has received the signal."""
        return self._given

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._given = True

    def flags(self, timer: Timer) -> tuple[bool, bool]:
        """Return this rank's flags for its next step: signal received, and timer run out."""
        return self._given, timer.is_due


class Timer:
    """Runs out some minutes after it was last set; never if the minutes are 0."""

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Set it to these minutes from now on; `clock` tells the seconds."""
        self._seconds, self._clock = 60 * minutes, clock
        self.set()

    def set(self) -> None:
        """Set it anew from now on."""
        self._since = self._clock()

    @property
    def is_due(self) -> bool:
        """Whether it has run out."""
        return 0 < self._seconds <= self._clock() - self._since
