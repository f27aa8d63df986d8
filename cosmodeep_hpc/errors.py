"""The one error that a user is meant to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class InputError(Exception):
    """Bad usage, configuration or input: shown as one line, exit status 2.

    The text names the file, what was found, what was expected and what to do.
    """


@contextmanager
def naming(what: object, doing: str = "read") -> Iterator[None]:
    """Turn an operating-system error on `what` into an `InputError` that names it."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error).split("\n", 1)[0]
        raise InputError(f"{what}: cannot {doing} it: {reason}") from error


def in_one_line(function: Callable[P, T]) -> Callable[P, T]:
    """Let callers from Python see an `InputError` of a function alone.

    Else a notebook shows the errors that led to it, and all calls below, before its one line.
    """

    @wraps(function)
    def called(*args: P.args, **options: P.kwargs) -> T:
        try:
            return function(*args, **options)
        except InputError as error:
            raise error.with_traceback(None) from None

    return called
