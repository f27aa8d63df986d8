"""`cosmodeep calibrate`."""

from __future__ import annotations

import argparse

from cosmodeep_hpc.cli import words
from cosmodeep_hpc.cli.output import progress_of, say
from cosmodeep_hpc.cli.words import FILE, FOLDER
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.parallel.world import World

HELP = "Fit a network's map of pixels, calibrations and thresholds on Sky/Noise pairs."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--model", type=words.text, required=True, help="run folder, .keras file or shipped name"
    )
    parser.add_argument(
        "--images",
        action="append",
        required=True,
        help="folder of pairs never trained on; may be repeated",
        **FOLDER,
    )
    parser.add_argument("--out", required=True, help="the calibrated .keras file", **FILE)


def run(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Fit a network's map of pixels, calibrations and thresholds on Sky/Noise pairs."""
    from cosmodeep_hpc.evaluation import calibrate as stage

    progress = progress_of("images", args, world)
    card = stage.run(settings, args.model, args.images, args.out, world, progress=progress)
    say(world, stage.table(card))
    return 0
