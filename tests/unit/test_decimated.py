"""Maps of every n-th pixel, as BANE --compress writes them."""

import numpy as np
import pytest
from support.fields import write

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.decimated import expanded
from cosmodeep_hpc.images.mosaic import open_image


def compressed(path, full, step, **cards):
    """A map as BANE compresses it: every `step`-th pixel, the last row and column twice."""
    ny, nx = full.shape
    rows, cols = np.r_[0:ny:step, ny - 1], np.r_[0:nx:step, nx - 1]
    small = full[np.ix_(rows, cols)]
    about = {"BN_CFAC": step, "BN_NPX1": nx, "BN_NPX2": ny, "BN_RPX1": nx % step}
    about |= {"BN_RPX2": ny % step, "CDELT1": -9.6 * step / 3600, "CDELT2": 9.6 * step / 3600}
    return expanded(open_image(write(path / "rms.fits", small.astype("f4"), **about | cards)))


@pytest.mark.parametrize("step", [1, 4, 7])
@pytest.mark.parametrize("shape", [(40, 64), (41, 61)])
def test_it_is_read_on_the_pixels_of_the_image(tmp_path, step, shape):
    """Exact for a plane, up to the last pixel that was kept; constant beyond."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = compressed(tmp_path, 1.0 + y + 100 * x, step)
    assert image.shape == shape
    last = [(side - 1) // step * step for side in shape]
    kept = np.minimum(y, last[0]) + 1.0 + 100 * np.minimum(x, last[1])
    found = image.pixels()
    inside = np.s_[: last[0] + 1, : last[1] + 1]
    np.testing.assert_allclose(found[inside], kept[inside], rtol=1e-6)
    np.testing.assert_array_equal(image.rows(9, 23, slice(5, 30)), found[9:23, 5:30])


def test_other_images_stay_as_they_are(tmp_path):
    image = open_image(write(tmp_path / "a.fits", np.ones((8, 9), np.float32)))
    assert expanded(image) is image


@pytest.mark.parametrize(
    "cards", [{"BN_NPX1": 500}, {"BN_NPX2": 3}, {"BN_NPX1": "x"}, {"BN_CFAC": 0}]
)
def test_contradictions_are_refused(tmp_path, cards):
    with pytest.raises(InputError, match=r"rms\.fits"):
        compressed(tmp_path, np.ones((40, 64)), 4, **cards)
