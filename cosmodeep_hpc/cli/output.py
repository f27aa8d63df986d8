"""The output of a command: results on standard output, progress on standard error."""

from __future__ import annotations

import argparse

from cosmodeep_hpc.io import messages
from cosmodeep_hpc.io.progress import ProgressBar
from cosmodeep_hpc.parallel.world import World


def say(world: World, text: str) -> None:
    """Print a result on rank 0."""
    if world.is_root:
        messages.print_result(text)


def progress_of(label: str, args: argparse.Namespace, world: World) -> ProgressBar:
    """Return the progress of a stage, shown by rank 0 unless the user wants it quiet."""
    return ProgressBar(label, speaks=world.is_root and not args.quiet)
