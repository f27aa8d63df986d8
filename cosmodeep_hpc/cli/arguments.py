"""The command line: one subcommand a stage, and `--section.key value` for every option."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from cosmodeep_hpc import __version__
from cosmodeep_hpc.cli import stages
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.survey import DEFAULT_MODEL
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.parallel.world import World

PAPERS_MODEL = "paper-npix40"  # of the models that ship with the package, that of the figures

STAGES = {
    "mock": "Make Sky and Noise images from simulated boxes, or from another simulation's output.",
    "tiles": "Cut Sky/Noise pairs into labelled tiles in HDF5 shards, or draw a sheet of a shard.",
    "train": "Train the network, data-parallel over ranks; a run folder with checkpoints goes on.",
    "tune": "Search the best learning rate, batch and epochs, run by run, or sum a search up.",
    "evaluate": "Accuracy of a model on Sky/Noise pairs it was not trained on, with pictures.",
    "compare": "A model beside PyBDSF, Aegean, plain detectors and the ideal limit, tile by tile.",
    "classify": "Sweep mosaics: masks, islands, regions and pictures of the signal in each.",
    "bench": "Time the training step on this job's ranks, and predict it on 1 to 4096.",
    "report": "Draw the figures and tables of the paper from what the other stages made.",
    "models": "List the models that ship with the package, or print the card of one.",
    "config": "Print every option with its value, unit and meaning, as TOML.",
    "doctor": "Check MPI, Horovod, HDF5, TensorFlow, GPUs, Slurm; say what to do about faults.",
}
"""What each command does; not a docstring, of which `python -OO` has none."""

Stage = Callable[[argparse.Namespace, Config, World], int]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all of ours are."""

    def error(self, message: str) -> NoReturn:
        """Raise an InputError instead of printing the usage."""
        raise InputError(f"{message}; see {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    common = Parser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="TOML file of options")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    loudness = common.add_mutually_exclusive_group()
    loudness.add_argument("--quiet", action="store_true", help="say errors and results only")
    loudness.add_argument("--verbose", action="store_true", help="say details too")
    common.add_argument("--log", type=Path, metavar="FILE", help="add all messages to a file")
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
        text = STAGES[name]
        sub = commands.add_parser(
            name, help=text, description=text, parents=[common], allow_abbrev=False
        )
        sub.set_defaults(stage=stage)
        return sub

    folder: dict[str, Any] = {"type": named, "metavar": "DIR"}
    sub = command("mock", stages.mock)
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
    sub = command("tiles", stages.tiles)
    sub.add_argument("--images", help="folder of sky-*.fits and noise-*.fits pairs", **folder)
    sub.add_argument("--out", type=Path, metavar="DIR", help="folder of shards to make")
    sub.add_argument("--overwrite", action="store_true", help="replace the tile set in --out")
    sub.add_argument("--show", type=Path, metavar="SHARD", help="draw a sheet of a shard's tiles")
    sub = command("train", stages.train)
    sub.add_argument("--tiles", required=True, help="folder of shards", **folder)
    sub.add_argument("--out", required=True, help="run folder", **folder)
    again = sub.add_mutually_exclusive_group()
    again.add_argument("--restart", action="store_true", help="begin anew in a used run folder")
    again.add_argument(
        "--accept-changes", action="store_true",
        help="go on with checkpoints of another configuration, from the start of their epoch",
    )  # fmt: skip
    sub = command("tune", stages.tune)
    sub.add_argument("--tiles", help="folder of shards, some of validation images", **folder)
    sub.add_argument("--out", required=True, help="folder of the search", **folder)
    sub.add_argument(
        "--task", type=task, metavar="K[/N]",
        help="do run K alone, or the runs K, K + N, K + 2N, ... (all are counted from 0)",
    )  # fmt: skip
    sub.add_argument(
        "--summary", action="store_true",
        help="train nothing: rank the runs in --out, list failed and missing ones, draw figures",
    )  # fmt: skip
    sub = command("evaluate", stages.evaluate)
    sub.add_argument("--model", required=True, help="run folder, .keras file or shipped name")
    sub.add_argument("--images", required=True, help="folder of pairs never trained on", **folder)
    sub.add_argument("--out", required=True, help="folder of results", **folder)
    sub = command("compare", stages.compare)
    sub.add_argument("--model", required=True, help="run folder, .keras file or shipped name")
    sub.add_argument("--images", required=True, help="folder of pairs never trained on", **folder)
    sub.add_argument(
        "--choose",
        help="folder of other pairs, by which the other detectors' settings and thresholds are "
        "chosen (default: by --images themselves)",
        **folder,
    )
    sub.add_argument("--out", required=True, help="folder of results", **folder)
    sub = command("classify", stages.classify)
    sub.add_argument("image", type=Path, nargs="*", metavar="IMAGE", help="FITS mosaic")
    sub.add_argument("--list", type=Path, metavar="FILE", help="a text file of images, one a line")
    sub.add_argument(
        "--model",
        help=f"run folder, .keras file or shipped name (default: {DEFAULT_MODEL} of the package)",
    )
    sub.add_argument("--out", required=True, help="folder of products", **folder)
    sub.add_argument(
        "--threshold", type=float, metavar="P", help="probability of signal (default: the model's)"
    )
    sub.add_argument(
        "--hdu", metavar="N", help="number or name of the HDU (default: the first image)"
    )
    sub.add_argument(
        "--plane", type=at_least(0), action="append", metavar="K",
        help="a plane of a cube, from 0; may be given again (default: all)",
    )  # fmt: skip
    sub.add_argument(
        "--beam", type=float, nargs=3, metavar=("BMAJ", "BMIN", "BPA"),
        help="in place of the header's [arcsec, arcsec, deg]",
    )  # fmt: skip
    sub.add_argument(
        "--rms", metavar="RMS",
        help="noise in the image's unit, or a FITS map of it (default: measured)",
    )  # fmt: skip
    sub.add_argument(
        "--refine", action="store_true", help="follow islands at the scale of the beam, too"
    )
    sub.add_argument(
        "--strict", action="store_true", help="end with the first image that cannot be swept"
    )
    sub.add_argument(
        "--restart", action="store_true", help="do anew what an earlier sweep has left in --out"
    )
    sub = command("bench", stages.bench)
    sub.add_argument("--out", type=Path, metavar="FILE", help="JSON file to write too")
    sub.add_argument(
        "--steps", type=at_least(2), default=20, metavar="N", help="steps timed of each kind"
    )
    sub.add_argument(
        "--network", choices=["hdr", "aries"], default="hdr",
        help="what lies between nodes, for the prediction: HDR InfiniBand, or Cray Aries",
    )  # fmt: skip
    sub.add_argument("--latency", type=float, metavar="US", help="its latency in microseconds")
    sub.add_argument("--bandwidth", type=float, metavar="GB/S", help="its bandwidth in GB/s")
    sub = command("report", stages.report)
    sub.add_argument("--out", required=True, help="folder of figures and tables", **folder)
    sub.add_argument("--sky", help="folder that mock made, with its boxes: figure 2", **folder)
    sub.add_argument(
        "--images", help="pairs that no --model was trained on: figures 3, 4, 7-9, 11", **folder
    )
    sub.add_argument("--image", metavar="NAME", help="the pair to draw (default: the first)")
    sub.add_argument(
        "--model", action="append",
        help="run folder, .keras file or shipped name; may be given again, to compare models in "
        f"figures 8 and 9 ({PAPERS_MODEL})",
    )  # fmt: skip
    sub.add_argument(
        "--evaluations", help="results of evaluate, in sub-folders: table 2, reliability", **folder
    )
    sub.add_argument(
        "--cluster-mass", type=positive, default=1e14, metavar="MSUN",
        help="M100 from which a halo counts as a cluster in figure 11 (%(default)g)",
    )  # fmt: skip
    sub = command("models", stages.models)
    sub.add_argument("name", nargs="?", metavar="NAME", help="print the card of this model")
    command("config", stages.show_config)
    text = STAGES["doctor"]
    commands.add_parser("doctor", help=text, description=text, allow_abbrev=False)
    return parser


def named(word: str) -> Path:
    """A folder on the command line; an empty word, of a variable that is not set, is none."""
    if not word:
        raise argparse.ArgumentTypeError("an empty name; expected that of a folder")
    return Path(word)


def at_least(low: int) -> Callable[[str], int]:
    """A whole number of at least `low` on the command line."""

    def convert(word: str) -> int:
        number = int(word)
        if number < low:
            raise argparse.ArgumentTypeError(f"{number}: expected at least {low}")
        return number

    convert.__name__ = "whole number"
    return convert


def positive(word: str) -> float:
    """A finite number above 0 on the command line.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    number = float(word)
    if not (number > 0 and isfinite(number)):
        raise argparse.ArgumentTypeError(f"{word}: expected a number above 0")
    return number


def part(word: str) -> tuple[int, int]:
    """Which part of how many, `K/N` on the command line.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    number, slash, count = word.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and int(number) < int(count)):
        raise argparse.ArgumentTypeError(f"{word}: expected K/N, K from 0 to N - 1")
    return int(number), int(count)


def task(word: str) -> tuple[int, int | None]:
    """Which run, `K` on the command line, or which of every N runs, `K/N`.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if "/" in word:
        return part(word)
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"{word}: expected K or K/N, K from 0")
    return int(word), None


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
