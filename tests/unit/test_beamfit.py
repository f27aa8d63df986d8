"""Beams fitted to sources: alone, close to each other, beside missing pixels."""

import numpy as np
import pytest

from cosmodeep_hpc.islands import beamfit
from cosmodeep_hpc.islands.pixelbeam import PixelBeam

BEAM = PixelBeam(4.0, 2.6, 30.0)
Y, X = np.mgrid[:61, :61].astype(float)


def source(x, y, peak):
    return peak * BEAM.profile(X - x, Y - y)


@pytest.mark.parametrize("x, y", [(30.0, 30.0), (30.4, 29.7), (29.5, 30.5), (30.9, 31.2)])
def test_a_beam_on_a_level_is_fitted_as_it_is(x, y):
    """From the pixel in the middle, up to a beam's half from it."""
    (found,) = beamfit.fit(source(x, y, 7.0) + 3.0, np.array([[30.0, 30.0]]), BEAM)
    assert found == pytest.approx([x, y, 7.0], rel=1e-3)


def test_a_slope_hardly_moves_flux_and_place():
    """Of a tenth of the peak in a beam."""
    x, y = 30.3, 29.8
    pixels = source(x, y, 7.0) + 0.7 * (X - 30) / BEAM.major
    (found,) = beamfit.fit(pixels, np.array([[30.0, 30.0]]), BEAM)
    assert found[2] == pytest.approx(7.0, rel=0.02)
    assert np.hypot(found[0] - x, found[1] - y) < 0.06 * BEAM.major


@pytest.mark.parametrize("peaks", [(7.0, 7.0), (7.0, 2.0)])
def test_two_sources_are_told_apart(peaks):
    """1.2 beams from each other, which are fitted together."""
    places = np.array([[28.2, 30.1], [28.2 + 1.2 * BEAM.major, 30.4]])
    pixels = sum(source(*place, peak) for place, peak in zip(places, peaks, strict=True))
    found = beamfit.fit(pixels, np.rint(places), BEAM)
    np.testing.assert_allclose(found[:, :2], places, atol=0.02)
    np.testing.assert_allclose(found[:, 2], peaks, rtol=0.01)


def test_neighbours_that_are_far_apart_do_not_change_each_other():
    places = np.array([[20.0, 20.0], [40.0, 41.0]])
    pixels = source(20.3, 19.8, 5.0) + source(39.6, 41.2, 9.0)
    both = beamfit.fit(pixels, places, BEAM)
    for number in range(2):
        np.testing.assert_allclose(both[number], beamfit.fit(pixels, places[[number]], BEAM)[0])


@pytest.mark.parametrize("gap", [np.s_[:, 32:], np.s_[:28], np.s_[30, 31]])
def test_missing_pixels_beside_a_source_leave_it_its_flux(gap):
    pixels = source(30.3, 29.8, 7.0)
    pixels[gap] = np.nan
    (found,) = beamfit.fit(pixels, np.array([[30.0, 30.0]]), BEAM)
    assert found == pytest.approx([30.3, 29.8, 7.0], rel=0.01)


def test_where_no_pixel_has_data_there_is_no_source():
    (found,) = beamfit.fit(np.full((61, 61), np.nan), np.array([[30.0, 30.0]]), BEAM)
    assert found.tolist() == [30.0, 30.0, 0.0]


def test_no_places_have_no_fits():
    assert beamfit.fit(source(30.0, 30.0, 7.0), np.zeros((0, 2)), BEAM).shape == (0, 3)


def test_a_fit_follows_a_source_by_half_a_beam_at_most():
    """What is farther is another's: here there is nothing at the place that was given."""
    (found,) = beamfit.fit(source(34.0, 30.0, 7.0), np.array([[30.0, 30.0]]), BEAM)
    assert np.abs(found[:2] - 30).max() <= 0.5 * BEAM.major
