"""Loops compiled to machine code when they are first called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function of arrays with numba; what was compiled is kept for the next process.

    No fast mathematics and no threads: the same arguments give the same bytes.
    """
    try:
        return cast(F, njit(cache=True, nogil=True)(function))
    except RuntimeError:  # no folder to keep it in: neither the package's nor the user's
        return cast(F, njit(nogil=True)(function))
