"""`cosmodeep tune`."""

from __future__ import annotations

import argparse

from cosmodeep_hpc.cli import words
from cosmodeep_hpc.cli.output import progress_of, say, say_stopped
from cosmodeep_hpc.cli.words import FOLDER
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.parallel.signals import StopRequest
from cosmodeep_hpc.parallel.world import World, collective

HELP = "Search the best learning rate, batch and epochs, run by run, or sum a search up."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--tiles", help="folder of shards, some of validation images", **FOLDER)
    parser.add_argument("--out", required=True, help="folder of the search", **FOLDER)
    parser.add_argument(
        "--task", type=words.task, metavar="K[/N]",
        help="do run K alone, or the runs K, K + N, K + 2N, ... (all are counted from 0)",
    )  # fmt: skip
    parser.add_argument(
        "--summary", action="store_true",
        help="train nothing: rank the runs in --out, list failed and missing ones, draw figures",
    )  # fmt: skip


def run(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Search the best learning rate, batch and epochs, run by run, or sum a search up."""
    if args.summary:
        from cosmodeep_hpc.learn.tune import summary

        say(world, world.on_root(lambda: summary.run(settings, args.out, args.tiles)))
        return 0
    if args.tiles is None:
        raise collective(InputError("tune: expected --tiles DIR, or --summary"))
    from cosmodeep_hpc.learn.tune import grid, runs

    first, step = args.task or (0, 1)
    numbers = [first] if step is None else range(first, grid.count(settings.tune), step)
    with StopRequest() as stop:
        outcome = runs.run(
            settings,
            args.tiles,
            args.out,
            world,
            numbers,
            progress=lambda label: progress_of(label, args, world),
            stop=stop,
        )
    done, kept, failed = (len(group) for group in (outcome.done, outcome.kept, outcome.failed))
    elsewhere = f", {len(outcome.elsewhere)} left to other jobs" if outcome.elsewhere else ""
    counts = f"{words.counted(done, 'run')} done, {kept} there already, {failed} failed{elsewhere}"
    say(world, f"{counts}; results in {args.out}")
    if outcome.stopped:
        return say_stopped(world, args.out, stop)
    say(world, f"ranking and figures: cosmodeep tune --summary --out {args.out}")
    return 1 if outcome.failed else 0
