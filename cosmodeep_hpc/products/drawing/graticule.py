"""Where the lines of sky coordinates meet the sides of an image, and what they are called."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS

SAMPLES = 257  # of a side, between which coordinates are taken for linear
FINEST = 6  # decimals of a second

# Steps between lines, in seconds of time or of arc.
_SECONDS = (1, 2, 5, 10, 15, 30)
_MINUTES = tuple(60 * n for n in _SECONDS)
_HOURS = tuple(3600 * n for n in (1, 2, 3, 6))
_DEGREES = tuple(3600 * n for n in (1, 2, 5, 10, 15, 30, 45))


@dataclass(frozen=True)
class Tick:
    """A line of a coordinate at the side of an image.

    Attributes:
        at: along the side [pixel of the image]; centres of pixels are whole numbers.
        label: its value.
    """

    at: float
    label: str


def ticks(wcs: WCS, shape: tuple[int, int], axis: int, most: int) -> list[Tick]:
    """The ticks of world coordinate `axis`: 0 at the lower side of an image, 1 at its left side.

    None where the coordinate hardly changes along the side, or the side is not on the sky.

    Args:
        shape: (ny, nx) of the image.
        most: of them, about.
    """
    along = np.linspace(-0.5, shape[1 - axis] - 0.5, SAMPLES)
    places = np.full((SAMPLES, 2), -0.5)
    places[:, axis] = along
    values = wcs.wcs_pix2world(places, 0)[:, axis]
    known = np.isfinite(values)
    along, values = along[known], values[known]
    if len(values) < 2:
        return []
    is_longitude = wcs.wcs.lng == axis
    if is_longitude:
        values = np.unwrap(values, period=360)
    in_time = is_longitude and wcs.wcs.lngtyp.strip() == "RA"
    seconds = values * (240 if in_time else 3600)
    units, decimals = _step(float(np.ptp(seconds)), most, in_time)
    scaled = seconds * (10**decimals / units)
    found = []
    for number in np.flatnonzero(np.floor(scaled[1:]) != np.floor(scaled[:-1])):
        first, second = scaled[number], scaled[number + 1]
        if abs(second - first) > most:  # past a pole
            continue
        low, high = sorted((first, second))
        for line in range(int(np.floor(low)) + 1, int(np.floor(high)) + 1):
            share = (line - first) / (second - first)
            at = along[number] + share * (along[number + 1] - along[number])
            label = _label(line * units, units, decimals, in_time, is_longitude)
            found.append(Tick(float(at), label))
    return sorted(found, key=lambda tick: tick.at)


def _step(span: float, most: int, in_time: bool) -> tuple[int, int]:
    """Distance of lines: a whole number of units of 10^-decimals seconds, and the decimals."""
    for decimals in range(FINEST, 0, -1):
        for units in (1, 2, 5):
            if span * 10**decimals <= most * units:
                return units, decimals
    whole = _SECONDS + _MINUTES + (_HOURS if in_time else _DEGREES)
    return next((units for units in whole if span <= most * units), whole[-1]), 0


def _label(total: int, step: int, decimals: int, in_time: bool, is_longitude: bool) -> str:
    """A value of `total` units of 10^-decimals seconds, as fine as its step."""
    second = 10**decimals
    if is_longitude:
        total %= (86400 if in_time else 360 * 3600) * second
    whole, fraction = divmod(abs(total), second)
    marks = ("h", "m", "s") if in_time else ("°", "′", "″")
    label = f"{'−' if total < 0 else ''}{whole // 3600}{marks[0]}"
    if decimals or step % 3600:
        label += f"{whole // 60 % 60:02d}{marks[1]}"
    if decimals or step % 60:
        label += f"{whole % 60:02d}"
        label += f".{fraction:0{decimals}d}" if decimals else ""
        label += marks[2]
    return label


def axis_name(wcs: WCS, axis: int) -> str:
    """What an axis on the sky is called: 0 is that of an image's columns, 1 that of its rows."""
    kind = str(wcs.wcs.ctype[axis])[:4].strip("-")
    names = {
        "RA": "Right ascension",
        "DEC": "Declination",
        "GLON": "Galactic longitude",
        "GLAT": "Galactic latitude",
    }
    return names.get(kind, kind)
