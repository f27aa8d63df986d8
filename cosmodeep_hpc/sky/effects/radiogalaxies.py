"""Radio galaxies with a core, two jets and two lobes, as Gaussian components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.sky.effects.components import Components

BRIGHT_ENDS = 0.5
"""Share of galaxies that end in hot spots (Fanaroff & Riley class II); others fade (class I)."""
BENT = 0.3
"""Share of galaxies whose two arms are bent to one side by the gas they move through."""

# Knots of an arm. Place along the arm (1 at its end), share of the arm's flux, full width at half
# maximum across the arm in units of the galaxy's size. Class I: bright, narrow jets that widen
# into fading plumes. Class II: a faint bridge, a lobe, and a hot spot near the end.
_FADING = np.array(
    [[0.10, 0.25, 0.45, 0.66, 0.86], [0.28, 0.25, 0.21, 0.16, 0.10], [0.03, 0.06, 0.11, 0.17, 0.22]]
)
_HOT_SPOT = np.array(
    [[0.20, 0.42, 0.62, 0.78, 0.92], [0.05, 0.11, 0.20, 0.28, 0.36], [0.10, 0.14, 0.17, 0.16, 0.04]]
)
_LENGTH = 1.5  # of a knot along the arm, in units of its width
_KNOTS = _FADING.shape[1]


def draw(
    stream: np.random.Generator,
    column: NDArray[np.float64],
    row: NDArray[np.float64],
    flux: NDArray[np.float64],
    size: NDArray[np.float64],
    scale: float,
) -> Components:
    """Give sources the shape of radio galaxies, whose components share the source's flux.

    Class, orientation, bend, shares of core and arms, and lengths of the arms are drawn for each
    source. The shares are stand-ins for a population that no catalogue describes in full; number,
    flux and size are those of the sources (`pointsources`).

    Args:
        stream: random numbers.
        column: place of the core [pixel].
        row: place of the core [pixel].
        flux: total flux density [Jy].
        size: largest angular size, from end to end [arcsec].
        scale: side of a pixel [arcsec].

    Returns:
        11 components for each source, those of one source together: core, arm, other arm.
    """
    number = len(flux)
    even = stream.random((7, number))
    hot = even[0] < BRIGHT_ENDS
    orientation = 2 * np.pi * even[1]
    core = flux * np.where(hot, 10 ** (-2 + even[2]), 10 ** (-1.3 + 0.8 * even[2]))
    longer = 0.4 + 0.2 * even[3]  # one arm's share of the length
    brighter = 0.35 + 0.3 * even[4]  # its share of the arms' flux
    bend = np.where(even[5] < BENT, 0.3 + 0.5 * even[6], 0.12 * (even[6] - 0.5))
    place, share, width = np.where(hot[:, None, None], _HOT_SPOT, _FADING).transpose(1, 0, 2)
    parts = [Components.points(column, row, core)]
    for side, length, light in ((1, longer, brighter), (-1, 1 - longer, 1 - brighter)):
        along = side * (length * size)[:, None] * place
        north, east, angle = _arm(orientation[:, None], along, bend[:, None], place)
        across = width * size[:, None]
        parts.append(
            Components(
                (column[:, None] - east / scale).ravel(),
                (row[:, None] + north / scale).ravel(),
                (((flux - core) * light)[:, None] * share).ravel(),
                (_LENGTH * across).ravel(),
                across.ravel(),
                angle.ravel(),
            )
        )
    joined = Components.joined(parts)
    arms = number + np.arange(number * _KNOTS).reshape(number, _KNOTS)
    order = np.concatenate([np.arange(number)[:, None], arms, arms + number * _KNOTS], axis=1)
    return joined[order.ravel()]


def _arm(
    orientation: NDArray[np.float64],
    along: NDArray[np.float64],
    bend: NDArray[np.float64],
    place: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the places of an arm's knots north and east [arcsec], and their position angle [rad].

    The arm leaves the core along `orientation` and bends sidewards by `bend` times its length,
    growing with the square of the place; both arms bend to the same side.
    """
    aside = bend * np.abs(along) * place
    tangent = np.arctan2(2 * bend * place * np.sign(along), 1.0)
    north = along * np.cos(orientation) - aside * np.sin(orientation)
    east = along * np.sin(orientation) + aside * np.cos(orientation)
    return north, east, orientation + tangent
