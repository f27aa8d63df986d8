"""Faster imports of many modules."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Switch off garbage collection meanwhile: modules leave no garbage, and looking takes time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # modules stay: later collections need not look at them
        if was_enabled:
            gc.enable()
