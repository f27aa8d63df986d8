"""The refined mask follows the emission at the scale of the beam, wherever strips begin."""

import numpy as np
import pytest
import scipy.ndimage
from astropy.io import fits
from support.fields import NOISE
from support.findings import islands_of, sky, swept, write_mosaic, written

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.survey import Classify
from cosmodeep_hpc.images.beam import FWHM
from cosmodeep_hpc.products import refine
from cosmodeep_hpc.products.refine import Kernels, Refinement, detected, expected_gain, widths

BEAM_AREA = np.pi / (4 * np.log(2)) * 20.0**2  # [arcsec^2]
SIDE = 400


def beam_noise(beam, seed=0, side=SIDE):
    """Noise of rms 1 seen through a beam of `beam` pixels."""
    noise = np.random.default_rng(seed).normal(0, 1, (side, side))
    if beam > 1:
        noise = scipy.ndimage.gaussian_filter(noise, beam / FWHM)
    return noise / noise.std()


def swept_ring(folder, beam, strength, inner, outer, unit="Jy/beam"):
    """A ring of so many times the noise, seen through the beam: the sweep and the true shape."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    distance = np.hypot(x, y)
    truth = (distance >= inner) & (distance < outer)
    seen = truth.astype(float)
    if beam > 1:
        seen = scipy.ndimage.gaussian_filter(seen, beam / FWHM)
    pixels = (beam_noise(beam) + strength * seen) * NOISE * BEAM_AREA
    path = write_mosaic(folder / "a.fits", pixels, sky((SIDE, SIDE), pixel=20 / beam, BUNIT=unit))
    signal = truth.reshape(10, 40, 10, 40).mean(axis=(1, 3)) > 0.3
    return swept(path, signal), truth


def whole_mask(made, threshold=3.0, step=SIDE, **columns):
    """The refined mask painted in strips of `step` rows, and the refinement."""
    refinement = Refinement(made, islands_of(made), threshold, **columns)
    strips = [refinement.paint(0, start, min(start + step, SIDE)) for start in range(0, SIDE, step)]
    return np.concatenate(strips).astype(bool), refinement


@pytest.mark.parametrize("beam", [1, 2, 5])
@pytest.mark.parametrize("inner, outer", [(0, 90), (60, 100)])
def test_a_ring_is_followed_to_within_a_beam(tmp_path, beam, inner, outer):
    """Five times the noise: found a beam inside its outline, and nothing two beams outside."""
    made, truth = swept_ring(tmp_path, beam, 5.0, inner, outer)
    mask, _ = whole_mask(made)
    inside = scipy.ndimage.distance_transform_edt(truth)
    outside = scipy.ndimage.distance_transform_edt(~truth)
    assert mask[inside > beam + 1].mean() > 0.995
    looked_at = np.kron(made.planes[0].tiles.mask(0.5) == 1, np.ones((40, 40), bool))
    assert mask[looked_at & (outside > 2 * beam)].mean() < 0.02  # noise alone, four scales
    union = (mask | truth).sum()
    assert (mask & truth).sum() / union > 0.93


def test_faint_emission_stands_out_only_when_smoothed(tmp_path):
    """As strong as the noise of a pixel: the finest scale misses most, all scales find most."""
    made, truth = swept_ring(tmp_path, 1, 1.0, 0, 90)
    mask, refinement = whole_mask(made)
    kernels = refinement._planes[0].kernels
    significance = made.planes[0].image.pixels() / NOISE
    finest = detected(significance, Kernels(kernels.sigmas[:1], kernels.gains[:1]), 3.0)
    assert finest[truth].mean() < 0.15 and mask[truth].mean() > 0.85


def test_a_bright_source_does_not_spread(tmp_path):
    """A square of 1000 times the noise: nothing more than 3 pixels beside it."""
    pixels = beam_noise(1)
    pixels[190:210, 190:210] += 1000
    signal = np.zeros((10, 10), bool)
    signal[4:6, 4:6] = True
    path = write_mosaic(
        tmp_path / "a.fits", pixels * NOISE * BEAM_AREA, sky((SIDE, SIDE), pixel=20)
    )
    mask, _ = whole_mask(swept(path, signal))
    assert mask[190:210, 190:210].all()
    mask[187:213, 187:213] = False
    assert mask.sum() < 0.01 * 160 * 160  # what noise alone makes


@pytest.mark.parametrize("step, columns", [(400, 80), (40, 2048), (97, 160), (7, 40)])
def test_strips_and_windows_make_no_difference(tmp_path, step, columns):
    made, _ = swept_ring(tmp_path, 2, 2.0, 60, 100)
    expected, whole = whole_mask(made)
    mask, parts = whole_mask(made, step=step, columns=columns)
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(parts.refined.n_pix, whole.refined.n_pix)
    np.testing.assert_allclose(parts.refined.flux, whole.refined.flux, rtol=1e-12)


@pytest.mark.parametrize("beam", [2, 4])
def test_noise_of_smoothed_maps_is_measured(tmp_path, beam):
    """Noise through a beam: a Gaussian upon a Gaussian. White noise: the kernel's own sum."""
    signal = np.zeros((20, 20), bool)
    signal[10, 10] = True
    white = sky((800, 800), pixel=20 / beam)
    for seen, gain in ((beam, expected_gain), (1, lambda _, sigma: refine._white(sigma))):
        pixels = beam_noise(seen, seed=3, side=800) * NOISE * BEAM_AREA
        made = swept(write_mosaic(tmp_path / "a.fits", pixels, white), signal)
        kernels = refine.kernels_of(made.planes[0], signal, 40, 40)
        image = made.planes[0].image
        expected = [gain(image, sigma) for sigma in kernels.sigmas]
        np.testing.assert_allclose(kernels.gains, expected, rtol=0.3)
        np.testing.assert_allclose(kernels.gains[:2], expected[:2], rtol=0.1)


