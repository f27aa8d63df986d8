"""Places on the sky are those that astropy finds in the same header, for every projection."""

import math
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS
from support.mosaics import SHAPE, cards_of, write

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.mosaic import open_image

CORNERS = np.array([[0, 0], [56, 0], [0, 45], [56, 45], [28, 22.5], [13.25, 30.75]]).T


def places(path):
    """What astropy says of the corners and two more pixels of a file's image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        return WCS(fits.getheader(path)).celestial.pixel_to_world(*CORNERS)


@pytest.mark.parametrize("projection", ["SIN", "TAN", "NCP", "ZEA", "AIT", "CAR", "STG"])
@pytest.mark.parametrize("order", ["RA DEC", "GLON GLAT"])
@pytest.mark.parametrize("turn", ["", "CROTA2", "CD", "PC"])
def test_projections(tmp_path, projection, order, turn):
    """Corners within 1e-9 degrees; galactic ones, and turned by 20 degrees in three ways."""
    if projection == "NCP" and order != "RA DEC":
        order = "RA DEC STOKES"  # NCP is of equatorial coordinates only
    cards = {}
    c, s, step = math.cos(math.radians(20)), math.sin(math.radians(20)), 9.6 / 3600
    if turn == "CROTA2":
        cards = {"CROTA2": 20.0}
    elif turn == "PC":
        cards = {"PC1_1": c, "PC1_2": s, "PC2_1": -s, "PC2_2": c}
    elif turn == "CD":
        cards = {"CD1_1": -c * step, "CD1_2": s * step, "CD2_1": s * step, "CD2_2": c * step}
        cards |= {"CDELT1": None, "CDELT2": None}
    if projection == "AIT":
        cards |= {"CRVAL2": 0.0}
    path = write(tmp_path / "a.fits", order=order, projection=projection, **cards)
    image = open_image(path, plane=0)
    found, expected = image.wcs.pixel_to_world(*CORNERS), places(path)
    assert found.frame.name == expected.frame.name == ("galactic" if "GLON" in order else "icrs")
    assert found.separation(expected).max() < 1e-9 * u.deg
    assert image.pixel_scale == pytest.approx(9.6)
    # independent of astropy's reading: a pixel is 9.6 arcsec at the reference point
    a, b = image.wcs.pixel_to_world([28, 29], [22.5, 22.5])
    assert a.separation(b).arcsec == pytest.approx(9.6, rel=1e-3)


@pytest.mark.parametrize("order", ["RA DEC STOKES FREQ", "STOKES RA DEC", "RA FREQ DEC", "DEC RA"])
def test_axes_in_any_order(tmp_path, order):
    path = write(tmp_path / "a.fits", order=order)
    image = open_image(path, plane=0)
    assert image.wcs.pixel_to_world(*CORNERS).separation(places(path)).max() < 1e-9 * u.deg
    assert image.wcs.pixel_shape == SHAPE[::-1]


def test_slant_orthographic_is_ncp(tmp_path):
    """NCP, that old imagers write, is SIN with (xi, eta) = (0, cot dec0)."""
    ncp = write(tmp_path / "ncp.fits", projection="NCP", CRVAL2=60.0)
    slant = {"PV2_1": 0.0, "PV2_2": 1 / math.tan(math.radians(60))}
    sin = write(tmp_path / "sin.fits", projection="SIN", CRVAL2=60.0, **slant)
    a, b = (open_image(path).wcs.pixel_to_world(*CORNERS) for path in (ncp, sin))
    assert a.separation(b).max() < 1e-9 * u.deg


@pytest.mark.parametrize(
    "cards, frame, note",
    [
        ({"RADESYS": "ICRS"}, SkyCoord(150, -35, unit="deg"), ""),
        ({}, SkyCoord(150, -35, unit="deg"), "no RADESYS and no EQUINOX: ICRS taken"),
        (
            {"EQUINOX": 2000.0},
            SkyCoord(150, -35, unit="deg", frame="fk5", equinox="J2000"),
            "no RADESYS: FK5 taken for equinox 2000",
        ),
        (
            {"EPOCH": 1950.0},  # the card's name in old files
            SkyCoord(150, -35, unit="deg", frame="fk4", equinox="B1950"),
            "no RADESYS: FK4 taken for equinox 1950",
        ),
        (
            {"EQUINOX": 1984.0},
            SkyCoord(150, -35, unit="deg", frame="fk5", equinox="J1984"),
            "no RADESYS: FK5 taken for equinox 1984",
        ),
        (
            {"RADESYS": "FK4"},
            SkyCoord(150, -35, unit="deg", frame="fk4", equinox="B1950"),
            "no EQUINOX: 1950 taken for FK4",
        ),
        (
            {"RADESYS": "FK5"},
            SkyCoord(150, -35, unit="deg", frame="fk5", equinox="J2000"),
            "no EQUINOX: 2000 taken for FK5",
        ),
        ({"RADECSYS": "FK5", "EQUINOX": 2000.0}, SkyCoord(150, -35, unit="deg", frame="fk5"), ""),
        ({"RADESYS": "icrs  "}, SkyCoord(150, -35, unit="deg"), ""),
        ({"RADESYS": "fk5", "EQUINOX": "J2000"}, SkyCoord(150, -35, unit="deg", frame="fk5"), ""),
        (
            {"EQUINOX": "B1950"},
            SkyCoord(150, -35, unit="deg", frame="fk4", equinox="B1950"),
            "no RADESYS: FK4 taken for equinox B1950",
        ),
        (
            {"EPOCH": "J2000.0"},
            SkyCoord(150, -35, unit="deg", frame="fk5"),
            "no RADESYS: FK5 taken for equinox J2000.0",
        ),
        (
            {"EQUINOX": "1950"},
            SkyCoord(150, -35, unit="deg", frame="fk4", equinox="B1950"),
            "no RADESYS: FK4 taken for equinox 1950",
        ),
        (
            {"EQUINOX": " "},
            SkyCoord(150, -35, unit="deg"),
            "no RADESYS and no EQUINOX: ICRS taken",
        ),
    ],
)
def test_frame_of_incomplete_headers(tmp_path, cards, frame, note):
    """As the FITS standard says (Calabretta & Greisen 2002, section 3.1), and said once."""
    path = write(tmp_path / "a.fits", **{"RADESYS": None} | cards)
    image = open_image(path)
    found = image.wcs.pixel_to_world(28, 22.5)
    # FK4 has terms of aberration, which is a position's difference of up to 0.3 arcsec
    assert found.icrs.separation(frame.icrs) < 1e-6 * u.arcsec
    assert [n for n in image.notes if "taken" in n] == ([note] if note else [])


def test_types_of_axes_in_any_case(tmp_path):
    lower = open_image(write(tmp_path / "a.fits", CTYPE1="ra---sin", CTYPE2="dec--sin"))
    upper = open_image(write(tmp_path / "b.fits"))
    there, here = (image.wcs.pixel_to_world(*CORNERS) for image in (upper, lower))
    assert here.separation(there).max() < 1e-9 * u.deg and lower.notes == upper.notes


def test_terms_of_distortion_that_no_axis_names_are_left_out(tmp_path):
    """They stay where an image was resampled; astropy would use them."""
    terms = {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-4, "B_0_2": 1e-4}
    image, plain = open_image(write(tmp_path / "a.fits", **terms)), write(tmp_path / "b.fits")
    there, here = (one.wcs.pixel_to_world(*CORNERS) for one in (open_image(plain), image))
    assert here.separation(there).max() < 1e-9 * u.deg
    assert "terms of distortion (SIP) that CTYPE does not name are left out" in image.notes


def test_galactic_coordinates_need_no_equinox(tmp_path):
    path = write(tmp_path / "a.fits", order="GLON GLAT", RADESYS=None)
    assert open_image(path).notes == ()


@pytest.mark.parametrize(
    "cards",
    [
        {"CTYPE3": "FREQ-LSR", "CRVAL3": 1.4e9, "CTYPE4": "STOKES"},  # more axes than pixels
        {"CTYPE3": "VELO-XYZ", "CRVAL3": 5.0},  # no such type
        {"CTYPE3": "RA---TAN", "CRVAL3": 5.0},
        {"PC3_1": 0.5, "WCSAXES": 3},
        {"DATE-OBS": "yesterday", "MJD-OBS": "never"},
    ],
)
def test_faults_of_other_axes_do_not_matter(tmp_path, cards):
    path = write(tmp_path / "a.fits")
    expected = places(path)
    path = write(tmp_path / "b.fits", **cards)
    found = open_image(path).wcs.pixel_to_world(*CORNERS)
    assert found.separation(expected).max() < 1e-9 * u.deg


@pytest.mark.parametrize(
    "cards, line",
    [
        ({"CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN"}, "expected ICRS, FK5, FK4 or galactic"),
        ({"CTYPE1": "XLON-TAN", "CTYPE2": "XLAT-TAN"}, "expected ICRS, FK5, FK4 or galactic"),
        ({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--TAN"}, "no usable sky coordinates"),
        ({"CTYPE1": "RA---SIN", "CTYPE2": "GLAT-SIN"}, "no usable sky coordinates"),
        ({"CPDIS1": "Lookup"}, "a distortion by tables, or by polynomials other than SIP and TPV"),
        ({"CD1_1": 1.0, "CD1_2": 1.0, "CD2_1": 1.0, "CD2_2": 1.0}, "the matrix CD of axes 1 and 2"),
        ({"CD1_1": 0.0, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.0}, "the matrix CD of axes 1 and 2"),
        ({"PC1_1": 1.0, "PC1_2": 1.0, "PC2_1": 1.0, "PC2_2": 1.0}, "pixels of 0 arcsec"),
        ({"CDELT1": 0.0}, "CDELT1 is 0; expected the side of a pixel [deg]"),
        ({"CDELT2": 0}, "CDELT2 is 0; expected the side of a pixel [deg]"),
        ({"CRVAL1": "x"}, "CRVAL1 is 'x' in its header; expected a number"),
        ({"CRVAL2": "-35.0"}, "CRVAL2 is '-35.0' in its header; expected a number"),
        ({"CRPIX1": True}, "CRPIX1 is True in its header; expected a number"),
        ({"CDELT2": "x"}, "CDELT2 is 'x' in its header; expected a number"),
        ({"PC1_2": "x"}, "PC1_2 is 'x' in its header; expected a number"),
        ({"CROTA2": "x"}, "CROTA2 is 'x' in its header; expected a number"),
        ({"PV2_1": "x"}, "PV2_1 is 'x' in its header; expected a number"),
        ({"CRVAL2": 95.0}, "CRVAL2 is 95; expected one from -90 to 90 deg"),
        (
            {"projection": "TPV"},
            "RA---TPV, DEC--TPV) put its pixels at one place or on one line; ex",
        ),
        ({"projection": "TPV", "PV1_1": 1.0}, "expected PV1_1 and PV2_1, or RA---TAN and DEC--TAN"),
        ({"projection": "ZPN"}, "no usable sky coordinates (Invalid parameter"),
        ({"EQUINOX": "of date"}, "EQUINOX is 'of date' in its header; expected a year, such as"),
        ({"RADESYS": "GAPPT"}, "in RADESYS GAPPT; expected ICRS, FK5, FK4 or galactic"),
        ({"CUNIT1": "m"}, "no usable sky coordinates (In CUNIT1"),
    ],
)
def test_no_place_on_the_sky(tmp_path, cards, line):
    path = write(tmp_path / "a.fits", **cards)
    with pytest.raises(InputError) as caught:
        open_image(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ") and line in said and "\n" not in said
    assert "wcs" not in said and "ERROR" not in said  # the words of a library and its files


@pytest.mark.parametrize("order", ["RA DEC", "DEC RA"])
@pytest.mark.parametrize(
    "cards",
    [
        {"CRVAL1": 0.0, "CRVAL2": 90.0},  # a pole is in its middle
        {"projection": "AIT", "CRPIX1": 1e5},  # beyond the edge of the sky
        {"CDELT1": -1e-9, "CDELT2": 1e-9},
        {"PS1_0": "text"},
        {"CTYPE1A": "LINEAR", "CRVAL1A": "x"},  # of other coordinates, which are not used
    ],
)
def test_unusual_places_are_places(tmp_path, order, cards):
    if order == "DEC RA":
        cards = {name.translate({49: "2", 50: "1"}): card for name, card in cards.items()}
    image = open_image(write(tmp_path / "a.fits", order=order, **cards))
    assert image.shape == SHAPE


def test_cards_of_makes_what_the_tests_say():
    assert list(WCS(cards_of("DEC STOKES RA")).wcs.ctype) == ["DEC--SIN", "STOKES", "RA---SIN"]
