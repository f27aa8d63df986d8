"""Images as observatories write them, in Jy/arcsec^2; what cannot be used is refused by name."""

import gzip
import math

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from fields import header, write

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.tiles.fits.image import open_image

PIXELS = np.arange(12, dtype=np.float32).reshape(3, 4)
ARCSEC2_PER_SR = (180 / math.pi * 3600) ** 2


@pytest.mark.parametrize(
    "unit, factor",
    [
        # Gaussian beam of 12 x 8 arcsec: pi / (4 ln 2) x 96 arcsec^2
        ("Jy/beam", 4 * math.log(2) / (math.pi * 96)),
        ("JY/BEAM", 4 * math.log(2) / (math.pi * 96)),
        ("Jy/beam ", 4 * math.log(2) / (math.pi * 96)),
        ("Jy beam-1", 4 * math.log(2) / (math.pi * 96)),
        ("mJy/beam", 4e-3 * math.log(2) / (math.pi * 96)),
        ("mJy/BEAM", 4e-3 * math.log(2) / (math.pi * 96)),
        ("uJy/beam", 4e-6 * math.log(2) / (math.pi * 96)),
        ("Jy/arcsec2", 1),
        ("Jy/arcsec^2", 1),
        ("Jy arcsec-2", 1),
        ("JY/ARCSEC2", 1),
        ("Jy/sr", 1 / ARCSEC2_PER_SR),
        ("MJy/sr", 1e6 / ARCSEC2_PER_SR),
        ("Jy/pixel", 1 / 9.6**2),
        ("JY/PIXEL", 1 / 9.6**2),
        ("mJy/pix", 1e-3 / 9.6**2),
    ],
)
def test_units(tmp_path, unit, factor):
    path = write(tmp_path / "a.fits", PIXELS, BUNIT=unit, BMAJ=12 / 3600, BMIN=8 / 3600, BPA=30.0)
    image = open_image(path)
    assert image.to_surface_brightness == pytest.approx(factor, rel=1e-9)
    np.testing.assert_allclose(image.pixels(), PIXELS * factor, rtol=3e-7)


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
    image = open_image(write(tmp_path / "a.fits", PIXELS, BUNIT="Jy/pixel", **cards))
    assert image.pixel_scale == pytest.approx(6, rel=1e-9)  # the geometric mean of its sides
    assert image.to_surface_brightness == pytest.approx(1 / 36, rel=1e-9)


def test_rows_and_columns_keep_their_order(tmp_path):
    image = open_image(write(tmp_path / "a.fits", PIXELS))
    assert image.shape == (3, 4)
    np.testing.assert_array_equal(image.pixels(), PIXELS)
    np.testing.assert_array_equal(image.rows(1, 3), PIXELS[1:3])
    assert image.pixels().dtype == np.float32


def test_frequency_and_stokes_axes_of_length_one(tmp_path):
    cards = {"CTYPE3": "FREQ", "CRVAL3": 1.4e9, "CDELT3": 1e6, "CTYPE4": "STOKES", "CRVAL4": 1.0}
    path = write(tmp_path / "a.fits", PIXELS[np.newaxis, np.newaxis], **cards)
    image = open_image(path)
    assert image.shape == (3, 4) and image.wcs.naxis == 2
    np.testing.assert_array_equal(image.rows(0, 2), PIXELS[:2])
    flat = WCS(header((3, 4)))
    np.testing.assert_allclose(
        image.wcs.pixel_to_world_values(3, 1), flat.pixel_to_world_values(3, 1), rtol=1e-12
    )


