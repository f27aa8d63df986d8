"""Level and noise of the pixels of cells, by their fainter half.

Sources, and whatever else is bright, only add to pixels. So level and noise are taken from the
pixels below, after those far above were left out: as sigma clipping, but on one side alone, with
the medians of a Gaussian that is cut there. A tenth of the pixels in faint sources changes the
result by 1 %, a third by 6 %, where the median absolute deviation is 10 and 30 % too high.
"""

from __future__ import annotations

import math

import numpy as np

from cosmodeep_hpc.engine.jit import jit

LEAST = 64
"""Pixels with data without which nothing is measured in a cell."""
TO_SIGMA = 1.482602218505602
"""Standard deviation of a Gaussian over its median absolute deviation."""
CUT = 2.0
"""Standard deviations above the level from which pixels are left out."""
SHIFT = 0.02852
"""What that does to the median of a Gaussian [standard deviation]: -ppf(cdf(CUT) / 2)."""
WITHIN = 0.87963
"""Standard deviation of a Gaussian cut at CUT on both sides: (1 - 4 pdf(2) / erf(2^0.5))^0.5."""
ALIKE = 1.1
"""Ratio of the noise by both sides and by the lower one up to which there is nothing bright."""
ROUNDS = 8
FIRST = 100
"""Values of a cell that the first guess is made of."""
BINS = 256
SOME = 400
"""Numbers that a step between them is sought in."""
EVEN = 0.02
"""Of the quartiles' distance: numbers whose nearest two are farther apart have a step. Of 400
numbers of noise the nearest two are a thousandth of that apart."""
GOLDEN = 0.6180339887498949
"""Multiples of it, without their whole part, are spread evenly."""
REACH = 8.0
"""Standard deviations of the first guess that the bins reach to, on both sides."""
FINE = 16
"""Bins below a median without which they are too coarse for it."""
COARSE = 4.0
"""Bins are made anew where their standard deviation was this much too large."""
ROUNDING = 1e-6
"""Of a level: what float32 and sums over it leave of a constant."""


@jit
def fill_cells(pixels, side, step, apart, gains, grids) -> None:  # type: ignore[no-untyped-def]
    """Measure pixels float32 (ny, nx) in cells of `side` x `side`.

    Args:
        step: every so many-th row of a cell counts for level and noise.
        apart: distance of the pixels of a second difference; 0: none is taken [pixel].
        gains: float32 (2,), noise of a difference along columns, and along rows, over that of a
            pixel.
        grids: float32 (7, rows, cols), NaN: level, sigma, rough, (left alone), low, high, count.
    """
    ny, nx = pixels.shape
    lowest, highest = np.empty(nx, np.float32), np.empty(nx, np.float32)
    values = np.empty(side * side, np.float32)
    work = np.empty(FIRST, np.float32)
    counts = np.empty(BINS + 2, np.int64)
    for row in range(grids.shape[1]):
        first, top = row * side, min((row + 1) * side, ny)
        extremes(pixels[first:top], lowest, highest)
        level, sigma = np.float32(0), np.float32(0)  # of the cell to the left: a first guess
        grain = step_of(pixels[first:top], values)
        for col in range(grids.shape[2]):
            left, right = col * side, min((col + 1) * side, nx)
            low, high = lowest[left:right].min(), highest[left:right].max()
            if low <= high:
                grids[4, row, col] = low
                grids[5, row, col] = high
            count = 0
            for y in range(first, top, step):
                for x in range(left, right):
                    values[count] = pixels[y, x]
                    count += np.isfinite(pixels[y, x])
            blur(values[:count], grain)
            grids[6, row, col] = count
            if count < LEAST:
                continue
            level, sigma = lower_side(values[:count], level, sigma, work, counts)
            grids[0, row, col] = level
            grids[1, row, col] = sigma
            if apart > 0:
                box = (first, top, left, right)
                count = differences(pixels, box, 2 * step, apart, gains, values)
                blur(values[:count], grain / gains[0])
                if count >= LEAST:
                    grids[2, row, col] = spread(values[:count], sigma, counts)


