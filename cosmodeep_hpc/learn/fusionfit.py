"""Fitting the fusion of scales, and choosing thresholds of the map, on fields with a known sky."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from cosmodeep_hpc.learn.metrics import curve, expected_best_threshold
from cosmodeep_hpc.learn.pixelmap import SHARE, MapPoints
from cosmodeep_hpc.learn.viewfusion import LIMIT, Fusion

UNITS = 16
"""Units of the layer between log-odds and result: with 8, average precision is .003 lower where
emission is wide."""
INSIDE = 4.0
"""Log-odds are in units of this within the fit, so that all of its numbers are about 1."""
ROUNDS = 200
DECAY = 1e-6
AT_ONCE = 2**16
BINS = 10

Numbers = NDArray[np.float64]
Floats = NDArray[np.float32]


def fitted(logits: Floats, truth: NDArray[np.bool_], seed: int) -> Fusion:
    """Return the fusion of largest likelihood on cells of fields.

    Args:
        logits: of cells at all scales, finest first, float32 (n, S T).
        truth: whether cells are brighter than each threshold, bool (n, T).
        seed: of the numbers that the fit begins with.
    """
    from scipy.optimize import minimize  # only calibration needs it

    given = np.clip(logits, -LIMIT, LIMIT) / np.float32(INSIDE)
    wanted = truth.astype(np.float32)
    inputs, thresholds = given.shape[1], wanted.shape[1]
    shapes = (
        (thresholds, inputs), (UNITS, inputs), (UNITS,), (thresholds, UNITS), (thresholds,),
    )  # fmt: skip
    random = np.random.default_rng(seed)
    first = [random.normal(0, 0.5, shape) / np.sqrt(shape[-1]) for shape in shapes]
    first[0] += INSIDE * np.eye(thresholds, inputs)

    def loss(flat: Numbers) -> tuple[float, Numbers]:
        parts = _parts(flat, shapes)
        total, slopes = 0.0, [np.zeros(shape) for shape in shapes]
        for start in range(0, len(given), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            lost, slope = _loss(parts, given[some], wanted[some])
            total += lost
            for whole, part in zip(slopes, slope, strict=True):
                whole += part
        downhill = np.concatenate([each.ravel() for each in slopes]) / len(given)
        return total / len(given) + DECAY * float(flat @ flat), downhill + 2 * DECAY * flat

    start = np.concatenate([each.ravel() for each in first])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ROUNDS})
    straight, into, shift, out, offset = _parts(found.x, shapes)
    return Fusion.of(*_rounded(straight / INSIDE, into / INSIDE, shift, out, offset))


def _parts(flat: Numbers, shapes: Sequence[tuple[int, ...]]) -> list[NDArray[np.floating]]:
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]


def _loss(
    parts: Sequence[NDArray[np.floating]], given: Floats, wanted: Floats
) -> tuple[float, list[Numbers]]:
    """Return the summed cross entropy of cells, and its slopes: see `Fusion`."""
    straight, into, shift, out, offset = (part.astype(np.float32) for part in parts)
    u = given @ into.T + shift
    size = 1 + np.abs(u)
    unit = u / size
    z = given @ straight.T + unit @ out.T + offset
    error = expit(z) - wanted
    before = (error @ out) / size**2
    lost = float((np.logaddexp(0, z) - wanted * z).sum(dtype=np.float64))
    slopes = [error.T @ given, before.T @ given, before.sum(0), error.T @ unit, error.sum(0)]
    return lost, [np.asarray(slope, np.float64) for slope in slopes]


def _rounded(*parts: NDArray[np.floating]) -> list[NDArray[np.floating]]:
    """Round to what matters: a card is text."""
    return [np.round(part, 5) for part in parts]


def points_of(truth: NDArray[np.bool_], probability: Floats) -> MapPoints:
    """Choose the thresholds of a map, and tell how reliable its probabilities are.

    Args:
        truth: whether cells are brighter than F_th, bool (n,).
        probability: float32 (n,), without NaN.
    """
    if not truth.any():
        return MapPoints()
    found, best = curve(truth, probability), expected_best_threshold(probability)
    pure = found.threshold_of(purity=SHARE) if found.precision.max() >= SHARE else None
    return MapPoints(
        threshold=best,
        # where the best has more than is asked for, it is the point as well
        completeness=min(found.threshold_of(completeness=SHARE), best),
        purity=None if pure is None else max(pure, best),
        reliability=reliability(truth, probability),
    )


def reliability(
    truth: NDArray[np.bool_], probability: Floats
) -> tuple[tuple[float, float, int], ...]:
    """Return rows of (mean probability, share of bright cells, cells) by classes of probability."""
    place = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    mean, share = (
        np.bincount(place, values, BINS) / np.maximum(count, 1) for values in (probability, truth)
    )
    rows = zip(mean, share, count, strict=True)
    return tuple((round(float(p), 4), round(float(s), 4), int(n)) for p, s, n in rows if n)
