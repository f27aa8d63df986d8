"""The level around an island: an offset of the image is found, the island itself is not in it."""

import numpy as np
import pytest
from support.findings import seen

from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.islands import blanksky
from cosmodeep_hpc.islands.fluxnoise import FluxNoise
from cosmodeep_hpc.islands.levels import Levels
from cosmodeep_hpc.sky.instrument import noise

PIXEL, BEAM, SIDE = 4.0, Beam(20.0, 20.0), 400
Y, X = np.mgrid[:SIDE, :SIDE] - SIDE / 2
AWAY = np.hypot(X, Y)


def level(pixels, signal, folder):
    plane, labels = seen(pixels, signal, folder)
    levels = Levels(plane, labels, blanksky.sampled(plane, labels))
    return levels.around(1, int(signal.sum()), FluxNoise.of_beam(BEAM, PIXEL))


@pytest.mark.parametrize("offset", [0.0, 0.3, -0.2])
def test_an_offset_is_found_within_its_error(offset, tmp_path):
    inside = AWAY < 20
    pulls = []
    for seed in range(10):
        grain = noise(np.random.default_rng(seed), SIDE, PIXEL, BEAM)
        found = level(grain + offset + 20 * inside, inside, tmp_path)
        pulls.append((found.mean - offset) / found.error)
        assert found.error < 0.1
    assert np.abs(pulls).max() < 3.5 and 0.5 < np.std(pulls) < 1.7


@pytest.mark.parametrize("scale", [8, 15])
def test_the_faint_part_of_a_halo_raises_it_by_a_twentieth_of_the_noise_at_most(scale, tmp_path):
    """Of 20 times the noise in the middle, cut where it is 2 times as bright as the noise."""
    halo = 20 * np.exp(-AWAY / scale)
    assert 0 < level(halo, halo > 2, tmp_path).mean < 0.05


def test_another_island_is_not_in_it(tmp_path):
    own, other = AWAY < 20, np.hypot(X - 100, Y) < 30
    grain = noise(np.random.default_rng(1), SIDE, PIXEL, BEAM)
    found = level(grain + 50 * other, own | other, tmp_path)
    assert abs(found.mean) < 3 * found.error


def test_an_island_without_sky_around_it_has_none(tmp_path):
    found = level(np.ones((60, 60)), np.ones((60, 60), bool), tmp_path)
    assert found.mean == found.error == 0


@pytest.mark.parametrize("windows", [True, False])
def test_of_a_large_image_only_what_is_near_is_read(windows, tmp_path, monkeypatch):
    """And gives what all of it gives."""
    inside = AWAY < 20
    pixels = 20 * inside + noise(np.random.default_rng(3), SIDE, PIXEL, BEAM)
    expected = level(pixels, inside, tmp_path)
    if windows:
        monkeypatch.setattr(blanksky, "MOST", 200 * 200)
    found = level(pixels, inside, tmp_path)
    assert found.mean == pytest.approx(expected.mean, abs=0.02)
    assert found.error == pytest.approx(expected.error, rel=0.02)
