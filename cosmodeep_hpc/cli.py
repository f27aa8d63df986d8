"""The command `cosmodeep`: one subcommand a stage, and no logic."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from cosmodeep_hpc import __version__, config
from cosmodeep_hpc.config import Config
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.files import make_folder
from cosmodeep_hpc.progress import Progress
from cosmodeep_hpc.world import World, known, open_world

Stage = Callable[[argparse.Namespace, Config, World], int]


def mock(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Make Sky and Noise images from simulated boxes, or from another simulation's output."""
    from cosmodeep_hpc.sky import mock as stage

    if args.summary:
        from cosmodeep_hpc.sky import summary

        pairs = Progress("pairs", speaks=world.is_root)
        say(world, summary.run(settings, args.out, world, pairs))
        return 0
    boxes_alone = args.calibrate or not args.images
    progress = Progress("boxes" if boxes_alone else "images", speaks=world.is_root)
    if args.calibrate:
        from cosmodeep_hpc.sky import calibrate

        stage.run(settings, args.out, 0, world, progress=progress)
        trials = Progress("trials", speaks=world.is_root)
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
        note=lambda line: print(f"cosmodeep: {line}", file=sys.stderr, flush=True),
        part=args.part,
    )
    made = f"{args.images} Sky/Noise pairs" if args.images else "boxes"
    if args.part[1] > 1:
        made = f"part {args.part[0]}/{args.part[1]} of {made}"
    say(world, f"{made} in {args.out}")
    return 0


