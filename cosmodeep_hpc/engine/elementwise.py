"""Exponential functions of many numbers, with the same bits on every processor.

They are polynomials of additions and multiplications only; libraries' functions differ in their
last bits from one processor to the next.

Source of the exponential's polynomial: S. L. Moshier, Cephes library, expf.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cosmodeep_hpc.engine.arrays import Array
from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.engine.logarithm import logarithm
from cosmodeep_hpc.engine.simd import LANES, Code, Index, Pointer, Vector, operation, zeros

LOG2_E = 1.44269504088896341
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4
POLYNOMIAL = (
    *(1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3),
    *(4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1),
)
LOWEST, HIGHEST = -87.0, 88.0  # beyond, e^x is no normal float32
ROUNDING = 1.5 * 2**23  # a float32 as large has no fraction


def _exponential(code: Code, x: Vector) -> Vector:
    """Return e^x with a relative error of 1e-7, x limited to normal results; NaN stays NaN."""
    lowest, highest, rounding = (code.number(v) for v in (LOWEST, HIGHEST, ROUNDING))
    y = code.where(x > lowest, x, lowest)
    y = code.where(highest > y, y, highest)
    power = code.fused(y, code.number(LOG2_E), rounding) - rounding  # the nearest whole number
    r = code.fused(power, code.number(-LN2_HIGH), y)
    r = code.fused(power, code.number(-LN2_LOW), r)
    total = code.number(POLYNOMIAL[0])
    for factor in POLYNOMIAL[1:]:
        total = code.fused(total, r, code.number(factor))
    total = code.fused(total, r * r, r + code.number(1))
    return code.where(x.is_nan(), x, total * code.power_of_two(power))


@operation
def _logistic(code: Code, values: Pointer, place: Index) -> None:
    one, zero = code.number(1), code.number(0)
    power = _exponential(code, zero - code.load(values + place))
    code.store(one / (one + power), values + place)


@operation
def _to_exponential(code: Code, values: Pointer, place: Index) -> None:
    code.store(_exponential(code, code.load(values + place)), values + place)


@jit
def logistic(values, start, stop) -> None:  # type: ignore[no-untyped-def]
    """Compute 1 / (1 + e^-x) of the numbers `start` to `stop` in place, in whole vectors."""
    for k in range(start, stop, LANES):
        _logistic(values, k)


@jit
def _exponentials(values, start, stop) -> None:  # type: ignore[no-untyped-def]
    for k in range(start, stop, LANES):
        _to_exponential(values, k)


def sigmoid(values: Array) -> Array:
    """Return 1 / (1 + e^-x), float32 of the same shape; NaN stays NaN."""
    return _in_vectors(logistic, values)


def softmax(values: Array) -> Array:
    """Return e^x over its sum along the last axis, float32 (n, k).

    NaN or infinity makes its row NaN.
    """
    with np.errstate(invalid="ignore"):  # infinity less infinity is NaN
        below = values - values.max(axis=-1, keepdims=True)
    found = _in_vectors(_exponentials, below)
    total = found[..., 0].copy()
    for k in range(1, found.shape[-1]):  # in this order, whatever the processor
        total += found[..., k]
    return np.asarray(found / total[..., np.newaxis])


def _in_vectors(compute: Callable[[Array, int, int], None], values: Array) -> Array:
    """Fill numbers up to whole vectors, run a loop over them and return the numbers."""
    whole = zeros((-(-values.size // LANES) * LANES,))
    whole[: values.size] = values.reshape(-1)
    compute(whole, 0, whole.size)
    return whole[: values.size].reshape(values.shape)


def log(values: Array) -> Array:
    """Return the natural logarithm, float32 of the same shape; NaN unless normal and positive."""
    found = np.array(values, dtype=np.float32, order="C")
    _logarithms(found.reshape(-1))
    return found


TINY, NAN = np.float32(np.finfo(np.float32).tiny), np.float32(np.nan)


@jit
def _logarithms(values) -> None:  # type: ignore[no-untyped-def]
    for i in range(len(values)):
        x = values[i]
        values[i] = logarithm(x) if x >= TINY else NAN
