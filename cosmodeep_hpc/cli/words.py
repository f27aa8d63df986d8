"""Checks of words on the command line: numbers, parts, files and folders; and words of counts."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any


def named(kind: str) -> Callable[[str], Path]:
    """Return a check for the name of a file or folder.

    It refuses an empty one, which an unset shell variable gives, and which would be the folder that
    the user is in.
    """

    def convert(word: str) -> Path:
        if not word:
            raise argparse.ArgumentTypeError(f"an empty name; expected that of a {kind}")
        return Path(word)

    return convert


def text(word: str) -> str:
    """Return a word; refuse an empty one, which an unset shell variable gives."""
    if not word:
        raise argparse.ArgumentTypeError("an empty word; expected a name or a number")
    return word


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, such as `1 shard` and `2 shards`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def at_least(low: int) -> Callable[[str], int]:
    """Return a check for a whole number of at least `low`."""

    def convert(word: str) -> int:
        number = int(word)
        if number < low:
            raise argparse.ArgumentTypeError(f"{number}: expected at least {low}")
        return number

    convert.__name__ = "whole number"
    return convert


def positive(word: str) -> float:
    """Return the finite number above 0 of a word.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    number = float(word)
    if not (number > 0 and isfinite(number)):
        raise argparse.ArgumentTypeError(f"{word}: expected a number above 0")
    return number


def part(word: str) -> tuple[int, int]:
    """Return the part and the number of parts of a word `K/N`.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    number, slash, count = word.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and int(number) < int(count)):
        raise argparse.ArgumentTypeError(f"{word}: expected K/N, K from 0 to N - 1")
    return int(number), int(count)


def task(word: str) -> tuple[int, int | None]:
    """Return the run of a word `K`, or the run and the step of `K/N`: every N-th run from K on.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    if "/" in word:
        return part(word)
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"{word}: expected K or K/N, K from 0")
    return int(word), None


FILE: dict[str, Any] = {"type": named("file"), "metavar": "FILE"}
"""Settings of an argument that names a file."""
FOLDER: dict[str, Any] = {"type": named("folder"), "metavar": "DIR"}
"""Settings of an argument that names a folder."""
