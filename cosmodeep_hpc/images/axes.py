"""Which axes of an image are on the sky, and where: its celestial world coordinates."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.distortion import (
    MOST,
    has_others,
    is_tpv,
    pixel_areas,
    plain_scale,
    size_notes,
)
from cosmodeep_hpc.images.file import value, whole_number

_LONGITUDE = re.compile(r"(RA--|[A-Z]LON|[A-Z]{2}LN)-")
_LATITUDE = re.compile(r"(DEC-|[A-Z]LAT|[A-Z]{2}LT)-")
SPECTRAL = ("FREQ", "ENER", "WAVN", "VRAD", "WAVE", "VOPT", "ZOPT", "AWAV", "VELO", "BETA", "FELO")

# Cards that speak of one axis, and of a pair of axes.
_OF_AXIS = re.compile(r"(?:CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA|CRDER|CSYER|CNAME)(\d+)[A-Z]?$")
_OF_PAIR = re.compile(r"(?:PC|CD)0*(\d+)_0*(\d+)[A-Z]?$|(?:PC|CD)(\d{3})(\d{3})$|P[VS](\d+)_\d+$")
_NUMBER_OF_AXIS = re.compile(r"(?:CRVAL|CRPIX|CDELT|CROTA)(\d+)")
_OF_WCSLIB = re.compile(r"ERROR \d+ in \w+\(\) at line \d+ of file \S+:")
_EQUINOX = re.compile(r"([BJ]?)(\d{4}(?:\.\d*)?)")
_SIP = re.compile(r"(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)")
_DISTORTION = re.compile(r"(CPDIS|CQDIS|D2IMDIS|DP|DQ)\d")


def ctype(header: fits.Header, axis: int) -> str:
    """Return the type of a FITS axis, counted from 1; empty where there is none."""
    return str(value(header, f"CTYPE{axis}") or "").strip().upper()


def find_celestial(header: fits.Header, count: int) -> tuple[int, int] | None:
    """Find the two FITS axes on the sky, from 1 and the faster one first; None where none are."""
    kinds = {axis: ctype(header, axis) for axis in range(1, count + 1)}
    longitude = [axis for axis, kind in kinds.items() if _LONGITUDE.match(kind)]
    latitude = [axis for axis, kind in kinds.items() if _LATITUDE.match(kind)]
    if len(longitude) != 1 or len(latitude) != 1:
        return None
    x, y = sorted((*longitude, *latitude))
    return x, y


def celestial_wcs(
    path: Path, header: fits.Header, lengths: tuple[int, ...]
) -> tuple[WCS, tuple[int, int], tuple[str, ...]]:
    """Return world coordinates of the two axes on the sky, in the file's order.

    Args:
        lengths: of the axes, slowest first.

    Returns:
        the coordinates, the indices of (y, x) in `lengths`, and what was assumed.

    Raises:
        InputError: no such axes, or nothing usable about them.
    """
    found = find_celestial(header, len(lengths))
    if found is None:
        kinds = ", ".join(ctype(header, axis) or "none" for axis in range(1, len(lengths) + 1))
        which = " and ".join(map(str, range(1, len(lengths) + 1))).replace(
            " and ", ", ", max(0, len(lengths) - 2)
        )
        raise InputError(
            f"{path}: axes {which} are of type {kinds}; expected sky coordinates such as "
            "RA---SIN and DEC--SIN in CTYPE1 and CTYPE2"
        )
    cards = _cards_of(header, found)
    if any(_DISTORTION.match(card) for card in cards):
        raise _distorted(path)
    _refuse_unusable(path, header, found)
    spelled, spelling = _spelled(path, fits.Header.fromstring("".join(cards)), found)
    _refuse_polynomials(path, spelled, found)
    y, x = len(lengths) - found[1], len(lengths) - found[0]
    try:
        wcs = WCS(spelled).sub(list(found))
        wcs.wcs.set()
        wcs.pixel_shape = (lengths[x], lengths[y])
        scale, is_other = plain_scale(wcs), has_others(wcs)
    except Exception as error:  # wcslib's errors share no useful base class
        reason = " ".join(_OF_WCSLIB.sub("", str(error)).split()).removesuffix(".")
        raise InputError(f"{path}: no usable sky coordinates ({reason})") from error
    if is_other:
        raise _distorted(path)
    if not wcs.has_celestial or not 0 < scale < np.inf:
        raise InputError(
            f"{path}: no usable sky coordinates (CTYPE {', '.join(wcs.wcs.ctype)}, pixels of "
            f"{scale:g} arcsec)"
        )
    if _is_one_place(wcs):
        kinds = ", ".join(ctype(header, axis) for axis in found)
        hint = "PV1_1 and PV2_1, or RA---TAN and DEC--TAN" if "TPV" in kinds else "other ones"
        raise InputError(
            f"{path}: its sky coordinates ({kinds}) put its pixels at one place or on one line; "
            f"expected {hint}"
        )
    _refuse_steps(path, spelled, wcs)
    notes = spelling + _settle_frame(path, spelled, wcs) + size_notes(wcs)
    return wcs, (y, x), notes


ROUNDED = 1e-6
"""Degrees beyond the pole that a rounded latitude may lie."""


def _refuse_unusable(path: Path, header: fits.Header, on_sky: tuple[int, int]) -> None:
    """Raise an InputError for text where coordinates need a number, and for pixels of no size.

    wcslib takes the default of what it cannot read, and mends some of the zeros.
    """
    matrix: dict[tuple[int, int], float] = {}
    for name in header:
        match = _NUMBER_OF_AXIS.fullmatch(name) or _OF_PAIR.match(name)
        places = [int(axis) for axis in match.groups() if axis] if match else []
        is_text = name.startswith("PS") or not name[-1:].isdigit()  # the latter: another system's
        if not places or is_text or any(axis not in on_sky for axis in places):
            continue
        found = value(header, name)
        if isinstance(found, bool) or not isinstance(found, int | float):
            text = "not to be read" if found is None else repr(found)
            raise InputError(f"{path}: {name} is {text} in its header; expected a number")
        if name.startswith("CD") and len(places) == 2:
            matrix[places[0], places[1]] = float(found)
    x, y = on_sky
    latitude = x if _LATITUDE.match(ctype(header, x)) else y
    unit = u.Unit(str(value(header, f"CUNIT{latitude}") or "deg").strip(), parse_strict="silent")
    per_degree = unit.to(u.deg) if unit.is_equivalent(u.deg) else 1.0
    found = _number(header, f"CRVAL{latitude}", 0.0)
    if abs(found * per_degree) > 90 + ROUNDED:
        raise InputError(f"{path}: CRVAL{latitude} is {found:g}; expected one from -90 to 90 deg")
    steps = [_number(header, f"CDELT{axis}", 1.0) for axis in on_sky]
    if not matrix and 0 in steps:
        name = f"CDELT{on_sky[steps.index(0)]}"
        raise InputError(f"{path}: {name} is 0; expected the side of a pixel [deg]")
    diagonal = matrix.get((x, x), 0.0) * matrix.get((y, y), 0.0)
    if matrix and diagonal == matrix.get((x, y), 0.0) * matrix.get((y, x), 0.0):
        raise InputError(
            f"{path}: the matrix CD of axes {x} and {y} has no inverse; expected the sides of a "
            "pixel [deg] in it"
        )


def _is_one_place(wcs: WCS) -> bool:
    """Return whether neighbouring pixels amid an image have one place on the sky, or lie in line.

    False where the middle of the image is no place on the sky.
    """
    nx, ny = wcs.pixel_shape
    area = pixel_areas(wcs, [(nx - 1) / 2], [(ny - 1) / 2])[0]
    return bool(area < 1e-6 * plain_scale(wcs) ** 2)


def renumbered(keyword: str, number: dict[int, int]) -> str:
    """Return a keyword of the two celestial axes as that of axes `number[1]` and `number[2]`."""
    match = re.fullmatch(r"(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CNAME)([12])", keyword)
    if match:
        return f"{match[1]}{number[int(match[2])]}"
    match = re.fullmatch(r"(PC|CD)([12])_([12])", keyword)
    if match:
        return f"{match[1]}{number[int(match[2])]}_{number[int(match[3])]}"
    match = re.fullmatch(r"(PV|PS)([12])_(\d+)", keyword)
    return f"{match[1]}{number[int(match[2])]}_{match[3]}" if match else keyword


def placed(header: fits.Header, sky: fits.Header, on_sky: tuple[int, int]) -> fits.Header:
    """Return a header with the coordinates `sky` of two axes, and none of its own for them.

    Args:
        sky: of the axes 1 and 2.
        on_sky: which axes of the header they are.
    """
    own = [
        card
        for card in header.cards
        if not (match := _OF_AXIS.match(card.keyword) or _OF_PAIR.match(card.keyword))
        or not any(int(axis) in on_sky for axis in match.groups() if axis)
    ]
    found = fits.Header(own)
    for card in sky.cards:
        if card.keyword != "WCSAXES":
            found[renumbered(card.keyword, dict(enumerate(on_sky, 1)))] = card.value
    return found


def frequency(header: fits.Header, indices: dict[int, int], count: int) -> tuple[float, str] | None:
    """Return the frequency of a plane [Hz] and where it is from; None where the header has none.

    Args:
        indices: index from 0 of the plane along its FITS axes.
        count: axes of the image; a header may tell of more than it has.
    """
    for axis in range(1, max(count, 9) + 1):
        if not ctype(header, axis).startswith("FREQ"):
            continue
        found = _number(header, f"CRVAL{axis}", np.nan)
        if axis in indices:
            step = _number(header, f"CDELT{axis}", _number(header, f"CD{axis}_{axis}", 1.0))
            found += (indices[axis] + 1 - _number(header, f"CRPIX{axis}", 0.0)) * step
        unit = u.Unit(str(value(header, f"CUNIT{axis}") or "Hz").strip(), parse_strict="silent")
        if unit.is_equivalent(u.Hz) and 0 < found < np.inf:
            return float((found * unit).to_value(u.Hz)), f"axis {axis}"
    for name in ("RESTFRQ", "RESTFREQ"):
        found = _number(header, name, np.nan)
        if 0 < found < np.inf:
            return found, name
    return None


def _number(header: fits.Header, name: str, default: float) -> float:
    """Return the value of a card as a number; `default` where it is none."""
    try:
        return float(value(header, name))
    except (TypeError, ValueError):
        return default


def _cards_of(header: fits.Header, axes: tuple[int, int]) -> list[str]:
    """List the cards without those of other axes, whose faults do not matter, and without text."""
    text = header.tostring(endcard=False, padding=False)
    kept = []
    for at in range(0, len(text), 80):
        card = text[at : at + 80]
        name = card[:8].rstrip()
        if name in ("HISTORY", "COMMENT", "", "CONTINUE", "WCSAXES") or name.startswith("NAXIS"):
            continue
        match = _OF_AXIS.match(name) or _OF_PAIR.match(name)
        if match and any(int(axis) not in axes for axis in match.groups() if axis):
            continue
        kept.append(card)
    return kept


def _spelled(
    path: Path, header: fits.Header, on_sky: tuple[int, int]
) -> tuple[fits.Header, tuple[str, ...]]:
    """Return a header as wcslib reads it: types, frame and equinox in any spelling; and notes.

    Terms of SIP count where CTYPE ends in -SIP alone.

    Raises:
        InputError: the equinox is text that is none.
    """
    notes: list[str] = []
    for axis in on_sky:
        header[f"CTYPE{axis}"] = ctype(header, axis)
    names = [name for name in ("RADESYS", "RADECSYS") if isinstance(value(header, name), str)]
    for name in names:
        if (frame := value(header, name).strip().upper()) != value(header, name):
            header[name] = frame
    for name in ("EQUINOX", "EPOCH"):
        found = value(header, name)
        if not isinstance(found, str) or (name == "EPOCH" and "EQUINOX" in header):
            continue
        match = _EQUINOX.fullmatch(found.strip().upper())
        if match is None and found.strip():
            raise InputError(
                f"{path}: {name} is {found!r} in its header; expected a year, such as 2000.0"
            )
        if match is None:
            del header[name]
            continue
        header[name] = float(match[2])
        if match[1] and not names:
            header["RADESYS"] = "FK4" if match[1] == "B" else "FK5"
            notes.append(f"no RADESYS: {header['RADESYS']} taken for equinox {found.strip()}")
    terms = [name for name in header if _SIP.fullmatch(name)]
    named = any(ctype(header, axis).endswith("-SIP") for axis in on_sky)
    if terms and not named:
        for name in terms:
            del header[name]
        notes.append("terms of distortion (SIP) that CTYPE does not name are left out")
    for axis in on_sky if named else ():
        header[f"CTYPE{axis}"] = ctype(header, axis).removesuffix("-SIP") + "-SIP"
    return header, tuple(notes)


def _refuse_polynomials(path: Path, header: fits.Header, on_sky: tuple[int, int]) -> None:
    """Raise an InputError where terms of SIP or TPV are of axes that they cannot be of."""
    orders = [name for name in ("A_ORDER", "B_ORDER", "AP_ORDER", "BP_ORDER") if name in header]
    for name in orders:
        whole_number(path, header, name, 0, MOST)
    kinds = ctype(header, on_sky[0]), ctype(header, on_sky[1])
    is_tpv = kinds[1].endswith("-TPV")
    if (orders or is_tpv) and on_sky != (1, 2):
        raise InputError(
            f"{path}: axes {on_sky[0]} and {on_sky[1]} are on the sky and distorted "
            f"({', '.join(kinds)}); expected axes 1 and 2: move the others behind them"
        )
    if is_tpv and _LATITUDE.match(kinds[0]):
        raise InputError(
            f"{path}: axes 1 and 2 are of type {', '.join(kinds)}; expected TPV with the longitude "
            "first: swap the axes, or resample the image"
        )


def _refuse_steps(path: Path, header: fits.Header, wcs: WCS) -> None:
    """Raise an InputError where terms of TPV are of a unit that programs do not agree on.

    The convention knows the matrix CD alone. Beside CDELT, wcslib (and so astropy) takes the terms
    for those of pixels, other programs for those of degrees.
    """
    if not is_tpv(wcs) or (wcs.wcs.get_cdelt() == 1).all():
        return
    for name in header:
        is_own = name in ("PV1_1", "PV2_1")  # which commutes with the steps
        if re.fullmatch(r"PV[12]_\d+", name) and not is_own and value(header, name) != 0:
            raise InputError(
                f"{path}: terms of distortion (TPV, {name}) beside CDELT, which some programs take "
                "for terms of pixels, others of degrees; expected the matrix CD in place of CDELT"
            )


def _settle_frame(path: Path, header: fits.Header, wcs: WCS) -> tuple[str, ...]:
    """Write the frame and the equinox that a missing RADESYS and EQUINOX mean into `wcs`.

    Source: Calabretta & Greisen (2002), section 3.1.
    """
    notes: list[str] = []
    sky = wcs.wcs
    named = str(value(header, "RADESYS") or value(header, "RADECSYS") or "").strip()
    if sky.lngtyp.strip() == "RA":
        equinox = _number(header, "EQUINOX", _number(header, "EPOCH", np.nan))
        if not named and np.isnan(equinox):
            sky.radesys = "ICRS"
            notes.append("no RADESYS and no EQUINOX: ICRS taken")
        elif not named:
            sky.radesys = "FK4" if equinox < 1984.0 else "FK5"
            notes.append(f"no RADESYS: {sky.radesys} taken for equinox {equinox:g}")
        elif named in ("FK4", "FK4-NO-E", "FK5") and np.isnan(equinox):
            sky.equinox = 2000.0 if named == "FK5" else 1950.0
            notes.append(f"no EQUINOX: {sky.equinox:g} taken for {named}")
    sky.set()
    try:
        wcs_to_celestial_frame(wcs)
    except ValueError as error:
        raise InputError(
            f"{path}: sky coordinates of type {', '.join(sky.ctype)} in RADESYS "
            f"{sky.radesys.strip() or 'none'}; expected ICRS, FK5, FK4 or galactic ones"
        ) from error
    return tuple(notes)


def _distorted(path: Path) -> InputError:
    return InputError(
        f"{path}: its sky coordinates have a distortion by tables, or by polynomials other than "
        "SIP and TPV; expected SIP, TPV, or a plain projection: resample the image"
    )
