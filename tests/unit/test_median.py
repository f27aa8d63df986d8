"""Medians are NumPy's to the last bit, however the numbers lie."""

import numpy as np
import pytest

from cosmodeep_hpc.tiles import median as module
from cosmodeep_hpc.tiles.median import have_data, median, median_deviation

KINDS = {
    "normal": lambda random, n: random.normal(size=n),
    "ties": lambda random, n: random.integers(-2, 2, n),
    "two values": lambda random, n: random.integers(0, 2, n),
    "one value": lambda random, n: np.ones(n),
    "rising": lambda random, n: np.arange(n),
    "a gap in the middle": lambda random, n: np.where(np.arange(n) % 2, 1e-7, -3e7),
    "extremes": lambda random, n: np.where(random.random(n) < 0.3, 1e38, random.normal(size=n)),
    # what the sample is taken of is far from the rest: the median lies outside of what is looked at
    "a sample that misleads": lambda random, n: (
        np.where(np.arange(n) % 3 == 0, 1e3, 0) + random.normal(size=n)
    ),
}


@pytest.mark.parametrize("count", [1, 2, 3, 1000, 10_001, 2**16 + 1, 300_000, 400_001])
@pytest.mark.parametrize("kind", KINDS)
def test_median_is_that_of_numpy(count, kind):
    values = KINDS[kind](np.random.default_rng(count), count).astype(np.float32)
    before = values.copy()
    centre = np.median(values)
    assert median(values) == centre and median(values).dtype == np.float32
    deviation = median_deviation(values, centre)
    assert deviation == np.median(np.abs(values - centre)) and deviation.dtype == np.float32
    np.testing.assert_array_equal(values, before)


def test_few_numbers_are_looked_at(monkeypatch):
    """And not all of them parted: half the time of the noise of an image."""
    values = np.random.default_rng(1).normal(size=2**20).astype(np.float32)
    expected = np.median(values)

    def refuse(*_):
        raise AssertionError("all values parted")

    monkeypatch.setattr(module.np, "partition", refuse)
    assert median(values) == expected


@pytest.mark.parametrize("place", [0, 17, 99])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, -0.0])
def test_pixels_without_data_are_seen(bad, place):
    pixels = np.full(100, 3e38, dtype=np.float32)
    pixels[::2] = -1e-38
    assert have_data(pixels)
    pixels[place] = bad
    assert not have_data(pixels)
