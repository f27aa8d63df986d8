"""The whole flux of a source from an island of it: profiles whose flux is known."""

import math

import numpy as np
import pytest
from scipy.special import erf

from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.islands.fluxnoise import FluxNoise
from cosmodeep_hpc.islands.growth import Surroundings, grown

SIDE, CELL, BEAM_CELLS = 201, 8.0, 2.5  # cells of 8 arcsec
NOISE = FluxNoise.of_beam(Beam(20.0, 20.0), 4.0)
Y, X = np.mgrid[:SIDE, :SIDE] - SIDE // 2
AWAY = np.hypot(X, Y)


def bar(long, wide, width):
    """A rectangle seen through a Gaussian, its brightness 1, and its flux [cell]."""
    step = math.sqrt(2) * width
    along, across = (
        (erf((v + side / 2) / step) - erf((v - side / 2) / step)) / 2
        for v, side in ((X, long), (Y, wide))
    )
    return along * across, long * wide


SOURCES = {
    "exponential": (np.exp(-AWAY / 6), 2 * math.pi * 6**2),
    "wide exponential": (np.exp(-AWAY / 10), 2 * math.pi * 10**2),
    "Gaussian": (np.exp(-(AWAY**2) / 2 / 10**2), 2 * math.pi * 10**2),
    "bar": bar(60, 8, 4),
}


def around(brightness, inside, rms=1e-4, level_error=1e-9):
    return Surroundings(
        brightness=brightness,
        labels=inside.astype(np.int32),
        number=1,
        area=CELL**2,
        rms=rms,
        level_error=level_error,
        beam=BEAM_CELLS,
    )


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("cut", [0.1, 0.2, 0.3])
def test_all_of_a_source_is_measured_though_an_island_is_a_part_of_it(name, cut):
    brightness, flux = SOURCES[name]
    inside = brightness > cut
    assert brightness[inside].sum() < 0.97 * flux
    found = grown(around(brightness, inside), NOISE)
    assert found.flux == pytest.approx(flux * CELL**2, rel=0.03)


@pytest.mark.parametrize("scale", [6, 10])
def test_the_scale_is_that_of_an_exponential(scale):
    brightness = np.exp(-AWAY / scale)
    found = grown(around(brightness, brightness > 0.2), NOISE)
    assert found.scale == pytest.approx(scale * CELL, rel=0.1)


@pytest.mark.parametrize("offset", [0.03, -0.03])
def test_a_level_that_is_not_sure_is_taken_out(offset):
    brightness = np.exp(-AWAY / 6)
    inside = brightness > 0.2
    found = grown(around(brightness + offset, inside, 1e-4, abs(offset)), NOISE)
    plain = (brightness + offset)[inside].sum() * CELL**2
    flux = 2 * math.pi * 6**2 * CELL**2
    assert abs(found.flux - flux) < 0.05 * flux < abs(plain - flux)


@pytest.mark.parametrize("cut", [0.1, 0.3])
def test_the_error_covers_what_the_noise_makes_of_it(cut):
    brightness, flux = SOURCES["wide exponential"]
    inside, rms = brightness > cut, 0.05
    pulls = []
    for seed in range(30):
        grain = np.random.default_rng(seed).normal(size=(SIDE, SIDE)) * rms
        white = FluxNoise(np.array([CELL**2]), np.array([CELL**2]))
        found = grown(around(brightness + grain, inside, rms, 0.001), white)
        pulls.append((found.flux - flux * CELL**2) / found.error)
    assert np.abs(pulls).max() < 3.5 and np.std(pulls) < 1.4 and abs(np.mean(pulls)) < 0.8


def test_another_island_and_missing_cells_are_no_part_of_it():
    """What lies there is of its own profile."""
    brightness, flux = SOURCES["exponential"]
    inside = brightness > 0.2
    other = np.hypot(X - 40, Y) < 8
    made = around(np.where(other, 5.0, brightness), inside)
    made.labels[other] = 2
    made.brightness[(AWAY > 12) & (X < -3) & (Y > 3)] = np.nan
    assert grown(made, NOISE).flux == pytest.approx(flux * CELL**2, rel=0.07)


def test_a_bright_source_that_is_in_no_island_does_not_count():
    brightness, flux = SOURCES["exponential"]
    inside = brightness > 0.2
    foreign = np.where(np.hypot(X, Y - 14) < 2, 4.0, brightness)
    assert grown(around(foreign, inside), NOISE).flux == pytest.approx(flux * CELL**2, rel=0.05)


@pytest.mark.parametrize("rows, cols", [(1, 1), (2, 2)], ids=["a cell", "four cells"])
def test_without_cells_around_it_is_not_known(rows, cols):
    inside = np.ones((rows, cols), bool)
    found = grown(around(np.ones((rows, cols)), inside), NOISE)
    assert np.isnan([found.flux, found.error, found.scale]).all()
