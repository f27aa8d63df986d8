"""Clusters in the boxes: their radio powers by mass, and the share of light inside R100."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.sky.box import Box
from cosmodeep_hpc.sky.emission import element_power, flux
from cosmodeep_hpc.sky.recipes import amplitude_of, slabs_of

WATT = 1e-7
"""One erg/s [W]."""
RELIC_SLOPE = 2.83
"""Slope of the power of double relics in the mass of their cluster (de Gasperin et al. 2014)."""
RELIC_POWER = 1e25
"""Power at 1.4 GHz of double relics in a cluster of 10^15 Msun [W/Hz], to half a dex (the same)."""
MASS_BINS = 10 ** np.arange(13.0, 15.51, 0.25)
"""Edges of the mass bins, M100 [Msun]."""
SLOPE_ABOVE = 1e14
"""Mass above which the slope of power in mass is fitted, M100 [Msun]."""
FILAMENT = (5.0, 50.0)
"""Overdensities of filaments, outside halos."""


def relic_power(mass: ArrayLike) -> Any:
    """Return the radio power of a cluster's relics at 1.4 GHz [W/Hz], by de Gasperin's relation."""
    return RELIC_POWER * (np.asarray(mass) / 1e15) ** RELIC_SLOPE


@dataclass(frozen=True)
class Clusters:
    """Measurements of the clusters in the boxes.

    Attributes:
        mass: float64 (halos,), M100 [Msun].
        power: float64 (halos,), of all elements inside R100, at the observed frequency [W/Hz].
        share: share of the light cone's light that comes from inside R100 of a halo.
        filament_field: median magnetic field of elements in filaments [uG].
        filament_power: mean power of a comoving volume from elements in filaments [W/Hz/Mpc^3].
        halo_power: the same from elements inside R100.
    """

    mass: NDArray[np.float64]
    power: NDArray[np.float64]
    share: float
    filament_field: float
    filament_power: float
    halo_power: float

    def bins(self) -> list[dict[str, float]]:
        """Return median, 16th and 84th percentile of the power by mass, and the relics'."""
        rows = []
        for low, high in zip(MASS_BINS[:-1], MASS_BINS[1:], strict=True):
            inside = self.power[(self.mass >= low) & (self.mass < high)]
            if len(inside):
                middle = float(np.sqrt(low * high))
                p16, p50, p84 = (float(p) for p in np.percentile(inside, [16, 50, 84]))
                rows.append(
                    {
                        "mass": middle,
                        "halos": len(inside),
                        "p16": p16,
                        "median": p50,
                        "p84": p84,
                        "relics": float(relic_power(middle)),
                    }
                )
        return rows

    def slope(self) -> float:
        """Return the least-squares slope of ln power in ln mass above SLOPE_ABOVE, or NaN."""
        rows = (self.mass >= SLOPE_ABOVE) & (self.power > 0)
        if rows.sum() < 3:
            return float("nan")
        return float(np.polyfit(np.log(self.mass[rows]), np.log(self.power[rows]), 1)[0])

    def as_dict(self) -> dict[str, Any]:
        """Return the measurements as plain values."""
        return {
            "bins": self.bins(),
            "slope": self.slope(),
            "share_inside_R100": self.share,
            "filament_field_uG": self.filament_field,
            "filament_power_W_Hz_Mpc3": self.filament_power,
            "halo_power_W_Hz_Mpc3": self.halo_power,
        }

    def lines(self) -> list[str]:
        """Return the measurements as lines of a table."""
        lines = ["radio power of halos [W/Hz], median (16 to 84 %), beside relics:"]
        for row in self.bins():
            lines.append(
                f"  10^{np.log10(row['mass']):.2f} Msun, {row['halos']:5d} halos: "
                f"{row['median']:.1e} ({row['p16']:.1e} to {row['p84']:.1e}); "
                f"{row['relics']:.1e}"
            )
        return [
            *lines,
            f"slope above 10^{np.log10(SLOPE_ABOVE):g} Msun: {self.slope():.2f} "
            f"(relics {RELIC_SLOPE:g})",
            f"light from inside R100: {self.share:.3f}",
            f"filaments (overdensity {FILAMENT[0]:g} to {FILAMENT[1]:g}, outside halos): median B "
            f"{self.filament_field:.3f} uG, {self.filament_power:.1e} W/Hz/Mpc^3; inside R100 "
            f"{self.halo_power:.1e}",
        ]


def measure(config: Config, boxes: Sequence[Box]) -> Clusters:
    """Measure the boxes as the light cone of a configuration uses them.

    Powers of halos are taken from the snapshot of lowest redshift of each box. The share of light
    is the expected one: every slab shows depth / side of its box, each part with the same
    probability.
    """
    amplitude, frequency = amplitude_of(config.sky), config.instrument.frequency
    masses, powers, fields = [], [], []
    light = np.zeros(2)
    density = np.zeros(2)
    volume = 0.0
    slabs = slabs_of(config.sky, sorted({box.side for box in boxes}))
    for box in boxes:
        for redshift in box.redshifts:
            elements = box.elements(redshift)
            inside = elements.halo >= 0
            power = element_power(elements, redshift, frequency, amplitude).astype(float)
            for slab in slabs:
                if slab.side == box.side and box.nearest(slab.redshift) == redshift:
                    seen = element_power(elements, slab.redshift, frequency, amplitude)
                    seen = flux(seen.astype(float), elements.mach, slab.redshift, slab.centre)
                    part = slab.depth / slab.side * (slab.centre / slab.side) ** 2
                    light += part * np.array([seen[inside].sum(), seen.sum()])
            if redshift > min(box.redshifts):
                continue
            halos = box.halos(redshift)
            masses.append(halos.mass)
            powers.append(np.bincount(elements.halo[inside], power[inside], len(halos)) * WATT)
            thin = ~inside & (elements.overdensity > FILAMENT[0])
            thin &= elements.overdensity < FILAMENT[1]
            fields.append(elements.field[thin])
            density += np.array([power[thin].sum(), power[inside].sum()]) * WATT
            volume += box.side**3
    return Clusters(
        np.concatenate(masses),
        np.concatenate(powers),
        float(light[0] / light[1]),
        float(np.median(np.concatenate(fields))),
        float(density[0] / volume),
        float(density[1] / volume),
    )
