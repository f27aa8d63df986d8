"""The command's output: results on standard output, messages on standard error and in a log.

Modules log by the loggers of their names, below `cosmodeep_hpc`, and configure nothing: a library
leaves that to the program. The handlers are set here, while the command runs.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.parallel import streams
from cosmodeep_hpc.parallel.world import World

PACKAGE = "cosmodeep_hpc"

logger = logging.getLogger(__name__)


class Console(logging.StreamHandler[TextIO]):
    """Shows messages on standard error; loses those that it does not take, such as a full disk."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Go on after a message that could not be shown."""
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


class Log(logging.FileHandler):
    """Adds messages to a file; says once that the file does not take them, and goes on trying."""

    def __init__(self, path: Path) -> None:
        """Open the file with the first message; write names of files of any bytes."""
        super().__init__(path, encoding="utf-8", errors="backslashreplace", delay=True)
        self.path, self.is_whole = path, True

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message."""
        try:
            super().emit(record)
        except OSError as error:  # the file could not be opened
            self._lose(error)

    def handleError(self, record: logging.LogRecord) -> None:
        """Go on after a message that could not be written."""
        error = sys.exception()
        if isinstance(error, OSError):
            self._lose(error)
        else:
            super().handleError(record)

    def close(self) -> None:
        """Close the file."""
        try:
            super().close()
        except OSError as error:  # what was pending cannot be written
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        if self.is_whole:
            self.is_whole = False  # said before it is logged, for that comes here again
            reason = error.strerror or error
            logger.error(
                "%s: cannot write the log: %s; messages are missing in it", self.path, reason
            )


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
    """Print on standard output; ignore a reader that has gone, such as `head`.

    Raises:
        InputError: standard output is full.
    """
    code = sys.stdout.encoding or "utf-8"
    # file names may have characters that it cannot print
    text = text.encode(code, "backslashreplace").decode(code)
    with _results_written():
        print(text, flush=True)


def flush_results() -> None:
    """Write what is pending on standard output.

    Raises:
        InputError: it is full.
    """
    with _results_written():
        sys.stdout.flush()


@contextmanager
def _results_written() -> Iterator[None]:
    """Ignore a reader that has gone; turn a full disk into an `InputError`."""
    try:
        yield
    except BrokenPipeError:
        streams.lose(sys.stdout)
    except OSError as error:
        streams.lose(sys.stdout)
        raise InputError(
            f"standard output: cannot write the results to it: {error.strerror}; files that were "
            "made are whole"
        ) from error


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
    handler = Console()
    handler.setFormatter(OnTerminal(debug=debug))
    if quiet or not world.is_root:
        handler.setLevel(logging.ERROR)
    else:
        handler.setLevel(logging.DEBUG if verbose else logging.INFO)
    package = logging.getLogger(PACKAGE)
    before = package.level, package.propagate
    package.setLevel(handler.level)
    package.propagate = False  # TensorFlow's handler of the root logger would repeat each message
    try:
        with _handled(handler):
            yield
    finally:
        package.setLevel(before[0])
        package.propagate = before[1]


@contextmanager
def kept(world: World, log: Path) -> Iterator[None]:
    """Add messages to a file, which the ranks of a job share: details too, faults with traceback.

    Raises:
        InputError: the file cannot be written; all ranks raise it.
    """
    world.on_root(lambda: _try_to_write(log))
    handler = Log(log)
    handler.setFormatter(InFile(world.rank))
    if not world.is_root:
        handler.setLevel(logging.ERROR)
    package = logging.getLogger(PACKAGE)
    before = package.level
    package.setLevel(logging.DEBUG)
    try:
        with _handled(handler):
            yield
    finally:
        package.setLevel(before)


@contextmanager
def _handled(handler: logging.Handler) -> Iterator[None]:
    package = logging.getLogger(PACKAGE)
    package.addHandler(handler)
    try:
        yield
    finally:
        package.removeHandler(handler)
        handler.close()


def _try_to_write(log: Path) -> None:
    with naming(log, "write"), log.open("a"):
        pass
