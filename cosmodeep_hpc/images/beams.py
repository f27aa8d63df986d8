"""The restoring beam of a plane: given, of the header, of a table of beams, or of HISTORY."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.axes import SPECTRAL, ctype
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.images.file import Hdu, content_of, value, whole_number

_NUMBER = r"\s*[=:]?\s*([-+]?[\d.]+(?:[EeDd][-+]?\d+)?)"
# AIPS:   CLEAN BMAJ=  1.2500E-02 BMIN=  1.2500E-02 BPA=   0.00          [deg]
# CONVL BMAJ= 10.0000 BMIN= 10.0000 BPA=   0.0/Output beam, or IMAGR's     [arcsec]
_TASKS = re.compile(r"^\s*(CONVL|IMAGR)\b")
_AIPS = re.compile(rf"BMAJ{_NUMBER}\s+BMIN{_NUMBER}(?:\s+BPA{_NUMBER})?")
# Miriad: RESTOR: Beam =  6.500E+00 x  6.500E+00 arcsec, pa =  0.000E+00 degrees
_MIRIAD = re.compile(rf"Beam{_NUMBER}\s*x{_NUMBER}\s*arcsec(?:,\s*pa{_NUMBER})?")
_LARGEST_TABLE = 2**28  # bytes
HALF_A_PIXEL = 0.5
LARGEST = 30.0
"""Pixels of a beam at most that is guessed: imagers use three to ten."""
ROUNDED = 1.001
"""BMIN over BMAJ that rounding makes of a round beam, at most."""
UNITS = (
    ("arcsec", 1 / 3600),
    ("arcmin", 1 / 60),
    ("degrees", 3600.0),
    ("arcmin", 60.0),
)
"""Units that a beam may be in by mistake, and what makes them right: a header has degrees, and
--beam arcsec."""


@dataclass(frozen=True)
class BeamLookup:
    """What is known of a plane's beam.

    Attributes:
        beam: None where there is none that can be used.
        why: why not, or empty where there is no trace of one.
        notes: what was assumed.
        is_flagged: whether a table of beams has 0 or NaN for it, as for a channel without data.
    """

    beam: Beam | None = None
    why: str = ""
    notes: tuple[str, ...] = ()
    is_flagged: bool = False


class Beams:
    """The beams of an image's planes.

    Attributes:
        given: wins over all others.
    """

    def __init__(
        self,
        path: Path,
        place: Path,
        header: fits.Header,
        others: Iterable[Hdu],
        given: Beam | None,
    ) -> None:
        """Look for them, in a table only where it is needed.

        Args:
            path: what messages call the file.
            place: where it is.
            header: of the image.
            others: the file's HDUs, one of which may be a table of beams.
        """
        self.given = given
        self._single = _of_header(header)
        self._table: NDArray[Any] | None = None
        in_table = value(header, "CASAMBM") is True or self._single.beam is None
        if given is None and in_table:
            for hdu in others:
                if "BEAMS" in hdu.name and hdu.number > 0:
                    self._table = _read_table(path, place, hdu)
                    break
        if given is None and self._table is None and self._single.beam is None:
            found = _of_history(header)
            if found.beam is not None:
                self._single = BeamLookup(found.beam, "", self._single.notes + found.notes)
        self._axes = {
            "CHAN": _axis(header, SPECTRAL),
            "POL": _axis(header, ("STOKES",)),
        }

    def of_plane(self, number: int, indices: dict[int, int]) -> BeamLookup:
        """Look up the beam of a plane.

        Args:
            number: of the plane, in the order of the file.
            indices: index from 0 of the plane along its FITS axes.
        """
        if self.given is not None:
            return _ordered(self.given, self._said_of(self.given))
        if self._table is None:
            return self._single
        table = self._table
        names = [name for name in ("CHAN", "POL") if name in (table.dtype.names or ())]
        rows = np.ones(len(table), bool)
        for name in names:
            rows &= table[name] == indices.get(self._axes[name], 0)
        found = np.flatnonzero(rows) if names else np.arange(len(table))[number : number + 1]
        if len(table) == 1:
            found = np.array([0])
        if len(found) == 0:
            return BeamLookup(None, f"none for plane {number} in its table of beams")
        row = table[found[0]]
        seen = _checked(
            float(row["BMAJ"]), float(row["BMIN"]), float(row["BPA"]), "beam from a table of beams"
        )
        return replace(seen, is_flagged=seen.beam is None)

    def _said_of(self, beam: Beam) -> str:
        given = f"beam of {said(beam)} as given"
        own = self._single.beam
        if own is not None and own != beam:
            return f"{given}, not the {said(own)} of the header"
        return given


def check(path: Path, beam: Beam, pixel: float, shape: tuple[int, int]) -> None:
    """Refuse a beam that cannot be that of an image.

    Args:
        path: of the image, in messages.
        pixel: side of a pixel [arcsec].
        shape: (ny, nx) of the image.

    Raises:
        InputError: the beam is larger than the image, or less than half a pixel.
    """
    side = pixel * max(shape)
    if HALF_A_PIXEL * pixel <= beam.major <= side:
        return
    what = "larger than the image" if beam.major > side else "less than half a pixel"
    raise InputError(
        f"{path}: a beam of {said(beam)} is {what} ({shape[1]} x {shape[0]} pixels of "
        f"{pixel:.3g} arcsec); {guess(beam, pixel, shape)}give the right one with --beam BMAJ BMIN "
        "BPA (arcsec, arcsec, deg)"
    )


def guess(beam: Beam, pixel: float, shape: tuple[int, int]) -> str:
    """Return a guess of the unit of a beam that is wrong, as the begin of a sentence, or nothing.

    Args:
        pixel, shape: see `check`.
    """
    most = min(LARGEST * pixel, pixel * max(shape))
    return next(
        (
            f"its numbers seem to be in {unit}: "
            for unit, factor in UNITS
            if pixel <= beam.major * factor <= most
        ),
        "",
    )


def said(beam: Beam) -> str:
    """Return a beam in words."""
    major, minor, angle = (plain(n, 4) for n in (beam.major, beam.minor, beam.angle))
    return f"{major} x {minor} arcsec at {angle} deg"


def plain(number: float, digits: int = 2) -> str:
    """Return a number with so many digits, and all before the point: 0.67, 3.1, 187."""
    return f"{number:.0f}" if abs(number) >= 10**digits - 0.5 else f"{number:.{digits}g}"


def _checked(major: float, minor: float, angle: float, *notes: str) -> BeamLookup:
    """Take a beam [arcsec, deg] unless it is nonsense."""
    if not (0 < major < np.inf and 0 < minor < np.inf):
        return BeamLookup(None, f"its beam is {major:g} x {minor:g} arcsec")
    if not np.isfinite(angle):
        angle, notes = 0.0, (*notes, "BPA is no number: 0 taken")
    return _ordered(Beam(major, minor, angle), *notes)


def _ordered(beam: Beam, *notes: str) -> BeamLookup:
    """Take a beam whose long axis is the major one, as BPA means it."""
    if beam.minor <= ROUNDED * beam.major:
        return BeamLookup(beam, "", notes)
    swapped = Beam(beam.minor, beam.major, beam.angle)
    return BeamLookup(swapped, "", (*notes, "BMAJ is less than BMIN: swapped, and BPA kept"))


def _of_header(header: fits.Header) -> BeamLookup:
    """Take the beam of BMAJ, BMIN and BPA [deg]."""
    found = {name: value(header, name) for name in ("BMAJ", "BMIN", "BPA")}
    if found["BMAJ"] is None and found["BMIN"] is None:
        return BeamLookup()
    try:
        major, minor = float(found["BMAJ"]), float(found["BMIN"])
    except (TypeError, ValueError):
        major = minor = np.nan
    if not (0 < major < np.inf and 0 < minor < np.inf):
        shown = {name: "missing" if found[name] is None else found[name] for name in found}
        why = f"BMAJ is {shown['BMAJ']}, BMIN is {shown['BMIN']}"
        return BeamLookup(None, why, (f"no beam taken: {why}",))
    try:
        angle = float(found["BPA"])
    except (TypeError, ValueError):
        note = "BPA missing: 0 taken" if found["BPA"] is None else "BPA is no number: 0 taken"
        return _ordered(Beam(major * 3600.0, minor * 3600.0), note)
    return _checked(major * 3600.0, minor * 3600.0, angle)


def _of_history(header: fits.Header) -> BeamLookup:
    """Find the last beam that AIPS, one of its tasks, or Miriad tells of in HISTORY."""
    try:
        lines = [str(line) for line in header["HISTORY"]]
    except (KeyError, fits.VerifyError):
        return BeamLookup()
    for line in reversed(lines):
        of_aips = 1.0 if _TASKS.match(line) else 3600.0
        for pattern, arcsec in ((_AIPS, of_aips), (_MIRIAD, 1.0)):
            match = pattern.search(line)
            if match is None:
                continue
            try:
                major, minor, angle = (
                    float(re.sub("[Dd]", "E", text or "0")) for text in match.groups()
                )
            except ValueError:
                continue
            seen = _checked(major * arcsec, minor * arcsec, angle, "beam from HISTORY")
            if seen.beam is not None:
                return seen
    return BeamLookup()


def _axis(header: fits.Header, kinds: tuple[str, ...]) -> int:
    """Find the FITS axis of one of these types; 0 where there is none."""
    count = value(header, "NAXIS")
    found = (a for a in range(1, int(count or 0) + 1) if ctype(header, a).startswith(kinds))
    return next(found, 0)


def _read_table(path: Path, place: Path, hdu: Hdu) -> NDArray[Any]:
    """Read a table of beams as CASA writes it: BMAJ, BMIN [arcsec], BPA [deg], CHAN, POL."""
    if hdu.size > _LARGEST_TABLE:
        raise InputError(f"{path}: a table of beams of {hdu.size} bytes; expected a smaller one")
    whole_number(path, hdu.header, "TFIELDS", 1, 999)  # astropy makes as many columns
    length = hdu.start - hdu.place + hdu.size
    try:
        with content_of(place) as stream:
            stream.seek(hdu.place)
            table = fits.BinTableHDU.fromstring(stream.read(length))
        data, columns = table.data, table.columns
        named = {column.name.upper(): column for column in columns}
        result = np.zeros(
            len(data),
            [(name, "f8") for name in ("BMAJ", "BMIN", "BPA", "CHAN", "POL") if name in named],
        )
        for name in result.dtype.names or ():
            values = np.asarray(data[named[name].name], np.float64)
            wanted = {"BMAJ": u.arcsec, "BMIN": u.arcsec, "BPA": u.deg}.get(name)
            if wanted is not None:
                unit = u.Unit(str(named[name].unit or wanted).strip().lower())
                values = values * float(unit.to(wanted))
            result[name] = values
        if not {"BMAJ", "BMIN", "BPA"} <= set(named):
            raise ValueError(f"columns {', '.join(named)}")
    except Exception as error:  # a damaged table makes astropy raise many things
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: its table of beams (HDU {hdu.number}, {hdu.name}) cannot be read ({reason}); "
            "expected columns BMAJ, BMIN, BPA, CHAN and POL"
        ) from error
    return result
