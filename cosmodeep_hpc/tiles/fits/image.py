"""One plane of a FITS image, read by rows and in Jy/arcsec^2, with its place on the sky."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.sky.beam import Beam

SURFACE_BRIGHTNESS = u.Jy / u.arcsec**2


@dataclass(frozen=True)
class Image:
    """An open image.

    Attributes:
        path: the file.
        header: header of the HDU with the image.
        shape: (ny, nx) of the plane.
        wcs: world coordinates of the plane's two axes, in the file's order of axes.
        beam: restoring beam, or None where the header has none.
        to_surface_brightness: factor from the file's unit to Jy/arcsec^2.
    """

    path: Path
    header: fits.Header
    shape: tuple[int, int]
    wcs: WCS
    beam: Beam | None
    to_surface_brightness: float
    _hdu: Any

    @property
    def pixel_scale(self) -> float:
        """Side of a pixel [arcsec], the geometric mean of its two sides."""
        return _pixel_scale(self.wcs)

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Rows `start` to `stop` of the plane in Jy/arcsec^2; infinite pixels become NaN.

        Raises:
            InputError: the file ends early or cannot be read.
        """
        leading = (0,) * (self.header["NAXIS"] - 2)
        try:
            pixels = self._hdu.section[(*leading, slice(start, stop), slice(None))]
        except Exception as error:  # astropy and the decompressors raise what their parts raise
            raise InputError(
                f"{self.path}: rows {start} to {stop - 1} cannot be read ({error}); "
                "expected a whole file: copy or make it again"
            ) from error
        pixels = np.array(pixels, dtype=np.float32)
        pixels *= np.float32(self.to_surface_brightness)
        pixels[np.isinf(pixels)] = np.nan
        return pixels

    def pixels(self) -> NDArray[np.float32]:
        """The whole plane, float32 (ny, nx), in Jy/arcsec^2."""
        return self.rows(0, self.shape[0])


def open_image(path: Path) -> Image:
    """Open the first image of a FITS file that has at least two axes.

    Axes beyond the second must have length 1, as the frequency and Stokes axes of radio images.

    Raises:
        InputError: not FITS, truncated, no image, no celestial coordinates, no or unknown BUNIT,
            or a unit that needs a beam and none in the header.
    """
    hdu = _image_hdu(path)
    header = hdu.header
    axes = [header[f"NAXIS{i + 1}"] for i in range(header["NAXIS"])]
    if any(length != 1 for length in axes[2:]) or 0 in axes:
        raise InputError(
            f"{path}: axes of {' x '.join(map(str, axes))} pixels; expected one plane: "
            "axes beyond the second of length 1"
        )
    beam = beam_of(header)
    wcs = _plane_wcs(path, header)
    factor = _surface_brightness(path, header, beam, wcs)
    return Image(path, header, (axes[1], axes[0]), wcs, beam, factor, hdu)


def _image_hdu(path: Path) -> Any:
    """The first HDU with an image, its file checked to be whole."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            opened = fits.open(path, memmap=False, lazy_load_hdus=True)
            hdus = [hdu for hdu in opened if hdu.is_image and hdu.header.get("NAXIS", 0) >= 2]
    except Exception as error:  # astropy and the decompressors raise what their parts raise
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"{path}: cannot read it: {error.strerror}") from error
        reason = re.split(r"[\n,]", str(error))[0].rstrip(".")
        raise InputError(
            f"{path}: not a FITS file, or not a whole one ({reason}); expected a FITS image"
        ) from error
    if not hdus:
        raise InputError(f"{path}: no image in it; expected a FITS image of at least two axes")
    hdu = hdus[0]
    place = hdu.fileinfo()
    if place["file"].compression is None and not isinstance(hdu, fits.CompImageHDU):
        needed = place["datLoc"] + hdu.size
        found = path.stat().st_size
        if found < needed:
            raise InputError(
                f"{path}: truncated: {found} bytes, expected at least {needed}; "
                "copy or make it again"
            )
    return hdu


def beam_of(header: fits.Header) -> Beam | None:
    """The restoring beam of BMAJ, BMIN and BPA [deg]; a missing BPA means 0."""
    try:
        major, minor = float(header["BMAJ"]), float(header["BMIN"])
        angle = float(header.get("BPA") or 0.0)
    except (KeyError, TypeError, ValueError):  # not there, or no number
        return None
    if not (0 < major < np.inf and 0 < minor < np.inf):
        return None
    return Beam(major * 3600.0, minor * 3600.0, angle)


def _plane_wcs(path: Path, header: fits.Header) -> WCS:
    with warnings.catch_warnings():
        # astropy tells of every non-standard card it mends (NCP, old date formats, ...)
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            wcs = WCS(header).sub([1, 2])
            wcs.wcs.set()
        except Exception as error:  # wcslib's errors share no useful base class
            raise InputError(f"{path}: no usable sky coordinates ({error})") from error
    if not wcs.has_celestial:
        kinds = ", ".join(c or "none" for c in wcs.wcs.ctype)
        raise InputError(
            f"{path}: axes 1 and 2 are of type {kinds}; expected sky coordinates such as "
            "RA---SIN and DEC--SIN in CTYPE1 and CTYPE2"
        )
    if wcs.has_distortion:  # a tile grid cannot carry it
        raise InputError(
            f"{path}: its sky coordinates have distortion terms (SIP or tables); expected a plain "
            "projection: resample the image"
        )
    return wcs


def _pixel_scale(wcs: WCS) -> float:
    return float(np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))) * 3600.0)


def unit_of(text: str) -> u.UnitBase | None:
    """The astropy unit of a BUNIT, also in capitals (`JY/BEAM`); None where there is none.

    A prefix keeps its case, and `MJY` is refused: it may mean mega or milli.
    """
    words = {"jy": "Jy", "beam": "beam", "pixel": "pixel", "arcsec": "arcsec", "sr": "sr"}
    folded = re.sub(r"(?<!M)(?i:jy)|(?i:beam|pixel|arcsec|sr)", lambda m: words[m[0].lower()], text)
    for spelling in (text, folded):
        unit = u.Unit(spelling, parse_strict="silent")
        if isinstance(unit, u.UnitBase) and not isinstance(unit, u.UnrecognizedUnit):
            return unit
    return None


def _surface_brightness(path: Path, header: fits.Header, beam: Beam | None, wcs: WCS) -> float:
    """The factor from the header's unit to Jy/arcsec^2."""
    expected = "expected Jy/beam or Jy/arcsec2 (set BUNIT in the header)"
    text = str(header.get("BUNIT", "")).strip()
    if not text:
        raise InputError(f"{path}: no BUNIT; {expected}")
    unit = unit_of(text)
    if unit is None:
        raise InputError(f"{path}: BUNIT is {text}; {expected}")
    areas = {u.pix: _pixel_scale(wcs) ** 2}
    if beam is not None:
        areas[u.beam] = beam.area
    elif u.beam in unit.bases:
        raise InputError(
            f"{path}: BUNIT is {text} but there is no beam; expected BMAJ and BMIN [deg] in the "
            "header"
        )
    plain = u.Unit(unit.scale)  # the unit with beam and pixel written as solid angles
    for base, power in zip(unit.bases, unit.powers, strict=True):
        plain *= u.Unit(areas[base] * u.arcsec**2 if base in areas else base) ** power
    try:
        return float(plain.to(SURFACE_BRIGHTNESS))
    except u.UnitConversionError as error:
        raise InputError(f"{path}: BUNIT is {text}; {expected}") from error
