"""Observed images with effects: what each adds, that they do not meddle, and that off is off."""

import dataclasses
import warnings
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.sky import Effects, Instrument
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.sky import instrument
from cosmodeep_hpc.sky.draws import Purpose, draws
from cosmodeep_hpc.sky.effects import artefacts, observation, sidelobes, uvcoverage
from cosmodeep_hpc.sky.effects.components import Components

SIDE = 300
QUIET = Instrument(pixels=SIDE, noise_rms=0.0)
RMS = 10e-6 / Beam(10, 10).area
ON = {
    "point_sources": {"point_sources": True},
    "radio_galaxies": {"radio_galaxies": True},
    "shortest_baseline": {"shortest_baseline": 22.0},
    "dirty_beam": {"dirty_beam": True},
    "noise_edge": {"noise_edge": 2.0},
    "stripes": {"stripes": 2},
}


def config(settings: Instrument = QUIET, **options) -> Config:
    return Config(instrument=settings, effects=Effects(**options))


def blob(side: int = SIDE, peak: float = 1e-6, width: float = 5.0) -> np.ndarray:
    row = np.exp(-0.5 * ((np.arange(side) - side // 2) / width) ** 2)
    return (peak * row * row[:, None]).astype(np.float32)


def observed(settings: Instrument = QUIET, sky: np.ndarray | None = None, index=0, **options):
    sky = blob(settings.pixels) if sky is None else sky
    return observation.observe(sky, config(settings, **options), index)[0]


def test_all_off_is_the_plain_observation_to_the_byte():
    settings, sky = Instrument(pixels=SIDE), blob()
    plain = instrument.observe(sky, settings, draws(1, Purpose.NOISE, 7))
    seen, cards = observation.observe(sky, config(settings), 7)
    assert seen.tobytes() == plain.tobytes() and cards == {}


@pytest.mark.parametrize("name", ON)
def test_each_switch_changes_the_noise_image_alone(name):
    settings = Instrument(pixels=SIDE)
    sky = blob()
    kept = sky.copy()
    plain, seen = observed(settings, sky), observed(settings, sky, **ON[name])
    assert seen.dtype == np.float32 and seen.shape == sky.shape and np.isfinite(seen).all()
    assert not np.array_equal(seen, plain)
    assert np.array_equal(sky, kept)


AT_1_GHZ = Instrument(pixels=200, frequency=1.0)
FEW = {"galaxy_size": 5.0, "duration": 1.0, "bandwidth": 0.05}  # more galaxies, less work
SOURCES = {**FEW, **ON["point_sources"], **ON["radio_galaxies"]}
EVERY = {**FEW, **{name: value for switched in ON.values() for name, value in switched.items()}}


@pytest.fixture(scope="module")
def beside():
    """Fields without effects, with sources, and with all effects: options and Noise image."""
    return [(options, observed(AT_1_GHZ, **options)) for options in ({}, SOURCES, EVERY)]


def other(field: dataclasses.Field) -> object:
    """Another value that an option may have."""
    if isinstance(field.default, bool):
        return not field.default
    for value in (0.5 * field.default, 2 * field.default, 0.5, 3):
        if value != field.default:
            with suppress(InputError):
                return getattr(Effects(**{field.name: value}), field.name)
    raise AssertionError(f"effects.{field.name}: no other value found")


@pytest.mark.parametrize("field", dataclasses.fields(Effects), ids=lambda field: field.name)
def test_every_option_of_the_section_changes_the_noise_image(field, beside):
    """A switch does so alone; an option of an effect, where that effect is on."""
    change = {field.name: other(field)}
    fields = beside[:1] if field.name in ON else beside
    assert any(
        not np.array_equal(observed(AT_1_GHZ, **(options | change)), image)
        for options, image in fields
    )


@pytest.mark.parametrize("name", [n for n in ON if n not in ("shortest_baseline", "noise_edge")])
def test_an_image_depends_on_its_index_and_not_on_threads(name):
    options = ON[name] | {"point_sources": True}
    one, same = (
        observation.observe(blob(), config(**options), 3, workers)[0].tobytes()
        for workers in (1, 2)
    )
    assert one == same != observed(index=4, **options).tobytes()


def test_effects_do_not_change_each_others_draws():
    points, _ = observation.sources(config(point_sources=True), 0, {})
    every = dict(dirty_beam=True, stripes=3, noise_edge=3.0, shortest_baseline=30.0)
    again, _ = observation.sources(config(point_sources=True, **every), 0, {})
    assert np.array_equal(points.flux, again.flux) and np.array_equal(points.row, again.row)
    # Radio galaxies take the place of points: no source is moved, and none is lost.
    both, _ = observation.sources(config(point_sources=True, radio_galaxies=True), 0, {})
    galaxies, _ = observation.sources(config(radio_galaxies=True), 0, {})
    left = len(both) - len(galaxies)
    assert np.isin(both.flux[:left], points.flux).all() and len(galaxies) == 11 * (
        len(points) - left
    )
    assert np.array_equal(both.flux[left:], galaxies.flux)
    assert both.flux.sum() == pytest.approx(points.flux.sum())
    # Nor the noise: what is added is the same with it.
    noisy = Instrument(pixels=SIDE)
    added = observed(noisy, point_sources=True) - observed(noisy)
    assert np.allclose(added, observed(point_sources=True) - observed(), atol=1e-5 * RMS, rtol=1e-5)


def test_sources_scale_with_frequency_and_are_subtracted():
    here, _ = observation.sources(config(point_sources=True), 0, {})
    lower = replace(QUIET, frequency=0.7)
    there, _ = observation.sources(config(lower, point_sources=True, spectral_index=0.8), 0, {})
    assert there.flux == pytest.approx(here.flux * 2**0.8)
    before, after = observation.sources(config(point_sources=True, residual=0.1), 0, {})
    assert np.array_equal(before.flux, here.flux)
    assert after.flux == pytest.approx(0.1 * here.flux)
    options = dict(point_sources=True, residual=0.0, residual_scatter=0.05)
    _, after = observation.sources(config(**options), 0, {})
    share = after.flux / here.flux
    error = 4 * 0.05 / np.sqrt(len(share))
    assert share.mean() == pytest.approx(0, abs=error) and share.std() == pytest.approx(
        0.05, abs=error
    )


def test_point_sources_are_beams_of_their_flux_at_their_places():
    beam = Beam(10, 10)
    sources, _ = observation.sources(config(point_sources=True), 0, {})
    added = observed(point_sources=True) - observed()
    brightest = np.argsort(sources.flux)[::-1]
    inside = [i for i in brightest if 5 < sources.row[i] < 294 and 5 < sources.column[i] < 294]
    for i in inside[:10]:
        row, column = round(sources.row[i]), round(sources.column[i])
        offset = np.hypot(row - sources.row[i], column - sources.column[i]) * 9.6
        expected = sources.flux[i] * 0.5 ** ((offset / 5) ** 2) / beam.area
        assert added[row, column] == pytest.approx(expected, rel=0.05, abs=1e-6)
    seen = (sources.row > -0.5) & (sources.row < 299.5)
    seen &= (sources.column > -0.5) & (sources.column < 299.5)
    assert added.sum(dtype=float) * 9.6**2 == pytest.approx(sources.flux[seen].sum(), rel=0.05)


def test_header_entries_say_what_was_added_and_fit():
    options = {key: value for entry in ON.values() for key, value in entry.items()}
    _, cards = observation.observe(blob(), config(**options), 0)
    sources, _ = observation.sources(config(**options), 0, {})
    assert cards["NPOINTS"][0] + cards["NGALAXY"][0] < len(sources)
    assert cards["NPOINTS"][0] > 100 and cards["POINTSJY"][0] > 0 and cards["NSTRIPES"][0] == 2
    header = fits.Header()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for key, entry in cards.items():
            assert len(key) <= 8
            header[key] = entry
        header.tostring()


def wider(fine: float, width: float, side: int = 120) -> np.ndarray:
    """A round Gaussian of that FWHM [arcsec], peak 1, in the form of a dirty beam."""
    away = np.fft.fftfreq(side, 1 / side) * fine
    return (0.5 ** ((away / width * 2) ** 2 + (away[:, None] / width * 2) ** 2)).astype(np.float32)


@pytest.mark.parametrize("block", [2048, 40])
@pytest.mark.parametrize("scale", [9.6, 3.0])
def test_the_restoring_beam_is_replaced_exactly_wherever_a_source_lies(block, scale):
    beam, width = Beam(10, 10), 17.0
    fine = sidelobes.fineness(scale, 10)
    column, row = np.array([30.3, 2.9, 89.0, 40.1]), np.array([60.45, 30.0, 40.52, -1.0])
    sources = Components.points(column, row, np.array([1.0, 0.3, -0.5, 0.8]))
    image = np.zeros((100, 100), np.float32)
    sources.spread(image, scale, beam)
    response = sidelobes.Response(
        sources, np.zeros_like(image), wider(scale / fine, width), replaces=True
    )
    sidelobes.add(image, [response], scale, beam, block=block)
    place = np.arange(100)
    expected = sum(
        s * Beam(width, width).profile((place - c) * scale, ((place - r) * scale)[:, None])
        for c, r, s in zip(column, row, sources.flux, strict=True)
    )
    assert abs(image * beam.area - expected).max() < 2e-4


@pytest.mark.parametrize("block", [2048, 50])
def test_the_diffuse_sky_is_seen_through_the_same_beam(block):
    beam, sky = Beam(10, 10), blob(120, 1.0, 3.0)
    image = np.zeros((120, 120), np.float32)
    nothing = Components.points(*np.zeros((3, 0)))
    response = sidelobes.Response(nothing, sky, wider(3.2, 20.0), replaces=False)
    sidelobes.add(image, [response, response], 9.6, beam, block=block)
    # Sigma^2 add; the flux in a beam of 20 arcsec is four times that in one of 10.
    sigma = np.hypot(3.0, 20 / 2.35482 / 9.6)
    expected = 2 * 4 * 9 / sigma**2 * blob(120, 1.0, sigma)
    assert abs(image - expected).max() < 1e-3 * expected.max()


@pytest.mark.parametrize(
    "flux, left",
    [(0.0, 0.0), (30.0, 30.0), (50.0, 50.0), (150.0, 60.0), (-30.0, -30.0), (-1050.0, -150.0)],
)
def test_clean_leaves_what_is_faint_and_a_share_of_the_rest(flux, left):
    assert observation.uncleaned(np.array([flux]), 50.0, 0.1) == pytest.approx([left])


def test_a_source_is_cleaned_by_how_bright_it_is_in_a_beam(monkeypatch):
    # 10 beams that hold 400 uJy are nowhere as bright as 50 uJy/beam: nothing of them is cleaned.
    wide = Components(*np.array([[50.0], [50.0], [4e-4], [99.5**0.5 * 10], [0.0], [0.0]]))
    monkeypatch.setattr(observation, "sources", lambda *_: (wide, wide))
    dark = np.zeros((SIDE, SIDE), np.float32)
    deeper, deep, shallow = (
        observed(sky=dark, dirty_beam=True, clean_depth=d, clean_residual=0.0)
        for d in (20, 50, 1e6)
    )
    assert np.array_equal(deep, shallow)
    assert abs(deeper - deep).max() > 0


def test_what_is_not_cleaned_has_the_dirty_beam():
    # One source alone, on a pixel's centre: its peak stays, its sidelobes are the dirty beam's.
    sky = np.zeros((SIDE, SIDE), np.float32)
    options = dict(dirty_beam=True, clean_depth=1e6)
    setup = config(**options)
    source = Components.points(np.array([150.0]), np.array([150.0]), np.array([0.2]))
    _, declination = instrument.field_centre(1, 0)
    seen = uvcoverage.observe(declination, QUIET, setup.effects, 3.2)
    weight = uvcoverage.weights(uvcoverage.density(seen), seen, 0.0, 10.0)
    dirty = uvcoverage.dirty_beam(weight, seen)
    image = np.zeros_like(sky)
    source.spread(image, 9.6, Beam(10, 10))
    response = sidelobes.Response(source, sky, dirty, replaces=True)
    sidelobes.add(image, [response], 9.6, Beam(10, 10))
    expected = np.roll(dirty, (450, 450), (0, 1))[: 3 * SIDE : 3, : 3 * SIDE : 3] * 0.2
    assert abs(image * Beam(10, 10).area - expected).max() < 1e-5
    assert image[150, 150] * Beam(10, 10).area == pytest.approx(0.2, rel=1e-3)


def test_a_cleaned_image_is_nearer_to_the_truth():
    truth = observed(point_sources=True)
    options = dict(point_sources=True, dirty_beam=True)
    deep, shallow, none = (
        (observed(**options, clean_depth=depth, clean_residual=0.0) - truth).std()
        for depth in (0.0, 1e3, 1e6)
    )
    assert deep < 1e-3 * RMS < shallow < none


@pytest.mark.parametrize("arcmin, kept", [(10, 1.0), (32.8, 0.5), (65.6, 0.0424)])
def test_waves_longer_than_the_shortest_baseline_sees_are_lost(arcmin, kept):
    # lambda / 22.4 m = 32.9 arcmin at 1.4 GHz: half of it is left. 1 - 2^-(1/16) at twice that.
    wave = np.cos(2 * np.pi * np.arange(1200) * 9.6 / 60 / arcmin)
    sky = np.broadcast_to(wave, (1200, 1200)).astype(np.float32)
    shortest = 22.4 * 1.4e9 / uvcoverage.LIGHT
    seen = artefacts.without_short_spacings(sky, 9.6, shortest)[500:700, 300:900]
    found = 2 * (seen * wave[300:900]).mean() / 1.0
    assert found == pytest.approx(kept * 2 * (wave[300:900] ** 2).mean(), abs=0.03)


def test_a_uniform_sky_is_lost_and_a_point_is_kept():
    sky = np.ones((1500, 1500), np.float32)
    sky[750, 750] += 100
    shortest = 22.4 * 1.4e9 / uvcoverage.LIGHT
    seen = artefacts.without_short_spacings(sky, 9.6, shortest)
    assert abs(seen[700:740, 700:740]).max() < 0.02
    assert seen[750, 750] == pytest.approx(100, rel=0.01)


def test_noise_rises_to_the_stated_factor_at_the_edge():
    rise = artefacts.noise_rise([-1.0, 0.0, 0.3, 1.0], 2.5)
    assert rise == pytest.approx([2.5, 1, 1, 2.5], abs=1e-3)
    assert artefacts.noise_rise([0.0, 1.0], 1.0) == pytest.approx([1, 1])
    assert (np.diff(artefacts.noise_rise(np.linspace(0, 1, 50), 3.0)) >= 0).all()
    settings = Instrument(pixels=900)
    dark = np.zeros((900, 900), np.float32)
    noise = observed(settings, dark, noise_edge=2.0)
    middle, side, corner = noise[300:600, 300:600], noise[300:600, :3], noise[:6, :6]
    assert middle.std() == pytest.approx(RMS, rel=0.02)
    assert side.std() == pytest.approx(2 * RMS, rel=0.1)
    assert corner.std() == pytest.approx(4 * RMS, rel=0.4)
    # In the middle it is the noise of the plain image, to the byte.
    plain = observed(settings, dark)
    assert np.allclose(middle, plain[300:600, 300:600], rtol=1e-3)


def test_a_mosaic_of_fields_has_this_noise():
    # 400 fields evenly along an axis, each seen through its primary beam: 1 / sqrt(sum of B^2).
    fields = np.linspace(-1, 1, 4001)
    fields = fields[abs(fields) < 1 - artefacts.PRIMARY * 0.476936]  # erfinv(1 / 2): 2 at the edge
    place = np.array([0.0, 0.5, 0.7, 0.9, 1.0])
    beams = np.exp(-0.5 * ((place[:, None] - fields) / artefacts.PRIMARY) ** 2)
    rms = 1 / np.sqrt((beams**2).sum(axis=1))
    assert artefacts.noise_rise(place, 2.0) == pytest.approx(rms / rms[0], rel=1e-2)


def test_stripes_are_as_strong_as_the_gain_error():
    options = dict(point_sources=True, stripes=3)
    plain = observed(point_sources=True)
    weak = observed(**options, gain_error=0.1) - plain
    strong = observed(**options, gain_error=0.4) - plain
    assert abs(strong - 4 * weak).max() < 1e-3 * abs(strong).max()
    assert strong.std() > 0


@pytest.mark.slow
def test_stripes_stay_when_sources_are_subtracted():
    gone = dict(point_sources=True, residual=0.0)
    stripes = observed(**gone, stripes=2) - observed(**gone)
    expected = observed(point_sources=True, stripes=2) - observed(point_sources=True)
    assert abs(stripes).max() > 0
    assert abs(stripes - expected).max() < 1e-4 * abs(expected).max()


def test_stripes_have_the_rms_of_their_visibilities():
    # Parseval: the power of the image, but for the primary beam, is that of the uv plane, in which
    # the error is |g| times the weight of the samples it touched.
    settings = Instrument()
    coverage = uvcoverage.observe(-40.0, settings, Effects(), 3.2)
    number = uvcoverage.density(coverage)
    weight = uvcoverage.weights(number, coverage, 0.0, 10.0)
    wrong = uvcoverage.Errors(np.array([0.3]), np.array([11]), np.array([0.4]), 0.05)
    beam = uvcoverage.error_beam(number, weight, coverage, wrong)
    mine = (coverage.pairs == 11).any(axis=1).astype(float)
    times = slice(int(0.4 * len(coverage.u)), int(0.4 * len(coverage.u)) + 30)
    touched = coverage.count(mine, mine, times) / np.maximum(number, 1) * weight * 0.3
    power = 2 * (touched.astype(float) ** 2).sum() - (touched[:, 0].astype(float) ** 2).sum()
    away = np.fft.fftfreq(coverage.side, 1 / coverage.side) * 3.2 / uvcoverage.primary_beam(1.4)
    window = np.exp(-4 * np.log(2) * (away**2 + away[:, None] ** 2))
    assert ((beam / window) ** 2).mean() == pytest.approx(power, rel=1e-3)


def test_a_brightest_source_fainter_than_the_faintest_is_refused():
    with pytest.raises(InputError, match="effects.flux_limit = 2000 uJy.*brightest = 0.001 Jy"):
        Effects(flux_limit=2000.0, brightest=0.001)
