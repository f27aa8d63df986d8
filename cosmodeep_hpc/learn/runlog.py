"""The record of a run: `metrics.jsonl` and TensorBoard scalars, written by rank 0."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.io.files import replacing

METRICS = "metrics.jsonl"
BOARD = "log"  # folder of the TensorBoard scalars


class RunLog:
    """Appends one line a call to `metrics.jsonl`, and its numbers to TensorBoard."""

    def __init__(self, run: Path, tf: Any, *, after_step: int) -> None:
        """Open the record of a run that goes on after `after_step`.

        Lines beyond it come from work that a lost job did after its last checkpoint, and that is
        done again: they are dropped.
        """
        path = run / METRICS
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
        with self._naming_board():
            self._board = tf.summary.create_file_writer(str(self._board_path))

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
        with self._naming_board(), self._board.as_default():
            for name, value in values.items():
                if isinstance(value, int | float) and name not in {"epoch", "step"}:
                    self._tf.summary.scalar(f"{kind}/{name}", value, step=step)

    def sync(self) -> None:
        """Bring all of it to disk; it is then not behind a checkpoint that is made next."""
        with naming(self._file.name, "write"):
            self._file.flush()
            os.fsync(self._file.fileno())
        with self._naming_board():
            self._board.flush()

    def close(self) -> None:
        """End it."""
        with naming(self._file.name, "write"):
            self._file.close()
        with self._naming_board():
            self._board.close()


def _step(line: str) -> int:
    """The step of a line; a line cut short by a crash counts as beyond every step."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 2**62
