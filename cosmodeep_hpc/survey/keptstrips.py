"""What a rank has read of small planes to measure them: it need not read them again."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from cosmodeep_hpc.survey.view import Strip

MOST = 2**24
"""Pixels that are kept, at most: 64 MiB."""
Plane = tuple[int, int]
"""The numbers of a mosaic and of its plane."""


class KeptStrips:
    """Whole planes, each for the one task that takes it; the oldest go where there are too many.

    Threads may call it at once.
    """

    def __init__(self, most: int = MOST) -> None:
        """Begin with none.

        Args:
            most: pixels of all together.
        """
        self._most, self._lock = most, Lock()
        self._strips: OrderedDict[Plane, Strip] = OrderedDict()

    def keep(self, plane: Plane, strip: Strip) -> None:
        """Keep all rows of a plane, if they are few enough."""
        if strip.pixels.size > self._most:
            return
        with self._lock:
            self._strips[plane] = Strip(strip.pixels, None, strip.gaps)
            while sum(kept.pixels.size for kept in self._strips.values()) > self._most:
                self._strips.popitem(last=False)

    def take(self, plane: Plane) -> Strip | None:
        """Return the rows of a plane and forget them; None: they are not there."""
        with self._lock:
            return self._strips.pop(plane, None)
