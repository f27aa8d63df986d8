"""The noise of a mosaic: as the products give it, and as the network is shown it."""

import numpy as np
import pytest
import scipy.ndimage
from support.fields import NOISE, write
from support.models import absolute_model, brightest_pixel_model
from support.sweeping import noise, swept

from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.survey.matching import NoiseMatching
from cosmodeep_hpc.survey.plan import SweepRequest
from cosmodeep_hpc.survey.view import View
from cosmodeep_hpc.tiles.preprocessing import Level


@pytest.mark.parametrize("peak", [0, 10, 30])
@pytest.mark.parametrize(
    "pixel, beam, side",  # [arcsec], pixels of the training: one cell of the mesh, or 5 x 5
    [(9.6, 30.0, 200), (9.6, 30.0, 1000), (4.8, 15.0, 200), (4.8, 15.0, 1000), (1.6, 10.0, 200)],
)
def test_a_large_blob_is_no_noise(tmp_path, pixel, beam, side, peak):
    """A blob of 0.3 fields. White noise through a beam of sigma s [pixel] keeps 1 / (2 sqrt(pi) s).

    The median absolute deviation of all pixels is 1.37 times that noise with a peak of 10.
    """
    side = round(side * 9.6 / pixel)
    s, expected = beam / pixel / np.sqrt(8 * np.log(2)), 2e-7
    white = np.random.default_rng(1).normal(0, 2 * np.sqrt(np.pi) * s * expected, (side, side))
    y, x = np.mgrid[:side, :side] - side / 2
    blob = peak * expected * np.exp(-4 * np.log(2) * (x**2 + y**2) / (0.3 * side) ** 2)
    pixels = (scipy.ndimage.gaussian_filter(white, s, mode="wrap") + blob).astype(np.float32)
    cards = {"CDELT1": -pixel / 3600, "CDELT2": pixel / 3600}
    path = write(tmp_path / "a.fits", pixels, **cards, BMAJ=beam / 3600, BMIN=beam / 3600)
    found = swept(path, brightest_pixel_model()).planes[0].tiles.noise
    np.testing.assert_allclose(found, expected, rtol=0.2)
    assert np.median(found) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize(
    "times, options, found",
    [  # a source of 20 sigma is seen where 10 sigma of the training are asked for
        (1.0, {"noise": "as_is"}, 1),
        (5.0, {"noise": "auto"}, 1),
        (5.0, {"noise": "local"}, 1),
        (0.2, {"noise": "auto"}, 1),
        (0.2, {"noise": "as_is"}, 0),
    ],
)
def test_the_noise_of_another_instrument_becomes_that_of_the_training(
    tmp_path, times, options, found
):
    """With a scaling that knows absolute brightness: floor 1e-9, ceiling 1e-5 Jy/arcsec^2."""
    pixels = noise((400, 400)) * np.float32(times)
    pixels[50, 50] = 20 * NOISE * times
    path = write(tmp_path / "a.fits", pixels)
    model = absolute_model(10 * NOISE)
    plane = swept(path, model, **options).planes[0]
    assert (plane.tiles.mask(0.5) == 1).sum() == found
    notes = " ".join(plane.notes)
    assert ("scaled by the local noise" in notes) == (times != 1 and options["noise"] != "as_is")
    compared = f"not all within a quarter of {model.card.noise_rms:.3g}, that of its images"
    assert (compared in notes) == (times != 1 and options["noise"] == "auto")
    np.testing.assert_allclose(plane.tiles.noise, NOISE * times, rtol=0.1)


def test_local_noise_is_followed_over_a_mosaic(tmp_path):
    """Noise rises eightfold to the right: 6 sigma are nowhere signal, 20 sigma are everywhere."""
    rise = np.geomspace(1, 8, 1600, dtype=np.float32)
    pixels = noise((400, 1600)) * rise
    for col in (20, 620, 1220, 1580):
        pixels[20, col] = 20 * NOISE * rise[col]
        pixels[220, col] = 6 * NOISE * rise[col]
    plane = swept(write(tmp_path / "a.fits", pixels), absolute_model(10 * NOISE)).planes[0]
    assert np.argwhere(plane.tiles.mask(0.5) == 1).tolist() == [[0, 0], [0, 15], [0, 30], [0, 39]]
    at = (np.arange(40) * 40 + 20).clip(100, 1500)  # constant beyond the outermost centres
    np.testing.assert_allclose(plane.tiles.noise, np.tile(NOISE * rise[at], (10, 1)), rtol=0.12)


@pytest.mark.parametrize("as_map", [False, True])
def test_a_given_noise_is_used_in_the_images_unit(tmp_path, as_map):
    """Ten times too large a noise makes everything ten times fainter."""
    pixels = noise((80, 120))
    pixels[50, 50] = 150 * NOISE
    pixels[10, 10] = 50 * NOISE
    path = write(tmp_path / "a.fits", 1e3 * pixels, BUNIT="mJy/arcsec2")
    rms = 10e3 * NOISE
    if as_map:
        full = np.full((80, 120), rms, dtype=np.float32)
        full[:40, 80:] = np.nan
        rms = write(tmp_path / "rms.fits", full, BUNIT="mJy/arcsec2")
    plane = swept(path, absolute_model(10 * NOISE), SweepRequest(rms=rms)).planes[0]
    assert np.argwhere(plane.tiles.mask(0.5) == 1).tolist() == [[1, 1]]
    np.testing.assert_allclose(plane.tiles.noise[:, :2], 10 * NOISE, rtol=1e-5)
    assert np.isnan(plane.probability[0, 2]) == as_map
    blanked = "the map of the noise has no value, so no data: pixels that the network sees 1600"
    assert (blanked in plane.notes) == as_map


