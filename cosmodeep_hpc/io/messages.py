"""The command's output: results on standard output, messages on standard error and in a log.

Modules log by the loggers of their names, below `cosmodeep_hpc`, and configure nothing: a library
leaves that to the program. The handlers are set here, while the command runs.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.parallel.world import World

PACKAGE = "cosmodeep_hpc"


class InFile(logging.Formatter):
    """A message with time, level, rank and module; faults, but not bad input, with a traceback."""

    def __init__(self, rank: int) -> None:
        """Take the number of this rank."""
        super().__init__(f"%(asctime)s %(levelname)s rank {rank} %(name)s: %(message)s")

    def formatException(self, ei: Any) -> str:
        """Return the traceback of a fault."""
        return "" if isinstance(ei[1], InputError) else super().formatException(ei)


class OnTerminal(logging.Formatter):
    """A message as the user reads it: one line, with a traceback above it only with --debug."""

    def __init__(self, *, debug: bool) -> None:
        """Choose whether errors are shown with their traceback."""
        super().__init__()
        self.debug = debug

    def format(self, record: logging.LogRecord) -> str:
        """Return `cosmodeep: MESSAGE`; details also name their module."""
        text = " ".join(record.getMessage().split())
        if record.levelno <= logging.DEBUG:
            text = f"{record.name.removeprefix(f'{PACKAGE}.')}: {text}"
        above = ""
        if self.debug and record.exc_info:
            above = self.formatException(record.exc_info) + "\n"
        return f"{above}cosmodeep: {text}"


def print_result(text: str) -> None:
    """Print on standard output; ignore a reader that has gone, such as `head`."""
    code = sys.stdout.encoding or "utf-8"
    # file names may have characters that it cannot print
    text = text.encode(code, "backslashreplace").decode(code)
    try:
        print(text, flush=True)
    except BrokenPipeError:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


@contextmanager
def shown(
    world: World, *, quiet: bool = False, verbose: bool = False, debug: bool = False
) -> Iterator[None]:
    """Show messages on standard error, from rank 0 and from a rank that fails alone.

    Args:
        quiet: show only errors.
        verbose: show details too.
        debug: show errors with their traceback.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(OnTerminal(debug=debug))
    if quiet or not world.is_root:
        handler.setLevel(logging.ERROR)
    logger = logging.getLogger(PACKAGE)
    before = logger.level, logger.propagate
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False  # TensorFlow's handler of the root logger would repeat each message
    try:
        with _handled(handler):
            yield
    finally:
        logger.setLevel(before[0])
        logger.propagate = before[1]


@contextmanager
def kept(world: World, log: Path) -> Iterator[None]:
    """Add messages to a file, which the ranks of a job share; faults with their traceback.

    Raises:
        InputError: the file cannot be written; all ranks raise it.
    """
    world.on_root(lambda: _try_to_write(log))
    handler = logging.FileHandler(log, delay=True)
    handler.setFormatter(InFile(world.rank))
    if not world.is_root:
        handler.setLevel(logging.ERROR)
    with _handled(handler):
        yield


@contextmanager
def _handled(handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger(PACKAGE)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def _try_to_write(log: Path) -> None:
    with naming(log, "write"), log.open("a"):
        pass
