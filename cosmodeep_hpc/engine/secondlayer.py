"""The second convolution of the paper's network and its maxima, on the cores of a CPU.

It uses Winograd's minimal filtering; only the maxima of the result over bins are kept.
"""

from __future__ import annotations

import numpy as np

from cosmodeep_hpc.engine import paper
from cosmodeep_hpc.engine.arrays import Array
from cosmodeep_hpc.engine.firstlayer import FEATURES as MAPS
from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.engine.simd import LANES, WIDE, Code, Index, Pointer, Vector, operation, zeros
from cosmodeep_hpc.engine.winograd import POINTS, STEP, UNROLLED, gathered, patches, product, spread

FEATURES = paper.SECOND
ROWS, COLUMNS = (5, 4) if WIDE else (5, 2)
"""Patches, and vectors of their features, multiplied at once."""
ROUNDS = MAPS // UNROLLED
TOGETHER = 4
"""Vectors of features compared at once."""

_product = product(ROWS, COLUMNS, MAPS, FEATURES)


@operation
def _gather(
    code: Code, products: Pointer, source: Index, step: Index, pixels: Pointer, target: Index,
    row: Index,
) -> None:  # fmt: skip
    """Write the pixels of a patch, rows `row` apart, from products at the points, `step` apart."""
    for y, x, value in gathered(code, products, source, step):
        code.store(value, pixels + (target + row * y + x * FEATURES))


def scratch(side: int) -> tuple[Array, Array, Array]:
    """Allocate the memory of `maxima` for maps of `side` pixels; reuse it from call to call."""
    across = patches(side)
    rows = -(-(across**2) // ROWS) * ROWS
    return (
        zeros((POINTS**2, rows, MAPS)),
        zeros((POINTS**2, rows, FEATURES)),
        zeros((STEP, across * STEP, FEATURES)),
    )


@jit
def _multiply(values, weights, products) -> None:  # type: ignore[no-untyped-def]
    """Multiply values (36, rows, 32) by weights (36, 32, 64) into products (36, rows, 64)."""
    rows = values.shape[1]
    for point in range(POINTS * POINTS):
        for f in range(0, FEATURES, COLUMNS * LANES):
            for r in range(point * rows, (point + 1) * rows, ROWS):
                column = point * MAPS * FEATURES + f
                _product(values, r * MAPS, weights, column, products, r * FEATURES + f, ROUNDS)


@operation
def _larger(
    code: Code, pixels: Pointer, source: Index, number: Index, count: Index, bins: Pointer,
    places: Pointer, target: Index,
) -> None:  # fmt: skip
    """Update the maxima of a bin with `count` pixels of a row, from pixel `number` on.

    A NaN counts as larger than all numbers, and stays.
    """
    starts = [target + f * LANES for f in range(TOGETHER)]
    best = [code.load(bins + start) for start in starts]
    where = [code.load_whole(places + start) for start in starts]

    def pixel(k: Index, carried: list[Vector]) -> list[Vector]:
        best, where = carried[:TOGETHER], carried[TOGETHER:]
        here = code.count(number + k)
        for f in range(TOGETHER):
            found = code.load(pixels + (source + k * FEATURES + f * LANES))
            larger = (found > best[f]) | found.is_nan()
            best[f] = code.where(larger, found, best[f])
            where[f] = code.where(larger, here, where[f])
        return [*best, *where]

    found = code.loop(count, [*best, *where], pixel)
    for f, start in enumerate(starts):
        code.store(found[f], bins + start)
        code.store_whole(found[TOGETHER + f], places + start)


@jit
def _into_bins(  # type: ignore[no-untyped-def]
    pixels, first, side, bin_size, width, bins, places
) -> None:
    """Update the maxima of all bins with the rows of pixels from `first` on."""
    count = len(bins)
    top = (count * bin_size - side) // 2  # as TensorFlow's SAME padding
    for y in range(first, min(first + STEP, side)):
        i = (y + top) // bin_size
        for j in range(count):
            x0, x1 = max(0, j * bin_size - top), min(side, (j + 1) * bin_size - top)
            source = ((y - first) * pixels.shape[1] + x0) * FEATURES
            target = (i * count + j) * FEATURES
            for f in range(0, FEATURES, TOGETHER * LANES):
                _larger(pixels, source + f, y * width + x0, x1 - x0, bins, places, target + f)


@jit
def maxima(  # type: ignore[no-untyped-def]
    maps, weights, side, bin_size, scratch, bins, places
) -> None:
    """Fill `bins` with the maxima over bins of conv2d(maps, kernel), zero padded, stride 1.

    Bins are squares of `bin_size`, placed as by TensorFlow's SAME padding. A tile's maxima depend
    on that tile alone. A bin with a NaN pixel has the maximum NaN.

    Args:
        maps: float32 (n, w, w, 32), w = `winograd.width(side)`: the maps from 1 to side + 1,
            around them 0.
        weights: float32 (36, 32, 64), the kernel of `winograd.transformed`.
        side: pixels of a map.
        scratch: `scratch(side)`.
        bins: float32 (n, i, i, 64), i = ceil(side / bin_size).
        places: int32 (n, i, i, 64), filled: the pixel (y, x) of the maximum as y * w + x, where the
            3 x 3 pixels around it begin in `maps`. Of equal maxima, the first in row order.
    """
    values, products, pixels = scratch
    across, wide = pixels.shape[1] // STEP, maps.shape[1]
    rows, row = values.shape[1], pixels.shape[1] * FEATURES
    bins[:] = -np.inf
    for tile in range(len(maps)):
        for i in range(across):
            for j in range(across):
                start = ((tile * wide + i * STEP) * wide + j * STEP) * MAPS
                target = (i * across + j) * MAPS
                for f in range(0, MAPS, LANES):
                    spread(maps, start + f, wide * MAPS, MAPS, values, target + f, rows * MAPS)
        _multiply(values, weights, products)
        for i in range(across):
            for j in range(across):
                source, target = (i * across + j) * FEATURES, j * STEP * FEATURES
                for f in range(0, FEATURES, LANES):
                    _gather(products, source + f, rows * FEATURES, pixels, target + f, row)
            _into_bins(pixels, i * STEP, side, bin_size, wide, bins[tile], places[tile])
