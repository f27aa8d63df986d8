"""`cosmodeep report`."""

from __future__ import annotations

import argparse

from cosmodeep_hpc.cli import words
from cosmodeep_hpc.cli.output import progress_of, say
from cosmodeep_hpc.cli.words import FOLDER
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.survey import PAPERS_MODEL
from cosmodeep_hpc.parallel.world import World

HELP = "Draw the figures and tables of the paper from what the other stages made."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--out", required=True, help="folder of figures and tables", **FOLDER)
    parser.add_argument("--sky", help="folder that mock made, with its boxes: figure 2", **FOLDER)
    parser.add_argument(
        "--images", help="pairs that no --model was trained on: figures 3, 4, 7-9, 11", **FOLDER
    )
    parser.add_argument(
        "--image", type=words.text, metavar="NAME", help="the pair to draw (default: the first)"
    )
    parser.add_argument(
        "--model", type=words.text, action="append",
        help="run folder, .keras file or shipped name; may be given again, to compare models in "
        f"figures 8 and 9 ({PAPERS_MODEL})",
    )  # fmt: skip
    parser.add_argument(
        "--evaluations", help="results of evaluate, in sub-folders: table 2, reliability", **FOLDER
    )
    parser.add_argument(
        "--cluster-mass", type=words.positive, default=1e14, metavar="MSUN",
        help="M100 from which a halo counts as a cluster in figure 11 (%(default)g)",
    )  # fmt: skip


def run(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Draw the figures and tables of the paper from what the other stages made."""
    from cosmodeep_hpc.paper import figures

    request = figures.FigureRequest(
        models=tuple(args.model or [PAPERS_MODEL]),
        sky=args.sky,
        sky_config=settings if args.config else None,
        images=args.images,
        image=args.image,
        evaluations=args.evaluations,
        cluster_mass=args.cluster_mass,
    )
    progress = progress_of("figures", args, world)
    say(world, figures.run(settings, request, args.out, world, progress=progress))
    return 0
