"""Progress of long work on rank 0: a bar on a terminal, a line now and then in a batch log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from cosmodeep_hpc.parallel import streams

LINE_SECONDS = 15.0  # between two lines in a batch log
BAR_SECONDS = 0.2
BAR_WIDTH = 30


Progress = Callable[..., None]
"""The function that long work calls with the parts done, the parts in all and an optional note."""


def silent(done: int, total: int, note: str = "") -> None:
    """Show nothing: the default `Progress`."""


class ProgressBar:
    """Shows the progress of work on a terminal or in a log; silent if `speaks` is off."""

    def __init__(self, label: str, *, speaks: bool = True, stream: TextIO | None = None) -> None:
        """Name the work and start its clock."""
        self.label = label
        self.speaks = speaks
        self._stream = stream or sys.stderr
        self._start = self._last = time.monotonic()
        self._first: tuple[int, float] | None = None  # parts done at the first call, and its time
        self._terminal = self._stream.isatty()
        self._ended = False

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` parts are done, with a short note."""
        if not self.speaks or self._ended:
            return
        now = time.monotonic()
        if self._first is None:
            self._first = done, now
        self._ended = done >= total
        if not self._ended and now - self._last < (BAR_SECONDS if self._terminal else LINE_SECONDS):
            return
        self._last = now
        share = done / total if total else 1.0
        elapsed = now - self._start
        # pace since the first call: a continued run begins far on, and starting is slow
        first, then = self._first
        seconds = (now - then) * (total - done) / (done - first) if done > first else 0.0
        left = f", {seconds:.0f} s left" if first < done < total else ""
        text = f"{self.label}: {done}/{total}{f', {note}' if note else ''}, {elapsed:.0f} s{left}"
        if self._terminal:
            filled = round(BAR_WIDTH * share)
            bar = "#" * filled + "-" * (BAR_WIDTH - filled)
            text = f"\r\x1b[K[{bar}] {text}" + ("\n" if self._ended else "")
        else:
            text += "\n"
        streams.tell(text, self._stream)
