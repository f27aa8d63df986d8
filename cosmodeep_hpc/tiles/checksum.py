"""CRC-32 of the rows of a dataset, block by block; from the blocks, that of the whole."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:  # the same function, several times as fast; all that is read passes through it
    from zlib_ng.zlib_ng import crc32
except ImportError:
    from zlib import crc32

__all__ = ["BLOCK", "checksums", "crc32", "joined"]

BLOCK = 256  # rows that share a checksum: the smallest piece a reader takes

_POLYNOMIAL = 0xEDB88320  # CRC-32's, its highest power in the lowest bit
_ONE, _X = 1 << 31, 1 << 30


def checksums(array: NDArray[Any]) -> NDArray[np.uint32]:
    """CRC-32 of each block of 256 rows, uint32 (ceil(n / 256),)."""
    return np.array(
        [crc32(array[start : start + BLOCK].data) for start in range(0, len(array), BLOCK)],
        dtype=np.uint32,
    )


def joined(blocks: NDArray[np.uint32], rows: int, row_bytes: int) -> int:
    """CRC-32 of a dataset as a whole, from that of its blocks alone.

    crc(AB) = crc(A) x^(8 |B|) + crc(B), in polynomials over GF(2) modulo CRC-32's.

    Args:
        blocks: as `checksums` makes them.
        rows: of the dataset.
        row_bytes: bytes of a row.

    Source: M. Adler, `crc32_combine` of zlib.
    """
    whole = zlib.crc32(b"")
    if rows == 0:
        return whole
    full = _power_of_x(8 * BLOCK * row_bytes)
    for block in blocks[:-1].tolist():
        whole = _product(full, whole) ^ block
    last = rows - (len(blocks) - 1) * BLOCK
    return _product(_power_of_x(8 * last * row_bytes), whole) ^ int(blocks[-1])


def _product(a: int, b: int) -> int:
    """The product of two polynomials modulo CRC-32's."""
    total = 0
    while a:
        if a & _ONE:
            total ^= b
        a = (a << 1) & 0xFFFFFFFF
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return total


def _power_of_x(exponent: int) -> int:
    """X to this power, modulo CRC-32's polynomial; by repeated squaring."""
    power, square = _ONE, _X
    while exponent:
        if exponent & 1:
            power = _product(power, square)
        square = _product(square, square)
        exponent >>= 1
    return power
