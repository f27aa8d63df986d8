"""Completeness: which share of sources is found, by size and flux, and from which flux on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial import KDTree
from scipy.special import log_ndtr, ndtri

from cosmodeep_hpc.injection.trial import Trial

SIGMA = 1.0
"""Standard deviations of the intervals of shares."""
HALF, MOST = 0.5, 0.95
"""Completeness of the fluxes that are quoted."""
ALIKE = 8
"""Sources found that tell how complete sources like an island are."""
APART = math.log(3.0)
"""Distance in the logarithms of flux and area beyond which a source is not like an island."""


@dataclass(frozen=True, kw_only=True)
class SizeCurve:
    """The completeness of sources of one size.

    Attributes:
        size: [arcsec]. fluxes: [Jy], growing, (n,).
        tried, found: how many at each flux, int64 (n,).
        low, high: interval of the share found (Wilson's, 68 %), (n,).
        ratio: median of the flux measured over that put in, of those found; NaN: none, (n,).
        half, most: flux of which half, and 95 %, are found [Jy]; NaN: not reached, or below the
            least.
        limits: for each place the flux from which on it is found; infinite: it never is [Jy].
    """

    size: float
    fluxes: NDArray[np.float64]
    tried: NDArray[np.int64]
    found: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    ratio: NDArray[np.float64]
    half: float
    most: float
    limits: dict[int, float]

    @property
    def share(self) -> NDArray[np.float64]:
        """Share found at each flux."""
        return np.asarray(self.found / np.maximum(self.tried, 1))


def curves(trials: Sequence[Trial]) -> list[SizeCurve]:
    """Return the completeness of each size, smallest first."""
    return [
        _curve(size, [trial for trial in trials if trial.size == size])
        for size in sorted({trial.size for trial in trials})
    ]


def _curve(size: float, trials: list[Trial]) -> SizeCurve:
    fluxes = np.array(sorted({trial.flux for trial in trials}))
    at = [[trial for trial in trials if trial.flux == flux] for flux in fluxes]
    tried = np.array([len(some) for some in at])
    found = np.array([sum(trial.found for trial in some) for some in at])
    low, high = wilson(found, tried)
    ratio = [
        [measured(trial) / trial.flux for trial in some if math.isfinite(trial.diffuse)]
        for some in at
    ]
    half, most = fitted(fluxes, found, tried)
    return SizeCurve(
        size=size,
        fluxes=fluxes,
        tried=tried,
        found=found,
        low=low,
        high=high,
        ratio=np.array([float(np.median(some)) if some else math.nan for some in ratio]),
        half=half,
        most=most,
        limits={
            number: limit([trial for trial in trials if trial.number == number])
            for number in sorted({trial.number for trial in trials})
        },
    )


def measured(trial: Trial) -> float:
    """Return the flux that the catalogue gives a source [Jy]: the whole, where it is measured."""
    return trial.total if math.isfinite(trial.total) else trial.diffuse


def wilson(
    found: NDArray[np.int64], tried: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the intervals of shares.

    Source: Wilson (1927), J. Am. Stat. Assoc. 22, 209.
    """
    n, z = np.maximum(tried, 1), SIGMA
    share = found / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def fitted(
    fluxes: NDArray[np.float64], found: NDArray[np.int64], tried: NDArray[np.int64]
) -> tuple[float, float]:
    """Return the fluxes of which half and 95 % are found [Jy], by the most likely normal curve.

    The share found is that of a normal distribution in the logarithm of the flux. NaN where the
    fluxes do not reach so far.
    """
    share = found / np.maximum(tried, 1)
    if not (share.min() < HALF <= share.max()):
        return math.nan, math.nan
    x = np.log(fluxes)
    least = float(np.median(np.diff(x))) / 2  # a curve is not known more finely than its fluxes

    def width_of(known: NDArray[np.float64]) -> float:
        return max(float(np.exp(known[1])), least)

    def unlikely(known: NDArray[np.float64]) -> float:
        z = (x - known[0]) / width_of(known)
        return -float((found * log_ndtr(z) + (tried - found) * log_ndtr(-z)).sum())

    begin = [float(np.interp(HALF, np.maximum.accumulate(share), x)), math.log(0.3)]
    best = minimize(unlikely, begin, method="Nelder-Mead").x
    most = math.exp(best[0] + width_of(best) * float(ndtri(MOST)))
    return math.exp(best[0]), most if most <= fluxes[-1] else math.nan


def limit(trials: Sequence[Trial]) -> float:
    """Return the flux from which on a source is found at one place [Jy]: its upper limit there.

    Infinite where the brightest is not found.
    """
    reached = math.inf
    for trial in sorted(trials, key=lambda trial: -trial.flux):
        if not trial.found:
            break
        reached = trial.flux
    return reached


def of_islands(
    trials: Sequence[Trial], flux: NDArray[np.float64], beams: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return completeness and selection bias of islands, by the injected sources found like them.

    Args:
        flux: as `measured` gives it [Jy]. beams: their areas [beam].

    Returns:
        share of sources like it that are found, and mean of the flux measured over that put in,
        (n,) each; NaN where no such source was found.
    """
    share = {
        (curve.size, flux): one
        for curve in curves(trials)
        for flux, one in zip(curve.fluxes, curve.share, strict=True)
    }
    like = [trial for trial in trials if trial.found and measured(trial) > 0 and trial.beams > 0]
    completeness, bias = np.full(len(flux), np.nan), np.full(len(flux), np.nan)
    if not like:
        return completeness, bias
    places = np.log([[measured(trial), trial.beams] for trial in like])
    tree = KDTree(places)
    for n, (one, area) in enumerate(zip(flux, beams, strict=True)):
        if not (one > 0 and area > 0):
            continue
        away, near = tree.query(np.log([one, area]), k=min(ALIKE, len(like)))
        near = np.atleast_1d(near)[np.atleast_1d(away) <= APART]
        if len(near):
            some = [like[k] for k in near]
            completeness[n] = np.mean([share[trial.size, trial.flux] for trial in some])
            bias[n] = np.mean([measured(trial) / trial.flux for trial in some])
    return completeness, bias
