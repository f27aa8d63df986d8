"""Notice that the job is about to end: a signal sets a flag, a step boundary looks at it."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from cosmodeep_hpc.world import World

STOPPED = 75  # exit status of a run that saved all and wants to be started again (sysexits.h)


class Notice:
    """Listens for USR1, which a batch system sends some time before the end (`--signal`).

    Nothing is done when the signal comes: a rank may be in the middle of a sum over ranks.
    """

    def __init__(self) -> None:
        """Listen from `with` on."""
        self._given = False
        self._earlier: Any = None

    def __enter__(self) -> Notice:
        self._earlier = signal.signal(signal.SIGUSR1, self._take)
        return self

    def __exit__(self, *exception: object) -> None:
        signal.signal(signal.SIGUSR1, self._earlier)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._given = True

    def heard(self, world: World) -> bool:
        """Whether any rank was given notice; a collective call, the same answer on all ranks."""
        return world.any(self._given)
