"""The fusion of scales: log-odds that a network gives at several scales, made one probability.

A function with few numbers, smooth in each of its inputs: the log-odds of a pixel at each scale,
those of coarser scales interpolated, go through one layer of units x / (1 + |x|).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine.elementwise import logistic
from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.engine.simd import LANES, Code, Index, Pointer, Vector, operation

LIMIT = 16.0
"""Log-odds are cut to this size: more is no more certain."""
UNITS, VECTORS = 4, 2
"""Units, and vectors of cells, whose sums are in the processor's registers at a time."""
CHUNK = 512
"""Cells of a row that are computed together, whole vectors of the processor."""
AT_ONCE = 2**20
"""Cells of a row at most: places of more are no exact float32."""
Floats = NDArray[np.float32]
Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class ScaleLogits:
    """What a network says of pixels at one scale.

    Attributes:
        factor: cells of the finest scale along the side of one.
        values: log-odds of some cells, float32 (rows, columns, T).
        first: row and column of the first of these.
        whole: rows and columns of the whole scale.
    """

    factor: int
    values: Floats
    first: tuple[int, int]
    whole: tuple[int, int]

    @property
    def place(self) -> NDArray[np.int64]:
        """Factor, first row and column, and rows and columns of the whole: int64 (5,)."""
        return np.array((self.factor, *self.first, *self.whole), dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class Fusion:
    """A function of log-odds at several scales.

    Log-odds x of T thresholds at S scales become `straight` x + `out` s(`into` x + `shift`) +
    `offset`, where s(u) = u / (1 + |u|).

    Attributes:
        straight: (T, S T). into: (units, S T). shift: (units). out: (T, units). offset: (T).
    """

    straight: Matrix
    into: Matrix
    shift: tuple[float, ...]
    out: Matrix
    offset: tuple[float, ...]

    @classmethod
    def none(cls, thresholds: int, scales: int) -> Fusion:
        """Return the fusion that takes the finest scale as it is."""
        straight = np.eye(thresholds, thresholds * scales)
        return cls.of(straight, np.zeros((0, thresholds * scales)), (), (), np.zeros(thresholds))

    @classmethod
    def of(cls, straight: Any, into: Any, shift: Any, out: Any, offset: Any) -> Fusion:
        """Return the fusion of these arrays."""

        def rows(matrix: Any) -> Matrix:
            return tuple(tuple(map(float, row)) for row in matrix)

        units = len(shift)
        out = out if units else np.zeros((len(offset), 0))
        return cls(
            straight=rows(straight),
            into=rows(into),
            shift=tuple(map(float, shift)),
            out=rows(out),
            offset=tuple(map(float, offset)),
        )

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Fusion:
        """Return the fusion in plain values.

        Raises:
            KeyError, TypeError, ValueError: they are damaged.
        """
        found = cls.of(**content)
        thresholds, units = len(found.offset), len(found.shift)
        inputs = len(found.straight[0]) if found.straight else 0
        if not thresholds or not inputs or inputs % thresholds:
            raise ValueError(f"a fusion has {inputs} inputs for {thresholds} thresholds")
        shapes = (
            (found.straight, thresholds, inputs),
            (found.into, units, inputs),
            (found.out, thresholds, units),
        )
        numbers = [*found.shift, *found.offset]
        for matrix, rows, cols in shapes:
            numbers += [value for row in matrix for value in row]
            if len(matrix) != rows or any(len(row) != cols for row in matrix):
                raise ValueError(f"a fusion's matrix is not {rows} x {cols}")
        if not np.isfinite(numbers).all():
            raise ValueError("a fusion's numbers are not finite")
        return found

    @property
    def scales(self) -> int:
        """How many scales it takes."""
        return len(self.straight[0]) // len(self.offset)

    def of_logits(self, logits: Floats, column: int) -> Floats:
        """Return the probability of cells, from log-odds at all scales (n, S T): float32 (n,)."""
        count, inputs = len(self.offset), logits.shape[1]
        found = np.empty(len(logits), dtype=np.float32)
        for start in range(0, len(logits), AT_ONCE):
            some = logits[None, start : start + AT_ONCE]
            scales = [
                ScaleLogits(
                    1,
                    np.ascontiguousarray(some[..., first : first + count]),
                    (0, 0),
                    some.shape[:2],
                )
                for first in range(0, inputs, count)
            ]
            found[start : start + AT_ONCE] = self.probability(scales, column)[0]
        return found

    def probability(self, scales: Sequence[ScaleLogits], column: int) -> Floats:
        """Return the probability that cells are brighter than a threshold: float32 (rows, cols).

        Args:
            scales: as many as the fusion takes, finest first; coarser ones have the cells around
                those of the finest.
            column: of the threshold.
        """
        finest = scales[0]
        found = np.empty(finest.values.shape[:2], dtype=np.float32)
        into, shift, out = _padded(self.into, self.shift, self.out[column])
        coarse = [*scales[1:], _NONE, _NONE][:2]
        _fuse(
            finest.values,
            finest.place,
            coarse[0].values,
            coarse[0].place,
            coarse[1].values,
            coarse[1].place,
            np.array(self.straight[column], dtype=np.float32),
            into,
            shift,
            out,
            np.float32(self.offset[column]),
            found,
        )
        return found


def logits_of(scales: Sequence[ScaleLogits]) -> Floats:
    """Return the log-odds of cells at all scales: float32 (rows, columns, S T)."""
    finest = scales[0]
    rows, cols, count = finest.values.shape
    found = np.empty((rows, len(scales) * count, cols), dtype=np.float32)
    found[:, :count] = finest.values.transpose(0, 2, 1)
    for number, scale in enumerate(scales[1:], start=1):
        _interpolate_rows(scale.values, scale.place, finest.place, found, number * count)
    return found.transpose(0, 2, 1)


def _padded(
    into: Matrix, shift: Sequence[float], out: Sequence[float]
) -> tuple[Floats, Floats, Floats]:
    """Return weights of units, with some that give 0 up to a multiple of `UNITS`."""
    units = -(-len(shift) // UNITS) * UNITS
    inputs = len(into[0]) if into else 0
    weights = np.zeros((units, inputs), dtype=np.float32)
    weights[: len(shift)] = np.array(into, dtype=np.float32).reshape(len(shift), inputs)
    shifts, outs = np.zeros(units, dtype=np.float32), np.zeros(units, dtype=np.float32)
    shifts[: len(shift)], outs[: len(out)] = shift, out
    return weights, shifts, outs


_NONE = ScaleLogits(0, np.empty((0, 0, 0), dtype=np.float32), (0, 0), (0, 0))


@jit
def _fuse(  # type: ignore[no-untyped-def]
    finest, place, middle, of_middle, coarsest, of_coarsest,
    straight, into, shift, out, offset, found,
) -> None:  # fmt: skip
    """Fill `found` (rows, cols): see `Fusion`."""
    rows, cols, count = finest.shape
    line = (cols + CHUNK - 1) // CHUNK * CHUNK  # behind the last cell there are zeros
    inputs = np.zeros((len(straight), line), dtype=np.float32)
    total = np.empty(CHUNK, dtype=np.float32)
    limit = np.float32(LIMIT)
    two_scales, three_scales = len(straight) > count, len(straight) > 2 * count
    between = np.empty((count, max(middle.shape[1], coarsest.shape[1]) + 2), dtype=np.float32)
    for y in range(rows):
        for k in range(count):
            for x in range(cols):
                inputs[k, x] = finest[y, x, k]
        if two_scales:
            _interpolate(middle, of_middle, place, y, between, inputs[:, :cols], count)
        if three_scales:
            _interpolate(coarsest, of_coarsest, place, y, between, inputs[:, :cols], 2 * count)
        for start in range(0, cols, CHUNK):  # what is summed stays in the nearest cache
            total[:] = offset
            for k in range(len(straight)):
                values, factor = inputs[k, start : start + CHUNK], straight[k]
                for x in range(CHUNK):
                    value = values[x]
                    value = value if value < limit else limit
                    value = value if value > -limit else -limit
                    values[x] = value
                    total[x] += factor * value
            for u in range(0, len(shift), UNITS):
                for x in range(0, CHUNK, VECTORS * LANES):
                    _add_units(
                        inputs, start + x, line, len(straight), into, u, shift, out, total, x
                    )
            logistic(total, 0, CHUNK)
            stop = min(start + CHUNK, cols)
            found[y, start:stop] = total[: stop - start]


@operation
def _add_units(
    code: Code,
    inputs: Pointer,
    column: Index,
    line: Index,
    count: Index,
    into: Pointer,
    unit: Index,
    shift: Pointer,
    out: Pointer,
    total: Pointer,
    place: Index,
) -> None:
    """Add what `UNITS` units from one on make of `VECTORS` vectors of inputs."""
    values, weights = inputs + column, into + unit * count
    sums = [code.one(shift + unit + u) for u in range(UNITS) for _ in range(VECTORS)]

    def add(number: Index, before: list[Vector]) -> list[Vector]:
        after = []
        given = [code.load(values + number * line + v * LANES) for v in range(VECTORS)]
        for u in range(UNITS):
            weight = code.one(weights + count * u + number)
            after += [code.fused(weight, given[v], before[u * VECTORS + v]) for v in range(VECTORS)]
        return after

    sums = code.loop(count, sums, add)
    one, zero = code.number(1), code.number(0)
    for v in range(VECTORS):
        into_total = total + place + v * LANES
        added = code.load(into_total)
        for u in range(UNITS):
            value = sums[u * VECTORS + v]
            size = code.where(value > zero, value, zero - value)
            added = code.fused(code.one(out + unit + u), value / (one + size), added)
        code.store(added, into_total)


@jit
def _interpolate_rows(values, of_values, place, found, start) -> None:  # type: ignore[no-untyped-def]
    """Interpolate the log-odds of a coarser scale at all cells, into some lines of their rows."""
    between = np.empty((values.shape[2], values.shape[1] + 2), dtype=np.float32)
    for row in range(len(found)):
        _interpolate(values, of_values, place, row, between, found[row], start)


@jit
def _interpolate(  # type: ignore[no-untyped-def]
    values, of_values, place, y, between, inputs, start
) -> None:
    """Interpolate the log-odds of a coarser scale at a row of cells, between centres of cells.

    `between` has room for a row of `values` and a cell on each side: beyond the edges of a scale
    there is what is inside.
    """
    factor, first, left, rows, _ = of_values
    cols, count = values.shape[1], values.shape[2]
    half = np.float32(0.5)
    centre = (np.float32(place[1] + y) + half) / np.float32(factor) - half
    centre = min(max(centre, np.float32(0)), np.float32(rows - 1))
    below = int(centre)
    up = centre - np.float32(below)
    low, high = values[below - first], values[min(below + 1, rows - 1) - first]
    for k in range(count):
        for x in range(cols):
            between[k, x + 1] = low[x, k] + up * (high[x, k] - low[x, k])
        between[k, 0] = between[k, 1]
        between[k, cols + 1] = between[k, cols]
    for phase in range(min(factor, inputs.shape[1])):  # cells that lie alike between two of them
        centre = (np.float32(place[2] + phase) + half) / np.float32(factor) - half
        before = int(np.floor(centre))
        share, at = centre - np.float32(before), before - left + 1
        for k in range(count):
            given, found = between[k, at:], inputs[start + k, phase::factor]
            for x in range(len(found)):
                found[x] = given[x] + share * (given[x + 1] - given[x])
