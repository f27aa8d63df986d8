"""`cosmodeep tiles`."""

from __future__ import annotations

import argparse

from cosmodeep_hpc.cli import words
from cosmodeep_hpc.cli.output import progress_of, say
from cosmodeep_hpc.cli.words import FOLDER
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.parallel.world import World, collective

HELP = "Cut Sky/Noise pairs into labelled tiles in HDF5 shards, or draw a sheet of a shard."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--images", help="folder of sky-*.fits and noise-*.fits pairs", **FOLDER)
    parser.add_argument("--out", help="folder of shards to make; the picture of --show", **FOLDER)
    parser.add_argument("--overwrite", action="store_true", help="replace the tile set in --out")
    parser.add_argument(
        "--show", type=words.named("file"), metavar="SHARD",
        help="draw a sheet of a shard's tiles (--out FILE.png; default: beside the shard)",
    )  # fmt: skip


def run(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Cut Sky/Noise pairs into labelled tiles in HDF5 shards, or draw a sheet of a shard."""
    if args.show is not None:
        from cosmodeep_hpc.tiles import sheet

        picture = args.out or args.show.with_suffix(".png")
        count, signal = world.on_root(lambda: sheet.draw(args.show, picture, settings.label))
        say(
            world,
            f"{args.show}: {words.counted(count, 'tile')}, {signal} signal; drawn in {picture}",
        )
        return 0
    if args.images is None or args.out is None:
        raise collective(InputError("tiles: expected --images DIR and --out DIR, or --show SHARD"))
    from cosmodeep_hpc.tiles import make

    progress = progress_of("shards", args, world)
    made = make.run(
        settings, args.images, args.out, world, overwrite=args.overwrite, progress=progress
    )
    left_out = sum(image.left_out for image in made.images)
    say(
        world,
        f"{words.counted(made.n_rows, 'tile')} of {words.counted(len(made.images), 'image')} in "
        f"{words.counted(len(made.shards), 'shard')} in "
        f"{args.out} ({words.counted(left_out, 'partial or blank tile')} left out)",
    )
    return 0
