"""What all ranks do at the same step: stop since the job is about to end, save since it is time.

A signal sets a flag, and the next step tells it to all ranks with its gradient.
"""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Any

STOPPED = 75  # exit status of a run that saved all and wants to be started again (sysexits.h)


class StopRequest:
    """Listens for USR1, which a batch system sends some time before the end (`--signal`).

    Nothing is done when the signal comes: a rank may be in the middle of a sum over ranks.
    slurm/launch.sh starts the ranks with it blocked: one that comes before a rank listens, or
    after, does not end it, and an early one is heard at the first step.
    """

    def __init__(self) -> None:
        """Listen from `with` on."""
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
        """Whether this rank was given notice."""
        return self._given

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._given = True

    def flags(self, timer: Timer) -> tuple[bool, bool]:
        """What this rank says with its next step: it was given notice, and the timer ran out."""
        return self._given, timer.is_due


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