def tiles(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Cut Sky/Noise pairs into labelled tiles in HDF5 shards, or draw a sheet of a shard."""
    if args.show is not None:
        from cosmodeep_hpc.tiles import sheet

        picture = args.out or Path(f"{args.show.stem}.png")
        count, signal = world.on_root(lambda: sheet.draw(args.show, picture, settings.label))
        say(world, f"{args.show}: {count} tiles, {signal} signal; drawn in {picture}")
        return 0
    if args.images is None or args.out is None:
        raise known(InputError("tiles: expected --images DIR and --out DIR, or --show SHARD"))
    from cosmodeep_hpc.tiles import make

    progress = Progress("shards", speaks=world.is_root)
    made = make.run(
        settings, args.images, args.out, world, overwrite=args.overwrite, progress=progress
    )
    left_out = sum(image.left_out for image in made.images)
    say(
        world,
        f"{made.n_rows} tiles of {len(made.images)} images in {len(made.shards)} shards in "
        f"{args.out} ({left_out} partial or blank tiles left out)",
    )
    return 0


def train(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Train the network, data-parallel over ranks; a run folder with checkpoints is continued."""
    from cosmodeep_hpc.learn import trainer
    from cosmodeep_hpc.learn.notice import STOPPED

    progress = Progress("steps", speaks=world.is_root)
    model = trainer.run(
        settings, args.tiles, args.out, world, restart=args.restart, progress=progress
    )
    if model is None:
        say(world, f"stopped by USR1, all saved in {args.out}; the same command goes on from there")
        return STOPPED
    say(world, f"model in {model}")
    return 0


def evaluate(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Accuracy of a model on Sky/Noise pairs it was not trained on, with pictures."""
    from cosmodeep_hpc.report import evaluate as stage

    progress = Progress("images", speaks=world.is_root)
    result = stage.run(settings, args.model, args.images, args.out, world, progress=progress)
    say(world, stage.table(result))
    return 0


def classify(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Sweep mosaics: probability, tiles, mask and picture of each."""
    from cosmodeep_hpc.survey import sweep

    progress = Progress("stripes", speaks=world.is_root)
    results = sweep.run(
        settings,
        args.model,
        args.image,
        args.out,
        world,
        threshold=args.threshold,
        progress=progress,
    )
    say(world, sweep.table(results))
    return 0


def report(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Draw the figures of the paper from what the other stages made."""
    from cosmodeep_hpc.report import cosmicweb

    of_sky = settings if args.config else config.load(args.sky / "config.json")
    path = args.out / "cosmic-web.jpg"
    progress = Progress("slabs", speaks=world.is_root)

    def draw() -> None:
        make_folder(args.out)
        cosmicweb.draw(of_sky, args.sky, path, progress)

    world.on_root(draw)
    say(world, f"gas and emission down to three redshifts (figure 2) in {path}")
    return 0


def show_config(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Print every option with its value, unit and meaning, as TOML."""
    for name, section in config.sections().items():
        say(world, f"\n# {(section.__doc__ or '').splitlines()[0]}\n[{name}]")
        for field in dataclasses.fields(section):
            value = getattr(getattr(settings, name), field.name)
            unit = field.metadata["unit"]
            help_text = f"{field.metadata['help']}{f' [{unit}]' if unit else ''}"
            say(world, f"{field.name} = {json.dumps(value)}  # {help_text}")
    return 0


def say(world: World, text: str) -> None:
    """Print a result on rank 0."""
    if world.is_root:
        print(text, flush=True)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all of ours are."""

    def error(self, message: str) -> NoReturn:
        """Raise an InputError instead of printing the usage."""
        raise InputError(f"{message}; see {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    common = Parser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="TOML file of options")
    common.add_argument("--debug", action="store_true", help="show a traceback on a fault")
    parser = Parser(
        prog="cosmodeep",
        description="Find the diffuse radio emission of the cosmic web in survey images.",
        epilog="Every option of `cosmodeep config` is also --section.key VALUE. Every stage runs "
        "alone, under mpirun and under srun, with the same result.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"cosmodeep {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, stage: Stage) -> argparse.ArgumentParser:
        text = (stage.__doc__ or "").splitlines()[0]
        sub = commands.add_parser(
            name, help=text, description=text, parents=[common], allow_abbrev=False
        )
        sub.set_defaults(stage=stage)
        return sub

    folder: dict[str, Any] = {"type": Path, "metavar": "DIR"}
    sub = command("mock", mock)
    sub.add_argument("--out", required=True, help="folder of images to make", **folder)
    sub.add_argument(
        "--images", type=at_least(0), default=1, metavar="N", help="pairs to make; 0: boxes alone"
    )
    sub.add_argument(
        "--first", type=at_least(0), default=0, metavar="K", help="number of the first pair"
    )
    sub.add_argument(
        "--test", action="store_true",
        help="a sky to test on: boxes of sky.test_seeds, other noise (of a --simulation, which "
        "has no other boxes: other noise and orientations; better give PATHs of another run)",
    )  # fmt: skip
    sub.add_argument(
        "--part", type=part, default=(0, 1), metavar="K/N",
        help="make part K (from 0) of N of these pairs: one job of many in a folder",
    )  # fmt: skip
    sub.add_argument(
        "--summary", action="store_true", help="make no pair: sum up those that are in --out"
    )
    sub.add_argument(
        "--calibrate", action="store_true",
        help="fit efficiency, Mach cut and B to the paper's signal tiles on --images fields",
    )  # fmt: skip
    sub.add_argument(
        "--simulation", type=Path, nargs="+", default=[], metavar="PATH",
        help="outputs of a simulation: HDF5 cubes, Enzo dumps, what yt loads",
    )  # fmt: skip
    sub = command("tiles", tiles)
    sub.add_argument("--images", help="folder of sky-*.fits and noise-*.fits pairs", **folder)
    sub.add_argument("--out", type=Path, metavar="DIR", help="folder of shards to make")
    sub.add_argument("--overwrite", action="store_true", help="replace the tile set in --out")
    sub.add_argument("--show", type=Path, metavar="SHARD", help="draw a sheet of a shard's tiles")
    sub = command("train", train)
    sub.add_argument("--tiles", required=True, help="folder of shards", **folder)
    sub.add_argument("--out", required=True, help="run folder", **folder)
    sub.add_argument("--restart", action="store_true", help="begin anew in a used run folder")
    sub = command("evaluate", evaluate)
    sub.add_argument("--model", required=True, help="run folder, .keras file or shipped name")
    sub.add_argument("--images", required=True, help="folder of pairs never trained on", **folder)
    sub.add_argument("--out", required=True, help="folder of results", **folder)
    sub = command("classify", classify)
    sub.add_argument("image", type=Path, nargs="+", metavar="IMAGE", help="FITS mosaic")
    sub.add_argument("--model", required=True, help="run folder, .keras file or shipped name")
    sub.add_argument("--out", required=True, help="folder of products", **folder)
    sub.add_argument(
        "--threshold", type=float, help="probability of signal (default: the model's own)"
    )
    sub = command("report", report)
    sub.add_argument("--sky", required=True, help="folder that mock made", **folder)
    sub.add_argument("--out", required=True, help="folder of figures", **folder)
    command("config", show_config)
    text = "Check MPI, Horovod, HDF5, TensorFlow, GPUs and Slurm, and say what to do about faults."
    commands.add_parser("doctor", help=text, description=text, allow_abbrev=False)
    return parser


def at_least(low: int) -> Callable[[str], int]:
    """A whole number of at least `low` on the command line."""

    def convert(word: str) -> int:
        number = int(word)
        if number < low:
            raise argparse.ArgumentTypeError(f"{number}: expected at least {low}")
        return number

    convert.__name__ = "whole number"
    return convert


def part(word: str) -> tuple[int, int]:
    """Which part of how many, `K/N` on the command line.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    number, slash, count = word.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and int(number) < int(count)):
        raise argparse.ArgumentTypeError(f"{word}: expected K/N, K from 0 to N - 1")
    return int(number), int(count)


def written_in(args: argparse.Namespace) -> Path | None:
    """The configuration of what the stage goes on with, where none is given."""
    left: Path = args.out / "config.json" if getattr(args, "summary", False) else Path()
    return left if left.is_file() else None


def overrides(argv: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """The `--section.key value` (or `--section.key=value`) pairs of a command line, and the rest.

    They are taken out first: argparse would give the value to the next free argument.

    Raises:
        InputError: one without its value.
    """
    pairs, others = [], []
    rest = iter(argv)
    for word in rest:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or "." not in name:
            others.append(word)
            continue
        if not equals:
            value = next(rest, "--")
            if value.startswith("--"):
                raise InputError(f"{word}: expected a value after it")
        pairs.append((name, value))
    return pairs, others


def main(argv: Sequence[str] | None = None) -> int:
    """Run a stage; the exit status: 0 done, 2 bad usage or input, 1 a fault, 75 stopped by USR1."""
    try:
        changes, rest = overrides(sys.argv[1:] if argv is None else argv)
        args = build_parser().parse_args(rest)
    except InputError as error:
        print(f"cosmodeep: {error}", file=sys.stderr)
        return 2
    if args.command == "doctor":  # it must answer where MPI does not start
        from cosmodeep_hpc.doctor import run

        return run()
    try:
        world = open_world()
    except (ImportError, RuntimeError) as error:
        text = " ".join(str(error).split())
        print(f"cosmodeep: MPI does not start ({text}); run `cosmodeep doctor`", file=sys.stderr)
        return 1
    try:
        settings = world.on_root(lambda: config.load(args.config or written_in(args), changes))
        return int(args.stage(args, settings, world))
    except KeyboardInterrupt:
        return stop(world, "interrupted", 130, everywhere=False)
    except InputError as error:
        if args.debug:
            traceback.print_exc()
        return stop(world, str(error), 2, everywhere=hasattr(error, "known_to_all"))
    except Exception as error:
        if args.debug:
            traceback.print_exc()
        hint = "" if args.debug else " (add --debug for the traceback)"
        text = f"fault: {type(error).__name__}: {error}{hint}"
        return stop(world, text, 1, everywhere=hasattr(error, "known_to_all"))


def stop(world: World, text: str, status: int, *, everywhere: bool) -> int:
    """Say why the job ends, in one line, and end it on all ranks.

    Where every rank has the same error, rank 0 speaks and all return; a rank that fails alone
    takes the others, which may be waiting for it, down with it.
    """
    line = " ".join(text.split())
    alone = world.size == 1
    if alone or everywhere:
        if world.is_root:
            print(f"cosmodeep: {line}", file=sys.stderr, flush=True)
        return status
    print(f"cosmodeep: rank {world.rank}: {line}", file=sys.stderr, flush=True)
    world.abort(status)
    return status
