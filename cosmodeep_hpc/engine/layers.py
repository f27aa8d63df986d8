"""The layers that work on maps, as loops over a few tiles at a time.

All maps of these tiles lie in one array, the arena, and all weights in another. A step is a row of
integers that say where a layer finds its input, output and weights: see `step.StepField`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cosmodeep_hpc.engine.convolve import conv1, conv3, copy, first_layer
from cosmodeep_hpc.engine.elementwise import logistic
from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.engine.simd import LANES, Code, Index, Pointer, Vector, operation
from cosmodeep_hpc.engine.step import (  # fmt: skip
    CELL,
    CELL_MEAN,
    CELL_PEAK,
    COLUMN,
    CONV1,
    CONV3,
    COUNT,
    FIRST,
    FROM,
    FROM_HALVED,
    FROM_LINE,
    FROM_MAPS,
    FROM_TILE,
    FROM_X,
    FROM_Y,
    HEIGHT,
    KIND,
    MEAN,
    OTHER,
    OTHER_HALVED,
    OTHER_LINE,
    OTHER_TILE,
    OTHER_X,
    OTHER_Y,
    OUT,
    PRODUCT,
    RELU,
    SIGMOID,
    SUM,
    TILES,
    TO,
    TO_LINE,
    TO_MAPS,
    TO_TILE,
    WHOLE_PEAK,
    WIDTH,
)


@operation
def _mean_of_four(
    code: Code, arena: Pointer, source: Index, line: Index, pixel: Index, target: Index
) -> None:
    """Average 2 x 2 pixels."""
    a, b, c, d = (
        code.load(arena + (source + line * y + pixel * x)) for y in range(2) for x in range(2)
    )
    code.store(((a + b) + (c + d)) * code.number(1 / 4), arena + target)


def _adder(relu: bool) -> Any:
    """Return an operation that adds two pixels' maps, with optional ReLU."""

    def write(code: Code, arena: Pointer, source: Index, other: Index, target: Index) -> None:
        total = code.load(arena + source) + code.load(arena + other)
        code.store(code.positive(total) if relu else total, arena + target)

    return operation(write)


_add, _add_positive = _adder(False), _adder(True)


@operation
def _times(code: Code, arena: Pointer, source: Index, other: Index, target: Index) -> None:
    """Multiply two pixels' maps."""
    code.store(code.load(arena + source) * code.load(arena + other), arena + target)


@operation
def _positive(code: Code, arena: Pointer, source: Index, target: Index) -> None:
    """Take the ReLU of a pixel's maps."""
    code.store(code.positive(code.load(arena + source)), arena + target)


@operation
def _add_line(
    code: Code, arena: Pointer, source: Index, pixel: Index, count: Index, sums: Pointer,
    target: Index,
) -> None:  # fmt: skip
    """Add the maps of `count` pixels to sums, one after the other."""

    def one(number: Index, carried: list[Vector]) -> list[Vector]:
        return [carried[0] + code.load(arena + (source + number * pixel))]

    (total,) = code.loop(count, [code.load(sums + target)], one)
    code.store(total, sums + target)


@operation
def _peak_of_line(
    code: Code, arena: Pointer, source: Index, pixel: Index, count: Index, peaks: Pointer,
    target: Index,
) -> None:  # fmt: skip
    """Update maxima with the maps of `count` pixels; a NaN stays."""

    def one(number: Index, carried: list[Vector]) -> list[Vector]:
        value, best = code.load(arena + (source + number * pixel)), carried[0]
        return [code.where((value > best) | value.is_nan(), value, best)]

    (total,) = code.loop(count, [code.load(peaks + target)], one)
    code.store(total, peaks + target)


@jit
def take_tiles(step, arena, tiles, first, count) -> None:  # type: ignore[no-untyped-def]
    """Copy tiles (n, h, w) from `first` on between zeros; a non-finite pixel makes its tile NaN.

    The rows begin with FROM_Y.
    """
    height, width, maps = step[HEIGHT], step[WIDTH], step[TO_MAPS]
    # a sum for each column, so that vectors add several at once
    faults = np.empty(width, dtype=np.float32)
    for tile in range(count):
        faults[:] = 0
        for y in range(height):
            line = tiles[first + tile, y + step[FROM_Y]]
            for x in range(width):
                faults[x] += line[x] * np.float32(0)
        fault = faults.sum()
        for y in range(height):
            line = tiles[first + tile, y + step[FROM_Y]]
            target = step[TO] + tile * step[TO_TILE] + y * step[TO_LINE]
            for x in range(width):
                arena[target + x * maps] = line[x] + fault


