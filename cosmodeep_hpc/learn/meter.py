"""What the steps of a run were like since the last look: loss, speed, and where the time went."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Meter:
    """Means over the steps since it was last read."""

    def __init__(self) -> None:
        """Start empty."""
        self.last_loss = float("nan")
        self._clear()

    def _clear(self) -> None:
        self._loss, self._correct, self._tiles, self._steps = 0.0, 0.0, 0, 0
        self._seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    @contextmanager
    def timing(self, what: str) -> Iterator[None]:
        """Add the time of the block to that of `what`."""
        start = time.perf_counter()
        yield
        self._seconds[what] = self._seconds.get(what, 0.0) + time.perf_counter() - start

    def add(self, loss: float, correct: float, tiles: int) -> None:
        """Add a global batch: the sum of its losses, its correct tiles and its tiles."""
        self._loss += loss
        self._correct += correct
        self._tiles += tiles
        self._steps += 1
        self.last_loss = loss / tiles

    def read(self, epoch: int, parts: Mapping[str, float]) -> dict[str, float]:
        """The means since the last reading; starts anew.

        Args:
            epoch: to be recorded with them.
            parts: seconds of parts of the step, summed since the last reading.

        Returns:
            loss and accuracy of a tile, tiles a second, and seconds of a step for what was timed.
        """
        elapsed = time.perf_counter() - self._since
        seconds = {**self._seconds, **parts}
        values = {
            "epoch": epoch,
            "loss": self._loss / self._tiles,
            "accuracy": self._correct / self._tiles,
            "tiles_per_second": self._tiles / elapsed,
            **{f"{name}_seconds": total / self._steps for name, total in seconds.items()},
        }
        self._clear()
        return values
