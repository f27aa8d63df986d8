"""What the network sees, by hand; and the noise of an image."""

import math

import numpy as np
import pytest
from astropy.stats import mad_std
from support.fields import NOISE, blobs, write

from cosmodeep_hpc.engine.logarithm import logarithm
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.tiles.preprocessing import Level, Preprocessing, robust_noise


def scaling(kind, **changes):
    values = {"scaling": kind, "floor": 1e-11, "ceiling": 1e-2, "tile_size": 40} | changes
    return Preprocessing(**values)


def image_of(tmp_path, pixels):
    return open_image(write(tmp_path / "a.fits", np.asarray(pixels, dtype=np.float32)))


def applied(kind, pixels, level, **changes):
    return scaling(kind, **changes).apply(np.array(pixels, dtype=np.float32), level)


def test_minmax_by_hand(tmp_path):
    """Paper, section 4: negative to 1e-11, log10, the image's extremes to 0 and 1."""
    pixels = [[-3e-7, 1e-9], [1e-7, 1e-8]]  # log10: -11, -9, -7, -8
    image = image_of(tmp_path, pixels)
    level = scaling("minmax").measure(image)
    assert level.low / math.log(10) == pytest.approx(-11, rel=1e-6)
    assert level.high / math.log(10) == pytest.approx(-7, rel=1e-6)
    expected = [[0, 0.5], [1, 0.75]]
    np.testing.assert_allclose(applied("minmax", pixels, level), expected, atol=1e-6)


def test_minmax_of_an_image_above_the_floor(tmp_path):
    pixels = [[1e-8, 1e-6], [1e-7, 3e-7]]  # log10: -8, -6, -7, -6.523
    level = scaling("minmax").measure(image_of(tmp_path, pixels))
    expected = [[0, 1], [0.5, (math.log10(3e-7) + 8) / 2]]
    np.testing.assert_allclose(applied("minmax", pixels, level), expected, atol=1e-6)


def test_range_by_hand(tmp_path):
    """From floor 1e-11 to ceiling 1e-2: nine decades to [0, 1], whatever the image holds."""
    pixels = [[-1, 1e-11, 1e-2], [1, 1e-8, math.sqrt(1e-13)]]
    level = scaling("range").measure(image_of(tmp_path, pixels))
    expected = [[0, 0, 1], [1, 1 / 3, 0.5]]
    np.testing.assert_allclose(applied("range", pixels, level), expected, atol=1e-6)


def test_asinh_by_hand():
    """asinh keeps the negative half of the noise, and is linear near 0."""
    pixels = [0, 1e-7, -1e-7, 1e-9, 1e-3]
    level = Level(low=0.0, high=0.0, sigma=1e-7)
    expected = [0, math.log(1 + math.sqrt(2)), -math.log(1 + math.sqrt(2)), 0.01, math.log(2e4)]
    np.testing.assert_allclose(applied("asinh", pixels, level), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["minmax", "range", "asinh"])
def test_no_data_becomes_what_zero_becomes(kind):
    level = Level(low=math.log(1e-11), high=math.log(1e-2), sigma=1e-7)
    found = applied(kind, [np.nan, 0.0], level)
    assert found[0] == found[1] and np.isfinite(found).all()


def test_a_constant_image_is_not_divided_by_zero():
    level = Level(low=math.log(1e-11), high=math.log(1e-11), sigma=1e-7)
    assert applied("minmax", [-1.0, 0.0], level).tolist() == [0, 0]


def test_extremes_do_not_see_nan(tmp_path):
    pixels = np.full((600, 8), np.nan)  # more rows than are read at once; whole blocks of NaN
    pixels[590, 2:5] = [1e-9, 2e-8, 1e-6]
    level = scaling("minmax").measure(image_of(tmp_path, pixels))
    assert (level.low, level.high) == pytest.approx((math.log(1e-9), math.log(1e-6)), rel=1e-6)


