"""The antennas of ASKAP, and their baselines as the Earth turns."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosmodeep_hpc.errors import InputError

LATITUDE = -26.6970
"""Latitude of the array [deg]."""
DIAMETER = 12.0
"""Diameter of an antenna [m]."""
ELEVATION = 15.0
"""Lowest elevation at which the antennas observe [deg]."""
BAND = 0.7, 1.8
"""Frequencies of the receivers [GHz]."""
SIDEREAL = 2 * np.pi / 86164.1
"""Angular velocity of the Earth [rad/s]."""

# Positions of the 36 pads: easting and northing from pad 1 [m] on the Australian map grid (MGA94,
# zone 50). Source: CSIRO, as distributed with friendlyVRI (C. Purcell, ASKAP_pads.txt) and with
# ASKAP's commissioning software, which agree to the millimetre.
_GRID = np.array(
    [
        [0.000, 0.000], [26.978, -13.011], [35.950, 7.490], [-8.979, 35.008],
        [-73.992, 31.503], [135.660, 112.000], [242.860, -109.980], [-37.810, -238.510],
        [-244.210, 110.550], [-96.316, 279.496], [267.951, 340.539], [395.925, 269.476],
        [438.720, -364.005], [-24.860, -460.009], [-739.700, -157.993], [-636.115, 365.440],
        [-496.818, 522.519], [-106.785, 375.509], [217.814, 481.520], [506.320, 315.027],
        [686.168, 322.006], [845.840, 335.982], [-0.708, -657.007], [78.472, -978.523],
        [-613.617, 653.507], [-393.336, 667.503], [-1070.503, 940.975], [249.765, 1198.511],
        [565.930, 753.210], [1229.056, 798.468], [2220.949, 992.985], [3024.925, -2507.046],
        [25.026, -2810.965], [-2975.009, -2006.978], [-2170.998, 992.991], [23.232, 3190.068],
    ]
)  # fmt: skip

# What turns the map's grid into true east and north at the array: at longitude 116.6314 deg the
# grid, whose meridian is 117 deg, is turned by (116.6314 - 117) sin(latitude), and 0.9996 in scale.
# With it, pads agree to 0.3 m with the geocentric positions in ASKAP's own software.
_CONVERGENCE = np.deg2rad((116.6314 - 117) * np.sin(np.deg2rad(LATITUDE)))
_SCALE = 0.9996


def positions() -> NDArray[np.float64]:
    """Return the antennas' places east and north of antenna 1, (36, 2) [m]; the site is flat."""
    sine, cosine = np.sin(_CONVERGENCE), np.cos(_CONVERGENCE)
    return np.asarray(_GRID @ np.array([[cosine, -sine], [sine, cosine]]) / _SCALE)


def baselines() -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return all 630 baselines in the Earth's frame (630, 3) [m], and their antennas (630, 2).

    The axes point to the meridian on the equator, to the east, and to the pole.
    """
    first, second = np.triu_indices(len(_GRID), 1)
    place = positions()
    east, north = (place[first] - place[second]).T
    latitude = np.deg2rad(LATITUDE)
    earth = np.stack([-np.sin(latitude) * north, east, np.cos(latitude) * north], axis=1)
    return earth, np.stack([first, second], axis=1)


def hour_angles(declination: float, duration: float, step: float) -> NDArray[np.float64]:
    """Return the hour angles of an observation, evenly spaced about the transit [rad].

    Args:
        declination: of the field [deg].
        duration: of the observation; times below the lowest elevation are left out [h].
        step: between two samples, at most [s].

    Raises:
        InputError: the field never rises above that elevation.
    """
    dec, lat, low = np.deg2rad([declination, LATITUDE, ELEVATION])
    cosine = (np.sin(low) - np.sin(lat) * np.sin(dec)) / (np.cos(lat) * np.cos(dec))
    if cosine >= 1:
        raise InputError(
            f"declination {declination:g} deg: a field there never rises {ELEVATION:g} deg above "
            f"ASKAP's horizon; expected less than {LATITUDE + 90 - ELEVATION:.1f}"
        )
    half = min(duration * 1800 * SIDEREAL, float(np.arccos(max(-1.0, cosine))))
    number = int(np.ceil(2 * half / (step * SIDEREAL)))
    return np.asarray(((np.arange(number) + 0.5) / number * 2 - 1) * half)


def track(
    earth: NDArray[np.float64], hour: ArrayLike, declination: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project baselines as the field sees them: u to the east, v to the north [m].

    Args:
        earth: (n, 3) baselines in the Earth's frame [m].
        hour: hour angles, of a shape that broadcasts with (n,) [rad].
        declination: of the field [deg].

    Source: Thompson, Moran & Swenson, Interferometry and Synthesis in Radio Astronomy, section 4.1.
    """
    x, y, z = earth.T
    sine, cosine = np.sin(hour), np.cos(hour)
    dec = np.deg2rad(declination)
    u = sine * x + cosine * y
    v = -np.sin(dec) * (cosine * x - sine * y) + np.cos(dec) * z
    return np.asarray(u), np.asarray(v)