@jit
def mean(step, arena, count) -> None:  # type: ignore[no-untyped-def]
    """Average maps over 2 x 2 pixels."""
    line, maps = step[FROM_LINE], step[TO_MAPS]
    for tile in range(count):
        for y in range(step[HEIGHT]):
            source = step[FROM] + tile * step[FROM_TILE] + 2 * y * line
            target = step[TO] + tile * step[TO_TILE] + y * step[TO_LINE]
            for x in range(step[WIDTH]):
                for f in range(0, maps, LANES):
                    _mean_of_four(
                        arena, source + 2 * x * maps + f, line, maps, target + x * maps + f
                    )


@jit
def add(step, arena, count) -> None:  # type: ignore[no-untyped-def]
    """Add two maps, or copy one, after doubling and cutting them, with optional ReLU."""
    maps, single, relu = step[TO_MAPS], step[OTHER] < 0, step[RELU]
    width, left, right = step[WIDTH], step[FROM_X], step[OTHER_X]
    halved, other_halved = step[FROM_HALVED], step[OTHER_HALVED]
    for tile in range(count):
        for y in range(step[HEIGHT]):
            down = (y + step[FROM_Y]) >> halved
            source = step[FROM] + tile * step[FROM_TILE] + down * step[FROM_LINE]
            down = (y + step[OTHER_Y]) >> other_halved
            other_source = step[OTHER] + tile * step[OTHER_TILE] + down * step[OTHER_LINE]
            target = step[TO] + tile * step[TO_TILE] + y * step[TO_LINE]
            for x in range(width):
                one = source + ((x + left) >> halved) * maps
                two = other_source + ((x + right) >> other_halved) * maps
                for f in range(0, maps, LANES):
                    here = target + x * maps + f
                    if single:
                        if relu:
                            _positive(arena, one + f, here)
                        else:
                            copy(arena, one + f, arena, here)
                    elif relu:
                        _add_positive(arena, one + f, two + f, here)
                    else:
                        _add(arena, one + f, two + f, here)


@jit
def multiply_maps(step, arena, count) -> None:  # type: ignore[no-untyped-def]
    """Multiply two maps, number by number."""
    numbers = step[WIDTH] * step[TO_MAPS]
    for tile in range(count):
        for y in range(step[HEIGHT]):
            one = step[FROM] + tile * step[FROM_TILE] + y * step[FROM_LINE]
            two = step[OTHER] + tile * step[OTHER_TILE] + y * step[OTHER_LINE]
            target = step[TO] + tile * step[TO_TILE] + y * step[TO_LINE]
            for k in range(0, numbers, LANES):
                _times(arena, one + k, two + k, target + k)


@jit
def sigmoid(step, arena, count) -> None:  # type: ignore[no-untyped-def]
    """Compute 1 / (1 + e^-x) of each number of maps."""
    numbers = step[WIDTH] * step[TO_MAPS]
    for tile in range(count):
        for y in range(step[HEIGHT]):
            source = step[FROM] + tile * step[FROM_TILE] + y * step[FROM_LINE]
            target = step[TO] + tile * step[TO_TILE] + y * step[TO_LINE]
            for k in range(numbers):
                arena[target + k] = arena[source + k]
            logistic(arena, target, target + numbers)


@jit
def whole(step, arena, sums, first, count) -> None:  # type: ignore[no-untyped-def]
    """Write the mean, or the maximum, of all pixels of each map into `sums`.

    Args:
        step: its COUNT is the length of a tile's row in `sums`, its COLUMN the first place to fill.
        sums: float32 (n * COUNT).
    """
    maps, peak = step[FROM_MAPS], step[KIND] == WHOLE_PEAK
    for tile in range(count):
        target = (first + tile) * step[COUNT] + step[COLUMN]
        sums[target : target + maps] = -np.inf if peak else 0.0
        for y in range(step[HEIGHT]):
            source = step[FROM] + tile * step[FROM_TILE] + y * step[FROM_LINE]
            for f in range(0, maps, LANES):
                if peak:
                    _peak_of_line(arena, source + f, maps, step[WIDTH], sums, target + f)
                else:
                    _add_line(arena, source + f, maps, step[WIDTH], sums, target + f)
        if not peak:
            sums[target : target + maps] /= np.float32(step[HEIGHT] * step[WIDTH])


