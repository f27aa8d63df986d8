"""CRC-32 of the rows of a dataset, block by block; from the blocks, that of the whole."""

from __future__ import annotations

import zlib
from functools import cache
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
    shift = _times_power_of_x(8 * BLOCK * row_bytes)
    for block in blocks[:-1].tolist():
        whole = _product(shift, whole) ^ block
    last = rows - (len(blocks) - 1) * BLOCK
    return _product(_times_power_of_x(8 * last * row_bytes), whole) ^ int(blocks[-1])


Table = tuple[list[int], list[int], list[int], list[int]]


def _product(table: Table, value: int) -> int:
    """`value` times what the table was made for, modulo CRC-32's polynomial."""
    zeroth, first, second, third = table
    return (
        zeroth[value & 255]
        ^ first[value >> 8 & 255]
        ^ second[value >> 16 & 255]
        ^ third[value >> 24]
    )


def _table(factor: int) -> Table:
    """The products of `factor` and each value of each of four bytes: a product is linear."""
    of_bit, power = [0] * 32, factor
    for bit in reversed(range(32)):  # the highest bit is x^0
        of_bit[bit] = power
        power = power >> 1 ^ (_POLYNOMIAL if power & 1 else 0)
    tables: list[list[int]] = []
    for first in range(0, 32, 8):
        of_byte = [0]
        for bit in range(first, first + 8):
            of_byte += [value ^ of_bit[bit] for value in of_byte]
        tables.append(of_byte)
    return tables[0], tables[1], tables[2], tables[3]


@cache
def _times_power_of_x(exponent: int) -> Table:
    """The table of x to this power; by repeated squaring."""
    power, square = _ONE, _X
    while exponent:
        if exponent & 1:
            power = _slow_product(power, square)
        square = _slow_product(square, square)
        exponent >>= 1
    return _table(power)


def _slow_product(a: int, b: int) -> int:
    """The product of two polynomials, without a table."""
    total = 0
    while a:
        if a & _ONE:
            total ^= b
        a = (a << 1) & 0xFFFFFFFF
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return total
