"""Radio sources by their published counts at 1.4 GHz: number, brightness, size and place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosmodeep_hpc.config.sky import Effects, Instrument

COUNTS = (0.859, 0.508, 0.376, -0.049, -0.121, 0.057, -0.008)
"""log10(S^2.5 dN/dS / (Jy^1.5 / sr)) as a polynomial in log10(S / mJy), 0.05 to 1000 mJy.

Source: Hopkins et al. (2003), AJ 125, 465: the counts of the Phoenix Deep Survey and of FIRST."""
REFERENCE = 1.4
"""Frequency of the counts [GHz]."""
LARGEST = 300.0
"""Angular size at which the distribution of sizes is cut [arcsec]."""

_STEPS = 2000  # of the table from which fluxes are drawn
_SQUARE_DEGREE = (np.pi / 180) ** 2


@dataclass(frozen=True)
class Sources:
    """Sources of a field and of a margin around it, wide enough for sources that reach into it.

    Attributes:
        column: float64 (n,), 0 at the centre of the image's first pixel [pixel].
        row: float64 (n,) [pixel].
        flux: float64 (n,) flux density at 1.4 GHz [Jy].
        size: float64 (n,) largest angular size [arcsec].
        scatter: float64 (n,) relative error of the source's subtraction, rms 1.
    """

    column: NDArray[np.float64]
    row: NDArray[np.float64]
    flux: NDArray[np.float64]
    size: NDArray[np.float64]
    scatter: NDArray[np.float64]

    def inside(self, pixels: int) -> NDArray[np.bool_]:
        """Return which sources lie in an image of this side [pixel], not in the margin."""
        place = np.stack([self.column, self.row])
        return np.asarray(((place >= -0.5) & (place < pixels - 0.5)).all(axis=0))


def per_flux(flux: ArrayLike) -> NDArray[np.float64]:
    """Return the differential source counts dN/dS at 1.4 GHz [1 / (Jy deg^2)].

    Args:
        flux: flux density, between 5e-5 and 1, outside which the fit is not valid [Jy].
    """
    flux = np.asarray(flux, float)
    logarithm = np.polynomial.polynomial.polyval(np.log10(flux * 1e3), COUNTS)
    return np.asarray(10**logarithm * flux**-2.5 * _SQUARE_DEGREE)


def median_size(flux: ArrayLike) -> NDArray[np.float64]:
    """Return the median largest angular size of sources at 1.4 GHz [arcsec]: 2 (S / mJy)^0.3.

    Source: Windhorst, Mathis & Neuschaefer (1990), ASP Conf. Ser. 10, 389.

    Args:
        flux: [Jy].
    """
    return np.asarray(2 * (np.asarray(flux) * 1e3) ** 0.3)


def draw(stream: np.random.Generator, effects: Effects, settings: Instrument) -> Sources:
    """Draw the sources of a field: a Poisson number, at even places, with fluxes by the counts.

    Args:
        stream: random numbers.
        effects: faintest and brightest flux at 1.4 GHz.
        settings: side and pixel of the image.
    """
    margin = (LARGEST / 2 + 3 * settings.beam) / settings.pixel_scale
    side = settings.pixels + 2 * margin
    area = (side * settings.pixel_scale / 3600) ** 2
    logs = np.linspace(np.log(effects.flux_limit * 1e-6), np.log(effects.brightest), _STEPS)
    per_log = per_flux(np.exp(logs)) * np.exp(logs)
    below = np.concatenate([[0], np.cumsum((per_log[1:] + per_log[:-1]) / 2 * np.diff(logs))])
    number = int(stream.poisson(area * below[-1]))
    even = stream.random((4, number))
    flux = np.exp(np.interp(even[0] * below[-1], below, logs))
    # of the sources of a flux, 2^-(s / median)^0.62 are larger than s (as for `median_size`)
    size = median_size(flux) * (-np.log2(1 - even[3])) ** (1 / 0.62)
    return Sources(
        column=even[1] * side - margin - 0.5,
        row=even[2] * side - margin - 0.5,
        flux=flux,
        size=np.minimum(size, LARGEST),
        scatter=stream.standard_normal(number),
    )
