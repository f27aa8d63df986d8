"""Convolutions with 3 x 3 on the cores of a CPU, with a quarter of the multiplications.

Winograd's minimal filtering F(4x4, 3x3): two polynomials are made of pixels and kernel, and their
values at 6 x 6 points determine 4 x 4 pixels of the convolution. Each point takes one
multiplication instead of nine: 36 multiplications for 16 pixels and not 144. The values at the
points are sums and differences of pixels, and the pixels of the result are sums and differences of
the products.

The points are 0, +-11/16, +-3/2 and infinity in each direction. With them the constants that
multiply pixels and products are exact in float32, and rounding errors are half as large as with the
usual points 0, +-1, +-2: 5e-7 of the result (root mean squares), where oneDNN's are 2e-7.

Source: Lavin & Gray (2016), arXiv:1509.09308; on points, Barabasz et al. (2020), arXiv:1803.10986.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine.arrays import Array
from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.engine.simd import LANES, Code, Index, Pointer, Vector, operation, zeros

STEP, POINTS = 4, 6
"""Side of the patch of pixels computed at once, and its points in each direction."""
A, B = 11 / 16, 3 / 2
UNROLLED = 4
"""Rounds of a product's loop that are unrolled; the number of maps is a multiple of it."""


def _at_points() -> NDArray[np.float64]:
    """Return the matrix (6, 3) that takes a kernel's row to its values at the points, divided."""
    rows = [[1 / (A * A * B * B), 0, 0]]
    for point, other in ((A, B), (-A, B), (B, A), (-B, A)):
        share = 2 * point**2 * (point**2 - other**2)
        rows.append([1 / share, point / share, point**2 / share])
    return np.array([*rows, [0, 0, 1]])


KERNEL_AT_POINTS = np.kron(_at_points(), _at_points())


def transformed(kernel: Array) -> Array:
    """Return a kernel float32 (3, 3, c, f) at the points: float32 (36, c, f)."""
    _, _, maps, features = kernel.shape
    weights = zeros((POINTS**2, maps, features))
    taps = kernel.reshape(9, -1).astype(np.float64)
    _weighted(KERNEL_AT_POINTS, taps, weights.reshape(POINTS**2, -1))
    return weights


@jit
def _weighted(shares, taps, found) -> None:  # type: ignore[no-untyped-def]
    """Fill `found` (p, k) with sums of taps (9, k), each times its share (p, 9), in order.

    A BLAS would add them in another order on another processor.
    """
    total = np.empty(taps.shape[1])
    for p in range(len(shares)):
        total[:] = 0
        for tap in range(len(taps)):
            for k in range(len(total)):
                total[k] += shares[p, tap] * taps[tap, k]
        found[p] = total


def _to_points(code: Code, d: list[Vector]) -> list[Vector]:
    """Return the values of 6 pixels in a row at the points."""
    found = []
    ends = code.number(A * A * B * B), code.number(-(A * A + B * B))
    first, last = (code.fused(ends[1], d[k], d[k + 2]) for k in (2, 3))
    for point, other in ((A, B), (B, A)):
        square = code.number(-other * other)
        even, odd = code.fused(square, d[2], d[4]), code.fused(square, d[1], d[3])
        found += [code.fused(code.number(sign * point), odd, even) for sign in (1, -1)]
    return [code.fused(ends[0], d[0], first), *found, code.fused(ends[0], d[1], last)]


def _to_pixels(code: Code, m: list[Vector]) -> list[Vector]:
    """Return the 4 pixels in a row of a result with these values at the points."""
    even, odd, other_even, other_odd = m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4]
    a, b = ([code.number(point**power) for power in range(4)] for point in (A, B))
    return [
        m[0] + even + other_even,
        code.fused(a[1], odd, b[1] * other_odd),
        code.fused(a[2], even, b[2] * other_even),
        code.fused(a[3], odd, code.fused(b[3], other_odd, m[5])),
    ]


@operation
def spread(
    code: Code, maps: Pointer, start: Index, row: Index, pixel: Index, values: Pointer,
    target: Index, step: Index,
) -> None:  # fmt: skip
    """Write a patch of maps as its values at the points, `step` numbers apart.

    The patch's rows are `row` numbers apart, its columns `pixel`.
    """
    columns = []
    for x in range(POINTS):
        seen = [code.load(maps + (start + row * y + pixel * x)) for y in range(POINTS)]
        columns.append(_to_points(code, seen))
    for y in range(POINTS):
        for x, value in enumerate(_to_points(code, [column[y] for column in columns])):
            code.store(value, values + (target + step * (y * POINTS + x)))


def product(
    rows: int, columns: int, maps: int, features: int, *, adding: bool = False
) -> Callable[..., None]:
    """Return an operation that multiplies rows of numbers by some columns of a matrix.

    Args:
        rows, columns: how many rows, and vectors of columns, are multiplied at once; their sums
            fill the processor's registers.
        maps: numbers from one row to the next.
        features: numbers from one row of the matrix, and of the result, to the next.
        adding: whether to add to what is there, one number after the other.

    Returns:
        a function of (rows, the first row's place, matrix, place of its first column, products,
        their first place, numbers of a row / `UNROLLED`).
    """

    def write(
        code: Code, values: Pointer, source: Index, weights: Pointer, column: Index,
        products: Pointer, target: Index, count: Index,
    ) -> None:  # fmt: skip
        def several(number: Index, sums: list[Vector]) -> list[Vector]:
            for k in range(UNROLLED):
                here = number * UNROLLED + k
                weight = weights + (column + here * features)
                given = [code.load(weight + c * LANES) for c in range(columns)]
                for r in range(rows):
                    value = code.one(values + (source + here + r * maps))
                    for c in range(columns):
                        s = r * columns + c
                        sums[s] = code.fused(value, given[c], sums[s])
            return sums

        numbers = range(rows * columns)
        places = [
            products + (target + s // columns * features + s % columns * LANES) for s in numbers
        ]
        before = [code.load(place) if adding else code.number(0) for place in places]
        for found, place in zip(code.loop(count, before, several), places, strict=True):
            code.store(found, place)

    return operation(write)


def gathered(
    code: Code, products: Pointer, source: Index, step: Index
) -> Iterator[tuple[int, int, Vector]]:
    """Yield the pixels (y, x) of a patch, from products at the points, `step` apart."""
    rows = []
    for y in range(POINTS):
        places = [products + (source + step * (y * POINTS + x)) for x in range(POINTS)]
        rows.append(_to_pixels(code, [code.load(place) for place in places]))
    for x in range(STEP):
        for y, value in enumerate(_to_pixels(code, [values[x] for values in rows])):
            yield y, x, value


def patches(side: int) -> int:
    """Return the number of patches that `side` pixels of a result need, in each direction."""
    return -(-side // STEP)


def width(side: int) -> int:
    """Return the side of maps with all pixels that the patches of a result of `side` read."""
    return patches(side) * STEP + POINTS - STEP
