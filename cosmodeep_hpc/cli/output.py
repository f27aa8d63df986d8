"""The output of a command: results on standard output, progress on standard error."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io import messages
from cosmodeep_hpc.io.progress import ProgressBar
from cosmodeep_hpc.parallel.signals import IDLE, STOPPED, StopRequest
from cosmodeep_hpc.parallel.world import World


def say(world: World, text: str) -> None:
    """Print a result on rank 0."""
    if world.is_root:
        messages.print_result(text)


def say_stopped(world: World, out: Path, stop: StopRequest) -> int:
    """Say that the job was told to end; return the status by which batch systems start it again.

    A full standard output must not change that status.
    """
    idle = not world.any(stop.done > 0)
    what = "before anything was done" if idle else f"all saved in {out}"
    with suppress(InputError):
        say(world, f"told to end (USR1 or SIGTERM), {what}; the same command goes on from there")
    return IDLE if idle else STOPPED


def progress_of(label: str, args: argparse.Namespace, world: World) -> ProgressBar:
    """Return the progress of a stage, shown by rank 0 unless the user wants it quiet."""
    return ProgressBar(label, speaks=world.is_root and not args.quiet)
