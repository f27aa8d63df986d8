"""Compact sources: found by what the beam is on the sky, and not in smooth emission."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from scipy.ndimage import gaussian_filter
from support.fields import NOISE
from support.findings import seen

from cosmodeep_hpc.images.beam import FWHM, Beam
from cosmodeep_hpc.islands import compact
from cosmodeep_hpc.islands.positions import icrs

SIDE, PIXEL = 121, 4.0
BEAM = Beam(28.0, 14.0, 20.0)
Y, X = np.mgrid[:SIDE, :SIDE].astype(float)
ALL = np.ones((SIDE, SIDE), bool)
CARDS = {"BMAJ": BEAM.major / 3600, "BMIN": BEAM.minor / 3600, "BPA": BEAM.angle}
TURN = np.deg2rad(30)
SKIES = {
    "RA to the left": {},
    "RA to the right": {"CDELT1": PIXEL / 3600},
    "CROTA": {"CROTA2": 30.0},
    "PC": {"PC1_1": np.cos(TURN), "PC1_2": -np.sin(TURN), "PC2_1": np.sin(TURN),
           "PC2_2": np.cos(TURN)},
    "PC and RA to the right": {"CDELT1": PIXEL / 3600, "PC1_1": np.cos(TURN),
                               "PC1_2": -np.sin(TURN), "PC2_1": np.sin(TURN),
                               "PC2_2": np.cos(TURN)},
}  # fmt: skip


def sources_in(pixels, folder, signal=ALL, rows=None, **cards):
    plane, labels = seen(pixels, signal, folder, **{**CARDS, **cards})
    return compact.find(plane, labels, rows)


@pytest.mark.parametrize("sky", SKIES)
def test_a_source_is_fitted_with_the_beam_as_it_lies_on_the_sky(sky, tmp_path):
    cards = CARDS | SKIES[sky]
    plane, labels = seen(np.zeros((SIDE, SIDE)), ALL, tmp_path, **cards)
    x, y = 62.3, 57.8
    there = SkyCoord(icrs(plane.image.wcs, x, y), unit="deg")[0]
    every = SkyCoord(icrs(plane.image.wcs, X.ravel(), Y.ravel()), unit="deg")
    east, north = (
        v.to_value("arcsec").reshape(SIDE, SIDE) for v in there.spherical_offsets_to(every)
    )
    pixels = 100 * BEAM.profile(-east, north)
    plane, labels = seen(pixels, ALL, tmp_path, **cards)
    found = compact.find(plane, labels)
    assert len(found) == 1 and found.peak / NOISE == pytest.approx([100], rel=0.02)
    assert (found.x[0], found.y[0]) == pytest.approx((x, y), abs=0.05)
    left = pixels - found.pixels(range(SIDE), range(SIDE)) / NOISE
    assert np.abs(left).max() < 2
    assert found.pixels(range(SIDE), range(SIDE)).sum() / NOISE == pytest.approx(
        pixels.sum(), rel=0.02
    )


def round_beam(width):
    return {"BMAJ": width / 3600, "BMIN": width / 3600}


@pytest.mark.parametrize("peak", [5, 50, 500])
def test_a_smooth_halo_has_no_source(peak, tmp_path):
    """Five beams of 20 arcsec wide."""
    width = 5 * 20 / PIXEL / FWHM
    halo = peak * np.exp(-((X - 60.2) ** 2 + (Y - 59.7) ** 2) / (2 * width**2))
    assert len(sources_in(halo, tmp_path, **round_beam(20.0))) == 0


@pytest.mark.parametrize("angle", [0, 20, 45, 90])
@pytest.mark.parametrize("width", [1.0, 2.0])
def test_a_straight_ridge_has_no_source(angle, width, tmp_path):
    """A beam or two wide, 50 times as bright as the noise."""
    turn = np.deg2rad(angle)
    across = (Y - 60.3) * np.cos(turn) - (X - 60.1) * np.sin(turn)
    ridge = 50 * np.exp(-(across**2) / 2 / (width * 20 / PIXEL / FWHM) ** 2)
    middle = np.hypot(X - 60, Y - 60) < 25
    assert len(sources_in(ridge, tmp_path, middle, **round_beam(20.0))) == 0


def test_a_source_on_a_halo_has_the_flux_above_it(tmp_path):
    halo = 30 * np.exp(-((X - 60) ** 2 + (Y - 60) ** 2) / (2 * 25.0**2))
    beam = Beam(20.0, 20.0)
    pixels = halo + 100 * beam.profile(PIXEL * (X - 66.4), PIXEL * (Y - 55.2))
    found = sources_in(pixels, tmp_path, **round_beam(20.0))
    assert len(found) == 1 and found.peak / NOISE == pytest.approx([100], rel=0.05)


def test_noise_has_few_sources(tmp_path):
    """Of 14641 pixels, whose noise the beam has smoothed."""
    noise = gaussian_filter(np.random.default_rng(1).normal(size=(SIDE, SIDE)), 20 / PIXEL / FWHM)
    assert len(sources_in(noise / noise.std(), tmp_path, **round_beam(20.0))) == 0


@pytest.mark.parametrize("rows", [16, 40, 10**4])
def test_sources_do_not_depend_on_the_rows_that_are_looked_at_together(rows, tmp_path):
    """To the last bit: one fit of a group has them all."""
    beam = Beam(20.0, 20.0)
    pixels = gaussian_filter(np.random.default_rng(1).normal(size=(SIDE, SIDE)), 1)
    for x, y in np.random.default_rng(3).uniform(5, SIDE - 5, (12, 2)):
        pixels += 60 * beam.profile(PIXEL * (X - x), PIXEL * (Y - y))
    every = sources_in(pixels, tmp_path, **round_beam(20.0))
    found = sources_in(pixels, tmp_path, rows=rows, **round_beam(20.0))
    assert len(found) == len(every) > 8
    np.testing.assert_allclose(found.x, every.x, atol=0.05)
    np.testing.assert_allclose(found.peak, every.peak, rtol=0.02)


@pytest.mark.parametrize("cards", [{"BMAJ": None, "BMIN": None, "BPA": None}, round_beam(4.0)])
def test_where_the_beam_is_not_known_or_a_pixel_wide_there_are_none(cards, tmp_path):
    pixels = np.zeros((SIDE, SIDE))
    pixels[60, 60] = 100
    assert len(sources_in(pixels, tmp_path, **cards)) == 0


def test_far_from_islands_there_are_none(tmp_path):
    beam = Beam(20.0, 20.0)
    pixels = sum(100 * beam.profile(PIXEL * (X - x), PIXEL * (Y - 60)) for x in (22.0, 58.0, 110.0))
    signal = np.hypot(X - 20, Y - 60) < 12
    found = sources_in(pixels, tmp_path, signal, **round_beam(20.0))
    assert found.x == pytest.approx([22.0, 58.0], abs=0.05)  # within six beams of it


@pytest.mark.parametrize("widths", [(12.0, 8.0), (10.0, 10.0), (8.0, 8.0)])
def test_sources_are_found_wherever_they_lie_between_pixels(widths, tmp_path):
    """Through beams of two and three pixels, at 100 sigma, on a smooth halo."""
    beam = Beam(*widths, 30.0)
    random = np.random.default_rng(4)
    rows, cols = np.meshgrid(np.arange(12, SIDE - 12, 16), np.arange(12, SIDE - 12, 16))
    x, y = (grid.ravel() + random.uniform(-0.5, 0.5, grid.size) for grid in (cols, rows))
    away = np.hypot(X - SIDE / 2, Y - SIDE / 2)
    pixels = 30 * np.exp(-((away / 40) ** 2)) + random.normal(size=(SIDE, SIDE)) * 0.3
    for one, other in zip(x, y, strict=True):
        pixels += 100 * beam.profile(PIXEL * (X - one), PIXEL * (Y - other))
    cards = {"BMAJ": widths[0] / 3600, "BMIN": widths[1] / 3600, "BPA": 30.0}
    found = sources_in(pixels, tmp_path, **cards)
    assert len(found) == len(x)
    np.testing.assert_allclose(found.peak.mean() / found.rms.mean(), 100, rtol=0.05)
