"""Averages over blocks of pixels: surface brightness kept, gaps and edges by what is there."""

import numpy as np
import pytest
from support.fields import write

from cosmodeep_hpc.images.image import open_image
from cosmodeep_hpc.survey.view import View, averaged, rebinning


def test_blocks_are_means_of_what_has_data():
    pixels = np.arange(30, dtype=np.float32).reshape(5, 6)
    pixels[0, 0] = np.nan
    pixels[2:4, 2:4] = np.nan
    found = averaged(pixels, 2)
    expected = [
        [(1 + 6 + 7) / 3, (2 + 3 + 8 + 9) / 4, (4 + 5 + 10 + 11) / 4],
        [(12 + 13 + 18 + 19) / 4, np.nan, (16 + 17 + 22 + 23) / 4],
        [24.5, 26.5, 28.5],  # the row that is cut
    ]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("block", [2, 3, 20])
def test_gaps_anywhere_are_left_out(block):
    """A third of the pixels without data, as nanmean has it."""
    random = np.random.default_rng(1)
    pixels = random.normal(1, 1, (1200, 1200)).astype(np.float32)
    pixels[random.random(pixels.shape) < 0.3] = np.nan
    pixels[:600, :300] = np.nan
    found = averaged(pixels, block)
    blocks = pixels.reshape(1200 // block, block, -1, block).swapaxes(1, 2).astype(float)
    with np.errstate(invalid="ignore"):
        expected = np.nansum(blocks, axis=(2, 3)) / np.isfinite(blocks).sum(axis=(2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_padding_is_no_part_of_a_mean(tmp_path):
    pixels = np.ones((4, 6), np.float32)
    pixels[:, :3] = 0
    view = View(open_image(write(tmp_path / "a.fits", pixels)), 2)
    np.testing.assert_array_equal(view.rows(0, 2), [[np.nan, 1, 1]] * 2)


@pytest.mark.parametrize("rebin", [1, 2, 3, 7])
def test_rows_of_a_view_do_not_depend_on_how_they_are_asked_for(tmp_path, rebin):
    pixels = np.random.default_rng(1).normal(1, 1, (500, 33)).astype(np.float32)
    pixels[40:80, 3:9] = np.nan
    view = View(open_image(write(tmp_path / "a.fits", pixels)), rebin)
    whole = view.rows(0, view.shape[0])
    assert whole.shape == view.shape == (-(-500 // rebin), -(-33 // rebin))
    np.testing.assert_array_equal(whole, averaged(pixels, rebin))
    for start in range(0, view.shape[0], 11):
        stop = min(start + 11, view.shape[0])
        np.testing.assert_array_equal(view.rows(start, stop), whole[start:stop])
        averages, single = view.both(start, stop)
        np.testing.assert_array_equal(averages, whole[start:stop])
        if rebin > 1:  # the first pixel of each block
            np.testing.assert_array_equal(single, pixels[::rebin, ::rebin][start:stop])


@pytest.mark.parametrize(
    "pixel, rebin, told",
    [(9.6, 1, None), (11.9, 1, None), (14.0, 1, "does not carry over"), (6.5, 1, "carry over"),
     (4.8, 2, "averaged over 2 x 2"), (2.0, 5, "averaged over 5 x 5"), (0.96, 10, "10 x 10")],
)  # fmt: skip
def test_which_pixels_are_averaged(tmp_path, pixel, rebin, told):
    cards = {"CDELT1": -pixel / 3600, "CDELT2": pixel / 3600}
    image = open_image(write(tmp_path / "a.fits", np.ones((4, 4), np.float32), **cards))
    found, notes = rebinning(image, 9.6, any_scale=False)
    assert found == rebin
    assert (told in " ".join(notes)) if told else notes == ()
