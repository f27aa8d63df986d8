"""A step of a program: a row of integers that say what to do, and where.

A compiled loop goes through them; it can only use plain numbers of a module as constants.
"""

from __future__ import annotations

from enum import IntEnum


class StepKind(IntEnum):
    """What a step does."""

    TILES = 0
    FIRST = 1
    CONV3 = 2
    CONV1 = 3
    MEAN = 4
    SUM = 5
    PRODUCT = 6
    SIGMOID = 7
    WHOLE_MEAN = 8
    WHOLE_PEAK = 9
    OUT = 10
    CELL_MEAN = 11
    CELL_PEAK = 12


class StepField(IntEnum):
    """The numbers of a step, by their place in its row.

    FROM: where the first pixel of the first tile's maps begins in the arena. FROM_TILE, FROM_LINE:
    numbers from one tile, and from one line of pixels, to the next. FROM_MAPS: number of maps,
    which is also the distance from one pixel to the next. FROM_HALVED: how often its sides are
    doubled before (`SUM`). FROM_Y, FROM_X: the first pixel to read after doubling. OTHER...: the
    same for a second input. TO...: the same for the output, of HEIGHT x WIDTH pixels.

    WEIGHTS, BIAS: where they begin among the weights. REACH: pixels that a convolution reads before
    its own pixel. RELU: whether negative numbers become 0. COLUMN: where a tile's numbers go in the
    output; COUNT: how many maps of them. CELL: side of the squares that CELL_MEAN and CELL_PEAK
    reduce to numbers.
    """

    KIND = 0
    FROM = 1
    FROM_TILE = 2
    FROM_LINE = 3
    FROM_MAPS = 4
    FROM_HALVED = 5
    FROM_Y = 6
    FROM_X = 7
    OTHER = 8
    OTHER_TILE = 9
    OTHER_LINE = 10
    OTHER_HALVED = 11
    OTHER_Y = 12
    OTHER_X = 13
    TO = 14
    TO_TILE = 15
    TO_LINE = 16
    TO_MAPS = 17
    HEIGHT = 18
    WIDTH = 19
    WEIGHTS = 20
    BIAS = 21
    REACH = 22
    RELU = 23
    COLUMN = 24
    COUNT = 25
    CELL = 26


(
    TILES, FIRST, CONV3, CONV1, MEAN, SUM, PRODUCT, SIGMOID, WHOLE_MEAN, WHOLE_PEAK, OUT,
    CELL_MEAN, CELL_PEAK,
) = map(int, StepKind)  # fmt: skip
(
    KIND, FROM, FROM_TILE, FROM_LINE, FROM_MAPS, FROM_HALVED, FROM_Y, FROM_X,
    OTHER, OTHER_TILE, OTHER_LINE, OTHER_HALVED, OTHER_Y, OTHER_X, TO, TO_TILE, TO_LINE, TO_MAPS,
    HEIGHT, WIDTH, WEIGHTS, BIAS, REACH, RELU, COLUMN, COUNT, CELL,
) = map(int, StepField)  # fmt: skip
