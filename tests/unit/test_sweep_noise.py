"""The noise that the products of a sweep give, and what becomes of it."""

import numpy as np
import pytest
import scipy.ndimage
from fields import write
from models import brightest_pixel_model
from sweeping import sweep_with

from cosmodeep_hpc.survey.task import Outcome


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
    noise = []

    def take(found):
        noise.append(found.planes[0].noise)
        return Outcome(path=path, state="done")

    sweep_with(brightest_pixel_model(), [path], tmp_path / "out", write=take)
    np.testing.assert_allclose(noise[0], expected, rtol=0.12)
    assert np.median(noise[0]) == pytest.approx(expected, rel=0.06)
