"""The output of a command: results on standard output, progress on standard error."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io import messages
from cosmodeep_hpc.io.progress import ProgressBar
from cosmodeep_hpc.parallel.signals import STOPPED
from cosmodeep_hpc.parallel.world import World


def say(world: World, text: str) -> None:
    """Print a result on rank 0."""
    if world.is_root:
        messages.print_result(text)


def say_stopped(world: World, out: Path) -> int:
    """Say that USR1 ended the job; return the status by which batch systems start it again.

    A full standard output must not change that status.
    """
    with suppress(InputError):
        say(world, f"stopped by USR1, all saved in {out}; the same command goes on from there")
    return STOPPED


def progress_of(label: str, args: argparse.Namespace, world: World) -> ProgressBar:
    """Return the progress of a stage, shown by rank 0 unless the user wants it quiet."""
    return ProgressBar(label, speaks=world.is_root and not args.quiet)
