"""`cosmodeep models`."""

from __future__ import annotations

import argparse

from cosmodeep_hpc.cli.output import say
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.parallel.world import World

HELP = "List the models that ship with the package, or print a model's card."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="print the card of this model: a shipped one, a run folder or a .keras file",
    )


def run(args: argparse.Namespace, settings: Config, world: World) -> int:
    """List the models that ship with the package, or print a model's card."""
    from cosmodeep_hpc.learn import shipped

    say(world, world.on_root(lambda: shipped.describe(args.name) if args.name else shipped.table()))
    return 0
