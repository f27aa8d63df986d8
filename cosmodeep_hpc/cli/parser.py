"""The command line: one subcommand a stage, and `--section.key value` for every option."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import NoReturn

from cosmodeep_hpc import __version__
from cosmodeep_hpc.cli import (
    bench,
    calibrate,
    classify,
    compare,
    config,
    evaluate,
    inject,
    mock,
    models,
    report,
    tiles,
    train,
    tune,
)
from cosmodeep_hpc.cli.words import FILE
from cosmodeep_hpc.config.configuration import sections
from cosmodeep_hpc.config.section import nearest
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io.messages import flush_results

COMMANDS = {
    "mock": mock,
    "tiles": tiles,
    "train": train,
    "tune": tune,
    "calibrate": calibrate,
    "evaluate": evaluate,
    "compare": compare,
    "classify": classify,
    "inject": inject,
    "bench": bench,
    "report": report,
    "models": models,
    "config": config,
}
"""The module of each command; `doctor` has none, since it must run where nothing else does."""
DOCTOR = "Check MPI, Horovod, HDF5, TensorFlow, GPUs, Slurm; say what to do about faults."


class Parser(argparse.ArgumentParser):
    """A parser that reports errors in one line, like all commands."""

    def error(self, message: str) -> NoReturn:
        """Raise an InputError instead of printing the usage."""
        raise InputError(f"{message}; see {self.prog} --help")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End after --help or --version, which standard output must have taken."""
        flush_results()
        super().exit(status, message)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    common = Parser(add_help=False)
    common.add_argument("--config", help="TOML file of options", **FILE)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    loudness = common.add_mutually_exclusive_group()
    loudness.add_argument("--quiet", action="store_true", help="say errors and results only")
    loudness.add_argument("--verbose", action="store_true", help="say details too")
    common.add_argument("--log", help="add all messages to a file", **FILE)
    parser = Parser(
        prog="cosmodeep",
        description="Find the diffuse radio emission of the cosmic web in survey images.",
        epilog="Every option of `cosmodeep config` is also --section.key VALUE. Every stage runs "
        "alone, under mpirun and under srun, with the same result.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"cosmodeep {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    for name, module in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            parents=[common],
            allow_abbrev=False,
        )
        module.add_arguments(sub)
        sub.set_defaults(stage=module.run)
    commands.add_parser("doctor", help=DOCTOR, description=DOCTOR, allow_abbrev=False)
    return parser


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return the arguments of a command line that `overrides` has gone through.

    Raises:
        InputError: bad usage.
    """
    args, unknown = build_parser().parse_known_args(words)
    if unknown:
        meant = next(
            (_option_meant(word, args.command) for word in unknown if word[:2] == "--"), ""
        )
        found = f"unrecognized arguments: {' '.join(unknown)}"
        raise InputError(f"{found}{meant}; see cosmodeep {args.command} --help")
    return args


def _option_meant(word: str, command: str) -> str:
    """Return ` (did you mean '--section.key'?)` for the key alone, or an empty string.

    Of sections with the same key, that of the command's name counts, then the first one.
    """
    name = word.removeprefix("--").partition("=")[0].replace("-", "_")
    ordered = sorted(sections().items(), key=lambda section: section[0] != command)
    keys = [(section, f.name) for section, kind in ordered for f in dataclasses.fields(kind)]
    if exact := [section for section, key in keys if key == name]:
        return f" (did you mean '--{exact[0]}.{name}'?)"
    return nearest(word, [f"--{section}.{key}" for section, key in keys])


def overrides(argv: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Take the `--section.key value` (or `--section.key=value`) pairs out of a command line.

    They go first, because argparse would give the value to the next free argument.

    Returns:
        the pairs, and the rest of the words.

    Raises:
        InputError: one has no value.
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
