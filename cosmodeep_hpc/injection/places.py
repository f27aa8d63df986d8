"""Where sources are put: at random on what has data and no island, or where a user says."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.coordinates.jparser import to_skycoord
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.islands.excluded import Excluded

logger = logging.getLogger(__name__)

NAME = re.compile(r"J\d{6}(\.\d+)?[+-]\d{6}(\.\d+)?")
"""A position as a source's name, Jhhmmss-ddmmss."""
TRIES = 1000
"""Random places that are looked at for one that is free."""


@dataclass(frozen=True)
class KnownSky:
    """What an image has without anything put into it.

    Attributes:
        taken: cells (rows, cols) in islands. blank: without data.
        cell: side of a cell [pixel]. tile: that of a tile.
        rebin: pixels of the image along the side of one that the network sees.
        rms: median noise of a pixel [Jy/arcsec^2].
    """

    taken: NDArray[np.bool_]
    blank: NDArray[np.bool_]
    cell: int
    tile: int
    rebin: int
    rms: float

    def at(
        self, grid: NDArray[np.bool_], y: NDArray[np.int64], x: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return what a grid has at pixels, bool (rows, columns)."""
        return np.asarray(grid[np.ix_(y // self.cell, x // self.cell)])


@dataclass(frozen=True)
class Place:
    """A place of an image, and the direction that a source has there.

    Attributes:
        number: from 0. x, y: [pixel]. angle: position angle of its long axis [deg].
    """

    number: int
    x: float
    y: float
    angle: float


def positions_of(places: Sequence[Any], file: Path | None = None) -> SkyCoord | None:
    """Return the positions that a user gives; None: none are given.

    Args:
        places: right ascension and declination each: text in degrees ("150.1 -35.2"), hours and
            degrees ("10:00:24 -35:12:00") or as a name ("J100024-351200"), a pair of numbers [deg],
            or a SkyCoord.
        file: a VOTable of positions, or a region file with points.

    Raises:
        InputError: one of them is no position.
    """
    found = [_position(place) for place in places]
    if file is not None:
        listed = Excluded.read(file).sources
        if not len(listed):
            raise InputError(f"{file}: no positions in it; expected points, or a VOTable")
        found += list(listed)
    return SkyCoord(found) if found else None


def _position(place: Any) -> SkyCoord:
    """Return a position in ICRS.

    Raises:
        InputError: it is none.
    """
    try:
        if isinstance(place, SkyCoord):
            return place.icrs
        if not isinstance(place, str):
            return SkyCoord(*(float(angle) for angle in place), unit="deg")
        if NAME.fullmatch(place.strip()):
            return to_skycoord(place.strip()).icrs
        words = place.replace(",", " ").split()
        is_hours = any(mark in words[0] for mark in ":hm")
        unit = (u.hourangle, u.deg) if is_hours or len(words) > 2 else (u.deg, u.deg)
        return SkyCoord(" ".join(words), unit=unit)
    except (ValueError, TypeError, IndexError) as error:
        raise InputError(
            f"at {place}: no position; expected right ascension and declination in degrees, "
            '"150.1 -35.2", or in hours and degrees, "10:00:24 -35:12:00"'
        ) from error


def given(image: Image, sky: KnownSky, positions: SkyCoord, seed: int) -> list[Place]:
    """Return the places that a user gives, each with a random direction.

    Raises:
        InputError: one lies outside the image, or where it has no data.
    """
    places = []
    for number, position in enumerate(positions):
        x, y = (float(value) for value in image.wcs.world_to_pixel(position))
        ny, nx = image.shape
        if not (-0.5 <= x < nx - 0.5 and -0.5 <= y < ny - 0.5):
            raise InputError(
                f"{image.path}: {position.to_string('hmsdms')} lies outside of it; expected places "
                "inside the image"
            )
        row, col = round(y) // sky.cell, round(x) // sky.cell
        where = position.to_string("hmsdms", precision=1)
        if sky.blank[row, col]:
            raise InputError(f"{image.path}: has no data at {where}; expected places with data")
        if sky.taken[row, col]:
            logger.warning(
                "%s: %s lies on an island of the image; a source counts as found there where it "
                "adds to the island",
                image.path,
                where,
            )
        places.append(Place(number, x, y, _random(seed, number).uniform(0, 180)))
    return places


def drawn(
    image: Image, sky: KnownSky, half: float, count: int, seed: int, size: int
) -> list[Place]:
    """Draw random places on what has data and no island; fewer where there is no more room.

    A place depends on the image, the seed and its number alone.

    Args:
        half: radius around it that lies inside the image, with data and without islands [pixel].
        size: number of the source's size: other sizes have other places.
    """
    ny, nx = image.shape
    places = []
    for number in range(count):
        random = _random(seed, number, size)
        for _ in range(TRIES):
            x, y = random.uniform(-0.5, nx - 0.5), random.uniform(-0.5, ny - 0.5)
            angle = random.uniform(0, 180)
            if _is_free(sky, (ny, nx), x, y, half):
                places.append(Place(number, x, y, angle))
                break
    return places


def _is_free(sky: KnownSky, shape: tuple[int, int], x: float, y: float, half: float) -> bool:
    """Return whether a square around a place is free."""
    low, high, left, right = y - half, y + half, x - half, x + half
    if low < 0 or left < 0 or high > shape[0] - 1 or right > shape[1] - 1:
        return False
    rows, cols = (
        slice(int(first) // sky.cell, int(last) // sky.cell + 1)
        for first, last in ((low, high), (left, right))
    )
    return not (sky.taken[rows, cols].any() or sky.blank[rows, cols].any())


def _random(seed: int, number: int, size: int = 0) -> np.random.Generator:
    """Return the random numbers of a place: a pure function of seed, number and size."""
    return np.random.Generator(np.random.Philox(key=[seed, size], counter=[0, 0, 0, number]))
