"""The record of a run: `metrics.jsonl` and TensorBoard scalars, which rank 0 writes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.io.files import replacing

METRICS = "metrics.jsonl"
BOARD = "log"  # folder of the TensorBoard scalars


class RunLog:
    """Appends one line a call to `metrics.jsonl`, and its numbers to TensorBoard's scalars."""

    def __init__(self, run: Path, tf: Any, *, after_step: int) -> None:
        """Open the record of a run that continues after step `after_step`.

        Drop the lines beyond it: a lost job wrote them after its last checkpoint, and their steps
        are done again.
        """
        path = run / METRICS
        kept: list[str] = []
        if path.exists():
            with naming(path):
                lines = path.read_text(errors="replace").splitlines()
            kept = [line for line in lines if _step(line) <= after_step]
            with replacing(path) as temporary:
                temporary.write_text("".join(line + "\n" for line in kept))
        with naming(path, "write"):
            self._file = path.open("a", buffering=1)
        self._tf = tf
        self._board_path = run / BOARD
        earlier = list(self._board_path.glob("events.*"))
        with self._naming_board():
            self._board = tf.summary.create_file_writer(str(self._board_path))
        for line in kept:  # TensorBoard would show steps of two starts twice
            values = json.loads(line)
            self._show(values.pop("kind"), values.pop("step"), values)
        with self._naming_board():
            self._board.flush()
        for file in earlier:
            file.unlink(missing_ok=True)

    @contextmanager
    def _naming_board(self) -> Iterator[None]:
        try:
            yield
        except self._tf.errors.OpError as error:
            reason = str(error.message).split("\n", 1)[0]
            raise InputError(f"{self._board_path}: cannot write it: {reason}") from error

    def write(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """Record values of one kind (`train` or `validation`) at a step."""
        with naming(self._file.name, "write"):
            self._file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        self._show(kind, step, values)

    def _show(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """Give values to TensorBoard."""
        with self._naming_board(), self._board.as_default():
            for name, value in values.items():
                if isinstance(value, int | float) and name not in {"epoch", "step"}:
                    self._tf.summary.scalar(f"{kind}/{name}", value, step=step)

    def sync(self) -> None:
        """Write all lines to disk, so that a checkpoint made next is never ahead of them."""
        with naming(self._file.name, "write"):
            self._file.flush()
            os.fsync(self._file.fileno())
        with self._naming_board():
            self._board.flush()

    def close(self) -> None:
        """Close both files."""
        with naming(self._file.name, "write"):
            self._file.close()
        with self._naming_board():
            self._board.close()


def _step(line: str) -> int:
    """Return the step of a line; a line cut short by a crash counts as beyond every step."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 2**62


class Meter:
    """Means over the training steps since the last reading: loss, speed, and time of each part."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Start with no steps; `clock` tells the seconds."""
        self._clock = clock
        self.last_loss = float("nan")
        self._begun, self._in_all = clock(), dict[str, float]()
        self._clear()

    def _clear(self) -> None:
        self._loss, self._correct, self._tiles, self._steps = 0.0, 0.0, 0, 0
        self._seconds: dict[str, float] = {}
        self._since = self._clock()

    @contextmanager
    def timing(self, what: str) -> Iterator[None]:
        """Add the time of the block to the seconds of `what`."""
        start = self._clock()
        yield
        seconds = self._clock() - start
        for sums in (self._seconds, self._in_all):
            sums[what] = sums.get(what, 0.0) + seconds

    def share(self, what: str) -> float:
        """Return the share of all time since the beginning that `what` took."""
        return self._in_all.get(what, 0.0) / max(self._clock() - self._begun, 1e-9)

    def add(self, loss: float, correct: float, tiles: int) -> None:
        """Add a global batch: the sum of its losses, its correct tiles and its tiles."""
        self._loss += loss
        self._correct += correct
        self._tiles += tiles
        self._steps += 1
        self.last_loss = loss / tiles

    def read(self, epoch: int, parts: Mapping[str, float]) -> dict[str, float]:
        """Return the means since the last reading, and start anew.

        Args:
            epoch: to be recorded with them.
            parts: seconds of parts of the step, summed since the last reading.

        Returns:
            loss and accuracy of a tile, tiles a second, and seconds of a step for each timed part.
        """
        elapsed = self._clock() - self._since
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
