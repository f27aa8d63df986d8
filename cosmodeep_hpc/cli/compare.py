"""`cosmodeep compare`."""

from __future__ import annotations

import argparse

from cosmodeep_hpc.cli import words
from cosmodeep_hpc.cli.output import progress_of, say
from cosmodeep_hpc.cli.words import FOLDER
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.parallel.world import World

HELP = "A model beside PyBDSF, Aegean, ContinUNet, plain detectors and the ideal limit."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--model", type=words.text, required=True, help="run folder, .keras file or shipped name"
    )
    parser.add_argument(
        "--images", required=True, help="folder of pairs never trained on", **FOLDER
    )
    parser.add_argument(
        "--choose",
        help="folder of other pairs, by which the other detectors' settings and thresholds are "
        "chosen (default: by --images themselves)",
        **FOLDER,
    )
    parser.add_argument("--out", required=True, help="folder of results", **FOLDER)
    parser.add_argument(
        "--beside",
        help="results of an earlier comparison, on other images, whose objects are drawn beside",
        **FOLDER,
    )


def run(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Compare a model with source finders: by tiles, pixels and objects."""
    from cosmodeep_hpc.comparison import compare as stage
    from cosmodeep_hpc.comparison import table

    result = stage.run(
        settings,
        args.model,
        args.images,
        args.out,
        world,
        choose=args.choose,
        beside=args.beside,
        progress=progress_of("images", args, world),
    )
    say(world, table.text(result))
    return 0
