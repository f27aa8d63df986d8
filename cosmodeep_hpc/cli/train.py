"""`cosmodeep train`."""

from __future__ import annotations

import argparse

from cosmodeep_hpc.cli.output import progress_of, say, say_stopped
from cosmodeep_hpc.cli.words import FOLDER
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.parallel.signals import StopRequest
from cosmodeep_hpc.parallel.world import World

HELP = "Train the network, data-parallel over ranks; a run folder with checkpoints goes on."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--tiles", required=True, help="folder of shards", **FOLDER)
    parser.add_argument("--out", required=True, help="run folder", **FOLDER)
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--restart", action="store_true", help="begin anew in a used run folder")
    again.add_argument(
        "--accept-changes", action="store_true",
        help="go on with checkpoints of another configuration, from the start of their epoch",
    )  # fmt: skip


def run(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Train the network, data-parallel over ranks; a run folder with checkpoints is continued."""
    from cosmodeep_hpc.learn import trainer

    progress = progress_of("steps", args, world)
    with StopRequest() as stop:
        model = trainer.run(
            settings,
            args.tiles,
            args.out,
            world,
            restart=args.restart,
            accept_changes=args.accept_changes,
            progress=progress,
            stop=stop,
        )
    if model is None:
        return say_stopped(world, args.out, stop)
    say(world, f"model in {model}")
    return 0
