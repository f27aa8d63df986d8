"""`cosmodeep bench`."""

from __future__ import annotations

import argparse

from cosmodeep_hpc.cli import words
from cosmodeep_hpc.cli.output import progress_of, say
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.parallel.world import World

HELP = "Time the training step on this job's ranks, and predict it on 1 to 4096."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--out", help="JSON file to write too", **words.FILE)
    parser.add_argument(
        "--steps", type=words.at_least(2), default=20, metavar="N", help="steps timed of each kind"
    )
    parser.add_argument(
        "--network", choices=["hdr", "aries"], default="hdr",
        help="what lies between nodes, for the prediction: HDR InfiniBand, or Cray Aries",
    )  # fmt: skip
    parser.add_argument("--latency", type=float, metavar="US", help="its latency in microseconds")
    parser.add_argument("--bandwidth", type=float, metavar="GB/S", help="its bandwidth in GB/s")


def run(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Time the training step on this job's ranks, and predict it on 1 to 4096."""
    from cosmodeep_hpc.bench import costmodel, timings
    from cosmodeep_hpc.bench import measurement as stage
    from cosmodeep_hpc.io.files import write_json

    between = costmodel.chosen(args.network, args.latency, args.bandwidth)
    progress = progress_of("measurements", args, world)
    found = stage.run(settings, world, steps=args.steps, out=args.out, progress=progress)
    say(world, timings.table(found, between))
    if args.out is not None:
        world.on_root(lambda: write_json(args.out, found.as_dict(between)))
    return 0
