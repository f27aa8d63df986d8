"""The whole flux of a source: what an island has, and what lies outside it below the noise.

Cells are sorted by their distance from the island's edge, outside and inside. Their mean
brightness falls with it as

    B(d) = A exp(-d/h - c (d/h)^2) + b,

a growth curve whose last part is extrapolated: an exponential for c = 0, as radio halos have it,
and towards a Gaussian, as edges of relics and bridges are, for larger c. The flux is that of the
data up to some beams from the island and of the fit beyond. A and b follow from h and c by least
squares, h and c are averaged over, by their likelihoods. So the error has all that is not known of
the source, and the shape of the island may be any.

Source: Murgia et al. (2009), A&A 499, 679 (exponential profiles of halos).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from cosmodeep_hpc.islands.fluxnoise import FluxNoise

INSIDE = 2.0
"""How far inside the edge the profile begins to be fitted [beam]."""
DATA = 2.0
"""How far outside the edge the data count, before the fit stands for them [beam]."""
OUTSIDE = 6.0
"""How far outside the edge the profile is fitted [beam]."""
FOREIGN = 4.0
"""Times its noise that a cell outside may be brighter than the island's edge: what is brighter is
no part of the source, but one that the network left out."""
DEEPEST = 0.7
"""Radii inside the edge that are fitted at most."""
STEP = 0.5
"""Width of a ring, at least [beam]."""
BETWEEN = 0.3
"""Cells from the middle of one at an island's edge to the edge: half of one along rows, less in all
other directions, in which the nearest cell across it lies closer."""
SCALES = 60
"""Values of h that are looked at: with fewer, that of a bright source lies between two."""
SHORTEST = 0.4
"""Least h [beam]."""
CURVATURES = (0.0, 0.05, 0.2, 0.5, 1.0)
"""Values of c."""
BEYOND = 12.0
"""Values of h at which the source ends."""
RINGS = 4
"""Rings without which nothing is fitted."""


@dataclass(frozen=True)
class GrownFlux:
    """The whole flux of a source.

    Attributes:
        flux, error: [Jy]; NaN: not known.
        scale: h, the length by which the brightness falls at the edge [arcsec].
    """

    flux: float
    error: float
    scale: float

    @classmethod
    def unknown(cls) -> GrownFlux:
        """Return none."""
        return cls(math.nan, math.nan, math.nan)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """An island and what is around it, in cells (rows, cols).

    Attributes:
        brightness: of diffuse emission, less the background [Jy/arcsec^2]; NaN: no data.
        labels: numbers of islands, int32; 0: in none. number: of this one.
        area: of a cell [arcsec^2].
        rms: noise of a pixel [Jy/arcsec^2]. level_error: error of the background [Jy/arcsec^2].
        beam: width of the beam [cell], 1 at least.
    """

    brightness: NDArray[np.float64]
    labels: NDArray[np.int32]
    number: int
    area: float
    rms: float
    level_error: float
    beam: float


def reach(beam: float) -> int:
    """Return how far around an island a profile goes [cell], from the width of the beam [cell]."""
    return math.ceil(OUTSIDE * beam + 1)


def grown(around: Surroundings, noise: FluxNoise) -> GrownFlux:
    """Return the whole flux of a source."""
    beam, inside = around.beam, around.labels == around.number
    radius = math.sqrt(inside.sum() / math.pi)
    away, nearest = distance_transform_edt(around.labels == 0, return_indices=True)
    others = around.labels[tuple(nearest)] != around.number
    away -= BETWEEN
    deep = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1] - BETWEEN
    distance = np.where(inside, -deep, away)
    first = -min(DEEPEST * radius, INSIDE * beam)
    last = OUTSIDE * beam
    step = max(1.0, STEP * beam)
    known = np.isfinite(around.brightness) & ~others
    known &= inside | (around.brightness <= _brightest(around, deep, noise))
    ring = np.floor((distance - first) / step).astype(np.int64)
    count = math.ceil((last - first) / step)
    fitted = known & (ring >= 0) & (ring < count)
    cells = np.bincount(ring[fitted], minlength=count)
    has = cells > 0
    if has.sum() < RINGS:
        return GrownFlux.unknown()
    at = np.bincount(ring[fitted], distance[fitted], count)[has] / cells[has]
    mean = np.bincount(ring[fitted], around.brightness[fitted], count)[has] / cells[has]
    areas = cells[has] * around.area
    variance = np.array([noise.error(around.rms, a) ** 2 / a**2 for a in areas])
    zone = float(fitted.sum() * around.area)
    level = noise.error(around.rms, zone) ** 2 / zone**2 + around.level_error**2

    data = known & (distance <= DATA * beam)
    rest = ~others & (distance <= last) & ~data  # also cells without data
    rows = np.floor((distance[rest] - first) / step).astype(np.int64)
    many = np.bincount(np.maximum(rows, 0))
    where = np.bincount(np.maximum(rows, 0), distance[rest])[many > 0] / many[many > 0]
    outermost = float(((distance > last - step) & (distance <= last)).sum() / step)

    scales = np.geomspace(SHORTEST * beam, max(radius, 2 * beam), SCALES)
    h, c = (grid.ravel()[:, None] for grid in np.meshgrid(scales, np.array(CURVATURES)))
    shape = _profile(at, h, c)
    amplitude, offset, spread, weight = _fit(shape, mean, variance, level)
    beyond = last + h * np.arange(0.25, BEYOND, 0.5)
    ends = _profile(beyond, h, c) * (outermost + 2 * math.pi * (beyond - last)) * 0.5 * h
    tail = ((_profile(where, h, c) * many[many > 0]).sum(axis=1) + ends.sum(axis=1)) * around.area
    # less the offset in the data: flux = data + A tail - b area
    area = float(data.sum() * around.area)
    extra = amplitude * tail - offset * area
    lever = np.stack([tail, np.full_like(tail, -area)], axis=-1)
    own = np.einsum("ni,nij,nj->n", lever, spread, lever)
    most = float((weight * extra).sum())
    varies = float((weight * (own + (extra - most) ** 2)).sum())
    flux = float(around.brightness[data].sum() * around.area) + most
    error = math.sqrt(noise.error(around.rms, area) ** 2 + varies)
    scale = float((weight * h[:, 0]).sum()) * math.sqrt(around.area)
    return GrownFlux(flux, error, scale)


def _brightest(around: Surroundings, deep: NDArray[np.float64], noise: FluxNoise) -> float:
    """Return how bright a cell outside may be [Jy/arcsec^2]."""
    edge = around.brightness[(around.labels == around.number) & (deep <= around.beam)]
    edge = edge[np.isfinite(edge)]
    if not len(edge):
        return math.inf
    of_cell = noise.error(around.rms, around.area) / around.area
    return float(np.percentile(edge, 90)) + FOREIGN * of_cell


def _profile(
    at: NDArray[np.float64], h: NDArray[np.float64], c: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return exp(-d/h - c (d/h)^2) at distances, (scales, distances)."""
    away = at / h
    return np.asarray(np.exp(np.clip(-away - c * away**2, -80, 40)))


