"""The one error that a user is meant to read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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
