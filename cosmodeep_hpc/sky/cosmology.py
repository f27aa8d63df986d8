"""The paper's cosmology: distances, growth of structure and the linear power spectrum."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

H0 = 67.8
"""Hubble constant [km/s/Mpc] (paper, section 3.1)."""
OMEGA_M = 0.308
"""Density of matter in units of the critical density (paper, section 3.1)."""
OMEGA_LAMBDA = 0.692
"""Density of the cosmological constant; with OMEGA_M a flat universe (paper, section 3.1)."""
OMEGA_B = 0.0478
"""Density of baryons (paper, section 3.1)."""
SIGMA8 = 0.815
"""rms of the linear density in spheres of 8 Mpc/h today (paper, section 3.1)."""
N_S = 0.96
"""Slope of the primordial power spectrum. The paper does not state it: rounded from Planck's."""

_H = H0 / 100
_REDSHIFTS = np.linspace(0.0, 12.0, 12001)


@cache
def astropy_cosmology() -> Any:
    """Return the cosmology as astropy's `FlatLambdaCDM` (no radiation)."""
    from astropy.cosmology import FlatLambdaCDM

    return FlatLambdaCDM(H0=H0, Om0=OMEGA_M, Ob0=OMEGA_B)


@cache
def _distances() -> NDArray[np.float64]:
    """Return comoving distances [Mpc] at `_REDSHIFTS`."""
    return np.asarray(astropy_cosmology().comoving_distance(_REDSHIFTS).value)


def comoving_distance(redshift: Any) -> Any:
    """Return the comoving distance [Mpc] of a redshift up to 12, to better than 1e-6."""
    return np.interp(redshift, _REDSHIFTS, _distances())


def redshift_at(distance: Any) -> Any:
    """Return the redshift at a comoving distance [Mpc]; the inverse of `comoving_distance`."""
    return np.interp(distance, _distances(), _REDSHIFTS)


def expansion(a: ArrayLike) -> Any:
    """Return E(a) = H(a) / H0 at the scale factor `a`."""
    return np.sqrt(OMEGA_M / np.asarray(a, float) ** 3 + OMEGA_LAMBDA)


@cache
def _quadrature() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes and weights of the Gauss-Legendre quadrature on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(64)
    return 0.5 * (nodes + 1), 0.5 * weights


def _growth_integral(a: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integrate da / (a E)^3 from 0 to `a`; with a = t^2 the integrand is smooth."""
    nodes, weights = _quadrature()
    root = np.sqrt(a)[..., None] * nodes
    integrand = 2 * root / (root**2 * expansion(root**2)) ** 3
    return np.asarray(np.sqrt(a) * (integrand @ weights))


def growth(a: ArrayLike) -> Any:
    """Return the linear growth factor D(a) of matter, 1 today (Heath 1977, for a flat universe)."""
    a = np.asarray(a, float)
    today = _growth_integral(np.array(1.0)) * expansion(1.0)
    return expansion(a) * _growth_integral(a) / today


def growth_rate(a: ArrayLike) -> Any:
    """Return dD/da, the derivative of `growth`."""
    a = np.asarray(a, float)
    today = _growth_integral(np.array(1.0)) * expansion(1.0)
    slope = -1.5 * OMEGA_M / (a**4 * expansion(a))  # dE/da
    return (slope * _growth_integral(a) + 1 / (a**3 * expansion(a) ** 2)) / today


@cache
def colossus_cosmology() -> Any:
    """Return the cosmology in colossus, which must not use its cache in the user's home."""
    from colossus.cosmology import cosmology

    return cosmology.Cosmology(
        name="cosmodeep",
        flat=True,
        H0=H0,
        Om0=OMEGA_M,
        Ob0=OMEGA_B,
        sigma8=SIGMA8,
        ns=N_S,
        relspecies=False,
        persistence="",
    )


def linear_power(k: ArrayLike) -> NDArray[np.float64]:
    """Return the linear power spectrum of matter today [Mpc^3] at `k` [1/Mpc], 0 at k = 0.

    Source: colossus (Diemer 2018) with the transfer function of Eisenstein & Hu (1998).
    """
    k = np.asarray(k, float)
    positive = k > 0
    power = np.zeros_like(k)
    if positive.any():
        # Between the ends the logarithm is smooth: a fine table serves any number of modes.
        low, high = np.log(k[positive].min() * 0.99), np.log(k[positive].max() * 1.01)
        nodes = np.linspace(low, high, 1000)
        table = np.log(colossus_cosmology().matterPowerSpectrum(np.exp(nodes) / _H, 0.0) / _H**3)
        power[positive] = np.exp(np.interp(np.log(k[positive]), nodes, table))
    return power
