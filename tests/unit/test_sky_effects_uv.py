"""Antennas, their tracks, and the beams that follow from what they have measured."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import EarthLocation

from cosmodeep_hpc.config.sky import Effects, Instrument
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.sky.draws import Purpose, draws
from cosmodeep_hpc.sky.effects import antennas, uvcoverage

ARCSEC = np.pi / 648000
LIGHT = 299792458.0
SHORT = Effects(duration=1.0, bandwidth=0.1)


@pytest.fixture(scope="module")
def coverage() -> uvcoverage.Coverage:
    return uvcoverage.observe(-40.0, Instrument(), SHORT, 3.2)


@pytest.fixture(scope="module")
def density(coverage) -> np.ndarray:
    return uvcoverage.density(coverage)


@pytest.mark.parametrize(
    "antenna, place",
    [  # geocentric positions in ASKAP's commissioning parameters [m]
        (2, (-2556109.976515, 5097388.699862, -2848440.12097248)),
        (10, (-2556059.228687, 5097560.766055, -2848178.119367)),
        (12, (-2556496.237175, 5097333.724901, -2848187.33832738)),
        (15, (-2555389.850372, 5097664.627578, -2848561.95991566)),
    ],
)
def test_antennas_stand_where_askap_says(antenna, place):
    origin = (-2556084.669, 5097398.337, -2848424.133)  # of antenna 1
    site = EarthLocation.from_geocentric(*origin, unit=u.m)
    lon, lat = site.lon.rad, site.lat.rad
    assert np.rad2deg(lat) == pytest.approx(antennas.LATITUDE, abs=1e-4)
    offset = np.subtract(place, origin)
    east = offset @ (-np.sin(lon), np.cos(lon), 0)
    north = offset @ (-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat))
    assert antennas.positions()[antenna - 1] == pytest.approx((east, north), abs=0.3)


def test_baselines_run_from_22_metres_to_6_kilometres():
    earth, pairs = antennas.baselines()
    length = np.linalg.norm(earth, axis=1)
    assert len(earth) == 36 * 35 / 2 and len(np.unique(pairs, axis=0)) == 630
    assert length.min() == pytest.approx(22, abs=1) and length.max() == pytest.approx(6440, abs=5)
    place = antennas.positions()
    assert length == pytest.approx(np.linalg.norm(place[pairs[:, 0]] - place[pairs[:, 1]], axis=1))


def test_an_east_west_baseline_makes_a_circle_about_the_pole():
    east = np.array([[0.0, 100.0, 0.0]])
    hour = np.linspace(-np.pi, np.pi, 25)[:, None]
    west, north = antennas.track(east, hour, -90.0)
    assert np.hypot(west, north) == pytest.approx(np.full((25, 1), 100.0))
    assert np.arctan2(north, west)[12] == pytest.approx(0)
    # Seen from the equator of the sky it is a line.
    assert antennas.track(east, hour, 0.0)[1] == pytest.approx(np.zeros((25, 1)))


def test_any_baseline_makes_an_ellipse():
    earth, declination = np.array([[30.0, -70.0, 45.0]]), -35.0
    hour = np.linspace(-1, 1, 9)[:, None]
    across, up = antennas.track(earth, hour, declination)
    dec = np.deg2rad(declination)
    ellipse = across**2 + ((up - 45 * np.cos(dec)) / np.sin(dec)) ** 2
    assert ellipse == pytest.approx(np.full((9, 1), 30.0**2 + 70.0**2))


def test_overhead_the_plane_is_that_of_the_ground():
    earth, pairs = antennas.baselines()
    place = antennas.positions()
    east, north = antennas.track(earth, 0.0, antennas.LATITUDE)
    expected = place[pairs[:, 0]] - place[pairs[:, 1]]
    assert np.stack([east, north], axis=1) == pytest.approx(expected)


@pytest.mark.parametrize(
    "declination, duration, hours",
    [
        (-30.0, 10.0, 10.0),
        (-5.0, 4.0, 4.0),
        (20.0, 24.0, None),  # until it sets
        (-90.0, 24.0, 24.0),  # never sets
    ],
)
def test_hour_angles_last_as_long_as_the_field_is_up(declination, duration, hours):
    hour = antennas.hour_angles(declination, duration, 60.0)
    assert hour == pytest.approx(-hour[::-1])
    assert np.diff(hour).max() <= 60 * antennas.SIDEREAL * 1.0001
    seconds = len(hour) * np.diff(hour).mean() / antennas.SIDEREAL
    dec, lat = np.deg2rad([declination, antennas.LATITUDE])
    sine = np.sin(lat) * np.sin(dec) + np.cos(lat) * np.cos(dec) * np.cos(hour)
    elevation = np.rad2deg(np.arcsin(sine))
    assert elevation.min() >= 15
    if hours is None:
        assert elevation.min() == pytest.approx(15, abs=0.3) and seconds < 24 * 3600
    elif hours < 24:
        assert seconds == pytest.approx(hours * 3600)
    else:
        assert seconds == pytest.approx(86164, rel=0.01)


def test_a_field_that_never_rises_is_refused_by_name():
    with pytest.raises(InputError, match="declination 60 deg.*never rises.*less than 48.3"):
        antennas.hour_angles(60.0, 10.0, 60.0)


def test_a_band_that_reaches_zero_is_refused_by_name():
    with pytest.raises(InputError, match="effects.bandwidth = 3 GHz.*instrument.frequency = 1.4"):
        uvcoverage.observe(-30.0, Instrument(), Effects(bandwidth=3.0), 3.2)


def test_a_frequency_that_askap_does_not_receive_is_refused_by_name():
    with pytest.raises(InputError, match="instrument.frequency = 0.15 GHz.*expected 0.7 to 1.8"):
        uvcoverage.observe(-30.0, Instrument(frequency=0.15), Effects(bandwidth=0.03), 3.2)


def test_every_sample_is_counted_twice(coverage, density):
    # Once for each end of its baseline; the half plane holds one of the two, and both at u = 0.
    whole = 2 * density.sum(dtype=float) - density[:, 0].sum()
    assert whole == pytest.approx(2 * coverage.u.size * 48)
    hour = antennas.hour_angles(-40.0, 1.0, 60.0)
    assert coverage.u.shape == (len(hour), 630)


def directly(
    coverage: uvcoverage.Coverage, west: float, north: float, baselines: slice = slice(None)
) -> float:
    """Mean over all samples of cos(2 pi (u l + v m)): the dirty beam, without a grid [arcsec].

    Over the band, whose channels are infinitely narrow, the mean of the cosine is in closed form.
    """
    place = coverage.u[:, baselines] * west + coverage.v[:, baselines] * north
    delay = 2 * np.pi * place * ARCSEC / LIGHT
    low, high = (1.4 + sign * coverage.bandwidth / 2 for sign in (-1, 1))
    with np.errstate(invalid="ignore"):
        mean = (np.sin(high * 1e9 * delay) - np.sin(low * 1e9 * delay)) / (
            (high - low) * 1e9 * delay
        )
    return float(np.where(delay == 0, 1, mean).mean())


def naturally(density: np.ndarray) -> np.ndarray:
    """Weights of samples that all count alike."""
    return density / (2 * density.sum(dtype=float) - density[:, 0].sum())


@pytest.mark.parametrize("west, north", [(0, 0), (1, 0), (0, 3), (-5, 8), (20, -30), (150, 90)])
def test_the_dirty_beam_is_the_sum_over_samples(coverage, density, west, north):
    # Baselines beyond the grid of the beam's pixels are dropped: there are none at 3.2 arcsec.
    beam = uvcoverage.dirty_beam(naturally(density), coverage)
    distance = np.hypot(west, north) * 3.2
    window = 0.5 ** ((distance / (uvcoverage.primary_beam(1.4) / 2)) ** 2)
    expected = directly(coverage, west * 3.2, north * 3.2) * window
    assert beam[north, west] == pytest.approx(expected, abs=2e-3)


def test_the_primary_beam_is_as_wide_as_askaps():
    assert uvcoverage.primary_beam(1.4) / 3600 == pytest.approx(1.11, abs=0.01)
    assert uvcoverage.primary_beam(0.7) == pytest.approx(2 * uvcoverage.primary_beam(1.4))


@pytest.mark.parametrize("declination", [-5.0, -40.0, -75.0])
def test_the_dirty_beam_is_as_sharp_as_the_restoring_beam(declination):
    seen = uvcoverage.observe(declination, Instrument(), Effects(), 3.2)
    weight = uvcoverage.weights(uvcoverage.density(seen), seen, 0.0, 10.0)
    beam = uvcoverage.dirty_beam(weight, seen)
    assert beam[0, 0] == pytest.approx(1, abs=1e-5) and beam.max() == beam[0, 0]
    opposite = np.roll(beam[::-1, ::-1], (1, 1), (0, 1))
    assert abs(beam - opposite).max() < 1e-6
    profile = (beam[0, :6] + beam[:6, 0]) / 2
    half = np.interp(-0.5, -profile, np.arange(6)) * 3.2
    assert 2 * half == pytest.approx(10, abs=1)
    # Sidelobes: below 1 % a few arcminutes away.
    assert abs(beam[40:200, 40:200]).max() < 0.01


def test_weights_widen_the_beam_from_uniform_to_natural(coverage, density):
    assert np.all(np.diff([volume(coverage, density, r) for r in (-2, 0, 2)]) > 0)


def volume(coverage: uvcoverage.Coverage, density: np.ndarray, robust: float) -> float:
    """Volume of the beam's core, where short baselines have their weight."""
    weight = uvcoverage.weights(density, coverage, robust, 10.0)
    core = np.roll(uvcoverage.dirty_beam(weight, coverage), (20, 20), (0, 1))[:41, :41]
    return float(core.sum())


