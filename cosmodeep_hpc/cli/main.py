"""The command `cosmodeep`: reads the command line, runs a stage, and ends with its status."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from cosmodeep_hpc import __version__
from cosmodeep_hpc.cli.parser import overrides, parse
from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io import messages
from cosmodeep_hpc.parallel import streams
from cosmodeep_hpc.parallel.launcher import launched
from cosmodeep_hpc.parallel.world import World, is_collective, open_world

logger = logging.getLogger(__name__)

FIRST_WORD_SECONDS = 5.0
"""Time that the other ranks give the first one to say why all end."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a stage and return the exit status.

    It is 0 done, 2 bad usage or input, 1 a fault, 75 stopped by a signal (76: with nothing done).
    Standard streams that are closed, full or without a reader change nothing else.
    """
    streams.open_closed()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except InputError as error:
        streams.tell(f"cosmodeep: {error}\n")
        return 2
    finally:
        streams.settle()


def _run(words: list[str]) -> int:
    """Run a stage and return the exit status.

    Raises:
        InputError: bad usage, or a full standard output where no stage is at work.
    """
    _have_a_home()
    # a notebook hands its backend on to the commands it starts, where it may not be installed; ours
    # draw into files
    os.environ.pop("MPLBACKEND", None)
    changes, rest = overrides(words)
    args = parse(rest)
    if args.command == "doctor":  # it must run even if MPI does not start
        from cosmodeep_hpc.doctor.checks import run

        return run()
    try:
        world = open_world()
    except KeyboardInterrupt:
        streams.tell("cosmodeep: interrupted\n")
        return 130
    except InputError as error:
        return stop_unjoined(str(error), 2)
    except (ImportError, RuntimeError) as error:
        return stop_unjoined(f"MPI does not start ({error}); run `cosmodeep doctor`", 1)
    begun = time.monotonic()
    quiet, verbose, debug = args.quiet, args.verbose, args.debug
    with messages.shown(world, quiet=quiet, verbose=verbose, debug=debug), ExitStack() as files:

        def stage() -> int:
            if args.log is not None:
                files.enter_context(messages.kept(world, args.log))
            ranks = f"{world.size} rank{'s' * (world.size > 1)}"
            line = shlex.join(["cosmodeep", *words])
            logger.debug("version %s, %s on %s: %s", __version__, args.command, ranks, line)
            settings = world.on_root(
                lambda: configuration.load(args.config or written_in(args), changes)
            )
            return int(args.stage(args, settings, world))

        status = _guarded(stage, world, debug=debug)
        seconds = time.monotonic() - begun
        logger.debug("%s ended with status %d after %.1f s", args.command, status, seconds)
        return status


def _have_a_home() -> None:
    """Name a home that is not there for a user without one: libraries look for their settings."""
    try:
        Path.home()
    except RuntimeError:  # neither HOME nor an entry for this uid
        os.environ["HOME"] = "/nonexistent"


def _guarded(stage: Callable[[], int], world: World, *, debug: bool) -> int:
    """Run a stage and return the exit status; turn each error into a line and its status."""
    try:
        return stage()
    except KeyboardInterrupt:
        return stop(world, "interrupted", 130, everywhere=False)
    except InputError as error:
        return stop(world, str(error), 2, everywhere=is_collective(error))
    except PermissionError as error:  # also raised for a folder that the user may not list
        name = error.filename or "a file"
        text = f"{name}: {error.strerror}; ask its owner, or choose another"
        return stop(world, text, 2, everywhere=is_collective(error))
    except MemoryError as error:
        text = (
            f"not enough memory ({error}); ask for more (--mem of sbatch, ulimit -v), or start "
            "fewer ranks on a node"
        )
        return stop(world, text, 1, everywhere=is_collective(error))
    except Exception as error:
        hint = "" if debug else " (add --debug for the traceback)"
        text = f"fault: {type(error).__name__}: {error}{hint}"
        return stop(world, text, 1, everywhere=is_collective(error))


def written_in(args: argparse.Namespace) -> Path | None:
    """Return the configuration of the folder that the stage continues, if there is one."""
    left: Path = args.out / "config.json" if getattr(args, "summary", False) else Path()
    return left if left.is_file() else None


def stop_unjoined(text: str, status: int) -> int:
    """Print once why ranks that could not join end, by the rank that the launcher calls the first.

    The others wait for it: some launchers end all ranks as soon as one has ended.
    """
    if launched(os.environ).task == 0:
        streams.tell(f"cosmodeep: {' '.join(text.split())}\n")
    else:
        time.sleep(FIRST_WORD_SECONDS)
    return status


def stop(world: World, text: str, status: int, *, everywhere: bool) -> int:
    """Print why the job ends, in one line, and end it on all ranks.

    If every rank has the same error, rank 0 prints it and all return. A rank that fails alone ends
    the others, which may be waiting for it. Call it where the error is handled, so that its
    traceback is known.
    """
    alone = world.size == 1
    if alone or everywhere:
        if world.is_root:
            logger.error("%s", text, exc_info=True)
        return status
    logger.error("rank %d: %s", world.rank, text, exc_info=True)
    world.abort(status)
    return status
