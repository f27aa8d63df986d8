"""Medians are NumPy's to the last bit, however the numbers lie."""

import numpy as np
import pytest
from scipy.stats import norm

from cosmodeep_hpc.tiles.noise import MAD_TO_SIGMA, have_data, median, median_deviation

KINDS = {
    "normal": lambda random, n: random.normal(size=n),
    "ties": lambda random, n: random.integers(-2, 2, n),
    "two values": lambda random, n: random.integers(0, 2, n),
    "one value": lambda random, n: np.ones(n),
    "rising": lambda random, n: np.arange(n),
    "a gap in the middle": lambda random, n: np.where(np.arange(n) % 2, 1e-7, -3e7),
    "extremes": lambda random, n: np.where(random.random(n) < 0.3, 1e38, random.normal(size=n)),
}


@pytest.mark.parametrize("count", [1, 2, 3, 1000, 10_001, 300_000])
@pytest.mark.parametrize("kind", KINDS)
def test_median_is_that_of_numpy(count, kind):
    values = KINDS[kind](np.random.default_rng(count), count).astype(np.float32)
    before = values.copy()
    centre = np.median(values)
    assert median(values) == centre and median(values).dtype == np.float32
    deviation = median_deviation(values)
    assert deviation == np.median(np.abs(values - centre)) and deviation.dtype == np.float32
    np.testing.assert_array_equal(values, before)


def test_the_noise_of_a_gaussian_is_its_standard_deviation():
    """Half of a Gaussian lies within this much of its middle."""
    assert pytest.approx(norm.ppf(0.75), rel=1e-15) == 1 / MAD_TO_SIGMA


@pytest.mark.parametrize("place", [0, 17, 99])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, -0.0])
def test_pixels_without_data_are_seen(bad, place):
    pixels = np.full(100, 3e38, dtype=np.float32)
    pixels[::2] = -1e-38
    assert have_data(pixels)
    pixels[place] = bad
    assert not have_data(pixels)