@jit
def cells(step, arena, sums) -> None:  # type: ignore[no-untyped-def]
    """Add rows of maps to the mean, or the maximum, of each map in the cells that they lie in.

    A cell's first row begins its numbers, its last one ends them; rows come in their order.

    Args:
        step: FROM_Y is the first row, counted from the first row of cells.
        sums: float32 (cells * COUNT), row by row of cells.
    """
    maps, peak, side = step[FROM_MAPS], step[KIND] == CELL_PEAK, step[CELL]
    across = step[WIDTH] // side
    for y in range(step[HEIGHT]):
        row, line = (y + step[FROM_Y]) // side, (y + step[FROM_Y]) % side
        source = step[FROM] + y * step[FROM_LINE]
        for col in range(across):
            target = (row * across + col) * step[COUNT] + step[COLUMN]
            here = source + col * side * maps
            if line == 0:
                sums[target : target + maps] = -np.inf if peak else 0.0
            for f in range(0, maps, LANES):
                if peak:
                    _peak_of_line(arena, here + f, maps, side, sums, target + f)
                else:
                    _add_line(arena, here + f, maps, side, sums, target + f)
            if line == side - 1 and not peak:
                sums[target : target + maps] /= np.float32(side * side)


@jit
def shift(moves, arena) -> None:  # type: ignore[no-untyped-def]
    """Move numbers of the arena towards its beginning.

    Args:
        moves: int64 (n, 3): from where, to where, and how many, at most as many as lie between.
    """
    for n in range(len(moves)):
        source, target, count = moves[n]
        arena[target : target + count] = arena[source : source + count]


@jit
def clear(rows, arena) -> None:  # type: ignore[no-untyped-def]
    """Write zeros: `rows` int64 (n, 2) says where they begin, and how many."""
    for n in range(len(rows)):
        start, count = rows[n]
        arena[start : start + count] = 0


@jit
def give_out(step, arena, maps, first, count) -> None:  # type: ignore[no-untyped-def]
    """Copy the first COUNT maps of each pixel into `maps` (n, numbers of a tile)."""
    for tile in range(count):
        target = step[COLUMN]
        for y in range(step[HEIGHT]):
            source = step[FROM] + tile * step[FROM_TILE] + y * step[FROM_LINE]
            for x in range(step[WIDTH]):
                for k in range(step[COUNT]):
                    maps[first + tile, target] = arena[source + x * step[FROM_MAPS] + k]
                    target += 1


@jit
def run(  # type: ignore[no-untyped-def]
    steps, arena, weights, values, products, tiles, first, count, sums, maps
) -> None:
    """Run all steps of a program on `count` tiles.

    Args:
        steps: int64 (steps, numbers of `StepField`).
        arena, weights: float32. values, products: float32, memory of `conv3` and `conv1`.
        tiles: float32 (n, h, w); the tiles from `first` on are used.
        sums: float32 (n * numbers of a tile), filled with means and maxima of whole maps.
        maps: float32 (n, numbers of a tile), filled with the maps that are asked for.
    """
    for n in range(len(steps)):
        step = steps[n]
        kind = step[KIND]
        if kind == TILES:
            take_tiles(step, arena, tiles, first, count)
        elif kind == FIRST:
            first_layer(step, arena, weights, count)
        elif kind == CONV3:
            conv3(step, arena, weights, values, products, count)
        elif kind == CONV1:
            conv1(step, arena, weights, values, products, count)
        elif kind == MEAN:
            mean(step, arena, count)
        elif kind == SUM:
            add(step, arena, count)
        elif kind == PRODUCT:
            multiply_maps(step, arena, count)
        elif kind == SIGMOID:
            sigmoid(step, arena, count)
        elif kind == OUT:
            give_out(step, arena, maps, first, count)
        elif kind in (CELL_MEAN, CELL_PEAK):
            cells(step, arena, sums)
        else:
            whole(step, arena, sums, first, count)
