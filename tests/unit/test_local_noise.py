"""Noise measured on a mesh: closed forms, and what must not disturb it."""

import numpy as np
import pytest
import scipy.ndimage

from cosmodeep_hpc.images.beam import FWHM, Beam
from cosmodeep_hpc.survey import noise
from cosmodeep_hpc.survey.noise import interpolated, is_as_trained, measure, smoothed


def gaussian(shape, sigma=1.0, seed=3):
    return np.random.default_rng(seed).normal(0, sigma, shape).astype(np.float32)


@pytest.mark.parametrize("sigma", [1e-8, 1.0, 3e4])
def test_the_noise_and_extremes_of_each_cell(sigma):
    pixels = gaussian((400, 500), sigma)
    pixels[:200] *= 3
    mesh = measure(pixels, 200)
    assert mesh.sigma.shape == mesh.low.shape == mesh.high.shape == (2, 3)
    np.testing.assert_allclose(mesh.sigma, sigma * np.array([[3, 3, 3], [1, 1, 1]]), rtol=0.05)
    assert mesh.high[1, 2] == pixels[200:, 400:].max()
    assert mesh.low[0, 1] == pixels[:200, 200:400].min()


@pytest.mark.parametrize("what", ["zeros", "NaN", "sources", "an offset"])
def test_what_does_not_disturb_it(what):
    pixels = gaussian((200, 200))
    if what == "zeros":
        pixels[:, :150] = 0
    elif what == "NaN":
        pixels[:150] = np.nan
    elif what == "sources":
        pixels[::9, ::9] = 1e4
    else:
        pixels += 30
    assert measure(pixels, 200).sigma[0, 0] == pytest.approx(1, rel=0.08)


@pytest.mark.parametrize("apart, step", [(1.5, 3), (0.4, 3), (0.1, 3), (1.5, 1)])
@pytest.mark.parametrize("minor", [6.0, 12.0])
@pytest.mark.parametrize("gaps", [False, True])
def test_noise_in_differences_is_that_of_the_pixels(apart, step, minor, gaps):
    """White noise through a beam on a steep slope: also where the pixels compared correlate."""
    seen = scipy.ndimage.gaussian_filter(gaussian((600, 600)), (12 / FWHM, minor / FWHM))
    sigma = 1 / (2 * np.sqrt(np.pi) * np.sqrt(12 * minor) / FWHM)
    pixels = seen + np.float32(sigma) * np.arange(600, dtype=np.float32)[:, None]
    if gaps:
        pixels[100:140], pixels[300:330], pixels[:, ::30] = np.nan, np.inf, 0
    beam = Beam(12.0, minor, 0.0)
    mesh = measure(pixels, 600, beam=beam, sample=(600 / step) ** 2, apart=apart)
    assert mesh.sigma[0, 0] > 100 * sigma
    assert mesh.quiet[0, 0] == pytest.approx(sigma, rel=0.08)


def test_noise_without_structure_is_left_as_it_is():
    """To the last bit; and where no beam, or one as large as a cell, says what structure is."""
    pixels = gaussian((400, 500))
    pixels[:200] *= 3
    mesh = measure(pixels, 200, beam=Beam(2.0, 2.0))
    np.testing.assert_array_equal(mesh.quiet, mesh.sigma)
    pixels += 10 * np.sin(np.arange(500, dtype=np.float32) / 30)
    for beam in (None, Beam(80.0, 2.0)):
        mesh = measure(pixels, 200, beam=beam)
        np.testing.assert_array_equal(mesh.quiet, mesh.sigma)


def test_the_noise_of_averaged_pixels_is_that_of_the_single_ones():
    single = gaussian((200, 300))
    mesh = measure(single / 4, 200, single)
    np.testing.assert_allclose(mesh.quiet, 4 * mesh.sigma, rtol=1e-6)


@pytest.mark.parametrize("with_data, measured", [(noise.LEAST, True), (noise.LEAST - 1, False)])
def test_too_few_pixels_tell_nothing(with_data, measured):
    pixels = np.full((8, 16), np.nan, dtype=np.float32)
    pixels.reshape(-1)[:with_data] = gaussian(with_data)
    assert np.isfinite(measure(pixels, 16).sigma[0, 0]) == measured


def test_a_constant_but_for_rounding_has_no_noise():
    """Padding that was regridded: taken for noise, it would be blown up to that of the training."""
    pixels = gaussian((200, 400), 1e-6)
    pixels[:, :200] = np.float32(3.2e-7) * (1 + np.float32(1e-7) * gaussian((200, 200)))
    mesh = measure(pixels, 200)
    assert mesh.sigma[0, 0] == mesh.quiet[0, 0] == 0
    assert smoothed(mesh.sigma)[0, 0] == smoothed(mesh.sigma)[0, 1] == mesh.sigma[0, 1]


def test_one_loud_cell_is_smoothed_away_and_gaps_take_their_neighbours():
    sigma = np.ones((5, 6), dtype=np.float32)
    sigma[2, 2] = 40  # a source fills the cell
    sigma[:, 4] = np.nan
    sigma[:, 5] = 0  # no noise: not measured
    np.testing.assert_array_equal(smoothed(sigma), 1)
    assert np.isnan(smoothed(np.full((2, 2), np.nan, dtype=np.float32))).all()


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
