"""Decisions that all ranks carry out at the same step: to stop before the job ends, and to save.

A signal sets a flag, and the next step sends the flag to all ranks with its gradient.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

STOPPED = 75
"""Exit status of a run that saved all and wants to be started again (sysexits.h)."""
IDLE = 76
"""The same of one that has done nothing since its start: it may have too little time."""

_listening: list[StopRequest] = []


class StopRequest:
    """Listens for the warnings of a batch system: USR1 (`--signal`), and SIGTERM before a kill.

    A signal only sets a flag: a rank may be in the middle of a sum over ranks. slurm/launch.sh
    starts the ranks with USR1 blocked: a signal that comes before or after a rank listens does not
    end it, and an early one counts at the first step. A second SIGTERM does what the first would
    have done without this.

    Attributes:
        done: parts of the work, such as steps, that were done since the start.
    """

    def __init__(self) -> None:
        """Prepare to listen; `with` begins it."""
        self.done = 0
        self._given = self._terminated = False
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        _listening.append(self)
        self._earlier = {
            number: signal.signal(number, take)
            for number, take in ((signal.SIGUSR1, self._warned), (signal.SIGTERM, self._ended))
        }
        self._mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        return self

    def __exit__(self, *exception: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        for number, earlier in self._earlier.items():
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)
        _listening.remove(self)

    @property
    def given(self) -> bool:
        """Whether this rank has received a signal."""
        return self._given

    def did(self) -> None:
        """Count a part of the work that was done."""
        self.done += 1

    def terminate(self) -> bool:
        """Take a SIGTERM as a warning; return whether it was the first, and so no more is done."""
        first = not self._terminated
        self._given = self._terminated = True
        return first

    def _warned(self, number: int, frame: FrameType | None) -> None:
        self._given = True

    def _ended(self, number: int, frame: FrameType | None) -> None:
        if not self.terminate():
            signal.signal(number, self._earlier[number] or signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def flags(self, timer: Timer) -> tuple[bool, bool]:
        """Return this rank's flags for its next step: signal received, and timer run out."""
        return self._given, timer.is_due


def warned_by_sigterm() -> bool:
    """Take a SIGTERM as a warning where a run listens for it; return whether it ends nothing."""
    return bool(_listening) and _listening[-1].terminate()


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
