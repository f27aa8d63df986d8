"""The standard streams of a process, each of which may be closed, full, or without a reader."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

NAMES = ("stdin", "stdout", "stderr")


def open_closed() -> None:
    """Lead each stream that is closed nowhere.

    A file that is opened later would else get the stream's number, and what libraries write to the
    stream would be written into that file.
    """
    for number, name in enumerate(NAMES):
        try:
            os.fstat(number)
        except OSError:
            _lead_nowhere(number)
        if getattr(sys, name) is None:  # Python found it closed
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def tell(text: str, stream: TextIO | None = None) -> None:
    """Write a message to a stream, or to standard error; lose one that it does not take.

    No work may end because a message cannot be shown.
    """
    stream = stream or sys.stderr
    with suppress(OSError):
        stream.write(text)
        stream.flush()


def settle() -> None:
    """Write what is pending in both streams, or lose it, before the process ends.

    Python would try it again, print an error, and end with a status of its own.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            lose(stream)


def lose(stream: TextIO) -> None:
    """Lead a stream nowhere that takes nothing more, and with it what is pending."""
    _lead_nowhere(stream.fileno())
    stream.flush()


def _lead_nowhere(number: int) -> None:
    """Lead a descriptor to the null device; processes that are started inherit it."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere == number:
        os.set_inheritable(number, True)
        return
    os.dup2(nowhere, number)
    os.close(nowhere)
