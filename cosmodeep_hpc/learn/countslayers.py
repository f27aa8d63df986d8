"""The layers of a counts network's convolutions on cores of a CPU, as loops.

Those of 3 x 3 by Winograd's minimal filtering, those of 1 x 1 as products of matrices, the first
one with its pooling in one pass over the tile.
"""

from __future__ import annotations

import numpy as np

from cosmodeep_hpc.compiled import compiled
from cosmodeep_hpc.learn.firstlayer import CORNERS, TAPS, window_pixels
from cosmodeep_hpc.learn.winograd import POINTS, STEP, UNROLLED, gathered, product, spread
from cosmodeep_hpc.vectors import LANES, WIDE, Code, Index, Place, Vector, operation

FIRST = 16
"""Maps of the first layer of the networks that are computed here."""
WIDER, WIDEST = 2 * FIRST, 3 * FIRST
"""Maps of the others. Each row of a product has room for those of the widest."""
TWO, THREE = (10, 8) if WIDE else (5, 5)
"""Rows multiplied at once, by two and by three vectors of columns."""
OF_THREE = 3 if WIDE else 2

_product_of_two = product(TWO, 2, WIDEST, WIDEST)
_product_of_three = product(THREE, OF_THREE, WIDEST, WIDEST)


@operation
def _averaged(
    code: Code, around: Place, pixel: Index, width: Index, kernel: Place, bias: Place,
    feature: Index, maps: Place, to: Index,
) -> None:  # fmt: skip
    """One window of the first layer, from `feature` on: the mean of its four pixels."""
    taps = [code.load(kernel + feature + tap * FIRST) for tap in range(TAPS)]
    sums = [code.load(bias + feature)] * CORNERS
    for seen, corner, tap in window_pixels(code, around + pixel, width):
        sums[corner] = code.fused(seen, taps[tap], sums[corner])
    a, b, c, d = (code.positive(value) for value in sums)
    code.store(((a + b) + (c + d)) * code.number(1 / CORNERS), maps + to)


@operation
def _gather(
    code: Code, products: Place, at: Index, step: Index, bias: Place, feature: Index,
    maps: Place, to: Index, row: Index, pixel: Index,
) -> None:  # fmt: skip
    """The pixels of a patch, with bias and ReLU, rows `row` apart and columns `pixel`."""
    added = code.load(bias + feature)
    for y, x, value in gathered(code, products, at, step):
        code.store(code.positive(value + added), maps + (to + row * y + pixel * x))


@operation
def _mean_of_four(
    code: Code, maps: Place, at: Index, row: Index, pixel: Index, to: Place, where: Index
) -> None:
    """The mean of 2 x 2 pixels."""
    a, b, c, d = (code.load(maps + (at + row * y + pixel * x)) for y in range(2) for x in range(2))
    code.store(((a + b) + (c + d)) * code.number(1 / 4), to + where)


@operation
def _sum(
    code: Code, one: Place, at: Index, other: Place, of: Index, bias: Place, feature: Index,
    found: Place, to: Index,
) -> None:  # fmt: skip
    """The ReLU of one pixel's maps, another's, and a bias."""
    total = code.load(one + at) + (code.load(other + of) + code.load(bias + feature))
    code.store(code.positive(total), found + to)


@operation
def _add_row(
    code: Code, rows: Place, at: Index, count: Index, bias: Place, feature: Index, sums: Place,
    to: Index,
) -> None:  # fmt: skip
    """Add the ReLU of `count` rows of numbers and a bias to sums."""
    added = code.load(bias + feature)

    def several(number: Index, carried: list[Vector]) -> list[Vector]:
        value = code.load(rows + (at + number * WIDEST)) + added
        return [carried[0] + code.positive(value)]

    (total,) = code.loop(count, [code.load(sums + to)], several)
    code.store(total, sums + to)