def test_uniform_weights_of_a_filled_plane_make_the_restoring_beam(coverage, density):
    weight = uvcoverage.weights(np.full_like(density, 7.0), coverage, -2.0, 10.0)
    beam = uvcoverage.dirty_beam(weight, coverage)
    radius = np.arange(8) * 3.2
    assert beam[0, :8] == pytest.approx(0.5 ** ((radius / 5) ** 2), abs=2e-3)
    assert abs(beam[20:1000, 20:1000]).max() < 1e-3


def test_the_dirty_beam_sees_nothing_uniform(coverage, density):
    # No sample at u = v = 0, and none nearer than an antenna's diameter lets in through the window.
    weight = uvcoverage.weights(density, coverage, -2.0, 10.0)
    beam = uvcoverage.dirty_beam(weight, coverage)
    restoring = np.pi / (4 * np.log(2)) * 10**2
    assert abs(beam.sum(dtype=float)) * 3.2**2 / restoring < 0.2
    assert beam[:20, :20].sum() * 4 * 3.2**2 / restoring > 0.5


def errors(gain: complex, antenna: int, length: float = 1.0) -> uvcoverage.Errors:
    return uvcoverage.Errors(np.array([gain]), np.array([antenna]), np.zeros(1), length)


def test_a_wrong_gain_shows_by_its_share_of_the_samples(coverage, density):
    weight = naturally(density)
    one = uvcoverage.error_beam(density, weight, coverage, errors(0.2 + 0.7j, 5))
    assert one[0, 0] == pytest.approx(0.2 * 35 / 630, rel=1e-4)
    half = uvcoverage.error_beam(density, weight, coverage, errors(0.2, 5, 0.5))
    assert half[0, 0] == pytest.approx(0.2 * 35 / 630 / 2, rel=1e-4)