def test_scaled_integers_and_blank(tmp_path):
    """BITPIX 16 with BSCALE, BZERO and BLANK (FITS standard 4.0, section 4.4.2)."""
    raw = np.array([[0, 1, 2], [3, -32768, 100]], dtype=np.int16)
    head = header((2, 3))
    hdu = fits.PrimaryHDU(raw, head)
    hdu.header["BLANK"] = -32768
    path = tmp_path / "a.fits"
    hdu.writeto(path)
    with fits.open(path, mode="update", do_not_scale_image_data=True) as opened:
        opened[0].header["BSCALE"], opened[0].header["BZERO"] = 0.5, 10.0
    expected = np.array([[10, 10.5, 11], [11.5, np.nan, 60]], dtype=np.float32)
    np.testing.assert_array_equal(open_image(path).pixels(), expected)


def test_nan_and_infinity_are_no_data(tmp_path):
    pixels = np.array([[1, np.nan], [np.inf, -np.inf]], dtype=np.float32)
    found = open_image(write(tmp_path / "a.fits", pixels)).pixels()
    assert found[0, 0] == 1 and np.isnan(found.ravel()[1:]).all()


@pytest.mark.parametrize(
    "kind", [np.float32, np.float64, np.int16, np.int32, np.uint8, np.uint16, np.int64]
)
def test_every_bitpix(tmp_path, kind):
    image = open_image(write(tmp_path / "a.fits", PIXELS.astype(kind)))
    np.testing.assert_array_equal(image.pixels(), PIXELS)


def test_image_in_an_extension(tmp_path):
    path = tmp_path / "a.fits"
    image = fits.ImageHDU(PIXELS, header((3, 4)))
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)
    np.testing.assert_array_equal(open_image(path).pixels(), PIXELS)


@pytest.mark.parametrize("name", ["a.fits.gz", "a.fits"])
def test_gzip_under_any_name(tmp_path, name):
    plain = write(tmp_path / "plain.fits", PIXELS)
    (tmp_path / name).write_bytes(gzip.compress(plain.read_bytes()))
    np.testing.assert_array_equal(open_image(tmp_path / name).rows(1, 3), PIXELS[1:])


def test_tile_compressed(tmp_path):
    path = tmp_path / "a.fits"
    pixels = np.random.default_rng(1).normal(size=(50, 60)).astype(np.float32)
    hdu = fits.CompImageHDU(pixels, header((50, 60)), compression_type="GZIP_2", quantize_level=0)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    image = open_image(path)
    assert image.shape == (50, 60)
    np.testing.assert_array_equal(image.rows(10, 30), pixels[10:30])


def test_beam(tmp_path):
    both = {"BMAJ": 12 / 3600, "BMIN": 8 / 3600}
    beam = open_image(write(tmp_path / "a.fits", PIXELS, **both, BPA=30.0)).beam
    assert (beam.major, beam.minor, beam.angle) == pytest.approx((12, 8, 30))
    assert beam.area == pytest.approx(math.pi / (4 * math.log(2)) * 96)
    assert open_image(write(tmp_path / "a.fits", PIXELS, **both, BPA=None)).beam.angle == 0
    for cards in ({"BMAJ": None}, {"BMIN": 0.0}, {"BMAJ": -1.0}, {"BMAJ": "unknown"}):
        assert open_image(write(tmp_path / "a.fits", PIXELS, **cards)).beam is None


def test_ncp_projection(tmp_path):
    """NCP, that old imagers write, is SIN with (xi, eta) = (0, cot dec0)."""
    where = {"CRVAL1": 30.0, "CRVAL2": 60.0}
    ncp = write(tmp_path / "ncp.fits", PIXELS, CTYPE1="RA---NCP", CTYPE2="DEC--NCP", **where)
    slant = {"PV2_1": 0.0, "PV2_2": 1 / math.tan(math.radians(60))}
    sin = write(tmp_path / "sin.fits", PIXELS, **where, **slant)
    x, y = np.array([0.0, 3.0, 100.0]), np.array([0.0, 2.0, 100.0])
    np.testing.assert_allclose(
        open_image(ncp).wcs.pixel_to_world_values(x, y),
        open_image(sin).wcs.pixel_to_world_values(x, y),
        rtol=1e-10,
    )


