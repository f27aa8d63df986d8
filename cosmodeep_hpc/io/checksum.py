"""CRC-32 of the rows of a dataset, block by block, and one of all blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

try:  # the same function, several times as fast; all that is read passes through it
    from zlib_ng.zlib_ng import crc32
except ImportError:
    from zlib import crc32

__all__ = ["BLOCK", "checksums", "crc32", "joined", "row_checksums"]

BLOCK = 256  # rows that share a checksum: the smallest piece a reader takes


def checksums(array: NDArray[Any]) -> NDArray[np.uint32]:
    """Return the CRC-32 of each block of 256 rows, uint32 (ceil(n / 256),)."""
    return np.array(
        [crc32(array[start : start + BLOCK].data) for start in range(0, len(array), BLOCK)],
        dtype=np.uint32,
    )


def row_checksums(array: NDArray[Any]) -> NDArray[np.uint32]:
    """Return the CRC-32 of each row, uint32 (n,)."""
    return np.array([crc32(row.data) for row in array], dtype=np.uint32)


def joined(blocks: NDArray[np.uint32]) -> int:
    """Return the CRC-32 of the checksums of a dataset's blocks, as little-endian uint32.

    It stands for all rows of the dataset, and is known without reading them.
    """
    return int(crc32(blocks.astype("<u4").tobytes()))