def test_an_antennas_amplitude_error_is_the_beam_of_its_baselines(coverage, density):
    made = uvcoverage.error_beam(density, naturally(density), coverage, errors(0.2, 7))
    mine = np.flatnonzero((coverage.pairs == 7).any(axis=1))
    for west, north in ((2, 1), (-6, 9), (40, 12)):
        window = 0.5 ** ((np.hypot(west, north) * 3.2 / (uvcoverage.primary_beam(1.4) / 2)) ** 2)
        expected = directly(coverage, west * 3.2, north * 3.2, mine) * window
        assert made[north, west] == pytest.approx(0.2 * 35 / 630 * expected, abs=1e-4)


def test_errors_common_to_all_antennas(coverage, density):
    weight = naturally(density)
    everyone = np.arange(36)
    same = uvcoverage.Errors(np.full(36, 0.1 + 0j), everyone, np.zeros(36), 1.0)
    twice = uvcoverage.error_beam(density, weight, coverage, same)
    beam = uvcoverage.dirty_beam(weight, coverage)
    assert abs(twice - 0.2 * beam).max() < 1e-5  # each baseline has two antennas
    phase = uvcoverage.Errors(np.full(36, 0.1j), everyone, np.zeros(36), 1.0)
    assert abs(uvcoverage.error_beam(density, weight, coverage, phase)).max() < 1e-6


def test_a_phase_error_is_odd_about_the_source(coverage, density):
    made = uvcoverage.error_beam(density, naturally(density), coverage, errors(0.3j, 20))
    assert made[0, 0] == pytest.approx(0, abs=1e-7)
    assert abs(made + np.roll(made[::-1, ::-1], (1, 1), (0, 1))).max() < 1e-6
    # The mean over the antenna's samples of the sine, in closed form over the band; a baseline on
    # which the antenna comes second has the opposite phase.
    mine = (coverage.pairs == 20) @ np.array([1, -1])
    for west, north in ((2, 1), (-6, 9), (4, -1)):
        place = (coverage.u * west + coverage.v * north) * 3.2 * ARCSEC
        delay = 2 * np.pi * place[:, mine != 0] / LIGHT
        low, high = 1.35e9, 1.45e9
        sine = (np.cos(low * delay) - np.cos(high * delay)) / ((high - low) * delay)
        window = 0.5 ** ((np.hypot(west, north) * 3.2 / (uvcoverage.primary_beam(1.4) / 2)) ** 2)
        expected = -0.3 * (sine * mine[mine != 0]).mean() * 35 / 630 * window
        assert made[north, west] == pytest.approx(expected, abs=1e-4)
    assert abs(made).max() > 5e-3


def test_the_plane_is_as_the_image_is_with_east_to_the_left():
    seen = uvcoverage.observe(-40.0, Instrument(), Effects(duration=1 / 60), 3.2)
    east, north = antennas.track(antennas.baselines()[0], 0.0, -40.0)
    assert len(seen.u) == 1  # at transit, within half a minute: 14 m of the longest baseline
    assert abs(seen.u[0] + east).max() < 15 and abs(seen.v[0] - north).max() < 15


def test_errors_are_drawn_with_the_stated_rms_and_length():
    effects = Effects(stripes=1000, gain_error=0.4, error_length=30.0, duration=5.0)
    drawn = uvcoverage.draw_errors(draws(1, Purpose.STRIPES), effects, -30.0)
    assert np.sqrt((abs(drawn.gain) ** 2).mean()) == pytest.approx(0.4, rel=0.1)
    assert drawn.length == pytest.approx(0.1)
    assert set(drawn.antenna) == set(range(36))
    assert drawn.start.min() >= 0 and drawn.start.max() <= 0.9
