"""The beam: area, units, kernel, and what it does to images and to noise."""

import numpy as np
import pytest
from astropy import units as u

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.beam import FWHM, Beam


def test_area_is_that_of_the_paper():
    assert Beam(10, 10).area == pytest.approx(113.3, abs=0.05)
    assert Beam(12, 8, 30).area == pytest.approx(1.1330900 * 96)


def test_units_agree_with_astropy_and_return():
    beam = Beam(10, 10)
    unit = u.beam_angular_area(beam.area * u.arcsec**2)
    expected = (10e-6 * u.Jy / u.beam).to(u.Jy / u.arcsec**2, unit).value
    assert beam.per_arcsec2(10e-6) == pytest.approx(expected)
    assert beam.per_arcsec2(10e-6) == pytest.approx(0.88e-7, rel=0.005)  # the paper's rms
    assert beam.per_beam(beam.per_arcsec2(3.0)) == pytest.approx(3)


@pytest.mark.parametrize(
    "beam", [Beam(10, 10), Beam(30, 12, 0), Beam(30, 12, 90), Beam(40, 20, 35)]
)
def test_kernel_sums_to_one_and_has_the_moments_of_the_beam(beam):
    scale = 4.0
    kernel = beam.kernel(scale)
    assert kernel.sum() == pytest.approx(1)
    lag = (np.arange(len(kernel)) - len(kernel) // 2) * scale
    west, north = lag, lag[:, None]
    pixel = scale**2 / 12  # variance of a pixel, over which the beam is averaged
    angle = np.deg2rad(beam.angle)
    major, minor = (beam.major / FWHM) ** 2, (beam.minor / FWHM) ** 2
    assert (kernel * north**2).sum() == pytest.approx(
        major * np.cos(angle) ** 2 + minor * np.sin(angle) ** 2 + pixel, rel=0.01
    )
    assert (kernel * west**2).sum() == pytest.approx(
        major * np.sin(angle) ** 2 + minor * np.cos(angle) ** 2 + pixel, rel=0.01
    )
    # The long axis turns from north to east, and east is to the left: against the columns.
    expected = -(major - minor) * np.sin(angle) * np.cos(angle)
    assert (kernel * north * west).sum() == pytest.approx(expected, rel=0.01, abs=1e-6 * major)


def test_a_point_becomes_the_kernel_and_a_plain_stays():
    beam = Beam(25, 15, 20)
    image = np.zeros((64, 48), np.float32)
    image[30, 20] = 1
    seen = beam.convolve(image, 5.0)
    kernel = beam.kernel(5.0)
    half = len(kernel) // 2
    assert seen.shape == image.shape and seen.dtype == np.float32
    found = seen[30 - half : 31 + half, 20 - half : 21 + half]
    assert found == pytest.approx(kernel, abs=1e-7)
    plain = beam.convolve(np.full((64, 48), 2, np.float32), 5.0)
    assert plain[half:-half, half:-half] == pytest.approx(2, rel=1e-5)
    assert plain[0, 0] < 1  # the sky around the image is dark, and does not wrap


@pytest.mark.parametrize("major, minor", [(0, 0), (10, -1), (float("nan"), 1)])
def test_an_impossible_beam_is_refused(major, minor):
    with pytest.raises(InputError, match="beam of"):
        Beam(major, minor)