@pytest.mark.parametrize(
    "cards, line",
    [
        ({"BUNIT": None}, "no BUNIT; expected Jy/beam or Jy/arcsec2"),
        ({"BUNIT": "  "}, "no BUNIT"),
        ({"BUNIT": "K"}, "BUNIT is K; expected Jy/beam"),
        ({"BUNIT": "Jy"}, "BUNIT is Jy; expected"),
        ({"BUNIT": "furlong"}, "BUNIT is furlong; expected"),
        ({"BUNIT": "MJY/BEAM"}, "BUNIT is MJY/BEAM; expected"),  # mega or milli
        ({"BUNIT": "dex(K)"}, "BUNIT is dex(K); expected"),
        ({"BUNIT": "Jy/beam", "BMAJ": None, "BMIN": None}, "there is no beam; expected BMAJ and"),
        ({"BUNIT": "Jy/beam", "BMIN": 0.0}, "there is no beam"),
        ({"CTYPE1": None, "CTYPE2": None}, "expected sky coordinates"),
        ({"CTYPE1": "X", "CTYPE2": "Y"}, "axes 1 and 2 are of type X, Y; expected sky coord"),
        ({"CDELT1": 0.0}, "no usable sky coordinates"),
        (
            {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2}
            | {"A_2_0": 1e-4, "B_0_2": 1e-4},
            "distortion",
        ),
    ],
)
def test_bad_headers(tmp_path, cards, line):
    path = write(tmp_path / "a.fits", PIXELS, **cards)
    with pytest.raises(InputError) as caught:
        open_image(path)
    assert str(caught.value).startswith(f"{path}: ") and line in str(caught.value)


def test_a_cube_of_several_planes(tmp_path):
    with pytest.raises(InputError, match="axes of 4 x 3 x 2 pixels; expected one plane"):
        open_image(write(tmp_path / "a.fits", np.stack([PIXELS, PIXELS])))


def test_no_image(tmp_path):
    fits.HDUList([fits.PrimaryHDU()]).writeto(tmp_path / "a.fits")
    with pytest.raises(InputError, match="no image in it"):
        open_image(tmp_path / "a.fits")


@pytest.mark.parametrize("content", [b"", b"SIMPLE", b"hello\n" * 1000, b"\x89HDF\r\n\x1a\n" * 900])
def test_not_fits(tmp_path, content):
    (tmp_path / "a.fits").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.fits: not a FITS file"):
        open_image(tmp_path / "a.fits")


def test_missing(tmp_path):
    with pytest.raises(InputError, match="cannot read it: No such file"):
        open_image(tmp_path / "a.fits")


def test_truncated_at_any_byte(tmp_path):
    """No part of a file passes for the whole; only the padding at its end may be missing."""
    pixels = np.random.default_rng(1).normal(size=(40, 50)).astype(np.float32)
    whole = write(tmp_path / "whole.fits", pixels).read_bytes()
    path = tmp_path / "a.fits"
    assert whole[:2880].rstrip().endswith(b"END")  # one block of header
    data_ends = 2880 + pixels.nbytes
    for size in (1, 80, 2879, 2880, 2884, 5760, data_ends - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"a\.fits: (truncated|not a FITS file)"):
            open_image(path)
    path.write_bytes(whole[:data_ends])
    np.testing.assert_array_equal(open_image(path).pixels(), pixels)


def test_truncated_gzip(tmp_path):
    pixels = np.random.default_rng(1).normal(size=(400, 50)).astype(np.float32)
    packed = gzip.compress(write(tmp_path / "whole.fits", pixels).read_bytes())
    path = tmp_path / "a.fits.gz"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match=r"a\.fits\.gz: "):
        open_image(path).pixels()


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    path = write(tmp_path / "a.fits", np.zeros((2000, 200), np.float32))
    image = open_image(path)
    with path.open("r+b") as file:
        file.truncate(2880 + 4000)
    with pytest.raises(InputError, match="rows 1500 to 1599 cannot be read"):
        image.rows(1500, 1600)
