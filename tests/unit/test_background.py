"""The background follows offsets and slopes, and leaves emission and bowls to the network."""

import numpy as np
import pytest

from benchmarks.noise import kept, on_pixels
from benchmarks.skies import FIELDS, noise, radius


def found(image, beam):
    return on_pixels(image.astype(np.float32), beam)


@pytest.mark.parametrize(
    "name, away",
    [("flat", 0.03), ("flat, beam 3", 0.06), ("flat, beam 5", 0.1), ("step", 0.05),
     ("primary beam 0.3", 0.05), ("sources", 0.05), ("crowded", 0.15)],
)  # fmt: skip
def test_there_is_none_where_there_is_none(name, away):
    image, truth = FIELDS[name].made(seed=2)
    assert np.abs(found(image, FIELDS[name].beam) / truth).max() < away


@pytest.mark.parametrize("level", [-3.0, 3.0, 30.0])
def test_a_constant_is_found(level):
    image = noise((600, 600), 1.04, np.random.default_rng(1)) + level
    np.testing.assert_allclose(found(image, 1.04), level, atol=0.1)


def test_a_slope_is_found_up_to_the_edges():
    """Of 10 times the noise; within half of what it rises in a cell."""
    slope = np.linspace(0, 10, 800)
    image = noise((800, 800), 1.04, np.random.default_rng(1)) + slope
    np.testing.assert_allclose(found(image, 1.04), np.tile(slope, (800, 1)), atol=0.3)


@pytest.mark.parametrize("side", [600, 1000, 2000])
@pytest.mark.parametrize("peak", [5.0, 20.0])
def test_a_halo_keeps_its_flux(side, peak):
    """95 % within four e-folding radii, each of 5 arcmin in pixels of 9.6 arcsec."""
    assert kept(side, peak) > 0.95


@pytest.mark.parametrize("depth, width", [(6, 30), (10, 30), (20, 15), (200, 10)])
def test_a_deep_bowl_pulls_nothing_down(depth, width):
    """Nor does it become the background of its own place: models know bowls."""
    image, _ = FIELDS["flat"].made(seed=4)
    bowl = depth * np.exp(-((radius(image.shape, 0.7, 0.6) / width) ** 2) / 2)
    background = found(image - bowl, 1.04)
    assert np.abs(background).max() < 0.5
    assert np.abs(background[radius(image.shape, 0.7, 0.6) > 250]).max() < 0.1
