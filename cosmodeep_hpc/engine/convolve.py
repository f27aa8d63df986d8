"""Convolutions of maps on cores, and the matrix products that they are made of.

Convolutions of 3 x 3 use Winograd's minimal filtering, those of 1 x 1 are matrix products. Both
multiply rows of `ROW` numbers; more maps take several passes. Sums add their terms one after the
other, so that their bits depend neither on what is multiplied at once nor on the processor.
"""

from __future__ import annotations

from typing import Any

from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.engine.simd import LANES, WIDE, Code, Index, Pointer, operation
from cosmodeep_hpc.engine.step import (  # fmt: skip
    BIAS,
    FROM,
    FROM_LINE,
    FROM_MAPS,
    FROM_TILE,
    HEIGHT,
    REACH,
    RELU,
    TO,
    TO_LINE,
    TO_MAPS,
    TO_TILE,
    WEIGHTS,
    WIDTH,
)
from cosmodeep_hpc.engine.window import CORNERS, TAPS, window_pixels
from cosmodeep_hpc.engine.winograd import POINTS, STEP, UNROLLED, gathered, product, spread

ROW = 48
"""Numbers of a row to multiply, and of a row of the result."""
MAPS = 16
"""The number of maps is rounded up to a multiple of this."""
ROWS = 64
"""Patches, or pixels, multiplied at once: their numbers fit into a core's cache."""
ONE, TWO, THREE = (16, 10, 8) if WIDE else (5, 5, 5)
"""Rows multiplied at once by one, two and three times `MAPS` columns: the sums fill registers."""
OF_ONE, OF_TWO, OF_THREE = (1, 2, 3) if WIDE else (2, 2, 2)
"""Vectors of columns for each of these."""
SPARE = 16
"""Rows that a product may compute beyond the last."""
SQUARE = POINTS * POINTS
"""Number of points of a patch."""


_one = product(ONE, OF_ONE, ROW, ROW)
_two = product(TWO, OF_TWO, ROW, ROW)
_three = product(THREE, OF_THREE, ROW, ROW)
_add_one = product(ONE, OF_ONE, ROW, ROW, adding=True)
_add_two = product(TWO, OF_TWO, ROW, ROW, adding=True)
_add_three = product(THREE, OF_THREE, ROW, ROW, adding=True)


@jit
def multiply(  # type: ignore[no-untyped-def]
    rows, source, count, matrix, column, inputs, outputs, found, target, adding
) -> None:
    """Multiply `count` rows of numbers, and up to `SPARE` rows more, by a matrix.

    Args:
        rows, source: float32, rows of `ROW` numbers from place `source` on; `inputs` of each
            are multiplied.
        matrix, column: float32, `inputs` rows of `ROW` numbers from place `column` on.
        outputs: number of its columns, a multiple of `MAPS`, at most `ROW`.
        found, target: float32, laid out as `rows`: overwritten, or added to.
        inputs: a multiple of `UNROLLED`, at most `ROW`.
    """
    rounds = inputs // UNROLLED
    if outputs == ROW:
        for f in range(0, outputs, OF_THREE * LANES):
            for r in range(0, count, THREE):
                n = r * ROW
                if adding:
                    _add_three(rows, source + n, matrix, column + f, found, target + n + f, rounds)
                else:
                    _three(rows, source + n, matrix, column + f, found, target + n + f, rounds)
    elif outputs == 2 * MAPS:
        for f in range(0, outputs, OF_TWO * LANES):
            for r in range(0, count, TWO):
                n = r * ROW
                if adding:
                    _add_two(rows, source + n, matrix, column + f, found, target + n + f, rounds)
                else:
                    _two(rows, source + n, matrix, column + f, found, target + n + f, rounds)
    else:
        for f in range(0, outputs, OF_ONE * LANES):
            for r in range(0, count, ONE):
                n = r * ROW
                if adding:
                    _add_one(rows, source + n, matrix, column + f, found, target + n + f, rounds)
                else:
                    _one(rows, source + n, matrix, column + f, found, target + n + f, rounds)