@pytest.mark.parametrize(
    "pixel, beam, tile, scales",
    [
        (10.0, 20.0, 40, [2, 4, 8, 16]),
        (4.0, 20.0, 40, [5, 10, 20, 40]),
        (1.0, 20.0, 40, [20, 40]),  # none wider than a tile
        (0.1, 20.0, 40, [40]),
        (40.0, 20.0, 40, [1, 2, 4, 8]),  # a beam smaller than a pixel
        (10.0, None, 40, [1, 2, 4, 8]),  # pixels, where there is no beam
    ],
)
def test_scales_are_beams_no_wider_than_a_tile(tmp_path, pixel, beam, tile, scales):
    width = None if beam is None else beam / 3600
    header = sky((40, 40), pixel=pixel, BMAJ=width, BMIN=width, BUNIT="Jy/arcsec2")
    made = swept(write_mosaic(tmp_path / "a.fits", np.zeros((40, 40)), header), np.ones((1, 1)) > 0)
    np.testing.assert_allclose(np.array(widths(made.planes[0].image, tile)) * FWHM, scales)


def test_measures_of_the_refined_island(tmp_path):
    """Every pixel of the disc and hardly another: its flux and its solid angle."""
    made, truth = swept_ring(tmp_path, 1, 20.0, 0, 90)
    mask, refinement = whole_mask(made)
    pixels = made.planes[0].image.pixels().astype(float)
    refined, area = refinement.refined, 20.0**2
    assert refined.n_pix.tolist() == [mask.sum()]
    assert refined.solid_angle[0] == pytest.approx(mask.sum() * area, rel=1e-3)
    assert refined.flux[0] == pytest.approx(pixels[mask].sum() * area, rel=1e-3)
    assert refined.flux[0] == pytest.approx(20 * NOISE * truth.sum() * area, rel=0.01)


def test_only_signal_cells_and_their_neighbours_are_looked_at(tmp_path):
    """Emission everywhere, no data in one cell, found in one other."""
    pixels = 50 * NOISE * BEAM_AREA * np.ones((200, 200))
    pixels[70, 95] = np.nan
    signal, blank = np.zeros((5, 5), bool), np.zeros((5, 5), bool)
    signal[2, 2] = blank[1, 1] = True
    path = write_mosaic(tmp_path / "a.fits", pixels, sky((200, 200), pixel=20))
    made = swept(path, signal, blank=blank)
    options = Classify(refine_sigma=4.0, products=("pixels", "islands_fits"))
    files = written(made, tmp_path, Config(classify=options))
    expected = np.zeros((5, 5), np.uint8)
    expected[1:4, 1:4] = 1
    expected[1, 1] = 255
    expected = np.kron(expected, np.ones((40, 40), np.uint8))
    expected[70, 95] = 0  # a pixel without data is no emission
    mask = fits.getdata(files["pixels"])
    np.testing.assert_array_equal(mask, expected)
    assert fits.getheader(files["pixels"])["REFSIGMA"] == 4.0
    (row,) = fits.getdata(files["islands_fits"])
    assert row["n_pix_refined"] == 8 * 1600 - 1
    assert row["flux_int_refined"] == pytest.approx(
        50 * NOISE * (8 * 1600 - 1) * 400 * 1e3, rel=1e-3
    )


def test_cells_between_two_islands_belong_to_one(tmp_path):
    """No pixel is counted twice."""
    pixels = 50 * NOISE * BEAM_AREA * np.ones((120, 200))
    signal = np.zeros((3, 5), bool)
    signal[1, 1] = signal[1, 3] = True
    path = write_mosaic(tmp_path / "a.fits", pixels, sky((120, 200), pixel=20))
    refinement = Refinement(swept(path, signal), islands_of(swept(path, signal)), 3.0)
    assert refinement.paint(0, 0, 120).sum() == refinement.refined.n_pix.sum() == 120 * 200
