"""Something that is made once, by the first thread that asks for it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """The result of a function that is called once; threads that ask meanwhile wait.

    It is called again where it has raised an error.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        """Take the function; nothing is made yet."""
        self._make, self._lock = make, Lock()
        self._made: list[T] = []

    def __call__(self) -> T:
        """Return what is made.

        Raises:
            Exception: whatever the function raises.
        """
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]
