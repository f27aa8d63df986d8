"""Pixels without data, whatever a file holds in their place."""

import numpy as np
import pytest
from astropy.io import fits
from support.fields import NOISE, header, write

from benchmarks.skies import noise, radius
from cosmodeep_hpc.images.mosaic import open_image

SHAPE = (300, 260)


@pytest.fixture(scope="module")
def pixels():
    return (NOISE * noise(SHAPE, 1.04, np.random.default_rng(1))).astype(np.float32)


PADDING = {
    "NaN": lambda grain: np.full_like(grain, np.nan),
    "zero": np.zeros_like,
    "minus zero": lambda grain: np.full_like(grain, -0.0),
    "tiny": lambda grain: np.full_like(grain, 1e-15 * NOISE),
    "tiny noise": lambda grain: 1e-9 * grain,
    "faint noise": lambda grain: 2e-5 * grain,
    "a constant": lambda grain: np.full_like(grain, 1e-3),
    "minus one": lambda grain: np.full_like(grain, -1.0),
    "a constant like the noise": lambda grain: np.full_like(grain, 3 * NOISE),
}


@pytest.mark.parametrize("kind", PADDING)
def test_padding_of_any_kind_is_no_data(tmp_path, pixels, kind):
    """All of it, and not a pixel of the noise beside it."""
    outside = radius(SHAPE) > 110
    image = open_image(write(tmp_path / "a.fits", np.where(outside, PADDING[kind](pixels), pixels)))
    found = np.isnan(image.data(0, SHAPE[0]))
    inner = radius(SHAPE) < 105  # patches of 5 x 5 pixels have corners
    assert found[radius(SHAPE) > 118].all() and not found[inner].any()
    assert (found == outside).mean() > 0.99


def test_faint_pixels_of_noise_are_data(tmp_path, pixels):
    """Where an image has no more of them than noise has: also a patch of exactly that."""
    image = pixels.copy()
    image[100:104, 100:104] *= np.float32(1e-5)
    image[7, 7] = 0
    found = open_image(write(tmp_path / "a.fits", image)).data(0, SHAPE[0])
    assert np.argwhere(np.isnan(found)).tolist() == [[7, 7]]


@pytest.mark.parametrize("value", [1e30, -1e30, np.inf, -np.inf, 3e37])
def test_absurd_values_are_no_data_and_counted(tmp_path, pixels, value):
    image = pixels.copy()
    image[200, 30] = value
    image[10, 10] = 1e6 * NOISE  # a bright source
    opened = open_image(write(tmp_path / "a.fits", image))
    found, counts = opened.data_and_gaps(0, SHAPE[0])
    assert np.argwhere(np.isnan(found)).tolist() == [[200, 30]]
    assert counts[:, 0].nonzero()[0].tolist() == [200] and not counts[:, 1].any()


@pytest.mark.parametrize("share", [0.04, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("value", [1e12, 1e30, -1e30])
def test_many_absurd_values_are_no_data_as_well(tmp_path, pixels, value, share):
    """In random places, so many that they are what is usual: not a pixel of the noise goes."""
    absurd = np.random.default_rng(2).random(SHAPE) < share
    opened = open_image(write(tmp_path / "a.fits", np.where(absurd, value, pixels)))
    found, counts = opened.data_and_gaps(0, SHAPE[0])
    np.testing.assert_array_equal(np.isnan(found), absurd)
    np.testing.assert_array_equal(counts[:, 0], absurd.sum(axis=1))


@pytest.mark.parametrize("step", [0.1, 0.5, 1.5, 2.5])  # of the noise
@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_noise_that_is_0_in_whole_numbers_is_data(tmp_path, pixels, step, dtype):
    numbers = np.round(pixels / (step * NOISE)).astype(dtype)
    found, counts = open_image(write(tmp_path / "a.fits", numbers)).data_and_gaps(0, SHAPE[0])
    assert (numbers == 0).mean() > 0.03 and np.isfinite(found).all() and not counts.any()


@pytest.mark.parametrize("step", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("inside", [110, 60])
def test_zeros_of_whole_numbers_are_no_data_in_patches(tmp_path, pixels, step, inside):
    """They are counted, and those of the noise stay."""
    outside = radius(SHAPE) > inside
    numbers = np.where(outside, 0, np.round(pixels / (step * NOISE))).astype("i2")
    found, counts = open_image(write(tmp_path / "a.fits", numbers)).data_and_gaps(0, SHAPE[0])
    assert np.isnan(found)[radius(SHAPE) > inside + 8].all()
    assert np.isfinite(found)[radius(SHAPE) < inside - 5].all()
    assert counts.sum(axis=0).tolist() == [0, 0, np.isnan(found).sum()]


def test_zeros_of_coarse_numbers_are_no_data(tmp_path, pixels):
    """Where patches of them are noise as often as gaps."""
    numbers = np.where(radius(SHAPE) > 80, 0, np.round(pixels / (2 * NOISE))).astype("i2")
    found, counts = open_image(write(tmp_path / "a.fits", numbers)).data_and_gaps(0, SHAPE[0])
    np.testing.assert_array_equal(np.isnan(found), numbers == 0)
    assert counts.sum(axis=0).tolist() == [0, 0, (numbers == 0).sum()]


def test_what_is_asked_for_does_not_matter(tmp_path, pixels):
    """To the last bit: rows and columns of an image with padding."""
    image = np.where(radius(SHAPE, 0.4, 0.6) > 90, 1e-6 * pixels, pixels)
    opened = open_image(write(tmp_path / "a.fits", image))
    whole = opened.data(0, SHAPE[0])
    for start in range(0, SHAPE[0], 37):
        for columns in (slice(None), slice(50, 171), slice(0, 3)):
            part = opened.data(start, start + 37, columns)
            np.testing.assert_array_equal(part, whole[start : start + 37, columns])
    counts = np.concatenate([opened.data_and_gaps(row, row + 50)[1] for row in range(0, 300, 50)])
    np.testing.assert_array_equal(counts, opened.data_and_gaps(0, 300)[1])


@pytest.mark.parametrize("method", [1, 2])
@pytest.mark.parametrize("tile", [None, (40, 100)])
@pytest.mark.parametrize("level", [4.0, 16.0])
def test_zeros_that_compression_made_into_noise(tmp_path, pixels, method, tile, level):
    """fpack's default, SUBTRACTIVE_DITHER_1, loses zeros; the second method keeps them."""
    outside = radius(SHAPE) > 110
    image = np.where(outside, 0, pixels)
    hdu = fits.CompImageHDU(
        image, header(SHAPE), compression_type="RICE_1", quantize_level=level,
        quantize_method=method, dither_seed=1, tile_shape=tile,
    )  # fmt: skip
    path = tmp_path / "a.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    if method == 1:
        stored = fits.getdata(path)
        assert (stored[outside & (np.arange(300)[:, None] % 299 > 60)] != 0).any()
    found = np.isnan(open_image(path).data(0, SHAPE[0]))
    assert found[radius(SHAPE) > 118].all() and not found[radius(SHAPE) < 105].any()


@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_an_image_without_data_has_gaps_alone(tmp_path, fill):
    opened = open_image(write(tmp_path / "a.fits", np.full((40, 40), fill, np.float32)))
    assert np.isnan(opened.data(0, 40)).all()
