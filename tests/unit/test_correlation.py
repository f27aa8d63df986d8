"""A beam that is not that of the noise is told by how the noise correlates."""

import numpy as np
import pytest
from support.fields import NOISE, write

from benchmarks.skies import noise, radius
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.noise.correlation import beam_notes, correlation

SHAPE = (400, 500)


def seen(beam, seed=1):
    """Noise through a round beam [pixel], of standard deviation 1."""
    return noise(SHAPE, beam, np.random.default_rng(seed))


def notes_of(folder, pixels, beam, pixel=2.0):
    """The notes on an image whose header has a beam [pixel]."""
    cards = {"CDELT1": -pixel / 3600, "CDELT2": pixel / 3600}
    cards |= {"BMAJ": beam * pixel / 3600, "BMIN": beam * pixel / 3600}
    return beam_notes(open_image(write(folder / "a.fits", NOISE * pixels, **cards)))


def with_points(pixels):
    random = np.random.default_rng(2)
    points = np.zeros(SHAPE)
    points[random.integers(0, SHAPE[0], 400), random.integers(0, SHAPE[1], 400)] = 1e4
    return pixels + points


FIELDS = {
    "noise": lambda pixels: pixels,
    "a halo": lambda pixels: pixels + 30 * np.exp(-radius(SHAPE) / 60),
    "points": with_points,
    "a circle of data": lambda pixels: np.where(radius(SHAPE) < 150, pixels, np.nan),
    "noise that rises": lambda pixels: pixels * np.geomspace(1, 10, SHAPE[1]),
    "stripes": lambda pixels: pixels + 3 * np.sin(np.arange(SHAPE[0]) / 5)[:, None],
    "whole numbers": lambda pixels: np.round(2 * pixels),
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("beam", [3, 4, 10])
def test_nothing_is_said_of_the_right_beam(tmp_path, field, beam):
    assert notes_of(tmp_path, FIELDS[field](seen(beam)), beam) == ()


@pytest.mark.parametrize("field", [name for name in FIELDS if name != "a halo"])
@pytest.mark.parametrize("beam", [1.04, 3, 5])
def test_arcmin_in_place_of_degrees_are_said(tmp_path, field, beam):
    (note,) = notes_of(tmp_path, FIELDS[field](seen(beam)), 60 * beam)
    assert f"a beam of {120 * beam:.4g} x {120 * beam:.4g} arcsec" in note
    assert "its numbers seem to be in arcmin" in note


@pytest.mark.parametrize("true, beam, told", [(0, 4, True), (1, 8, True), (3, 4, False)])
def test_a_beam_of_another_image_is_said_where_it_is_far_from_the_noise(tmp_path, true, beam, told):
    notes = notes_of(tmp_path, seen(true), beam)
    assert bool(notes) == told and not any("seem" in note for note in notes)


@pytest.mark.parametrize("beam", [0.6, 1.04, 2])
def test_narrow_beams_tell_nothing(tmp_path, beam):
    assert notes_of(tmp_path, seen(0), beam) == ()


@pytest.mark.parametrize("beam, apart", [(0, 1), (3, 1), (5, 2), (5, 5)])
def test_correlation_is_that_of_the_beam(beam, apart):
    expected = Beam(beam, beam).noise_correlation(apart, 0) if beam else 0
    assert correlation(seen(beam), apart, 20) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_an_image_without_data_says_nothing(tmp_path, fill):
    assert notes_of(tmp_path, np.full(SHAPE, fill), 4) == ()


def test_an_image_narrower_than_its_beam_says_nothing(tmp_path):
    """Of the whole length of its columns."""
    strip = np.ascontiguousarray(seen(100)[:, :100])
    assert notes_of(tmp_path, strip, 390) == ()
