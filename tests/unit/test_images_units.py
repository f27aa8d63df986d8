"""Units as observatories spell them, in Jy/arcsec^2."""

import math

import numpy as np
import pytest
from support.mosaics import ramp, write

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.mosaic import open_image, open_mosaic

ARCSEC2_PER_SR = (180 / math.pi * 3600) ** 2
PER_BEAM = 4 * math.log(2) / (math.pi * 96)  # of a Gaussian beam of 12 x 8 arcsec
BEAM = {"BMAJ": 12 / 3600, "BMIN": 8 / 3600, "BPA": 30.0}


@pytest.mark.parametrize(
    "unit, factor, understood",
    [
        *((text, PER_BEAM, "Jy/beam") for text in ("Jy/beam", "JY/BEAM", "Jy/beam ", "Jy beam-1")),
        *((text, PER_BEAM, "Jy/beam") for text in ("beam-1 Jy", "Jy beam^-1", "Jy beam**-1")),
        *((text, PER_BEAM, "Jy/beam") for text in ("Jy/bm", "Jy.beam-1", "Jy*beam^-1", "jy/beam")),
        *((text, PER_BEAM, "Jy/beam") for text in ("Jy / beam", "Jansky/beam", "Jy per beam")),
        *((text, PER_BEAM * 1e-3, "mJy/beam") for text in ("mJy/beam", "mJy/BEAM", "mJY/BEAM")),
        *((text, PER_BEAM * 1e-3, "mJy/beam") for text in ("mJy/bm", "beam-1 mJy", "milliJy/beam")),
        *((text, PER_BEAM * 1e-6, "uJy/beam") for text in ("uJy/beam", "UJY/BEAM", "microJy/beam")),
        ("nJy/beam", PER_BEAM * 1e-9, "nJy/beam"),
        *((text, 1, "Jy/arcsec2") for text in ("Jy/arcsec2", "Jy/arcsec^2", "Jy/arcsec**2")),
        *((text, 1, "Jy/arcsec2") for text in ("Jy arcsec-2", "JY/ARCSEC2", "Jy/sq. arcsec")),
        ("mJy/arcsec2", 1e-3, "mJy/arcsec2"),
        ("Jy/sr", 1 / ARCSEC2_PER_SR, "Jy/sr"),
        ("JY/SR", 1 / ARCSEC2_PER_SR, "Jy/sr"),
        ("MJy/sr", 1e6 / ARCSEC2_PER_SR, "MJy/sr"),
        ("W m-2 Hz-1 sr-1", 1e26 / ARCSEC2_PER_SR, "W/(Hzsrm2)"),
        *((text, 1 / 9.6**2, "Jy/pix") for text in ("Jy/pixel", "JY/PIXEL", "Jy/pix")),
        *((text, 1e-3 / 9.6**2, "mJy/pix") for text in ("mJy/pix", "pixel-1 mJy")),
    ],
)
def test_units(tmp_path, unit, factor, understood):
    path = write(tmp_path / "a.fits", BUNIT=unit, **BEAM)
    image = open_image(path)
    assert image.to_surface_brightness == pytest.approx(factor, rel=1e-9)
    assert image.unit == understood
    np.testing.assert_allclose(image.rows(1, 3), ramp()[1:3] * factor, rtol=3e-7)


@pytest.mark.parametrize("micro", ["\u00b5".encode(), "\u03bc".encode(), b"\xb5"])
def test_a_letter_mu_is_micro(tmp_path, micro):
    """In UTF-8 or Latin-1, which FITS does not allow."""
    path = write(tmp_path / "a.fits", BUNIT="####Jy/beam", **BEAM)
    path.write_bytes(path.read_bytes().replace(b"####", micro.rjust(4)))
    image = open_image(path)
    assert (
        image.to_surface_brightness == pytest.approx(PER_BEAM * 1e-6) and image.unit == "uJy/beam"
    )


def test_paper_noise():
    """10 uJy/beam in a beam of 10 arcsec is 0.88e-7 Jy/arcsec^2."""
    area = math.pi / (4 * math.log(2)) * 100
    assert 10e-6 / area == pytest.approx(0.88e-7, rel=5e-3)


