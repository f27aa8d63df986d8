"""The sky between islands: means of what has no emission that was found, in square blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from cosmodeep_hpc.islands.labels import Labels
from cosmodeep_hpc.islands.measuredplane import MeasuredPlane

T = TypeVar("T", bound=np.generic)

BRIGHT = 4.0
"""Times the noise: brighter pixels, and those within a beam of them, are left out."""
SIDE = 0.5
"""Side of a block [square root of a beam area], about."""
PIXELS_AT_ONCE = 2**20
"""Pixels that are read at once, about."""
MOST = 2**20
"""Pixels that the noise is measured on: all of a smaller image, windows over a larger one."""
WINDOWS = 3
"""Windows along each side."""


@dataclass(frozen=True)
class BlockMeans:
    """Means of blocks of pixels, (rows, cols).

    Attributes:
        mean: in units of the local noise; NaN: nothing is left of it.
        share: of its pixels that are left.
        side: of a block [pixel]. area: of it [arcsec^2].
    """

    mean: NDArray[np.float64]
    share: NDArray[np.float64]
    side: int
    area: float

    def coarser(self, factor: int = 2) -> BlockMeans:
        """Join blocks of `factor` x `factor` to one; those that are cut are left out."""
        rows, cols = (side // factor for side in self.mean.shape)
        inside = slice(rows * factor), slice(cols * factor)
        weight = np.where(np.isfinite(self.mean), self.share, 0.0)[inside]
        value = np.nan_to_num(self.mean)[inside] * weight

        with np.errstate(invalid="ignore"):
            mean = _summed(value, factor) / _summed(weight, factor)
        many = factor**2
        return BlockMeans(
            mean, _summed(weight, factor) / many, self.side * factor, self.area * many
        )


def block_side(plane: MeasuredPlane) -> int:
    """Return the side of a block [pixel]."""
    return max(1, round(SIDE * math.sqrt(plane.patch) / plane.image.pixel_scale))


def sampled(plane: MeasuredPlane, labels: Labels) -> list[BlockMeans]:
    """Return blocks of an image: of all of it, or of windows evenly over it.

    Raises:
        InputError: the image cannot be read.
    """
    side = block_side(plane)
    return [
        block_means(plane, labels, *window, side) for window in _windows(plane.image.shape, side)
    ]


def _windows(shape: tuple[int, int], block: int) -> Iterator[tuple[range, range]]:
    """Yield boxes of an image, of whole blocks of pixels."""
    ny, nx = shape
    if ny * nx <= MOST:
        yield range(ny // block * block), range(nx // block * block)
        return
    size = math.isqrt(MOST // WINDOWS**2)
    sides = [min(length, size) // block * block for length in shape]
    firsts = [
        {round((n + 0.5) / WINDOWS * length - side / 2) for n in range(WINDOWS)}
        if side * WINDOWS < length
        else set(range(0, length - side + 1, side))
        for length, side in zip(shape, sides, strict=True)
    ]
    for row in sorted(firsts[0]):
        for col in sorted(firsts[1]):
            yield range(row, row + sides[0]), range(col, col + sides[1])


def block_means(
    plane: MeasuredPlane, labels: Labels, rows: range, columns: range, block: int
) -> BlockMeans:
    """Return the means of blocks of pixels of a box, which is of whole blocks.

    Raises:
        InputError: the image cannot be read.
    """
    shape = len(rows) // block, len(columns) // block
    total, count = np.zeros(shape), np.zeros(shape)
    beam = plane.beam
    reach = 1 if beam is None else max(1, round(beam.major))
    height = max(1, PIXELS_AT_ONCE // (len(columns) * block)) * block
    for start in range(0, len(rows), height):
        some = rows[start : start + height]
        around = range(max(some.start - reach, 0), min(some.stop + reach, plane.image.shape[0]))
        pixels = plane.read(around, columns)
        y, x = np.asarray(around), np.asarray(columns)
        pixels /= at_pixels(plane.noise, plane.tile, y, x)
        out = _near_islands(plane, labels, y, x)
        with np.errstate(invalid="ignore"):
            out |= _grown(pixels > BRIGHT, reach)
        pixels[out] = np.nan
        inside = pixels[some.start - around.start :][: len(some)]
        known = np.isfinite(inside)
        here = slice(start // block, (start + len(some)) // block)
        total[here] = _summed(np.where(known, inside, 0), block)
        count[here] = _summed(known, block)
    area = (block * plane.image.pixel_scale) ** 2
    with np.errstate(invalid="ignore"):
        return BlockMeans(total / count, count / block**2, block, area)


def _summed(values: NDArray[Any], block: int) -> NDArray[np.float64]:
    """Return the sums of whole blocks of `block` x `block` of values, float64 (rows, cols)."""
    rows, cols = (side // block for side in values.shape)
    lines = values.reshape(rows, block, -1).sum(axis=1, dtype=np.float64)
    parts = lines.reshape(rows, cols, block)
    found: NDArray[np.float64] = parts[:, :, 0].copy()
    for place in range(1, block):  # NumPy sums short rows slowly
        found += parts[:, :, place]
    return found


def _near_islands(
    plane: MeasuredPlane, labels: Labels, y: NDArray[np.int64], x: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which pixels lie in islands or beside them: within a beam, or a cell."""
    cell, beam = plane.cell, plane.beam
    wide = 1 if beam is None else max(1, math.ceil(beam.major / cell))
    first, last = int(y[0]) // cell, int(y[-1]) // cell + 1
    top = max(first - wide, 0)
    found = labels.rows(top, min(last + wide, labels.shape[0])) > 0
    if found.any():
        found = _grown(found, wide)
    return at_pixels(found, cell, y - top * cell, x)


def at_pixels(
    grid: NDArray[T], side: int, y: NDArray[np.int64], x: NDArray[np.int64]
) -> NDArray[T]:
    """Return what a grid of squares has at rows `y` and columns `x` of pixels: (rows, columns).

    Args:
        side: of a square [pixel]; the last ones count beyond the grid.
    """
    last = [length - 1 for length in grid.shape]
    rows, own = np.unique(np.minimum(y // side, last[0]), return_inverse=True)
    return np.asarray(np.take(grid[rows], np.minimum(x // side, last[1]), axis=1)[own])


def _grown(where: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Return which pixels or cells lie within a square around one of `where`."""
    found = where
    for axis in (0, 1):
        found = maximum_filter1d(found.view(np.uint8), 2 * reach + 1, axis=axis).view(np.bool_)
    return found