@jit
def rows_of_block(total, outputs):  # type: ignore[no-untyped-def]
    """Return the rows of a block when `total` rows are multiplied: equal blocks, full registers."""
    at_once = THREE if outputs >= ROW else TWO if outputs > MAPS else ONE
    blocks = -(-total // ROWS)
    return -(-total // (blocks * at_once)) * at_once


@operation
def _averaged(
    code: Code, arena: Pointer, pixel: Index, line: Index, weights: Pointer, kernel: Index,
    maps: Index, bias: Index, target: Index,
) -> None:  # fmt: skip
    """Compute `LANES` maps of a first-layer window: the mean of its four pixels after ReLU."""
    taps = [code.load(weights + (kernel + maps * tap)) for tap in range(TAPS)]
    sums = [code.load(weights + bias)] * CORNERS
    for seen, corner, tap in window_pixels(code, arena + pixel, line):
        sums[corner] = code.fused(seen, taps[tap], sums[corner])
    a, b, c, d = (code.positive(value) for value in sums)
    code.store(((a + b) + (c + d)) * code.number(1 / CORNERS), arena + target)


@jit
def first_layer(step, arena, weights, count) -> None:  # type: ignore[no-untyped-def]
    """Convolve single maps with 3 x 3, and average the result after ReLU over 2 x 2 pixels."""
    maps, line, width = step[TO_MAPS], step[FROM_LINE], step[WIDTH]
    kernel, bias = step[WEIGHTS], step[BIAS]
    for tile in range(count):
        for y in range(step[HEIGHT]):
            pixel = step[FROM] + tile * step[FROM_TILE] + (2 * y - 1) * line - 1
            target = step[TO] + tile * step[TO_TILE] + y * step[TO_LINE]
            for x in range(width):
                for f in range(0, maps, LANES):
                    _averaged(
                        arena, pixel + 2 * x, line, weights, kernel + f, maps, bias + f,
                        target + x * maps + f,
                    )  # fmt: skip


def _gatherer(relu: bool) -> Any:
    """Return an operation that writes the pixels of a patch, with bias and optional ReLU."""

    def write(
        code: Code, products: Pointer, source: Index, step: Index, weights: Pointer, bias: Index,
        arena: Pointer, target: Index, line: Index, pixel: Index,
    ) -> None:  # fmt: skip
        added = code.load(weights + bias)
        for y, x, value in gathered(code, products, source, step):
            total = value + added
            here = arena + (target + line * y + pixel * x)
            code.store(code.positive(total) if relu else total, here)

    return operation(write)


_gather, _gather_positive = _gatherer(False), _gatherer(True)


@jit
def following(tile, y, x, height, width):  # type: ignore[no-untyped-def]
    """Return the position that follows another one in tiles of `height` x `width`."""
    x += 1
    if x == width:
        x, y = 0, y + 1
    if y == height:
        y, tile = 0, tile + 1
    return tile, y, x


@jit
def conv3(step, arena, weights, values, products, count) -> None:  # type: ignore[no-untyped-def]
    """Convolve maps with 3 x 3, with bias and optional ReLU, in blocks of patches.

    Args:
        values, products: memory for blocks of `ROWS` and `SPARE` patches at the points: the input
            for every `ROW` maps, and the output for `ROW` maps.
    """
    inputs, outputs = step[FROM_MAPS], step[TO_MAPS]
    down, across = -(-step[HEIGHT] // STEP), -(-step[WIDTH] // STEP)
    total = count * down * across
    rows = rows_of_block(total, outputs)
    point = (rows + SPARE) * ROW
    for start in range(0, total, rows):
        here = min(rows, total - start)
        _to_points(step, arena, values, start, here, down, across, point)
        for g in range(0, outputs, ROW):
            wide = min(outputs - g, ROW)
            for p in range(SQUARE):
                column = step[WEIGHTS] + (g // ROW * SQUARE + p) * inputs * ROW
                for f in range(0, inputs, ROW):
                    source, deep = (f // ROW * SQUARE + p) * point, min(inputs - f, ROW)
                    multiply(
                        values, source, here, weights, column + f * ROW, deep, wide, products,
                        p * point, f > 0,
                    )  # fmt: skip
            _from_points(step, arena, weights, products, start, here, down, across, point, g, wide)
    clear_beyond(step, arena, count)


@jit
def _to_points(  # type: ignore[no-untyped-def]
    step, arena, values, start, count, down, across, point
) -> None:
    """Transform patches from `start` on to their values at the points, `point` numbers apart."""
    line, inputs = step[FROM_LINE], step[FROM_MAPS]
    tile, i, j = start // (down * across), start // across % down, start % across
    for patch in range(count):
        y, x = i * STEP - step[REACH], j * STEP - step[REACH]
        source = step[FROM] + tile * step[FROM_TILE] + y * line + x * inputs
        for f in range(0, inputs, LANES):
            target = f // ROW * SQUARE * point + patch * ROW + f % ROW
            spread(arena, source + f, line, inputs, values, target, point)
        tile, i, j = following(tile, i, j, down, across)


@jit
def _from_points(  # type: ignore[no-untyped-def]
    step, arena, weights, products, start, count, down, across, point, g, wide
) -> None:
    """Transform products at the points back to patches of `wide` maps from map `g` on."""
    line, outputs, relu, bias = step[TO_LINE], step[TO_MAPS], step[RELU], step[BIAS] + g
    tile, i, j = start // (down * across), start // across % down, start % across
    for patch in range(count):
        target = step[TO] + tile * step[TO_TILE] + i * STEP * line + j * STEP * outputs + g
        for f in range(0, wide, LANES):
            source = patch * ROW + f
            if relu:
                _gather_positive(
                    products, source, point, weights, bias + f, arena, target + f, line, outputs
                )
            else:
                _gather(
                    products, source, point, weights, bias + f, arena, target + f, line, outputs
                )
        tile, i, j = following(tile, i, j, down, across)


@jit
def clear_beyond(step, arena, count) -> None:  # type: ignore[no-untyped-def]
    """Clear what whole patches wrote outside the maps."""
    height, width, maps = step[HEIGHT], step[WIDTH], step[TO_MAPS]
    down, across = -(-height // STEP) * STEP, -(-width // STEP) * STEP
    for tile in range(count):
        for y in range(down):
            line = step[TO] + tile * step[TO_TILE] + y * step[TO_LINE]
            begin = width if y < height else 0
            arena[line + begin * maps : line + across * maps] = 0


@jit
def conv1(step, arena, weights, values, products, count) -> None:  # type: ignore[no-untyped-def]
    """Convolve maps with 1 x 1, with bias and optional ReLU, in blocks of pixels."""
    inputs, outputs = step[FROM_MAPS], step[TO_MAPS]
    total = count * step[HEIGHT] * step[WIDTH]
    rows = rows_of_block(total, outputs)
    deep = (rows + SPARE) * ROW
    for start in range(0, total, rows):
        here = min(rows, total - start)
        _to_rows(step, arena, values, start, here, deep)
        for g in range(0, outputs, ROW):
            wide = min(outputs - g, ROW)
            for f in range(0, inputs, ROW):
                column = step[WEIGHTS] + (g // ROW * inputs + f) * ROW
                multiply(
                    values, f // ROW * deep, here, weights, column, min(inputs - f, ROW), wide,
                    products, 0, f > 0,
                )  # fmt: skip
            _from_rows(step, arena, weights, products, start, here, g, wide)


@jit
def _to_rows(step, arena, values, start, count, deep) -> None:  # type: ignore[no-untyped-def]
    """Copy pixels from `start` on to rows, and every further `ROW` maps `deep` numbers on."""
    height, width, inputs = step[HEIGHT], step[WIDTH], step[FROM_MAPS]
    tile, y, x = start // (height * width), start // width % height, start % width
    for pixel in range(count):
        source = step[FROM] + tile * step[FROM_TILE] + y * step[FROM_LINE] + x * inputs
        for f in range(0, inputs, LANES):
            copy(arena, source + f, values, f // ROW * deep + pixel * ROW + f % ROW)
        tile, y, x = following(tile, y, x, height, width)


@jit
def _from_rows(  # type: ignore[no-untyped-def]
    step, arena, weights, products, start, count, g, wide
) -> None:
    """Copy rows to `wide` maps of the pixels, from map `g` on."""
    height, width, outputs = step[HEIGHT], step[WIDTH], step[TO_MAPS]
    relu, bias = step[RELU], step[BIAS] + g
    tile, y, x = start // (height * width), start // width % height, start % width
    for pixel in range(count):
        target = step[TO] + tile * step[TO_TILE] + y * step[TO_LINE] + x * outputs + g
        for f in range(0, wide, LANES):
            if relu:
                _leave_positive(products, pixel * ROW + f, weights, bias + f, arena, target + f)
            else:
                _leave(products, pixel * ROW + f, weights, bias + f, arena, target + f)
        tile, y, x = following(tile, y, x, height, width)


def _copier(relu: bool) -> Any:
    """Return an operation that copies numbers with their bias and optional ReLU."""

    def write(
        code: Code,
        rows: Pointer,
        source: Index,
        weights: Pointer,
        bias: Index,
        arena: Pointer,
        target: Index,
    ) -> None:
        total = code.load(rows + source) + code.load(weights + bias)
        code.store(code.positive(total) if relu else total, arena + target)

    return operation(write)


_leave, _leave_positive = _copier(False), _copier(True)


@operation
def copy(code: Code, one: Pointer, source: Index, other: Pointer, target: Index) -> None:
    """Copy `LANES` numbers from one place to another."""
    code.store(code.load(one + source), other + target)