@pytest.mark.parametrize("as_map", [False, True])
@pytest.mark.parametrize("times, told", [(1e-3, "0.001"), (0.4, "0.4"), (1, ""), (1000, "10")])
def test_a_given_noise_far_from_the_measured_one_is_said(tmp_path, times, told, as_map):
    """As where it is in another unit."""
    path = write(tmp_path / "a.fits", noise((120, 120)))
    rms = times * NOISE
    if as_map:
        rms = write(tmp_path / "rms.fits", np.full((120, 120), rms, np.float32))
    notes = " ".join(swept(path, absolute_model(10 * NOISE), SweepRequest(rms=rms)).planes[0].notes)
    assert ("check its unit" in notes) == bool(told)
    assert f"the noise that is given is {told}" in notes or not told


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, 1e30])
def test_where_a_map_of_the_noise_has_no_sound_value_there_is_no_data(tmp_path, value):
    full = np.full((80, 120), NOISE, np.float32)
    full[:40, 80:] = value
    path, rms = write(tmp_path / "a.fits", noise((80, 120))), write(tmp_path / "rms.fits", full)
    plane = swept(path, absolute_model(10 * NOISE), SweepRequest(rms=rms)).planes[0]
    assert np.argwhere(np.isnan(plane.probability)).tolist() == [[0, 2]]
    assert "so no data: pixels that the network sees 1600" in " ".join(plane.notes)


@pytest.mark.parametrize("as_map", [False, True])
def test_a_given_noise_is_of_the_images_own_pixels(tmp_path, as_map):
    """Four pixels averaged, of a beam of two: what the network sees has the training's noise."""
    white = np.random.default_rng(1).normal(0, 1, (800, 800))
    seen = scipy.ndimage.gaussian_filter(white, 10 / 4.8 / np.sqrt(8 * np.log(2)))
    pixels = (seen / seen.std() * 5 * NOISE).astype(np.float32)
    path = write(tmp_path / "a.fits", pixels, CDELT1=-4.8 / 3600, CDELT2=4.8 / 3600)
    rms = 5 * NOISE
    if as_map:
        full = np.full((800, 800), rms, dtype=np.float32)
        rms = write(tmp_path / "rms.fits", full, CDELT1=-4.8 / 3600, CDELT2=4.8 / 3600)
    view = View(open_image(path), 2)
    assert view.rows(0, 400).std() / pixels.std() == pytest.approx(view.gain, rel=0.01)
    (plane,) = swept(path, absolute_model(4 * NOISE), SweepRequest(rms=rms)).planes
    np.testing.assert_allclose(plane.tiles.noise, 5 * NOISE, rtol=1e-5)
    found = (
        plane.tiles.mask(0.5) == 1
    ).mean()  # 1600 pixels: 4 sigma once in 20 tiles, 4 / 0.86 never
    assert 0.005 < found < 0.25


@pytest.mark.parametrize("mode", ["auto", "as_is", "local"])
def test_averaged_pixels_are_scaled_by_the_noise_that_they_have(tmp_path, mode):
    """Not by that of single ones, 1.16 times as high: the network sees noise of 1, as in training.

    Blocks of 2 x 2 pixels under a beam of two; of their 1600 in a tile one has 4 sigma in 20 tiles.
    """
    white = np.random.default_rng(1).normal(0, 1, (1600, 1600))
    seen = scipy.ndimage.gaussian_filter(white, 10 / 4.8 / np.sqrt(8 * np.log(2)))
    averages = seen.reshape(800, 2, 800, 2).mean(axis=(1, 3))
    pixels = (seen / averages.std() * NOISE).astype(np.float32)
    path = write(tmp_path / "a.fits", pixels, CDELT1=-4.8 / 3600, CDELT2=4.8 / 3600)
    plane = swept(path, brightest_pixel_model(level=np.arcsinh(4.0)), noise=mode).planes[0]
    assert pixels.std() == pytest.approx(1.16 * NOISE, rel=0.01)
    assert plane.level.sigma == pytest.approx(NOISE, rel=0.02)
    assert 0.02 < (plane.tiles.mask(0.5) == 1).mean() < 0.1


@pytest.mark.parametrize("start, stop", [(0, 40), (30, 170), (160, 240), (399, 400)])
@pytest.mark.parametrize("sigma", [None, 2.0, "mesh"])
def test_a_part_of_the_matching_does_what_the_whole_does(start, stop, sigma):
    """Meshes of all are much to send; rows outside the first and the last centres, too."""
    random = np.random.default_rng(1)
    cells = random.uniform(1, 3, (10, 6)).astype(np.float32)
    level = Level(low=0, high=1, sigma=1)
    whole = NoiseMatching(
        target=1.5,
        sigma=cells if sigma == "mesh" else sigma,
        side=40,
        level=level,
        background=cells[::-1].copy(),
    )
    pixels = random.normal(size=(stop - start, 230)).astype(np.float32)
    expected = pixels.copy()
    whole.match(expected, start)
    part = whole.part(range(start, stop))
    assert len(part.background) < 8
    part.match(pixels, start)
    np.testing.assert_allclose(pixels, expected, rtol=1e-6)
