"""`cosmodeep evaluate`."""

from __future__ import annotations

import argparse

from cosmodeep_hpc.cli import words
from cosmodeep_hpc.cli.output import progress_of, say
from cosmodeep_hpc.cli.words import FOLDER
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.parallel.world import World

HELP = "Accuracy of a model on Sky/Noise pairs it was not trained on, with pictures."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--model", type=words.text, required=True, help="run folder, .keras file or shipped name"
    )
    parser.add_argument(
        "--images", required=True, help="folder of pairs never trained on", **FOLDER
    )
    parser.add_argument("--out", required=True, help="folder of results", **FOLDER)


def run(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Measure the accuracy of a model on Sky/Noise pairs it was not trained on, with pictures."""
    from cosmodeep_hpc.evaluation import evaluate as stage

    progress = progress_of("images", args, world)
    result = stage.run(settings, args.model, args.images, args.out, world, progress=progress)
    say(world, stage.table(result))
    return 0