def test_measured_on_the_file_or_on_pixels_is_the_same(tmp_path):
    """Training measures on pixels it holds, the sweep on rows of the file."""
    pixels = np.random.default_rng(1).normal(0, NOISE, (700, 50)).astype(np.float32)
    image = image_of(tmp_path, pixels)
    for kind in ("minmax", "asinh"):
        assert scaling(kind).measure(image) == scaling(kind).measure(image, image.pixels())


def test_the_logarithm_is_that_of_float64_rounded():
    """Over all that a float32 may hold as a surface brightness, and around 1 where it changes."""
    random = np.random.default_rng(1)
    wide = np.exp(random.uniform(math.log(1e-30), math.log(1e30), 20_000))
    x = np.concatenate([wide, random.uniform(0.5, 2, 20_000), [1, 0.5, 2, 1e-11]]).astype("f")
    expected = np.log(x.astype(np.float64))
    found = np.array([logarithm(value) for value in x])
    assert (abs(found - expected) / np.maximum(abs(expected), 1)).max() < 1.2e-7  # an ulp of 1


def test_noise_is_that_of_astropy(tmp_path):
    pixels = np.random.default_rng(2).normal(1e-8, NOISE, (301, 200)).astype(np.float32)
    image = image_of(tmp_path, pixels)
    assert robust_noise(image) == float(mad_std(image.pixels()))


@pytest.mark.parametrize("kind", ["minmax", "asinh"])
def test_extreme_pixels(kind):
    """Infinite, huge and negative pixels, and no data, stay finite and in order."""
    level = Level(low=math.log(1e-11), high=math.log(1e-2), sigma=1e-7)
    pixels = [-np.inf, -3e38, -1e-7, 0.0, 1e-7, 1.0, 3e38, np.inf]
    found = applied(kind, pixels, level)
    assert np.isfinite(found).all() and (np.diff(found) >= 0).all()
    assert found[0] == (0 if kind == "minmax" else -found[-1])


def test_an_unknown_scaling_is_refused():
    with pytest.raises(ValueError, match="'sqrt': unknown"):
        scaling("sqrt")


@pytest.mark.parametrize("offset", [0.0, 5 * NOISE])
def test_noise_of_a_gaussian(tmp_path, offset):
    """500 x 500 pixels: the error of a MAD is 1.17 / sqrt(2 n) of it, 0.17 %."""
    pixels = np.random.default_rng(1).normal(offset, NOISE, (500, 500))
    assert robust_noise(image_of(tmp_path, pixels)) == pytest.approx(NOISE, rel=6e-3)


def test_noise_does_not_see_sources_and_borders(tmp_path):
    shape = (500, 500)
    pixels = np.random.default_rng(1).normal(0, NOISE, shape) + blobs(shape, 20, 2)
    pixels[:, :150] = 0.0  # a blanked border of zeros
    pixels[:100] = np.nan
    assert robust_noise(image_of(tmp_path, pixels)) == pytest.approx(NOISE, rel=0.1)
    assert pixels[100:, 150:].std() > 1.5 * NOISE  # where a plain rms is far off


def test_noise_of_a_large_image_is_sampled_over_all_of_it(tmp_path):
    """The lower half is four times as noisy: rows of both must be in the sample."""
    random = np.random.default_rng(1)
    pixels = random.normal(0, NOISE, (1000, 400))
    pixels[500:] *= 4
    image = image_of(tmp_path, pixels)
    # P(|x| < m) over both halves is a half at m = 1.19 sigma, so 1.4826 m = 1.77 sigma
    sampled = robust_noise(image, at_most=100 * 400)
    assert sampled == pytest.approx(1.77 * NOISE, rel=0.03)
    assert sampled == robust_noise(image, image.pixels(), at_most=100 * 400)


@pytest.mark.parametrize(
    "pixels, line",
    [
        (np.full((50, 50), np.nan), "no pixel with data"),
        (np.zeros((50, 50)), "no pixel with data"),
        (np.ones((50, 50)), "no noise in it"),
    ],
)
def test_images_without_noise_are_refused(tmp_path, pixels, line):
    with pytest.raises(InputError, match=rf"a\.fits: {line}"):
        robust_noise(image_of(tmp_path, pixels))
