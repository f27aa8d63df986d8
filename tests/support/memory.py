"""Memory that a piece of work takes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Trace the block's memory; the list holds its peak [byte] once the block has ended.

    However it ends, nothing is traced afterwards: the peak of another test would be this one's.
    """
    peak: list[int] = []
    tracemalloc.start()
    try:
        yield peak
    finally:
        peak.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
