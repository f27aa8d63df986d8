"""The first convolution with its pooling on the cores of a CPU, in one pass over the tiles.

Layer by layer, memory would limit it and not arithmetic: its output is 32 times as large as a tile,
and pooling reads all of that again to keep a quarter. In the backward pass, three quarters of its
gradient are zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cosmodeep_hpc.engine import paper
from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.engine.simd import LANES, Code, Index, Pointer, Vector, operation
from cosmodeep_hpc.engine.window import CORNERS, TAPS, window_pixels

FEATURES = paper.FIRST
NONE = CORNERS
"""Stands for a corner where ReLU lets nothing through."""


@operation
def _pooled(
    code: Code, around: Pointer, pixel: Index, width: Index, kernel: Pointer, bias: Pointer,
    feature: Index, right: Any, below: Any, maps: Pointer, target: Index, chosen: Pointer,
    choice: Index,
) -> None:  # fmt: skip
    """Write the maximum of one window from `feature` on, and the first corner that reaches it.

    `right` and `below` are -inf if the window has no second column or no second row; else 0.
    """
    taps = [code.load(kernel + feature + tap * FEATURES) for tap in range(TAPS)]
    outside = code.repeated(right), code.repeated(below)
    sums = [code.number(0), *outside, outside[0] + outside[1]]
    for seen, corner, tap in window_pixels(code, around + pixel, width):
        sums[corner] = code.fused(seen, taps[tap], sums[corner])
    best, first = sums[0], code.number(0)
    for corner in range(1, CORNERS):
        larger = sums[corner] > best
        best = code.where(larger, sums[corner], best)
        first = code.where(larger, code.number(corner), first)
    best = best + code.load(bias + feature)
    code.store(code.positive(best), maps + target)
    none = code.number(NONE)
    code.store_small(code.where(best > code.number(0), first, none), chosen + choice)


@operation
def _gradient(
    code: Code, around: Pointer, pixel: Index, width: Index, count: Index, chosen: Pointer,
    source: Index, slopes: Pointer, slope_source: Index, gradient: Pointer, feature: Index,
) -> None:  # fmt: skip
    """Add to `gradient` from `feature` on what `count` windows of a row contribute."""
    places = [gradient + feature + tap * FEATURES for tap in range(TAPS + 1)]

    def window(number: Index, sums: list[Vector]) -> list[Vector]:
        first = code.load_small(chosen + source + number * FEATURES)
        slope, zero = code.load(slopes + slope_source + number * FEATURES), code.number(0)
        given = [code.where(first.equals(code.number(k)), slope, zero) for k in range(CORNERS)]
        for seen, corner, tap in window_pixels(code, around + pixel + number * 2, width):
            sums[tap] = code.fused(seen, given[corner], sums[tap])
        for corner in range(CORNERS):
            sums[TAPS] = sums[TAPS] + given[corner]
        return sums

    sums = code.loop(count, [code.load(place) for place in places], window)
    for total, place in zip(sums, places, strict=True):
        code.store(total, place)


@jit
def _padded(tile, around) -> None:  # type: ignore[no-untyped-def]
    """Copy a tile into the middle of `around`, which is zero elsewhere."""
    size = len(tile)
    for y in range(size):
        for x in range(size):
            around[y + 1, x + 1] = tile[y, x]


@jit
def pooled(  # type: ignore[no-untyped-def]
    tiles, kernel, bias, maps, chosen
) -> None:
    """Fill `maps` with relu(max over 2 x 2 of conv2d(tiles, kernel) + bias), zero padded, stride 1.

    The maximum is taken before bias and ReLU, which both rise monotonically. A last row or column
    without a partner is pooled alone, as by TensorFlow's SAME padding. A tile's maps depend on that
    tile alone; a pixel of it that is not finite makes all of them NaN.

    Args:
        tiles: float32 (n, size, size).
        kernel: float32 (9, 32), the pixels of 3 x 3 in row order.
        bias: float32 (32,).
        maps: float32 (n, width, width, 32), with side = ceil(size / 2) at least two more than it:
            filled from 1 to side + 1, elsewhere left as it is.
        chosen: uint8 (n, side, side, 32), filled: the corner of the window that gave the maximum,
            in row order 0 to 3, the first of those that did; `NONE` where the map is 0.
    """
    count, size = tiles.shape[:2]
    side, across = chosen.shape[1], maps.shape[1]
    width = 2 * side + 2
    around = np.zeros((width, width), dtype=np.float32)
    within, beyond = np.float32(0), np.float32(-np.inf)
    biases = np.empty_like(bias)
    faults = np.empty(size, dtype=np.float32)
    for tile in range(count):
        _padded(tiles[tile], around)
        faults[:] = 0
        for y in range(size):
            for x in range(size):
                faults[x] += tiles[tile, y, x] * within
        biases[:] = bias + faults.sum()
        for i in range(side):
            below = beyond if 2 * i + 1 == size else within
            for j in range(side):
                right = beyond if 2 * j + 1 == size else within
                pixel = 2 * i * width + 2 * j
                target = ((tile * across + i + 1) * across + j + 1) * FEATURES
                choice = ((tile * side + i) * side + j) * FEATURES
                for f in range(0, FEATURES, LANES):
                    _pooled(
                        around, pixel, width, kernel, biases, f, right, below,
                        maps, target + f, chosen, choice + f,
                    )  # fmt: skip


@jit
def gradients(  # type: ignore[no-untyped-def]
    tiles, chosen, slopes, gradient
) -> None:
    """Add the gradients of kernel and bias to `gradient` (10, 32), whose last row is the bias's.

    Args:
        tiles: float32 (n, size, size), the tiles given to `pooled`.
        chosen: uint8 (n, side, side, 32), as `pooled` fills it.
        slopes: float32 (n, width, width, 32), the loss's gradient with respect to its maps.
    """
    side, across = chosen.shape[1], slopes.shape[1]
    width = 2 * side + 2
    around = np.zeros((width, width), dtype=np.float32)
    for tile in range(len(tiles)):
        _padded(tiles[tile], around)
        for i in range(side):
            pixel, source = 2 * i * width, (tile * side + i) * side * FEATURES
            slope_source = ((tile * across + i + 1) * across + 1) * FEATURES
            for f in range(0, FEATURES, LANES):
                _gradient(
                    around, pixel, width, side, chosen, source + f, slopes, slope_source + f,
                    gradient, f,
                )  # fmt: skip
