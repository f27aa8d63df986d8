"""Coordinates and noise of the images."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs.utils import pixel_to_skycoord, proj_plane_pixel_scales

from cosmodeep_hpc.config.sky import Instrument
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.sky import instrument
from cosmodeep_hpc.sky.draws import Purpose, draws


def test_centre_scale_and_handedness():
    wcs = instrument.celestial_wcs(201, 9.6, (120.0, -40.0))
    middle = pixel_to_skycoord(100, 100, wcs)
    assert middle.ra.deg == pytest.approx(120) and middle.dec.deg == pytest.approx(-40)
    assert proj_plane_pixel_scales(wcs) * 3600 == pytest.approx([9.6, 9.6])
    left, up = pixel_to_skycoord(90, 100, wcs), pixel_to_skycoord(100, 110, wcs)
    assert left.ra > middle.ra and left.dec.deg == pytest.approx(-40, abs=1e-3)
    assert up.dec > middle.dec
    assert middle.separation(up).arcsec == pytest.approx(96, rel=1e-4)
    assert wcs.wcs.cdelt[0] < 0


def test_an_even_image_has_its_centre_between_pixels():
    wcs = instrument.celestial_wcs(200, 9.6, (10.0, -30.0))
    middle = pixel_to_skycoord(99.5, 99.5, wcs)
    assert (middle.ra.deg, middle.dec.deg) == pytest.approx((10, -30))


def test_positions_return_through_the_projection():
    wcs = instrument.celestial_wcs(2000, 9.6, (350.0, -60.0))
    x, y = np.meshgrid(np.linspace(0, 1999, 7), np.linspace(0, 1999, 7))
    back = wcs.world_to_pixel(wcs.pixel_to_world(x, y))
    assert np.allclose(back, (x, y), atol=1e-6)
    # SIN: an offset of n pixels is asin of n pixels in radians.
    centre = SkyCoord(350, -60, unit="deg")
    corner = pixel_to_skycoord(999.5, 1999.5, wcs)
    expected = np.rad2deg(np.arcsin(np.deg2rad(1000 * 9.6 / 3600)))
    assert centre.separation(corner).deg == pytest.approx(expected, rel=1e-9)


def test_field_centres_are_southern_distinct_and_repeatable():
    centres = [instrument.field_centre(1, i) for i in range(50)]
    assert len(set(centres)) == 50
    assert centres[7] == instrument.field_centre(1, 7) != instrument.field_centre(2, 7)
    ra, dec = np.array(centres).T
    assert (ra >= 0).all() and (ra < 360).all() and np.ptp(ra) > 180
    assert (dec >= -75).all() and (dec <= -5).all()


@pytest.mark.parametrize("beam", [Beam(10, 10), Beam(20, 10, 30)])
def test_noise_has_unit_rms_and_the_correlation_of_the_beam(beam):
    scale, pixels = 9.6, 1000
    field = instrument.noise(draws(1, Purpose.NOISE), pixels, scale, beam)
    assert field.shape == (pixels, pixels) and field.dtype == np.float32
    error = 4 / pixels  # four standard errors of a correlation from a million pixels
    assert field.mean() == pytest.approx(0, abs=2 * error)
    assert field.std() == pytest.approx(1, abs=error)
    # White noise through a beam: exp(-r^2 / (4 sigma^2)) along an axis, of a round beam.
    pairs = {
        (0, 1): field[:, :-1] * field[:, 1:],
        (1, 0): field[:-1] * field[1:],
        (1, 1): field[:-1, :-1] * field[1:, 1:],
        (1, -1): field[:-1, 1:] * field[1:, :-1],
        (0, 2): field[:, :-2] * field[:, 2:],
    }
    sigma = np.array([beam.major, beam.minor]) / np.sqrt(8 * np.log(2))
    angle = np.deg2rad(beam.angle)
    for (rows, columns), product in pairs.items():
        north, east = rows * scale, -columns * scale
        along = north * np.cos(angle) + east * np.sin(angle)
        across = east * np.cos(angle) - north * np.sin(angle)
        expected = np.exp(-(along**2) / (4 * sigma[0] ** 2) - across**2 / (4 * sigma[1] ** 2))
        assert product.mean() == pytest.approx(expected, abs=error)


def test_noise_made_finely_and_convolved_is_the_same():
    # The paper's way: white noise at a third of a pixel, through the beam, every third pixel.
    beam, scale = Beam(10, 10), 9.6
    white = draws(2, Purpose.NOISE).standard_normal((1800, 1800), dtype=np.float32)
    fine = beam.convolve(white, scale / 3)[10:-10, 10:-10][::3, ::3]
    fine /= fine.std()
    ours = instrument.noise(draws(1, Purpose.NOISE), 600, scale, beam)
    for axis in (0, 1):
        one, other = (np.mean(f * np.roll(f, 1, axis)) for f in (fine, ours))
        assert one == pytest.approx(other, abs=0.02)


def test_noise_image_less_sky_through_the_beam_has_the_stated_rms():
    settings = Instrument(pixels=500)
    row = np.exp(-0.5 * ((np.arange(500) - 250) / 3) ** 2)
    sky = (1e-5 * row * row[:, None]).astype(np.float32)
    seen = instrument.observe(sky, settings, draws(1, Purpose.NOISE))
    rest = seen - Beam(10, 10).convolve(sky, 9.6)
    assert rest.std() * Beam(10, 10).area == pytest.approx(10e-6, rel=0.01)  # 10 uJy/beam
    assert rest.std() == pytest.approx(0.88e-7, rel=0.015)
    assert abs(rest.mean()) < 1e-9


def test_the_beam_conserves_flux():
    settings = Instrument(pixels=200, noise_rms=0.0)
    sky = np.zeros((200, 200), np.float32)
    sky[100, 90] = 1e-5
    seen = instrument.observe(sky, settings, draws(1, Purpose.NOISE))
    assert seen.sum() == pytest.approx(1e-5, rel=1e-4)
    assert np.unravel_index(seen.argmax(), seen.shape) == (100, 90)
