"""Averages over blocks of pixels: surface brightness kept, gaps and edges by what is there."""

import numpy as np
import pytest
from fields import write

from cosmodeep_hpc.survey.view import View, averaged, rebinning
from cosmodeep_hpc.tiles.fits.image import open_image


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
