"""The mass function of halos: their number by mass, from published fits to simulations."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosmodeep_hpc.sky.cosmology import H0, astropy_cosmology, colossus_cosmology

OVERDENSITY = 100.0
"""Mean density inside R100, in units of the critical density at the halo's redshift."""
_H = H0 / 100
_MASSES = np.geomspace(1e9, 1e17, 2001)  # [Msun]
_LEAST = 200  # Tinker's least overdensity, in units of the mean density
_CONCENTRATION = 5.0  # NFW; hardly matters between two overdensities that differ by a third


@cache
def critical_density(redshift: float) -> float:
    """Return the critical density at a redshift [Msun / comoving Mpc^3]."""
    proper = astropy_cosmology().critical_density(redshift).to_value("Msun / Mpc3")
    return float(proper / (1 + redshift) ** 3)


def radius_of(mass: ArrayLike, redshift: float) -> NDArray[np.float64]:
    """Return R100 [comoving Mpc] of M100 [Msun]."""
    density = OVERDENSITY * critical_density(redshift)
    return np.asarray(np.cbrt(np.asarray(mass) / (4 / 3 * np.pi * density)))


@cache
def _table(redshift: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return masses M100 [Msun], and the halos above each [1 / comoving Mpc^3], falling."""
    from colossus.cosmology import cosmology
    from colossus.halo import mass_defs, mass_so
    from colossus.lss import mass_function

    ours = colossus_cosmology()
    cosmology.setCurrent(ours)  # colossus' functions use the current cosmology
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
    """Return the number of halos more massive than M100 [Msun] in a comoving Mpc^3.

    From redshift 0.31 on, 100 times the critical density is less than 200 times the mean density,
    where the fits end: the mass function at 200 is then used, with masses converted along an NFW
    profile (by 5 % at 0.5).

    Source: Tinker et al. (2008), as in colossus (Diemer 2018).
    """
    masses, above = _table(redshift)
    logarithm = np.interp(np.log(mass), np.log(masses), np.log(above), right=-np.inf)
    return np.asarray(np.exp(logarithm))


def mass_above(density: ArrayLike, redshift: float) -> NDArray[np.float64]:
    """Return the mass M100 [Msun] above which there are so many halos in a comoving Mpc^3."""
    masses, above = _table(redshift)
    logarithm = np.interp(-np.log(density), -np.log(above), np.log(masses))
    return np.asarray(np.exp(logarithm))
