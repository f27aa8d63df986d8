"""Positions on the sky: of pixels in ICRS, and the names that they give."""

from __future__ import annotations

import numpy as np
from astropy.coordinates import ICRS
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame
from numpy.typing import ArrayLike, NDArray

STEP = 0.5  # pixel: half of what is gone along an axis to see where it leads


def icrs(wcs: WCS, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Return ICRS right ascension and declination [deg] of pixels (from 0), float64 (n, 2).

    NaN beyond the edge of the projection.
    """
    x, y = np.atleast_1d(np.asarray(x, float)), np.asarray(y, float)
    if type(wcs_to_celestial_frame(wcs)) is ICRS:  # as below, in a tenth of the time
        world = wcs.pixel_to_world_values(x, y)
        ra, dec = world[wcs.wcs.lng], world[wcs.wcs.lat]
        if not ((ra < 0) | (ra >= 360)).any():
            return np.stack([ra, dec], axis=-1)
    sky = wcs.pixel_to_world(x, y).icrs
    return np.stack([sky.ra.deg, sky.dec.deg], axis=-1)


def directions(sky: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return unit vectors (n, 3) of right ascensions and declinations [deg] (n, 2)."""
    ra, dec = np.deg2rad(sky).T
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def steps(wcs: WCS, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Return how far a pixel leads east and north along columns and rows [arcsec], (n, 2, 2).

    `found[n] @ (dx, dy)` is (east, north) on the sky; NaN beyond the edge of the projection.

    Args:
        x, y: places [pixel], (n,).
    """
    x, y = np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float))
    at = icrs(wcs, x, y)
    ra, dec = np.deg2rad(at).T
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros(len(ra))], axis=-1)
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=-1)
    found = np.empty((len(x), 2, 2))
    for axis, (dx, dy) in enumerate(((STEP, 0.0), (0.0, STEP))):
        gone = directions(icrs(wcs, x + dx, y + dy)) - directions(icrs(wcs, x - dx, y - dy))
        for part, towards in enumerate((east, north)):
            found[:, part, axis] = np.rad2deg((gone * towards).sum(axis=-1)) * 3600 / (2 * STEP)
    return found


def name(ra: float, dec: float) -> str:
    """Return an island's name, Jhhmmss-ddmmss: ICRS, truncated, not rounded; empty where none.

    Source: IAU specifications for nomenclature, section 3.2.2.
    """
    if not np.isfinite([ra, dec]).all():
        return ""  # beyond the edge of the projection
    # a position on the very second must not fall below it by the last bit of its number
    seconds = int(round(ra / 15 * 3600, 6)) % 86400
    north = int(round(abs(dec) * 3600, 6))
    return f"J{_sexagesimal(seconds)}{'-' if dec < 0 else '+'}{_sexagesimal(north)}"


def _sexagesimal(seconds: int) -> str:
    return f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
