"""The second convolution and its maxima on cores of a CPU, with a quarter of the multiplications.

Winograd's minimal filtering F(4x4, 3x3): 4 x 4 pixels of a convolution with 3 x 3 follow from the
values of two polynomials, made of pixels and kernel, at 6 x 6 points. There each is multiplied by
one number instead of nine: 36 multiplications for 16 pixels and not 144. The values at the points
are sums and differences of the pixels, and the pixels of the result those of the products.

The points are 0, +-11/16, +-3/2 and infinity in each direction. With them the constants that
pixels and products are multiplied by are exact in float32, and rounding is half as large as with
the usual points 0, +-1, +-2: 5e-7 of the result (root mean squares), where oneDNN's is 2e-7.

Source: Lavin & Gray (2016), arXiv:1509.09308; on points, Barabasz et al. (2020), arXiv:1803.10986.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.compiled import compiled
from cosmodeep_hpc.learn.firstlayer import FEATURES as MAPS
from cosmodeep_hpc.vectors import LANES, WIDE, Code, Index, Place, Vector, operation, zeros

Array = NDArray[np.float32]

FEATURES = 64
"""Maps of the second layer."""
STEP, POINTS = 4, 6
"""Pixels of a patch that are computed at once, and the points in each direction it takes."""
A, B = 11 / 16, 3 / 2
ROWS, COLUMNS = (5, 4) if WIDE else (5, 2)
"""Patches, and vectors of their features, multiplied at once: their sums fill the registers."""
TOGETHER = 4
"""Vectors of features compared at once."""
UNROLLED = 4  # rounds of the product's loop


def _at_points() -> NDArray[np.float64]:
    """A kernel's row to its values at the points, divided as interpolation asks: (6, 3)."""
    rows = [[1 / (A * A * B * B), 0, 0]]
    for point, other in ((A, B), (-A, B), (B, A), (-B, A)):
        share = 2 * point**2 * (point**2 - other**2)
        rows.append([1 / share, point / share, point**2 / share])
    return np.array([*rows, [0, 0, 1]])


KERNEL_AT_POINTS = np.kron(_at_points(), _at_points())


def transformed(kernel: Array) -> Array:
    """A kernel float32 (3, 3, 32, 64) at the points: float32 (36, 32, 64)."""
    weights = zeros((POINTS**2, MAPS, FEATURES))
    values = KERNEL_AT_POINTS @ kernel.reshape(9, -1).astype(np.float64)
    weights[:] = values.reshape(weights.shape)
    return weights


def _to_points(code: Code, d: list[Vector]) -> list[Vector]:
    """The values at the points of 6 pixels in a row."""
    found = []
    ends = code.number(A * A * B * B), code.number(-(A * A + B * B))
    first, last = (code.fused(ends[1], d[k], d[k + 2]) for k in (2, 3))
    for point, other in ((A, B), (B, A)):
        square = code.number(-other * other)
        even, odd = code.fused(square, d[2], d[4]), code.fused(square, d[1], d[3])
        found += [code.fused(code.number(sign * point), odd, even) for sign in (1, -1)]
    return [code.fused(ends[0], d[0], first), *found, code.fused(ends[0], d[1], last)]


def _to_pixels(code: Code, m: list[Vector]) -> list[Vector]:
    """The 4 pixels in a row of a result with these values at the points."""
    even, odd, other_even, other_odd = m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4]
    a, b = ([code.number(point**power) for power in range(4)] for point in (A, B))
    return [
        m[0] + even + other_even,
        code.fused(a[1], odd, b[1] * other_odd),
        code.fused(a[2], even, b[2] * other_even),
        code.fused(a[3], odd, code.fused(b[3], other_odd, m[5])),
    ]


@operation
def _spread(
    code: Code, maps: Place, start: Index, row: Index, values: Place, to: Index, step: Index
) -> None:
    """A patch of maps, rows `row` apart, to its values at the points, `step` apart."""
    columns = []
    for x in range(POINTS):
        pixels = [code.load(maps + (start + y * row + x * MAPS)) for y in range(POINTS)]
        columns.append(_to_points(code, pixels))
    for y in range(POINTS):
        for x, value in enumerate(_to_points(code, [column[y] for column in columns])):
            code.store(value, values + (to + (y * POINTS + x) * step))


