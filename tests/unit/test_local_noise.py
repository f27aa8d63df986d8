"""Local noise against its truth: what must not disturb it, and what it must follow."""

import numpy as np
import pytest

from benchmarks.noise import errors
from benchmarks.skies import FIELDS
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.noise import mesh as meshes
from cosmodeep_hpc.noise.cellstatistics import LEAST
from cosmodeep_hpc.noise.localnoise import is_as_trained, local_noise, median_noise
from cosmodeep_hpc.noise.mesh import interpolated, measure, tiles_of


def gaussian(shape, sigma=1.0, seed=3):
    return np.random.default_rng(seed).normal(0, sigma, shape).astype(np.float32)


@pytest.mark.parametrize("name", FIELDS)
def test_noise_is_that_which_was_put_in(name):
    """Median error 10 %, 95 % of places within 25 %; across a step it lies between both sides."""
    found = errors(FIELDS[name], seed=6)
    assert found.median < 0.1 and found.within >= 0.95


@pytest.mark.parametrize("sigma", [1e-8, 1.0, 3e4])
def test_noise_and_extremes_of_each_cell(sigma):
    pixels = gaussian((80, 120), sigma)
    pixels[:40] *= 3
    mesh = measure(pixels, 40)
    assert mesh.sigma.shape == mesh.low.shape == mesh.high.shape == (2, 3)
    expected = sigma * np.array([[3, 3, 3], [1, 1, 1]])
    np.testing.assert_allclose(mesh.sigma, expected, rtol=0.2)
    np.testing.assert_allclose(mesh.level / expected, 0, atol=0.15)
    assert mesh.high[1, 2] == pixels[40:, 80:].max() and mesh.low[0, 1] == pixels[:40, 40:80].min()


def test_parts_make_the_mesh_of_the_whole():
    """To the last bit: a row of cells is measured by itself."""
    pixels, beam = gaussian((400, 130)), Beam(2.0, 1.5, 30.0)
    pixels[70:90, 20:50] = np.nan
    whole = measure(pixels, 40, pixels, beam)
    parts = [
        measure(pixels[a:b], 40, pixels[a:b], beam) for a, b in ((0, 80), (80, 240), (240, 400))
    ]
    np.testing.assert_array_equal(meshes.joined(parts).grids, whole.grids)


@pytest.mark.parametrize("apart, angle", [(0.3, 0), (1.0, 0), (3.0, 40.0)])
def test_noise_in_differences_is_that_of_the_pixels(apart, angle):
    """White noise through a beam, on a steep slope: also where the pixels compared correlate."""
    beam = Beam(6.0, 4.0, angle)
    away = np.fft.fftfreq(800, 1 / 800)
    response = np.fft.fft2(beam.profile(away, away[:, None])).real
    seen = np.fft.ifft2(
        np.fft.fft2(np.random.default_rng(1).normal(size=(800, 800))) * response
    ).real
    pixels = (seen / seen.std() + np.arange(800)[:, None]).astype(np.float32)
    mesh = measure(pixels, 160, None, beam, apart=apart)
    assert mesh.sigma.min() > 10
    assert np.median(mesh.rough) == pytest.approx(1, rel=0.06)


def test_noise_of_averaged_pixels_and_of_single_ones():
    single = gaussian((200, 300))
    averages = gaussian((200, 300), 0.25, seed=4)
    found = local_noise(measure(averages, 40, single), None)
    np.testing.assert_allclose(found.image, 4 * found.view, rtol=0.03)


@pytest.mark.parametrize("with_data, known", [(LEAST, True), (LEAST - 1, False)])
def test_too_few_pixels_tell_nothing(with_data, known):
    pixels = np.full((8, 16), np.nan, dtype=np.float32)
    pixels.reshape(-1)[:with_data] = gaussian(with_data)
    assert np.isfinite(measure(pixels, 16, thorough=True).sigma[0, 0]) == known


def test_a_constant_but_for_rounding_has_no_noise():
    """Padding that was regridded: taken for noise, it would be blown up to that of the training."""
    pixels = gaussian((40, 80), 1e-6)
    pixels[:, :40] = np.float32(3.2e-7) * (1 + np.float32(1e-7) * gaussian((40, 40)))
    mesh = measure(pixels, 40)
    assert mesh.sigma[0, 0] == 0
    found = local_noise(mesh, None)
    assert found.view[0, 0] == found.view[0, 1] == pytest.approx(1e-6, rel=0.1)


def test_no_noise_anywhere_is_none():
    assert local_noise(measure(np.ones((80, 80), np.float32), 40), None) is None
    assert local_noise(measure(np.full((80, 80), np.nan, np.float32), 40), None) is None


@pytest.mark.parametrize(
    "beam, tiles", [(None, 1), (1.0, 1), (4.0, 1), (4.1, 2), (9.0, 4), (50, 4)]
)
def test_cells_are_ten_beams_wide(beam, tiles):
    assert tiles_of(40, None if beam is None else Beam(beam, beam)) == tiles


def test_interpolation_is_exact_for_a_plane_and_constant_outside():
    """Cells of 10 pixels have their centres at 4.5, 14.5, ...; z = x + 100 y there."""
    y, x = np.mgrid[4.5:34.5:10, 4.5:54.5:10]
    mesh = (x + 100 * y).astype(np.float32)
    rows, cols = np.array([4.5, 9.0, 24.5]), np.array([4.5, 20.0, 44.5])
    np.testing.assert_allclose(
        interpolated(mesh, 10, rows, cols), cols + 100 * rows[:, None], rtol=1e-6
    )
    outside = interpolated(mesh, 10, np.array([0.0]), np.array([0.0, 60.0]))
    np.testing.assert_allclose(outside, [[4.5 + 450, 44.5 + 450]])


@pytest.mark.parametrize(
    "values, answer",
    [([1.0] * 100, True), ([1.2] * 100, True), ([1.3] * 100, False), ([0.79] * 100, False),
     ([1.0] * 96 + [9.0] * 4, True), ([1.0] * 90 + [9.0] * 10, False)],
)  # fmt: skip
def test_whether_it_is_the_noise_of_the_training(values, answer):
    assert is_as_trained(np.array(values, dtype=np.float32), 1.0) is answer


@pytest.mark.parametrize("step", [0.05, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("level", [0.0, 0.3])
def test_noise_in_steps_is_that_noise(step, level):
    """As of whole numbers: with half a step on both sides, variance rises by step^2 / 6 at most."""
    image, _ = FIELDS["flat"].made(seed=3)
    stepped = (np.round(image / step - level) + level) * step
    assert median_noise(stepped.astype(np.float32), 40, Beam(1.04, 1.04)) == pytest.approx(
        np.sqrt(1 + step**2 / 6), rel=0.06
    )


@pytest.mark.parametrize("side", [121, 128, 133, 247])
def test_narrow_cells_at_the_edges_spoil_nothing(side):
    found = [
        median_noise(gaussian((side, side), seed=seed), 40, Beam(1e-3, 1e-3)) for seed in range(6)
    ]
    np.testing.assert_allclose(found, 1, rtol=0.08)


def test_beams_as_headers_round_them_have_the_cells_of_whole_ones():
    assert tiles_of(40, Beam(8.000000000000005, 8.0)) == tiles_of(40, Beam(8.0, 8.0)) == 2
