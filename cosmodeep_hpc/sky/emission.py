"""Radio power of shock elements (Hoeft & Brueggen 2007) and the flux that reaches us."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cosmodeep_hpc.sky.shocks import Elements

REFERENCE_POWER = 6.4e34
"""Power of 1 Mpc^2 of shock at the reference values of `radio_power` [erg/s/Hz]."""
CMB_FIELD = 3.2
"""Magnetic field as strong as the cosmic microwave background today [uG]."""
MEAN_ELECTRONS = 2.17e-7
"""Mean density of electrons today, all baryons ionised [1/cm^3]."""
MACH_CLAMP = (1.5, 30.0)
"""Mach numbers outside this range count as its ends in the spectral index."""
REFERENCE_TEMPERATURE = 5.0
"""Temperature k T that B0 refers to [keV]."""
MPC_IN_CM = 3.0856775814913673e24
JANSKY = 1e-23
"""One jansky [erg/s/cm^2/Hz]."""


@dataclass(frozen=True)
class Amplitude:
    """The free parameters of the emission.

    Attributes:
        efficiency: xi_e, share of the energy flux through a strong shock that goes into electrons.
        mach_cut: Mach number at which the efficiency is half that of a strong shock.
        field: B0, magnetic field at an overdensity of 1000 and REFERENCE_TEMPERATURE, today [uG].
        field_density: exponent of the density.
        field_temperature: exponent of the temperature.
        field_limit: largest field [uG].
    """

    efficiency: float
    mach_cut: float
    field: float
    field_density: float
    field_temperature: float
    field_limit: float


def electron_slope(mach: ArrayLike) -> Any:
    """Return the slope of the electrons' spectrum, s = 2 (M^2 + 1) / (M^2 - 1); M in MACH_CLAMP."""
    square = np.square(np.clip(mach, *MACH_CLAMP))
    return 2 * (square + 1) / (square - 1)


def psi(mach: ArrayLike, mach_cut: float) -> Any:
    """Return Psi(M) = 1 / (1 + (Mc / M)^6): 1 for strong shocks, falling steeply below Mc.

    It is a smooth stand-in for figure 4 of Hoeft & Brueggen (2007), whose fall below M = 3 it
    follows.
    """
    return 1 / (1 + (mach_cut / np.maximum(mach, 1.0)) ** 6)


def magnetic_field(
    overdensity: ArrayLike, temperature: ArrayLike, redshift: float, amplitude: Amplitude
) -> Any:
    """Return B = B0 (d (1 + z)^3 / 1000)^b (k T / 5 keV)^c, at most the limit [uG, proper].

    b = 2/3 and c = 0 describe a field frozen into the matter; b = c = 1/2 a field whose energy is a
    fixed share of the thermal energy.

    Args:
        overdensity: d, in units of the mean density at the redshift.
        temperature: k T [keV].
        redshift: z.
        amplitude: the free parameters.
    """
    density = np.asarray(overdensity) * ((1 + redshift) ** 3 / 1000)
    heat = np.asarray(temperature) / REFERENCE_TEMPERATURE
    field = amplitude.field * density**amplitude.field_density * heat**amplitude.field_temperature
    return np.minimum(field, amplitude.field_limit)


def with_field(
    elements: Elements, redshift: float, amplitude: Amplitude, *, anew: bool = False
) -> Elements:
    """Return the elements with `magnetic_field` where they have no field; `anew`: everywhere."""
    relation = magnetic_field(elements.overdensity, elements.temperature, redshift, amplitude)
    field = np.where(anew | np.isnan(elements.field), relation, elements.field)
    return replace(elements, field=field.astype(np.float32))


def radio_power(
    area: ArrayLike,
    electrons: ArrayLike,
    temperature: ArrayLike,
    field: ArrayLike,
    mach: ArrayLike,
    redshift: float,
    frequency: float,
    efficiency: float,
    mach_cut: float,
) -> Any:
    """Return the power of a shock at a frequency [erg/s/Hz].

    Args:
        area: of the shock [Mpc^2, proper].
        electrons: downstream density [1/cm^3, proper].
        temperature: downstream, k T [keV].
        field: magnetic field B [uG, proper].
        mach: Mach number.
        redshift: of the shock, which sets the energy losses on the microwave background.
        frequency: in the frame of the shock [GHz].
        efficiency: xi_e.
        mach_cut: of `psi`.

    Source: Hoeft & Brueggen (2007), equation 32.
    """
    slope = electron_slope(mach)
    cmb = CMB_FIELD * (1 + redshift) ** 2
    field = np.asarray(field)
    return (
        REFERENCE_POWER
        * np.asarray(area)
        * (np.asarray(electrons) / 1e-4)
        * (efficiency / 0.05)
        * (frequency / 1.4) ** (-slope / 2)
        * (np.asarray(temperature) / 7) ** 1.5
        * field ** (1 + slope / 2)
        / (cmb**2 + field**2)
        * psi(mach, mach_cut)
    )


def element_power(
    elements: Elements, redshift: float, frequency: float, amplitude: Amplitude
) -> Any:
    """Return the power of elements at a frequency in their frame [GHz], float32 (n,) [erg/s/Hz].

    Comoving areas become proper, and overdensities electrons per proper volume, at `redshift`.
    """
    return radio_power(
        elements.area / (1 + redshift) ** 2,
        MEAN_ELECTRONS * elements.overdensity * (1 + redshift) ** 3,
        elements.temperature,
        elements.field,
        elements.mach,
        redshift,
        frequency,
        amplitude.efficiency,
        amplitude.mach_cut,
    )


def flux(power: ArrayLike, mach: ArrayLike, redshift: ArrayLike, distance: ArrayLike) -> Any:
    """Return the flux density P (1 + z)^(1 - alpha) / (4 pi D_L^2) of shocks [Jy], alpha = s / 2.

    Args:
        power: at the observed frequency, in the frame of the shock [erg/s/Hz].
        mach: Mach number, which gives the spectral index.
        redshift: of the shock.
        distance: comoving [Mpc]; D_L = (1 + z) times it in a flat universe.
    """
    stretch = 1 + np.asarray(redshift)
    luminosity_distance = stretch * np.asarray(distance) * MPC_IN_CM
    area = 4 * np.pi * luminosity_distance**2
    return np.asarray(power) * stretch ** (1 - electron_slope(mach) / 2) / area / JANSKY
