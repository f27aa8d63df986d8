"""Distortion of sky coordinates by polynomials (SIP, TPV), and how large pixels are with it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS, Sip
from numpy.typing import ArrayLike, NDArray

from cosmodeep_hpc.images.file import CARD

ARCSEC2_PER_SR = float(u.sr.to(u.arcsec**2))
CHANGE = 0.1
"""Share by which a pixel's side may differ from that in the middle before a note says so."""
SAMPLES = 9
"""Places along each side of an image at which its pixels are measured."""
MOST = 9
"""Order of a polynomial of SIP at most (Shupe et al. 2005)."""


def is_distorted(wcs: WCS) -> bool:
    """Return whether sky coordinates have polynomials beside their projection."""
    return wcs.sip is not None or is_tpv(wcs)


def is_tpv(wcs: WCS) -> bool:
    """Return whether sky coordinates have polynomials TPV; wcslib calls their axes TAN."""
    return any(card.startswith("CTYPE") and "-TPV'" in card for card in _cards(wcs))


def has_others(wcs: WCS) -> bool:
    """Return whether sky coordinates have a distortion that is neither SIP nor TPV.

    Look-up tables, and polynomials that wcslib writes in cards of its own (of TNX, ZPX, TPD).
    """
    tables = (wcs.cpdis1, wcs.cpdis2, wcs.det2im1, wcs.det2im2)
    return any(table is not None for table in tables) or any(
        card.startswith(("CPDIS", "CQDIS")) for card in _cards(wcs)
    )


def _cards(wcs: WCS) -> list[str]:
    """Return the cards that wcslib makes, without SIP, which it does not know."""
    # a copy, since units are settled in place; of wcslib's part: astropy's sets warning filters
    text = deepcopy(wcs.wcs).to_header(relax=True)
    return [text[at : at + CARD] for at in range(0, len(text), CARD)]


def header_of(wcs: WCS) -> fits.Header:
    """Return the header of sky coordinates, terms of SIP as they are.

    astropy's own way to them adds -SIP to the type of every axis, also of one that is not on the
    sky, and logs it.
    """
    own = wcs.deepcopy()  # to_header settles units in place
    sip, own.sip = own.sip, None
    header: fits.Header = own.to_header(relax=True)
    terms = {} if sip is None else {"A": sip.a, "B": sip.b, "AP": sip.ap, "BP": sip.bp}
    for name, numbers in terms.items():
        if numbers is None:
            continue
        header[f"{name}_ORDER"] = (len(numbers) - 1, "order of a polynomial of distortion")
        for p, q in np.argwhere(numbers):
            header[f"{name}_{p}_{q}"] = float(numbers[p, q])
    return header


def of_blocks(sip: Sip, size: int) -> Sip:
    """Return the polynomials of an image's pixels for a grid of blocks of `size` x `size` of these.

    A term A_p_q has the unit of pixels to the power 1 - p - q: that of blocks is A_p_q times `size`
    to the power p + q - 1.

    Source: Shupe et al. (2005), ASPC 347, 491.
    """

    def scaled(terms: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        if terms is None:
            return None
        p, q = np.indices(terms.shape)
        found: NDArray[np.float64] = terms * float(size) ** (p + q - 1)
        return found

    crpix = (np.asarray(sip.crpix) - 0.5) / size + 0.5  # FITS counts pixel edges from 0.5
    return Sip(scaled(sip.a), scaled(sip.b), scaled(sip.ap), scaled(sip.bp), crpix)


def pixel_areas(wcs: WCS, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Return the solid angle of pixels (from 0) [arcsec^2]; NaN beyond the edge of the projection.

    What a pixel covers on the sky changes over a wide field, and with distortion.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    across = _direction(wcs, x + 0.5, y) - _direction(wcs, x - 0.5, y)
    along = _direction(wcs, x, y + 0.5) - _direction(wcs, x, y - 0.5)
    area: NDArray[np.float64] = np.linalg.norm(np.cross(across, along), axis=-1) * ARCSEC2_PER_SR
    return area


def _direction(wcs: WCS, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return unit vectors of pixels, (n, 3)."""
    world = wcs.all_pix2world(np.stack([x, y], axis=-1), 0) if len(x) else np.zeros((0, 2))
    lon, lat = np.deg2rad(world[:, wcs.wcs.lng]), np.deg2rad(world[:, wcs.wcs.lat])
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def pixel_scale(wcs: WCS) -> float:
    """Return the side of a pixel [arcsec], the geometric mean of its two sides.

    Of distorted ones, that in the middle of the image, where this is a place on the sky.
    """
    if is_distorted(wcs) and wcs.pixel_shape is not None:
        nx, ny = wcs.pixel_shape
        middle = float(pixel_areas(wcs, [(nx - 1) / 2], [(ny - 1) / 2])[0])
        if 0 < middle < np.inf:
            return float(np.sqrt(middle))
    return plain_scale(wcs)


def plain_scale(wcs: WCS) -> float:
    """Return the side of a pixel [arcsec] without distortion, at the reference point."""
    return float(np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))) * 3600.0)


def size_notes(wcs: WCS) -> tuple[str, ...]:
    """Return a note where distorted pixels are far from those in the middle; none elsewhere."""
    if not is_distorted(wcs):
        return ()
    nx, ny = wcs.pixel_shape
    x, y = np.meshgrid(np.linspace(0, nx - 1, SAMPLES), np.linspace(0, ny - 1, SAMPLES))
    sides: Any = np.sqrt(pixel_areas(wcs, x.ravel(), y.ravel()))
    sides, middle = sides[np.isfinite(sides)], pixel_scale(wcs)
    if np.all(np.abs(sides / middle - 1) <= CHANGE):
        return ()
    return (
        f"distorted: pixels of {sides.min():.3g} to {sides.max():.3g} arcsec over the image; the "
        f"network sees them as if all were those of its middle, {middle:.3g} arcsec",
    )
