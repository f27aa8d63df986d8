"""Gas inside the halos of a particle mesh, which one fixed scale cannot resolve alike.

Read on 1 Mpc, a group of R100 = 1 Mpc is diluted and a rich cluster is not: powers of shocks, which
grow with density and temperature, would rise too steeply with the mass. Inside R100 the mesh
therefore says only where shocks are; density and temperature follow from the halo.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cosmodeep_hpc.sky.cosmology import OMEGA_M
from cosmodeep_hpc.sky.halos import Halos
from cosmodeep_hpc.sky.massfunction import OVERDENSITY, critical_density
from cosmodeep_hpc.sky.shocks import KEV_PER_DISPERSION, Elements

GRAVITY = 4.30091e-9
"""G [Mpc (km/s)^2 / Msun]."""
CORE = 0.1
"""Core radius of the gas, in R100."""


def virial_temperature(mass: ArrayLike, radius: ArrayLike) -> Any:
    """Return the temperature k T = mu m_p G M / (2 R) of an isothermal sphere of gas [keV].

    Args:
        mass: M100 [Msun].
        radius: R100, proper [Mpc].
    """
    square = GRAVITY * np.asarray(mass) / (2 * np.asarray(radius))
    return KEV_PER_DISPERSION * square


def profile(place: ArrayLike, redshift: float) -> Any:
    """Return the density of the gas in a halo in units of the mean: rho ~ 1 / (x^2 + CORE^2).

    The gas has 100 times the critical density inside R100, like the halo.

    Args:
        place: x, distance from the centre in R100.
        redshift: of the halo.
    """
    mean = OVERDENSITY * critical_density(redshift) / (OMEGA_M * critical_density(0))
    norm = mean / (3 * (1 - CORE * np.arctan(1 / CORE)))
    return norm / (np.square(place) + CORE**2)


def with_gas(
    elements: Elements, halos: Halos, side: float, redshift: float, share: float
) -> Elements:
    """Return the elements; those inside R100 of a halo get the gas of the halo.

    Their temperature is the virial one; their density is d = d_mesh^(1 - share) d_profile^share.

    Args:
        elements: with the rows of their halos.
        halos: of the same snapshot.
        side: of the box [comoving Mpc].
        redshift: of the snapshot.
        share: weight of the profile, 0 to 1; 0 leaves the elements as they are.
    """
    inside = np.flatnonzero(elements.halo >= 0)
    if share == 0 or not len(inside):
        return elements
    halo = elements.halo[inside]
    offset = elements.position[inside] - halos.position[halo]
    offset -= np.float32(side) * np.round(offset / np.float32(side))
    radius = halos.radius[halo]
    x = np.minimum(np.sqrt(np.sum(offset**2, axis=1)) / radius, 1)
    temperature = elements.temperature.copy()
    temperature[inside] = virial_temperature(halos.mass[halo], radius / (1 + redshift))
    density = elements.overdensity.copy()
    density[inside] = density[inside] ** (1 - share) * profile(x, redshift) ** share
    return replace(elements, temperature=temperature, overdensity=density)