@compiled
def first(tiles, kernel, bias, maps) -> None:  # type: ignore[no-untyped-def]
    """The means over 2 x 2 of relu(conv(tiles)), within zeros; a pixel not finite makes all NaN."""
    size, across = tiles.shape[1], maps.shape[1]
    width = size + 2
    around = np.zeros((width, width), dtype=np.float32)
    biases = np.empty_like(bias)
    faults = np.empty(size, dtype=np.float32)
    for tile in range(len(tiles)):
        faults[:] = 0
        for y in range(size):
            for x in range(size):
                around[y + 1, x + 1] = tiles[tile, y, x]
                faults[x] += tiles[tile, y, x] * np.float32(0)
        biases[:] = bias + faults.sum()
        for i in range(size // 2):
            for j in range(size // 2):
                to = ((tile * across + i + 1) * across + j + 1) * FIRST
                for f in range(0, FIRST, LANES):
                    _averaged(around, 2 * (i * width + j), width, kernel, biases, f, maps, to + f)


@compiled
def multiply(  # type: ignore[no-untyped-def]
    rows, at, count, matrix, of, inputs, outputs, found, to
) -> None:
    """`count` rows of numbers times a matrix, and some rows more: each from a place on."""
    rounds = inputs // UNROLLED
    if outputs == WIDEST:
        for f in range(0, WIDEST, OF_THREE * LANES):
            for r in range(0, count, THREE):
                n = r * WIDEST
                _product_of_three(rows, at + n, matrix, of + f, found, to + n + f, rounds)
    else:
        for f in range(0, outputs, 2 * LANES):
            for r in range(0, count, TWO):
                n = r * WIDEST
                _product_of_two(rows, at + n, matrix, of + f, found, to + n + f, rounds)


@compiled
def convolve(  # type: ignore[no-untyped-def]
    maps, count, weights, outputs, bias, points, found, line, edge
) -> None:
    """relu(conv(maps) + bias) of `count` tiles, in whole patches.

    Args:
        maps: float32 (n, w, w, c), w = `winograd.width`.
        weights: float32 (36, c, 48), of `outputs` features.
        points: memory for values and products at the points, float32 (36, rows, 48).
        found: filled from pixel (edge, edge) on, `line` pixels in a line and as many lines a tile.
    """
    values, products = points
    wide, inputs, pixel = maps.shape[1], maps.shape[3], found.shape[-1]
    across = (wide + STEP - POINTS) // STEP
    step = values.shape[1] * WIDEST
    for tile in range(count):
        for i in range(across):
            for j in range(across):
                at = ((tile * wide + i * STEP) * wide + j * STEP) * inputs
                to = ((tile * across + i) * across + j) * WIDEST
                for f in range(0, inputs, LANES):
                    spread(maps, at + f, wide * inputs, inputs, values, to + f, step)
    rows = count * across * across
    for point in range(POINTS * POINTS):
        of, at = point * inputs * WIDEST, point * step
        multiply(values, at, rows, weights, of, inputs, outputs, products, at)
    for tile in range(count):
        for i in range(across):
            for j in range(across):
                at = ((tile * across + i) * across + j) * WIDEST
                to = ((tile * line + edge + i * STEP) * line + edge + j * STEP) * pixel
                for f in range(0, outputs, LANES):
                    _gather(products, at + f, step, bias, f, found, to + f, line * pixel, pixel)


@compiled
def clear_beyond(maps, count, side) -> None:  # type: ignore[no-untyped-def]
    """Zeros in maps (n, w, w, c) beyond the pixels 1 to side + 1."""
    maps[:count, side + 1 :] = 0
    maps[:count, 1 : side + 1, side + 1 :] = 0


@compiled
def pool(maps, count, side, found) -> None:  # type: ignore[no-untyped-def]
    """The means over 2 x 2 pixels of maps (n, w, w, c), side x side of them, into zeros."""
    wide, across, features = maps.shape[1], found.shape[1], found.shape[3]
    for tile in range(count):
        for i in range(side):
            for j in range(side):
                at = ((tile * wide + 2 * i) * wide + 2 * j) * features
                to = ((tile * across + i + 1) * across + j + 1) * features
                for f in range(0, features, LANES):
                    _mean_of_four(maps, at + f, wide * features, features, found, to + f)


@compiled
def add(  # type: ignore[no-untyped-def]
    maps, coarse, low, count, bias, crop, edge, side, found
) -> None:
    """The ReLU of maps and of coarser ones with their bias, side x side pixels from `crop` on.

    Args:
        maps: float32 (n, w, w, c).
        coarse: those of half the resolution, a row of 48 numbers a pixel, `low` in a line.
        found: float32 (n, v, v, c), filled from `edge` on; may be `maps`.
    """
    wide, seen, features = maps.shape[1], found.shape[1], found.shape[3]
    for tile in range(count):
        for y in range(side):
            for x in range(side):
                at = ((tile * wide + y + crop) * wide + x + crop) * features
                of = ((tile * low + (y + crop) // 2) * low + (x + crop) // 2) * WIDEST
                to = ((tile * seen + y + edge) * seen + x + edge) * features
                for f in range(0, features, LANES):
                    _sum(maps, at + f, coarse, of + f, bias, f, found, to + f)


@compiled
def part(rows, high, bias, logits, features) -> None:  # type: ignore[no-untyped-def]
    """Logits of pixels, and the means of features, from rows that hold both.

    Args:
        rows: 48 numbers a pixel, `high` pixels in a line: up to 16 logits, 32 features.
        logits: float32 (n, side, side, T), filled. features: float32 (n, 32), filled.
    """
    count, side, _, thresholds = logits.shape
    features[:] = 0
    for tile in range(count):
        for y in range(side):
            first = (tile * high + y) * high
            for x in range(side):
                for k in range(thresholds):
                    logits[tile, y, x, k] = rows[first + x, k] + bias[k]
            for f in range(0, WIDER, LANES):
                at = first * WIDEST + FIRST + f
                _add_row(rows, at, side, bias, FIRST + f, features, tile * WIDER + f)
    features /= np.float32(side * side)
