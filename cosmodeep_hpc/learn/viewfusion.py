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

LIMIT = 16.0
"""Log-odds are cut to this size: more is no more certain."""
AT_ONCE = 2**20
"""Cells of a row at most: places of more are no exact float32."""
Floats = NDArray[np.float32]
Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class ScaleLogits:
    """What a network says of pixels at one scale.

    Attributes:
        factor: cells of the finest scale along the side of one.
        values: log-odds of some rows, float32 (rows, columns, T).
        first: the first of these rows.
        rows: of the whole scale.
    """

    factor: int
    values: Floats
    first: int
    rows: int


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
                ScaleLogits(1, np.ascontiguousarray(some[..., first : first + count]), 0, 1)
                for first in range(0, inputs, count)
            ]
            found[start : start + AT_ONCE] = self.probability(scales, column)[0]
        return found

    def probability(self, scales: Sequence[ScaleLogits], column: int) -> Floats:
        """Return the probability that cells are brighter than a threshold: float32 (rows, cols).

        Args:
            scales: as many as the fusion takes, finest first; coarser ones have the rows around
                those of the finest.
            column: of the threshold.
        """
        finest = scales[0]
        found = np.empty(finest.values.shape[:2], dtype=np.float32)
        coarse = [*scales[1:], _NONE, _NONE][:2]
        places = [(scale.factor, scale.first, scale.rows) for scale in coarse]
        _fuse(
            finest.values,
            finest.first,
            coarse[0].values,
            coarse[1].values,
            np.array(places, dtype=np.int64),
            np.array(self.straight[column], dtype=np.float32),
            np.array(self.into, dtype=np.float32).reshape(-1, len(self.straight[column])),
            np.array(self.shift, dtype=np.float32),
            np.array(self.out[column], dtype=np.float32),
            np.float32(self.offset[column]),
            found,
        )
        return found


def logits_of(scales: Sequence[ScaleLogits]) -> Floats:
    """Return the log-odds of cells at all scales, as `Fusion` takes them: float32 (n, S T)."""
    finest = scales[0]
    rows, cols, count = finest.values.shape
    found = np.empty((rows, len(scales) * count, cols), dtype=np.float32)
    found[:, :count] = finest.values.transpose(0, 2, 1)
    for number, scale in enumerate(scales[1:], start=1):
        place = np.array((scale.factor, scale.first, scale.rows), dtype=np.int64)
        for row in range(rows):
            _interpolate(scale.values, place, finest.first + row, found[row], number * count)
    return found.transpose(0, 2, 1).reshape(rows * cols, -1)


_NONE = ScaleLogits(0, np.empty((0, 0, 0), dtype=np.float32), 0, 0)


@jit
def _fuse(  # type: ignore[no-untyped-def]
    finest, top, middle, coarsest, places, straight, into, shift, out, offset, found
) -> None:
    """Fill `found` (rows, cols): see `Fusion`."""
    rows, cols, count = finest.shape
    inputs = np.empty((len(straight), cols), dtype=np.float32)
    total, unit = np.empty(cols, dtype=np.float32), np.empty(cols, dtype=np.float32)
    flat = np.empty((cols + 63) // 64 * 64, dtype=np.float32)
    one, limit = np.float32(1), np.float32(LIMIT)
    for y in range(rows):
        for x in range(cols):
            for k in range(count):
                inputs[k, x] = finest[y, x, k]
        if len(straight) > count:
            _interpolate(middle, places[0], top + y, inputs, count)
        if len(straight) > 2 * count:
            _interpolate(coarsest, places[1], top + y, inputs, 2 * count)
        total[:] = offset
        for k in range(len(straight)):
            line, factor = inputs[k], straight[k]
            for x in range(cols):
                value = line[x]
                value = value if value < limit else limit
                value = value if value > -limit else -limit
                line[x] = value
                total[x] += factor * value
        for u in range(len(shift)):
            unit[:] = shift[u]
            for k in range(len(straight)):
                line, factor = inputs[k], into[u, k]
                for x in range(cols):
                    unit[x] += factor * line[x]
            factor = out[u]
            for x in range(cols):
                total[x] += factor * (unit[x] / (one + abs(unit[x])))
        flat[:cols] = total
        logistic(flat, 0, len(flat))
        found[y] = flat[:cols]


@jit
def _interpolate(values, place, row, inputs, start) -> None:  # type: ignore[no-untyped-def]
    """Interpolate the log-odds of a coarser scale at a row of cells, between centres of cells."""
    factor, first, rows = place
    cols, count = values.shape[1], values.shape[2]
    half = np.float32(0.5)
    at = (np.float32(row) + half) / np.float32(factor) - half
    at = min(max(at, np.float32(0)), np.float32(rows - 1))
    below = int(at)
    above = min(below + 1, rows - 1)
    up = at - np.float32(below)
    for x in range(inputs.shape[1]):
        at = (np.float32(x) + half) / np.float32(factor) - half
        at = min(max(at, np.float32(0)), np.float32(cols - 1))
        left = int(at)
        right = min(left + 1, cols - 1)
        share = at - np.float32(left)
        for k in range(count):
            before = values[below - first, left, k]
            before += up * (values[above - first, left, k] - before)
            behind = values[below - first, right, k]
            behind += up * (values[above - first, right, k] - behind)
            inputs[start + k, x] = before + share * (behind - before)
