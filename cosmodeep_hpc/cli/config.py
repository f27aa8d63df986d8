"""`cosmodeep config`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from cosmodeep_hpc.cli.output import say
from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.parallel.world import World

HELP = "Print every option with its value, unit and meaning, as TOML."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the command takes only options of the configuration."""


def run(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Print every option with its value, unit and meaning, as TOML."""
    for name, section in configuration.sections().items():
        # `python -OO` has no docstrings, and dataclasses then make one of their own
        meaning = "" if sys.flags.optimize > 1 else f"# {(section.__doc__ or '').splitlines()[0]}\n"
        say(world, f"\n{meaning}[{name}]")
        for field in dataclasses.fields(section):
            value = getattr(getattr(settings, name), field.name)
            unit = field.metadata["unit"]
            help_text = f"{field.metadata['help']}{f' [{unit}]' if unit else ''}"
            say(world, f"{field.name} = {json.dumps(value)}  # {help_text}")
    return 0
