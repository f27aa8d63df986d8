"""Units of radio images, as they are spelled in the wild, and their factors to Jy/arcsec^2."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from astropy import units as u

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.sky.beam import Beam

SURFACE_BRIGHTNESS = u.Jy / u.arcsec**2

_WORDS = {
    "jy": "Jy",
    "jansky": "Jy",
    "janskys": "Jy",
    "beam": "beam",
    "beams": "beam",
    "bm": "beam",
    "pixel": "pix",
    "pixels": "pix",
    "pix": "pix",
    "arcsec": "arcsec",
    "arcseconds": "arcsec",
    "asec": "arcsec",
    "arcmin": "arcmin",
    "deg": "deg",
    "sr": "sr",
    "ster": "sr",
    "steradian": "sr",
    "sqarcsec": "arcsec2",
    "sqdeg": "deg2",
}
_PREFIXES = {"milli": "m", "micro": "u", "nano": "n", "m": "m", "u": "u", "n": "n", "U": "u"}
_WORD = re.compile(r"[A-Za-z]+")


def unit_of(text: str) -> u.UnitBase | None:
    """The astropy unit of a BUNIT in any spelling; None where there is none.

    A prefix keeps its case, and `MJY` is refused: it may mean mega or milli.
    """
    spaced = re.sub(r"\bper\b", "/", text.strip())
    spaced = re.sub(r"(?i)\bsq(uare)?[ ._]*(?=a(rc)?sec|deg)", "sq", spaced)
    folded = _WORD.sub(lambda match: _folded(match[0]), spaced)
    for spelling in (text.strip(), folded):
        with warnings.catch_warnings():  # of several slashes
            warnings.simplefilter("ignore", u.UnitsWarning)
            unit = u.Unit(spelling, parse_strict="silent")
        if isinstance(unit, u.UnitBase) and not isinstance(unit, u.UnrecognizedUnit):
            return unit
    return None


def _folded(word: str) -> str:
    """A word of a unit as astropy spells it."""
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    match = re.fullmatch(r"(milli|micro|nano|[munU])(?i:jy|janskys?)", word)
    return _PREFIXES[match[1]] + "Jy" if match else word


def spelled(unit: u.UnitBase) -> str:
    """A unit in one line without blanks: `mJy/beam`."""
    return str(unit.to_string("generic", fraction="inline")).replace(" ", "")


def is_temperature(text: str) -> bool:
    """Whether a BUNIT is a brightness temperature."""
    unit = unit_of(text) if text else None
    return unit is not None and bool(unit.is_equivalent(u.K))


def surface_brightness(
    path: Path,
    text: str,
    beam: Beam | None,
    pixel_area: float,
    frequency: float | None = None,
    why: str = "",
) -> tuple[u.UnitBase, float]:
    """The unit of a BUNIT, and its factor to Jy/arcsec^2.

    Args:
        pixel_area: [arcsec^2].
        frequency: [Hz], with which a brightness temperature can be converted.
        why: why there is no beam, where something is known of it.

    Raises:
        InputError: no or unknown BUNIT, or one that needs a beam or frequency that is not there.
    """
    expected = "expected Jy/beam or Jy/arcsec2 (set BUNIT in the header)"
    if not text.strip():
        raise InputError(f"{path}: no BUNIT; {expected}")
    unit = unit_of(text)
    if unit is None:
        raise InputError(f"{path}: BUNIT is {text}; {expected}")
    if unit.is_equivalent(u.K):
        if frequency is None:
            raise InputError(
                f"{path}: BUNIT is {text}; expected Jy/beam or Jy/arcsec2, or the frequency of the "
                "brightness temperature (a FREQ axis or RESTFRQ in the header)"
            )
        factor = (1 * unit).to(u.Jy / u.sr, u.brightness_temperature(frequency * u.Hz))
        return unit, float(factor.to_value(SURFACE_BRIGHTNESS))
    areas = {u.pix: pixel_area}
    if beam is not None:
        areas[u.beam] = beam.area
    elif u.beam in unit.bases:
        raise InputError(
            f"{path}: BUNIT is {text} but there is no beam{why and f' ({why})'}; expected BMAJ and "
            "BMIN [deg] in the header, or --beam BMAJ BMIN BPA"
        )
    plain = u.Unit(unit.scale)  # the unit with beam and pixel written as solid angles
    for base, power in zip(unit.bases, unit.powers, strict=True):
        plain *= u.Unit(areas[base] * u.arcsec**2 if base in areas else base) ** power
    try:
        return unit, float(plain.to(SURFACE_BRIGHTNESS))
    except u.UnitConversionError as error:
        raise InputError(f"{path}: BUNIT is {text}; {expected}") from error
