"""Quick looks: what is drawn where, read back by Pillow, its coordinates against astropy."""

import re

import numpy as np
import pytest
from astropy.coordinates import Angle
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image as Picture
from support.findings import sky, swept, write_mosaic
from support.mosaics import write

from cosmodeep_hpc.images.image import open_image
from cosmodeep_hpc.products import quicklook
from cosmodeep_hpc.products.drawing import png
from cosmodeep_hpc.products.drawing.graticule import ticks
from cosmodeep_hpc.products.drawing.lettering import lettered, shortened
from cosmodeep_hpc.products.drawing.panel import BLACK, LEFT, RED, TOP, Outline, palette, panel


def test_a_png_is_what_pillow_reads(tmp_path):
    pixels = np.random.default_rng(1).integers(0, len(palette()), (37, 53), dtype=np.uint8)
    (tmp_path / "a.png").write_bytes(png.packed(pixels, palette()))
    with Picture.open(tmp_path / "a.png") as picture:
        picture.verify()
    with Picture.open(tmp_path / "a.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), palette()[pixels])


def degrees(label, axis):
    text = re.sub("[h°m′s″]", " ", label.replace("−", "-")).strip()
    return Angle(text, "hourangle" if axis == 0 and "h" in label else "deg").deg


@pytest.mark.parametrize("projection", ["SIN", "NCP", "ZEA", "CAR"])
@pytest.mark.parametrize("order", ["RA DEC", "DEC RA"])
@pytest.mark.parametrize("pixel, ra", [(0.01, 150.0), (9.6, 0.0), (600.0, 359.99)])
def test_ticks_lie_where_astropy_has_their_coordinate(tmp_path, projection, order, pixel, ra):
    """At the lower side the first coordinate of the file, at the left side the second."""
    cards = {"CDELT1": -pixel / 3600, "CDELT2": pixel / 3600}
    cards["CRVAL1" if order == "RA DEC" else "CRVAL2"] = ra
    path = write(tmp_path / "a.fits", order=order, projection=projection, **cards)
    image, header = open_image(path), fits.getheader(path)
    for axis in (0, 1):
        found = ticks(image.wcs, image.shape, axis, 6)
        assert 2 <= len(found) <= 8
        for tick in found:
            place = (tick.at, -0.5) if axis == 0 else (-0.5, tick.at)
            world = WCS(header).wcs_pix2world([place], 0)[0, axis]
            is_ra = (axis == 0) == (order == "RA DEC")
            expected = degrees(tick.label, 0 if is_ra else 1)
            apart = (world - expected + 180) % 360 - 180
            assert abs(apart) < 0.02 * pixel / 3600 / (np.cos(np.deg2rad(35)) if is_ra else 1)


def test_no_ticks_beyond_the_sky(tmp_path):
    header = sky((180, 360), "TAN", 3600.0, CTYPE1="RA---AIT", CTYPE2="DEC--AIT", CRVAL2=0.0)
    image = open_image(write_mosaic(tmp_path / "a.fits", np.ones((180, 360)), header))
    assert ticks(image.wcs, image.shape, 0, 6) == []


def test_the_plane_stands_upright_in_its_panel(tmp_path):
    """The first row is lowest; a bright pixel is black, and a cell's outline surrounds it."""
    pixels = np.random.default_rng(1).normal(0, 1e-6, (80, 120)).astype(np.float32)
    pixels[3, 100], pixels[70:, :10] = 1.0, np.nan
    image = open_image(write_mosaic(tmp_path / "a.fits", pixels, sky((80, 120))))
    signal = np.zeros((2, 3), bool)
    signal[0, 2] = True
    zoom = 480 // 120
    drawn = panel(image, pixels, 1, "a title", [Outline(signal, 40, RED, "signal")], 480)
    plane = drawn[TOP : TOP + 80 * zoom, LEFT : LEFT + 120 * zoom][::-1]
    assert (plane[3 * zoom : 4 * zoom, 100 * zoom : 101 * zoom] == BLACK).all()
    red = np.argwhere(plane[: 42 * zoom] == RED)  # above it lies the legend
    assert red.min(axis=0).tolist() == [0, 80 * zoom - 1]
    assert red.max(axis=0).tolist() == [40 * zoom, 120 * zoom - 1]


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 1), (30, 30), (41, 2999)])
def test_images_of_any_shape_have_a_picture(tmp_path, shape):
    path = write_mosaic(tmp_path / "a $\\x$ image.fits", np.ones(shape), sky(shape))
    grid = np.ones((-(-shape[0] // 40), -(-shape[1] // 40)), bool)
    quicklook.write(swept(path, grid), tmp_path / "a.png")
    with Picture.open(tmp_path / "a.png") as picture:
        assert min(picture.size) >= 300


def test_a_grid_finer_than_the_picture_is_drawn_all_the_same(tmp_path):
    """A mosaic of 100,000 x 100,000: two cells for each pixel of the picture."""
    image = open_image(write_mosaic(tmp_path / "a.fits", np.ones((100, 100)), sky((100, 100))))
    where = np.zeros((200, 200), bool)
    where[:100] = True
    assert (panel(image, image.pixels(), 1, "", [Outline(where, 1, RED, "a")], 100) == RED).any()


def test_letters():
    assert lettered("M", 20).max() == 255 and lettered("", 20).max(initial=0) == 0
    assert lettered("a\nb\udcff", 20).shape == lettered("a?b?", 20).shape
    assert shortened("short", 13, 500) == "short"
    long = shortened("x" * 500 + "end", 13, 200)
    assert lettered(long, 13).shape[1] <= 202 and "…" in long and long.endswith("end")
