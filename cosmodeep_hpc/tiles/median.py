"""Medians of many numbers, exact, from the few numbers that lie near to them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine.jit import jit

SMALL = 2**16  # numbers that are parted as they are
SAMPLE = 2**17  # of them, that say about where the median lies
FAR = 3.5  # standard errors of that, within which it is looked for
PIECE = 32  # numbers among which it is looked for at once
ZERO, ALL_BITS, SIZE = np.float32(0), np.int32(-1), np.int32(0x7FFFFFFF)


def median(values: NDArray[np.float32]) -> np.float32:
    """The median of finite values (n,), n > 0: to the last bit NumPy's."""
    return _median(values, None)


def median_deviation(values: NDArray[np.float32], centre: np.float32) -> np.float32:
    """The median of the absolute deviations of finite values (n,), n > 0, from `centre`.

    To the last bit that of an array of them, which is not made.
    """
    return _median(values, centre)


def _median(values: NDArray[np.float32], centre: np.float32 | None) -> np.float32:
    """The mean of both middle values; of deviations where a centre is given."""
    count = len(values)
    low, high = (count - 1) // 2, count // 2
    if count > SMALL:
        step = max(1, count // SAMPLE) | 1  # odd: columns of an image have an even period
        sample = np.sort(_deviations(values[::step], centre))
        reach = math.ceil(FAR * math.sqrt(len(sample)) / 2)
        first = sample[max(len(sample) // 2 - reach, 0)]
        last = sample[min(len(sample) // 2 + reach, len(sample) - 1)]
        near = np.empty(count // 8, dtype=np.float32)
        origin, bits = (ZERO, ALL_BITS) if centre is None else (centre, SIZE)
        below, found = _near(values, origin, bits, first, last, near)
        if below <= low and high < below + found:
            near = np.sort(near[:found])
            return _mean(near[low - below : high - below + 1])
    # NumPy's own median asks for both middle values at once, without its vector instructions
    parted = np.partition(_deviations(values, centre), high)
    return _mean(np.array([*([parted[:high].max()] if low < high else []), parted[high]]))


def _mean(middle: NDArray[np.float32]) -> np.float32:
    """Of one value or two."""
    return np.float32(middle[0] if len(middle) == 1 else (middle[0] + middle[1]) / np.float32(2))


def _deviations(values: NDArray[np.float32], centre: np.float32 | None) -> NDArray[np.float32]:
    return values if centre is None else np.abs(values - centre)


@jit
def _seen(value, origin, bits):  # type: ignore[no-untyped-def]
    """A value from an origin, with some of its bits: without that of the sign its size."""
    return np.int32(np.float32(value - origin).view(np.int32) & bits).view(np.float32)


@jit
def _near(values, origin, bits, first, last, near):  # type: ignore[no-untyped-def]
    """Collect the values from `first` to `last`; how many are below, and how many there are.

    Values are `_seen`. Where `near` is too small for all of them, all count as below.
    """
    below, found = 0, 0
    whole = len(values) // PIECE * PIECE
    for start in range(0, whole, PIECE):
        piece = values[start : start + PIECE]
        lower, upto = np.int32(0), np.int32(0)
        for i in range(PIECE):
            x = _seen(piece[i], origin, bits)
            lower += np.int32(x < first)
            upto += np.int32(x <= last)
        below += int(lower)
        if upto > lower:
            if found > len(near) - PIECE:
                return len(values), 0
            for i in range(PIECE):
                x = _seen(piece[i], origin, bits)
                near[found] = x
                found += (x >= first) & (x <= last)
    for i in range(whole, len(values)):
        x = _seen(values[i], origin, bits)
        below += x < first
        if (x >= first) & (x <= last):
            if found == len(near):
                return len(values), 0
            near[found] = x
            found += 1
    return below, found


@jit
def have_data(pixels):  # type: ignore[no-untyped-def]
    """Whether all of contiguous pixels (n,) have data: none is NaN, infinite or exactly 0."""
    good = True
    for i in range(len(pixels)):
        x = pixels[i]
        good &= (x - x == ZERO) & (x != ZERO)
    return good
