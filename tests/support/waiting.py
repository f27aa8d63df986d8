"""Wait until something is so that another process or thread brings about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(there: Callable[[], Found], seconds: float = 240) -> Found:
    """Wait until something is there and return it; a test whose wait is in vain fails."""
    deadline = time.monotonic() + seconds
    while not (found := there()):
        assert time.monotonic() < deadline, f"waited in vain for {seconds} s"
        time.sleep(0.02)
    return found