@jit
def step_of(rows, values):  # type: ignore[no-untyped-def]
    """Return the step between the numbers of rows (n, nx), as integers have it; 0: there is none.

    Of so many numbers of noise two are far nearer to each other than EVEN of their spread.

    Args:
        values: float32, room for at least SOME of them.
    """
    count, room = 0, min(len(values), SOME)
    for y in range(len(rows)):
        for x in range(rows.shape[1]):
            values[count] = rows[y, x]
            count += np.isfinite(rows[y, x])
            if count == room:
                break
        if count == room:
            break
    if count < LEAST:
        return np.float32(0)
    found = np.sort(values[:count])
    spread = found[count * 3 // 4] - found[count // 4]
    step = np.float32(np.inf)
    for i in range(1, count):
        gap = found[i] - found[i - 1]
        if gap > 0 and gap < step:
            step = gap
    return step if step > np.float32(EVEN) * spread and step < np.float32(np.inf) else np.float32(0)


@jit
def blur(values, step) -> None:  # type: ignore[no-untyped-def]
    """Spread values (n,) that have steps evenly within theirs, in place."""
    if step > 0:
        for i in range(len(values)):
            share = i * GOLDEN
            values[i] += np.float32(step * (share - math.floor(share) - 0.5))


@jit
def extremes(rows, lowest, highest) -> None:  # type: ignore[no-untyped-def]
    """Fill in the extremes of each column of rows (n, nx); inf and -inf where none is finite."""
    lowest[:] = np.inf
    highest[:] = -np.inf
    for y in range(len(rows)):
        for x in range(rows.shape[1]):
            v = rows[y, x]
            lowest[x] = v if v < lowest[x] else lowest[x]
            highest[x] = v if v > highest[x] else highest[x]


@jit
def lower_side(values, level, sigma, work, counts):  # type: ignore[no-untyped-def]
    """Return level and standard deviation of values (n,), n >= LEAST, by those below the level.

    Args:
        level, sigma: a guess; a sigma of 0: there is none.
        work: float32 (FIRST,).
        counts: int64 (BINS + 2,).
    """
    centre, wide = np.float64(level), np.float64(sigma)
    if wide > 0:
        found = settled(values, centre, wide, counts)
        if found[1] > wide / COARSE and found[1] < wide * COARSE:
            return both_sides(values, found[0], found[1])
    some = min(len(values), FIRST)
    for i in range(some):
        work[i] = values[i * len(values) // some]
    centre = np.float64(middle(work[:some]))
    for i in range(some):
        work[i] = abs(np.float32(values[i * len(values) // some] - np.float32(centre)))
    wide = TO_SIGMA * middle(work[:some])
    if not wide > ROUNDING * abs(centre):  # most are the same: then all are looked at
        wide = np.float64(0)
        for i in range(len(values)):
            wide += abs(values[i] - centre)
        wide /= len(values)
        if not wide > ROUNDING * abs(centre):
            return np.float32(centre), np.float32(0)
    for _ in range(ROUNDS):
        before = wide
        centre, wide = settled(values, centre, wide, counts)
        if before <= COARSE * wide:
            break
    if not wide > ROUNDING * abs(centre):
        return np.float32(centre), np.float32(0)
    return both_sides(values, centre, wide)


@jit
def settled(values, level, sigma, counts):  # type: ignore[no-untyped-def]
    """Return level and standard deviation by the lower side, from values in bins of a guess."""
    start, wide = level - REACH * sigma, 2 * REACH * sigma / BINS
    counted(values, start, wide, counts)
    for _ in range(ROUNDS):
        before = sigma
        half = 0.5 * below(counts, start, wide, level + CUT * sigma)
        level = reached(counts, start, wide, half) + SHIFT * sigma
        quarter = 0.5 * below(counts, start, wide, level)
        sigma = TO_SIGMA * (level - reached(counts, start, wide, quarter))
        if abs(sigma - before) < 1e-3 * before:
            break
    if not sigma > 0:  # a bin holds them: half of it
        sigma = 0.5 * wide
    return level, sigma


@jit
def both_sides(values, level, sigma):  # type: ignore[no-untyped-def]
    """Return level and standard deviation by both sides, where nothing bright shows; as given else.

    Values on both sides tell more than those of one.
    """
    number, total, squares = 0, np.float32(0), np.float32(0)
    centre, per = np.float32(level), np.float32(1 / sigma)
    for i in range(len(values)):
        away = (values[i] - centre) * per
        inside = abs(away) < np.float32(CUT)
        away = away if inside else np.float32(0)
        number += inside
        total += away
        squares += away * away
    both = math.sqrt(squares / number) / WITHIN
    if both < ALIKE:
        level += sigma * total / number
        sigma *= both
    return np.float32(level), np.float32(sigma)


@jit
def counted(values, start, wide, counts) -> None:  # type: ignore[no-untyped-def]
    """Fill `counts` with the values below the end of each bin: the first is all below `start`."""
    counts[:] = 0
    per = 1.0 / wide
    for i in range(len(values)):
        place = (values[i] - start) * per
        if place < 0:
            counts[0] += 1
        elif place < BINS:
            counts[1 + int(place)] += 1
        else:
            counts[BINS + 1] += 1
    for i in range(1, BINS + 2):
        counts[i] += counts[i - 1]


@jit
def below(counts, start, wide, value):  # type: ignore[no-untyped-def]
    """Return how many values lie below `value`, as if they were even within their bin."""
    place = (value - start) / wide
    if place <= 0:
        return np.float64(counts[0])
    if place >= BINS:
        return np.float64(counts[BINS])
    whole = int(place)
    return counts[whole] + (place - whole) * (counts[whole + 1] - counts[whole])


@jit
def reached(counts, start, wide, number):  # type: ignore[no-untyped-def]
    """Return the value below which `number` values lie, as if they were even within their bin."""
    first, last = 0, BINS  # counts[first] <= number < counts[last], but at the ends
    if number <= counts[0]:
        return start
    if number >= counts[BINS]:
        return start + BINS * wide
    while last - first > 1:
        half = (first + last) // 2
        if counts[half] <= number:
            first = half
        else:
            last = half
    share = (number - counts[first]) / (counts[last] - counts[first])
    return start + (first + share) * wide


@jit
def differences(pixels, box, step, apart, gains, values):  # type: ignore[no-untyped-def]
    """Fill in sizes of second differences inside a cell, and return how many.

    Args:
        box: first row, row behind the last, first column, column behind the last.
        step: rows from one that is taken to the next.
        gains: (2,), of differences along columns, and along rows.
        values: float32, room for all pixels of a cell.
    """
    low, top, left, right = box
    count = 0
    for axis in range(2):
        gain = np.float32(1.0) / gains[axis]
        up, across = (apart, 0) if axis == 0 else (0, apart)
        for y in range(low + up, top - up, step):
            for x in range(left + across, right - across):
                if count == len(values):
                    break
                here = pixels[y, x]
                one, other = pixels[y - up, x - across], pixels[y + up, x + across]
                d = (here - one) + (here - other)
                values[count] = abs(d) * gain
                count += np.isfinite(d)
    return count


@jit
def spread(sizes, guess, counts):  # type: ignore[no-untyped-def]
    """Return the standard deviation of a Gaussian by absolute values (n,); they change places.

    Args:
        guess: of it.
    """
    wide = 0.5 * REACH * guess / BINS
    if wide > 0:
        counted(sizes, 0.0, wide, counts)
        found = reached(counts, 0.0, wide, 0.5 * len(sizes))
        if FINE * wide < found and counts[BINS] > len(sizes) // 2:
            return np.float32(TO_SIGMA * found)
    return np.float32(TO_SIGMA) * middle(sizes)


@jit
def middle(values):  # type: ignore[no-untyped-def]
    """Return the median of values (n,), the upper of two; they change places."""
    wanted = len(values) // 2
    first, last = 0, len(values) - 1
    while first < last:
        pivot = values[(first + last) // 2]
        i, j = first, last
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if wanted <= j:
            last = j
        elif wanted >= i:
            first = i
        else:
            break
    return values[wanted]
