"""The symmetries of a square, which turn and mirror a tile each time it is drawn.

The sky knows no up or down: a turned or mirrored tile is as likely as the tile itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.learn.sampler import SYMMETRY, philox

COUNT = 8
_BLOCK = 4  # 64-bit numbers that Philox makes at once


def drawn(seed: int, epoch: int, rows: range) -> NDArray[np.uint8]:
    """Draw the symmetry, 0 to 7, of the tiles at these places of an epoch: uint8 (len(rows),).

    Each place has its own counter, so its symmetry does not depend on the ranks that share the
    batch.
    """
    raw = philox(seed, SYMMETRY, (rows.start, 0, 0, epoch)).random_raw(len(rows) * _BLOCK)
    return (raw[::_BLOCK] >> np.uint64(61)).astype(np.uint8)


def apply(numbers: NDArray[np.uint8], images: NDArray[Any]) -> None:
    """Turn and mirror images (n, side, side) in place, each by its own symmetry (n,).

    Bit 0 mirrors rows, bit 1 columns, and then bit 2 exchanges the two; 0 changes nothing.
    """
    for number in range(1, COUNT):
        rows = np.flatnonzero(numbers == number)
        if len(rows):
            images[rows] = of_one(number, images[rows])


def of_one(number: int, images: NDArray[Any]) -> NDArray[Any]:
    """Return images (n, side, side) under one symmetry; a view."""
    if number & 1:
        images = images[:, ::-1]
    if number & 2:
        images = images[:, :, ::-1]
    return images.transpose(0, 2, 1) if number & 4 else images
