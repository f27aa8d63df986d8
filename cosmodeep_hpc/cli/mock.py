"""`cosmodeep mock`."""

from __future__ import annotations

import argparse

from cosmodeep_hpc.cli import words
from cosmodeep_hpc.cli.output import progress_of, say
from cosmodeep_hpc.cli.words import FOLDER
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.parallel.world import World

HELP = "Make Sky and Noise images from simulated boxes, or from another simulation's output."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--out", required=True, help="folder of images to make", **FOLDER)
    parser.add_argument(
        "--images",
        type=words.at_least(0),
        default=1,
        metavar="N",
        help="pairs to make; 0: boxes alone",
    )
    parser.add_argument(
        "--first", type=words.at_least(0), default=0, metavar="K", help="number of the first pair"
    )
    parser.add_argument(
        "--test", action="store_true",
        help="a sky to test on: boxes of sky.test_seeds, other noise (of a --simulation, which "
        "has no other boxes: other noise and orientations; better give PATHs of another run)",
    )  # fmt: skip
    parser.add_argument(
        "--part", type=words.part, default=(0, 1), metavar="K/N",
        help="make part K (from 0) of N of these pairs: one job of many in a folder",
    )  # fmt: skip
    parser.add_argument(
        "--summary", action="store_true", help="make no pair: sum up those that are in --out"
    )
    parser.add_argument(
        "--calibrate", action="store_true",
        help="fit efficiency, Mach cut and B to the paper's signal tiles on --images fields",
    )  # fmt: skip
    parser.add_argument(
        "--simulation", type=words.named("file or folder"), nargs="+", default=[], metavar="PATH",
        help="outputs of a simulation: HDF5 cubes, Enzo dumps, what yt loads",
    )  # fmt: skip


def run(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Make Sky and Noise images from simulated boxes, or from another simulation's output."""
    from cosmodeep_hpc.sky import mock as stage

    if args.summary:
        from cosmodeep_hpc.sky import summary

        pairs = progress_of("pairs", args, world)
        say(world, summary.run(settings, args.out, world, pairs))
        return 0
    boxes_alone = args.calibrate or not args.images
    progress = progress_of("boxes" if boxes_alone else "images", args, world)
    if args.calibrate:
        from cosmodeep_hpc.sky import calibrate

        stage.run(settings, args.out, 0, world, progress=progress)
        trials = progress_of("trials", args, world)
        calibrate.run(settings, args.out, max(args.images, 2), world, trials)
        say(world, (args.out / "calibration.txt").read_text())
        return 0
    stage.run(
        settings,
        args.out,
        args.images,
        world,
        first=args.first,
        progress=progress,
        test=args.test,
        simulation=args.simulation,
        part=args.part,
    )
    made = words.counted(args.images, "Sky/Noise pair") if args.images else "boxes"
    if args.part[1] > 1:
        made = f"part {args.part[0]}/{args.part[1]} of {made}"
    say(world, f"{made} in {args.out}")
    return 0