@operation
def _product(
    code: Code, values: Place, at: Index, weights: Place, of: Index, products: Place, to: Index
) -> None:
    """The values of `ROWS` patches at a point times the weights of some features there."""

    def several(number: Index, sums: list[Vector]) -> list[Vector]:
        for k in range(UNROLLED):
            here = number * UNROLLED + k
            weight = weights + (of + here * FEATURES)
            features = [code.load(weight + c * LANES) for c in range(COLUMNS)]
            for r in range(ROWS):
                value = code.one(values + (at + here + r * MAPS))
                for c in range(COLUMNS):
                    s = r * COLUMNS + c
                    sums[s] = code.fused(value, features[c], sums[s])
        return sums

    sums = code.loop(MAPS // UNROLLED, [code.number(0)] * (ROWS * COLUMNS), several)
    for s, found in enumerate(sums):
        code.store(found, products + (to + s // COLUMNS * FEATURES + s % COLUMNS * LANES))


@operation
def _gather(
    code: Code, products: Place, at: Index, step: Index, pixels: Place, to: Index, row: Index
) -> None:
    """The pixels of a patch, rows `row` apart, from products at the points, `step` apart."""
    rows = []
    for y in range(POINTS):
        places = [products + (at + (y * POINTS + x) * step) for x in range(POINTS)]
        rows.append(_to_pixels(code, [code.load(place) for place in places]))
    for x in range(STEP):
        for y, value in enumerate(_to_pixels(code, [values[x] for values in rows])):
            code.store(value, pixels + (to + y * row + x * FEATURES))


def patches(side: int) -> int:
    """Patches that maps of `side` pixels take, in each direction."""
    return -(-side // STEP)


def width(side: int) -> int:
    """Pixels of such maps with all that their patches see around them."""
    return patches(side) * STEP + POINTS - STEP


def scratch(side: int) -> tuple[Array, Array, Array]:
    """Memory that `maxima` of maps of `side` pixels works in; keep it from call to call."""
    across = patches(side)
    rows = -(-(across**2) // ROWS) * ROWS
    return (
        zeros((POINTS**2, rows, MAPS)),
        zeros((POINTS**2, rows, FEATURES)),
        zeros((STEP, across * STEP, FEATURES)),
    )


@compiled
def _multiply(values, weights, products) -> None:  # type: ignore[no-untyped-def]
    """The products (36, rows, 64) of values (36, rows, 32) and weights (36, 32, 64)."""
    rows = values.shape[1]
    for point in range(POINTS * POINTS):
        for f in range(0, FEATURES, COLUMNS * LANES):
            for r in range(point * rows, (point + 1) * rows, ROWS):
                of = point * MAPS * FEATURES + f
                _product(values, r * MAPS, weights, of, products, r * FEATURES + f)


@operation
def _larger(
    code: Code, pixels: Place, at: Index, number: Index, count: Index, bins: Place, places: Place,
    to: Index,
) -> None:  # fmt: skip
    """Take `count` pixels of a row into the maxima of their bin; the first one's number is given.

    What is not a number is larger than all numbers, and stays.
    """
    starts = [to + f * LANES for f in range(TOGETHER)]
    best = [code.load(bins + start) for start in starts]
    where = [code.load_whole(places + start) for start in starts]

    def pixel(k: Index, carried: list[Vector]) -> list[Vector]:
        best, where = carried[:TOGETHER], carried[TOGETHER:]
        here = code.count(number + k)
        for f in range(TOGETHER):
            found = code.load(pixels + (at + k * FEATURES + f * LANES))
            larger = (found > best[f]) | found.is_nan()
            best[f] = code.where(larger, found, best[f])
            where[f] = code.where(larger, here, where[f])
        return [*best, *where]

    found = code.loop(count, [*best, *where], pixel)
    for f, start in enumerate(starts):
        code.store(found[f], bins + start)
        code.store_whole(found[TOGETHER + f], places + start)


@compiled
def _into_bins(  # type: ignore[no-untyped-def]
    pixels, first, side, bin_size, width, bins, places
) -> None:
    """Take the rows of pixels from `first` on into the maxima of their bins."""
    count = len(bins)
    top = (count * bin_size - side) // 2  # as TensorFlow's SAME padding
    for y in range(first, min(first + STEP, side)):
        i = (y + top) // bin_size
        for j in range(count):
            x0, x1 = max(0, j * bin_size - top), min(side, (j + 1) * bin_size - top)
            at = ((y - first) * pixels.shape[1] + x0) * FEATURES
            to = (i * count + j) * FEATURES
            for f in range(0, FEATURES, TOGETHER * LANES):
                _larger(pixels, at + f, y * width + x0, x1 - x0, bins, places, to + f)


@compiled
def maxima(  # type: ignore[no-untyped-def]
    maps, weights, side, bin_size, scratch, bins, places
) -> None:
    """Fill `bins` with the maxima over bins of conv2d(maps, kernel), zero padded, stride 1.

    Bins are squares of `bin_size`, placed as by TensorFlow's SAME padding. A tile's maxima depend
    on that tile alone. A bin with a pixel that is not a number has no other maximum.

    Args:
        maps: float32 (n, w, w, 32), w = `width(side)`: the maps from 1 to side + 1, around them 0.
        weights: float32 (36, 32, 64), the kernel `transformed`.
        side: pixels of a map.
        scratch: `scratch(side)`.
        bins: float32 (n, i, i, 64), i = ceil(side / bin_size).
        places: int32 (n, i, i, 64), filled: the pixel (y, x) of the maximum as y * w + x, where in
            `maps` the 3 x 3 pixels around it begin. Of equal maxima the first in row order.
    """
    values, products, pixels = scratch
    across, wide = pixels.shape[1] // STEP, maps.shape[1]
    rows, row = values.shape[1], pixels.shape[1] * FEATURES
    bins[:] = -np.inf
    for tile in range(len(maps)):
        for i in range(across):
            for j in range(across):
                start = ((tile * wide + i * STEP) * wide + j * STEP) * MAPS
                to = (i * across + j) * MAPS
                for f in range(0, MAPS, LANES):
                    _spread(maps, start + f, wide * MAPS, values, to + f, rows * MAPS)
        _multiply(values, weights, products)
        for i in range(across):
            for j in range(across):
                at, to = (i * across + j) * FEATURES, j * STEP * FEATURES
                for f in range(0, FEATURES, LANES):
                    _gather(products, at + f, rows * FEATURES, pixels, to + f, row)
            _into_bins(pixels, i * STEP, side, bin_size, wide, bins[tile], places[tile])
