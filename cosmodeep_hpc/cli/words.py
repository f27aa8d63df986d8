"""Words on the command line that must be a number, a part or a folder."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any


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


FOLDER: dict[str, Any] = {"type": named, "metavar": "DIR"}
"""How an argument that names a folder is declared."""
