"""Units of radio images, as they are spelled in the wild, and their factors to Jy/arcsec^2."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from astropy import units as u

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.images.quiet import quiet

SURFACE_BRIGHTNESS = u.Jy / u.arcsec**2
_EXPECTED = (
    "expected Jy/beam or Jy/arcsec2 (set BUNIT in the header; in Python unit=, beside a WCS)"
)

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
_BRIGHTNESS = re.compile(r"(?i)(?<=K)[ _]*\(?(T_?M?B|RJ)\)?$")
"""What is said behind a K of brightness temperature."""
_WORD = re.compile(r"[A-Za-z]+")


def unit_of(text: str) -> u.UnitBase | None:
    """Return the astropy unit of a BUNIT in any spelling; None where there is none.

    A prefix keeps its case, and `MJY` is refused: it may mean mega or milli.
    """
    text = _BRIGHTNESS.sub("", text.strip())
    spaced = re.sub(r"\bper\b", "/", text)
    spaced = re.sub(r"(?i)\bsq(uare)?[ ._]*(?=a(rc)?sec|deg)", "sq", spaced)
    folded = _WORD.sub(lambda match: _folded(match[0]), spaced)
    for spelling in (text, folded):
        with quiet(u.UnitsWarning):  # of several slashes
            unit = u.Unit(spelling, parse_strict="silent")
        if isinstance(unit, u.UnitBase) and not isinstance(unit, u.UnrecognizedUnit):
            return unit
    return None


def _folded(word: str) -> str:
    """Spell a word of a unit as astropy does."""
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    match = re.fullmatch(r"(milli|micro|nano|[munU])(?i:jy|janskys?)", word)
    return _PREFIXES[match[1]] + "Jy" if match else word


@dataclass(frozen=True)
class Unit:
    """A unit of intensity, as a factor to Jy/arcsec^2 times powers of what it is measured in.

    Attributes:
        path: the file, for messages.
        text: its BUNIT.
        spelling: as understood.
        fixed: factor to Jy/arcsec^2 of a beam and a pixel of 1 arcsec^2, or at 1 Hz.
        of_beam, of_pixel: power of the beam's and the pixel's area [arcsec^2].
        is_temperature: whether it goes with the square of the frequency (Rayleigh-Jeans).
    """

    path: Path
    text: str
    spelling: str
    fixed: float
    of_beam: float
    of_pixel: float
    is_temperature: bool

    @classmethod
    def of(cls, path: Path, text: str) -> Unit:
        """Understand a BUNIT.

        Raises:
            InputError: there is none, or it is none of intensity.
        """
        text = text.strip()
        if not text:
            raise InputError(f"{path}: no BUNIT; {_EXPECTED}")
        unit = unit_of(text)
        if unit is None:
            raise InputError(f"{path}: BUNIT is {text}; {_EXPECTED}")
        spelling = str(unit.to_string("generic", fraction="inline")).replace(" ", "")
        if unit.is_equivalent(u.K):
            at_1_hz = (1 * unit).to(u.Jy / u.sr, u.brightness_temperature(1 * u.Hz))
            fixed = float(at_1_hz.to_value(SURFACE_BRIGHTNESS))
            return cls(path, text, spelling, fixed, 0.0, 0.0, True)
        powers = {u.beam: 0.0, u.pix: 0.0}
        plain = u.Unit(unit.scale)  # the unit with beam and pixel written as solid angles
        for base, power in zip(unit.bases, unit.powers, strict=True):
            if base in powers:
                powers[base] = float(power)
            plain *= (u.arcsec**2 if base in powers else base) ** power
        try:
            fixed = float(plain.to(SURFACE_BRIGHTNESS))
        except u.UnitConversionError as error:
            raise InputError(f"{path}: BUNIT is {text}; {_EXPECTED}") from error
        if not 0 < fixed < math.inf:
            raise InputError(f"{path}: BUNIT is {text}; {_EXPECTED}")
        return cls(path, text, spelling, fixed, powers[u.beam], powers[u.pix], False)

    def factor(
        self, beam: Beam | None, pixel_area: float, frequency: float | None = None, why: str = ""
    ) -> float:
        """Return the factor to Jy/arcsec^2.

        Args:
            pixel_area: [arcsec^2].
            frequency: [Hz].
            why: why there is no beam, where something is known of it.

        Raises:
            InputError: the unit needs a beam or a frequency that is not there.
        """
        if self.is_temperature:
            if frequency is None:
                raise InputError(
                    f"{self.path}: BUNIT is {self.text}; expected Jy/beam or Jy/arcsec2, or the "
                    "frequency of the brightness temperature (a FREQ axis or RESTFRQ in the header)"
                )
            return float(self.fixed * frequency**2)
        if self.of_beam == 0:
            return float(self.fixed * pixel_area**self.of_pixel)
        if beam is None:
            raise InputError(
                f"{self.path}: BUNIT is {self.text} but there is no beam{why and f' ({why})'}; "
                "expected BMAJ and BMIN [deg] in the header, or --beam BMAJ BMIN BPA (in Python "
                "beam=)"
            )
        return float(self.fixed * beam.area**self.of_beam * pixel_area**self.of_pixel)
