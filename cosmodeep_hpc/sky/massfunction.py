"""The mass function of halos: how many of them there are, by published fits to simulations."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosmodeep_hpc.sky.cosmology import H0, _colossus, astropy_cosmology

OVERDENSITY = 100.0
"""Mean density inside R100, in units of the critical density at the halo's redshift."""
_H = H0 / 100
_MASSES = np.geomspace(1e9, 1e17, 2001)  # [Msun]
_LEAST = 200  # Tinker's least overdensity, in units of the mean density
_CONCENTRATION = 5.0  # NFW; between two overdensities that differ by a third it hardly matters


@cache
def critical_density(redshift: float) -> float:
    """Critical density of the universe at a redshift [Msun / comoving Mpc^3]."""
    proper = astropy_cosmology().critical_density(redshift).to_value("Msun / Mpc3")
    return float(proper / (1 + redshift) ** 3)


def radius_of(mass: ArrayLike, redshift: float) -> NDArray[np.float64]:
    """R100 [comoving Mpc] of M100 [Msun]."""
    density = OVERDENSITY * critical_density(redshift)
    return np.asarray(np.cbrt(np.asarray(mass) / (4 / 3 * np.pi * density)))


@cache
def _table(redshift: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Masses M100 [Msun], and the halos above each [1 / comoving Mpc^3], falling."""
    from colossus.cosmology import cosmology
    from colossus.halo import mass_defs, mass_so
    from colossus.lss import mass_function

    ours = _colossus()
    cosmology.setCurrent(ours)  # what the functions of colossus look at
    definition = f"{OVERDENSITY:.0f}c"
    in_means = mass_so.densityThreshold(redshift, definition) / ours.rho_m(redshift)
    fitted = definition if in_means >= _LEAST else f"{_LEAST}m"
    density = mass_function.massFunction(
        _MASSES * _H, redshift, mdef=fitted, model="tinker08", q_in="M", q_out="dndlnM"
    )
    shells = 0.5 * (density[1:] + density[:-1]) * np.diff(np.log(_MASSES)) * _H**3
    above = np.append(np.cumsum(shells[::-1])[::-1], 0)
    mass = _MASSES
    if fitted != definition:
        mass = mass_defs.changeMassDefinition(
            mass * _H, np.full(len(mass), _CONCENTRATION), redshift, fitted, definition
        )[0]
        mass = mass / _H
    some = above > 1e-30
    return mass[some], above[some]


def number_density(mass: ArrayLike, redshift: float) -> NDArray[np.float64]:
    """Halos more massive than M100 [Msun], their number in a comoving Mpc^3.

    Source: Tinker et al. (2008), as in colossus (Diemer 2018), at 100 times the critical density.
    Below 200 times the mean density, where their fits end (from redshift 0.31 on), the mass
    function at 200 is taken, and its masses are converted along an NFW profile (by 5 % at 0.5).
    """
    masses, above = _table(redshift)
    logarithm = np.interp(np.log(mass), np.log(masses), np.log(above), right=-np.inf)
    return np.asarray(np.exp(logarithm))


def mass_above(density: ArrayLike, redshift: float) -> NDArray[np.float64]:
    """The mass M100 [Msun] above which there are so many halos in a comoving Mpc^3."""
    masses, above = _table(redshift)
    logarithm = np.interp(-np.log(density), -np.log(above), np.log(masses))
    return np.asarray(np.exp(logarithm))
