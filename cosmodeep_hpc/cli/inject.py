"""`cosmodeep inject`."""

from __future__ import annotations

import argparse
from pathlib import Path

from cosmodeep_hpc.cli import startup, words
from cosmodeep_hpc.cli.classify import add_sweep_arguments, request_of
from cosmodeep_hpc.cli.output import progress_of, say
from cosmodeep_hpc.cli.words import FILE, FOLDER
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.parallel.world import World

HELP = "Put halos, relics or bridges into an image: completeness and upper limits."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("image", help="FITS image", **FILE | {"metavar": "IMAGE"})
    parser.add_argument("--out", required=True, help="folder of results", **FOLDER)
    parser.add_argument(
        "--source", help="an image of the source (default: the shape of inject.source)", **FILE
    )
    parser.add_argument(
        "--at", action="append", default=[], metavar='"RA DEC"', type=words.text,
        help="where it is put: degrees, or hours and degrees; may be given again (default: at "
        "random)",
    )  # fmt: skip
    parser.add_argument("--list", help="a VOTable or region file of places", **FILE)
    add_sweep_arguments(parser, planes="needed where there are several")


def run(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Put sources into an image and say which are found."""
    with startup.importing():
        from cosmodeep_hpc.injection.inject import InjectRequest, inject
        from cosmodeep_hpc.injection.places import positions_of
        from cosmodeep_hpc.injection.results import InjectionResult, prepare

    positions = world.on_root(lambda: positions_of(args.at, args.list))
    world.on_root(lambda: prepare(args.out, Path(args.image)))
    request = InjectRequest(Path(args.image), request_of(args), args.source, positions)
    progress = progress_of("sources", args, world)
    done = inject(request, settings, world, progress)
    result = None if done is None else InjectionResult(done)
    world.on_root(lambda: result and result.write(args.out))
    say(world, str(result))
    return 0