def _fit(
    shape: NDArray[np.float64],
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    level: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit amplitude and offset to a profile, for each of its shapes.

    Args:
        shape: (n, rings). mean: (rings,). variance: of these.
        level: variance of the offset, which is 0 before anything is measured.

    Returns:
        amplitudes, not below 0, and offsets (n,), their covariances (n, 2, 2), and the share of the
        likelihood of each shape.
    """
    per = 1 / variance
    ss, s1, one = (shape**2 * per).sum(1), (shape * per).sum(1), per.sum() + 1 / level
    sm, m1 = (shape * mean * per).sum(1), (mean * per).sum()
    determinant = ss * one - s1**2
    offset = (ss * m1 - s1 * sm) / determinant
    amplitude = (one * sm - s1 * m1) / determinant
    spread = np.stack([np.stack([one + 0 * ss, -s1], -1), np.stack([-s1, ss], -1)], -1)
    spread = spread / determinant[:, None, None]
    offset = np.where(amplitude > 0, offset, m1 / one)
    amplitude = np.maximum(amplitude, 0.0)
    left = mean - amplitude[:, None] * shape - offset[:, None]
    misfit = (left**2 * per).sum(1) + offset**2 / level
    weight = np.exp(-0.5 * (misfit - misfit.min()))
    return amplitude, offset, spread, weight / weight.sum()
