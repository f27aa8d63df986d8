"""How noise adds up in areas: of beams against noise that is made, and measured on images."""

import numpy as np
import pytest
from support.findings import seen

from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.islands import blanksky
from cosmodeep_hpc.islands.fluxnoise import FluxNoise
from cosmodeep_hpc.sky.instrument import noise

PIXEL = 4.0
BEAM = Beam(20.0, 20.0)


def grain(side, seed, beam=BEAM):
    return noise(np.random.default_rng(seed), side, PIXEL, beam).astype(np.float64)


def in_squares(pixels, side):
    """Sums of squares of `side` pixels, as many as there are."""
    many = len(pixels) // side
    return pixels[: many * side, : many * side].reshape(many, side, many, side).sum(axis=(1, 3))


@pytest.mark.parametrize("beam", [BEAM, Beam(16.0, 16.0), Beam(28.0, 14.0, 30.0)])
def test_flux_in_a_square_of_white_noise_varies_as_the_beam_says(beam):
    fields = [grain(1000, seed, beam) for seed in range(4)]
    found = FluxNoise.of_beam(beam, PIXEL)
    for side in (3, 6, 12, 25, 40):
        flux = np.concatenate([in_squares(field, side).ravel() for field in fields]) * PIXEL**2
        assert found.error(1.0, (side * PIXEL) ** 2) == pytest.approx(flux.std(), rel=0.1)


def test_in_a_wide_square_each_pixel_counts_in_two_areas_of_the_beam():
    found = FluxNoise.of_beam(BEAM, PIXEL)
    assert found.patch(1e9) == pytest.approx(2 * BEAM.area, rel=0.02)
    assert found.error(3.0, 1e9) == pytest.approx(3 * np.sqrt(2 * BEAM.area * 1e9), rel=0.01)


def test_without_a_beam_pixels_do_not_know_each_other():
    found = FluxNoise.of_beam(None, PIXEL)
    assert found.error(2.0, 100 * PIXEL**2) == pytest.approx(2 * 10 * PIXEL**2)


@pytest.fixture(scope="module")
def field():
    return grain(600, 1)


def measured(pixels, signal, folder):
    plane, labels = seen(pixels, signal, folder)
    return FluxNoise.measured(blanksky.sampled(plane, labels), FluxNoise.of_beam(BEAM, PIXEL))


AREAS = BEAM.area * np.array([0.5, 1.0, 4.0, 16.0])


def test_it_is_measured_where_an_image_is_empty(tmp_path):
    none, white = np.zeros((600, 600), bool), FluxNoise.of_beam(BEAM, PIXEL)
    fields = [measured(grain(600, seed), none, tmp_path) for seed in range(5)]
    for area in AREAS:
        found = np.mean([field.error(1.0, area) for field in fields])
        assert found == pytest.approx(white.error(1.0, area), rel=0.1)


def test_islands_and_bright_sources_do_not_count(field, tmp_path):
    y, x = np.mgrid[:600, :600]
    halo = np.hypot(y - 200, x - 350) < 60
    pixels = field + 5 * halo
    for at_y, at_x in np.random.default_rng(2).uniform(0, 600, (60, 2)):
        pixels += 80 * BEAM.profile(PIXEL * (x - at_x), PIXEL * (y - at_y))
    (tmp_path / "full").mkdir()
    empty, full = (
        measured(field, np.zeros_like(halo), tmp_path),
        measured(pixels, halo, tmp_path / "full"),
    )
    for area in AREAS:
        assert full.error(1.0, area) == pytest.approx(empty.error(1.0, area), rel=0.05)


def test_stripes_add_up_in_wide_areas(field, tmp_path):
    """Though each pixel has three times as much noise of its own."""
    striped = field + 0.3 * np.sqrt(2) * np.sin(2 * np.pi * np.arange(600) / 150)
    none = np.zeros(field.shape, bool)
    (tmp_path / "plain").mkdir()
    plain, found = measured(field, none, tmp_path / "plain"), measured(striped, none, tmp_path)
    narrow, wide = BEAM.area / 2, (48 * PIXEL) ** 2
    assert found.error(1.0, narrow) == pytest.approx(plain.error(1.0, narrow), rel=0.06)
    assert found.error(1.0, wide) > 1.5 * plain.error(1.0, wide)


def test_an_image_too_small_has_the_noise_of_its_beam(tmp_path):
    pixels = grain(20, 3)
    found = measured(pixels, np.ones(pixels.shape, bool), tmp_path)
    assert found.error(1.0, 1e5) == FluxNoise.of_beam(BEAM, PIXEL).error(1.0, 1e5)