@pytest.mark.parametrize(
    "cards",
    [
        {"CDELT1": -12 / 3600, "CDELT2": 3 / 3600},  # oblong pixels
        {"CDELT1": -6.0, "CDELT2": 6.0, "CUNIT1": "arcsec", "CUNIT2": "arcsec"},
        {"CROTA2": 30.0, "CDELT1": -6 / 3600, "CDELT2": 6 / 3600},
    ],
)
def test_area_of_a_pixel(tmp_path, cards):
    scale = 1.0
    if "CUNIT1" in cards:
        scale = 3600.0
    image = open_image(
        write(tmp_path / "a.fits", BUNIT="Jy/pixel", CRVAL1=1.0 * scale, CRVAL2=scale, **cards)
    )
    assert image.pixel_scale == pytest.approx(6, rel=1e-9)  # the geometric mean of its sides
    assert image.to_surface_brightness == pytest.approx(1 / 36, rel=1e-9)


def rayleigh_jeans(hertz):
    """Jy/arcsec^2 of 1 K: 2 k nu^2 / c^2 (Rybicki & Lightman 1979, equation 1.61)."""
    return 2 * 1.380649e-23 * hertz**2 / 299792458.0**2 * 1e26 / ARCSEC2_PER_SR


@pytest.mark.parametrize(
    "cards, hertz, origin",
    [
        ({"RESTFRQ": 1.420405752e9}, 1.420405752e9, "RESTFRQ"),
        ({"RESTFREQ": 1.5e8}, 1.5e8, "RESTFREQ"),
        ({"CTYPE3": "FREQ", "CRVAL3": 1.4e9}, 1.4e9, "axis 3"),
        ({"CTYPE3": "FREQ", "CRVAL3": 1.4, "CUNIT3": "GHz"}, 1.4e9, "axis 3"),
        ({"CTYPE4": "FREQ-LSR", "CRVAL4": 0.0, "RESTFRQ": 1e9}, 1e9, "RESTFRQ"),
    ],
)
def test_brightness_temperature(tmp_path, cards, hertz, origin):
    image = open_image(write(tmp_path / "a.fits", BUNIT="K", **cards))
    assert image.to_surface_brightness == pytest.approx(rayleigh_jeans(hertz), rel=1e-6)
    assert f"K converted by Rayleigh-Jeans at {hertz / 1e9:.6g} GHz ({origin})" in image.notes


@pytest.mark.parametrize("unit", ["K (Tb)", "K(TB)", "K Tb", "K_RJ", "K (Tmb)", "mK (T_b)"])
def test_temperatures_that_say_what_they_are(tmp_path, unit):
    image = open_image(write(tmp_path / "a.fits", BUNIT=unit, RESTFRQ=1.4e9))
    factor = 1e-3 if unit.startswith("m") else 1
    assert image.to_surface_brightness == pytest.approx(factor * rayleigh_jeans(1.4e9), rel=1e-6)


def test_brightness_temperature_of_a_cube(tmp_path):
    """Each plane at its own frequency."""
    path = write(tmp_path / "a.fits", order="FREQ RA DEC", BUNIT="mK")
    mosaic = open_mosaic(path)
    factors = [plane.to_surface_brightness for plane in mosaic.planes]
    assert mosaic.notes == ("mK converted by Rayleigh-Jeans at axis 1",)
    expected = [1e-3 * rayleigh_jeans(hertz) for hertz in (1.4e9, 1.5e9, 1.6e9)]
    assert factors == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "unit, line",
    [
        ("  ", "no BUNIT; expected Jy/beam or Jy/arcsec2"),
        ("K", "BUNIT is K; expected Jy/beam or Jy/arcsec2, or the frequency"),
        ("Jy", "BUNIT is Jy; expected"),
        ("furlong", "BUNIT is furlong; expected"),
        ("MJY/BEAM", "BUNIT is MJY/BEAM; expected"),  # mega or milli
        ("K (Ta)", "BUNIT is K (Ta); expected"),  # of an antenna
        ("K_CMB", "BUNIT is K_CMB; expected"),
        ("dex(K)", "BUNIT is dex(K); expected"),
        ("mag", "BUNIT is mag; expected"),
        ("Jy/beam/s", "BUNIT is Jy/beam/s; expected"),
        ("0 Jy/sr", "BUNIT is 0 Jy/sr; expected"),
        ("1", "BUNIT is 1; expected"),
        ("((", "BUNIT is ((; expected"),
    ],
)
def test_units_that_cannot_be_used(tmp_path, unit, line):
    path = write(tmp_path / "a.fits", BUNIT=unit, **BEAM)
    with pytest.raises(InputError) as caught:
        open_image(path)
    assert str(caught.value).startswith(f"{path}: ") and line in str(caught.value)
