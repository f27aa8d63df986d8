"""Sources put into an image: their flux and place, where they are put, and what is made of it."""

import json
import math

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable
from support.findings import sky

import cosmodeep_hpc as cd
from cosmodeep_hpc.cli.main import main
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.injection import completeness, places
from cosmodeep_hpc.injection.injected import injected
from cosmodeep_hpc.injection.places import KnownSky, positions_of
from cosmodeep_hpc.injection.sources import Arc, Bridge, Halo, Picture
from cosmodeep_hpc.injection.trial import Trial
from cosmodeep_hpc.islands.positions import steps

PIXEL = 5.0  # arcsec
SOURCES = {
    "halo": Halo(40.0),
    "flat halo": Halo(40.0, 0.5),
    "arc": Arc(300.0, 40.0),
    "bridge": Bridge(300.0, 30.0),
}


def empty(side=400, **cards):
    """An image of nothing, in Jy/beam."""
    header = sky((side, side), pixel=PIXEL, **cards)
    return cd.open_image(np.zeros((side, side), np.float32), header)


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_source_has_the_flux_of_one_jansky(source):
    image = empty()
    made = injected(source, image, 201.3, 190.8, 33.0)
    assert made.seen.sum() * image.pixel_scale**2 == pytest.approx(1.0, rel=2e-3)


def test_a_halo_falls_by_e_over_its_radius():
    """Through a beam much narrower than the radius; 200 pixels from the middle it has ended."""
    image = empty(BMAJ=6 / 3600, BMIN=6 / 3600)
    made = injected(Halo(100.0), image, 200.0, 200.0, 0.0)
    row = made.seen[200 - made.rows.start]
    at = 200 - made.columns.start
    assert row[at + 20] / row[at + 40] == pytest.approx(math.e, rel=0.01)
    inside = Halo(1.0).brightness(np.array([7.9, 8.1]), np.zeros(2))
    assert inside[0] == pytest.approx(math.exp(-7.9)) and inside[1] == 0


@pytest.mark.parametrize("cards", [{}, {"CDELT1": PIXEL / 3600}, {"CROTA2": 30.0}])
@pytest.mark.parametrize("angle", [0.0, 25.0, 110.0])
def test_a_source_is_turned_from_north_through_east(cards, angle):
    image = empty(BMAJ=6 / 3600, BMIN=6 / 3600, **cards)
    made = injected(Bridge(400.0, 20.0), image, 200.0, 200.0, angle)
    row, col = np.indices(made.seen.shape)
    step = steps(image.wcs, 200.0, 200.0)[0]
    east, north = step @ np.stack(
        [(col + made.columns.start - 200).ravel(), (row + made.rows.start - 200).ravel()]
    )
    spread = np.cov(np.stack([east, north]), aweights=np.maximum(made.seen.ravel(), 0))
    long = np.linalg.eigh(spread)[1][:, 1]
    turned = math.degrees(math.atan2(long[0], long[1])) - angle
    assert (turned + 90) % 180 - 90 == pytest.approx(0, abs=0.5)


def test_what_an_arc_fades_to_lies_inside_its_ring():
    """Its sharp edge is that away from the middle of the ring."""
    away = np.array([-20.0, -1.0, 1.0])
    found = Arc(300.0, 40.0).brightness(np.zeros(3), away)
    assert found.tolist() == pytest.approx([math.exp(-0.5), math.exp(-1 / 40), 0.0])


def test_a_picture_of_ones_own_keeps_its_shape(tmp_path):
    """Two blobs, 40 arcsec apart, the western one twice as bright; 1.5 times as large."""
    pixels = np.zeros((61, 61), np.float32)
    pixels[29:32, 19:22], pixels[29:32, 39:42] = 1.0, 2.0  # east is left
    header = sky((61, 61), pixel=2.0, BUNIT="Jy/pixel", BMAJ=None, BMIN=None, BPA=None)
    fits.writeto(tmp_path / "own.fits", pixels, header)
    image = empty(BMAJ=6 / 3600, BMIN=6 / 3600)
    picture = Picture.read(tmp_path / "own.fits")
    made = injected(picture.of_size(1.5 * picture.own), image, 200.0, 200.0, 0.0)
    profile = made.seen.sum(axis=0)
    left, right = profile[: len(profile) // 2], profile[len(profile) // 2 :]
    assert right.sum() / left.sum() == pytest.approx(2.0, rel=0.05)
    apart = np.argmax(right) + len(left) - np.argmax(left)
    assert apart * PIXEL == pytest.approx(1.5 * 40, abs=PIXEL)


def test_a_picture_without_brightness_is_refused(tmp_path):
    fits.writeto(tmp_path / "own.fits", np.zeros((20, 20), np.float32), sky((20, 20)))
    with pytest.raises(InputError, match="no brightness in it; expected an image of a source"):
        Picture.read(tmp_path / "own.fits")


# --- places ---


@pytest.mark.parametrize(
    "place",
    [
        "150.1 -35.2",
        "150.1,-35.2",
        "10:00:24 -35:12:00",
        "10h00m24s -35d12m00s",
        "10 00 24 -35 12 00",
        "J100024-351200",
        (150.1, -35.2),
        SkyCoord(150.1, -35.2, unit="deg"),
        SkyCoord(150.1, -35.2, unit="deg").galactic,
    ],
    ids=str,
)
def test_positions_are_read_as_they_are_written(place):
    (found,) = positions_of([place])
    assert found.separation(SkyCoord(150.1, -35.2, unit="deg")) < 0.1 * u.arcsec


@pytest.mark.parametrize("place", ["150.1", "north of it", "150.1 -95", (1, 2, 3, 4)])
def test_what_is_no_position_is_refused(place):
    with pytest.raises(InputError, match="no position; expected right ascension and declination"):
        positions_of([place])


def known(side=200, cell=2):
    """A plane with an island in its lower left, and no data in its upper half."""
    taken = np.zeros((side // cell,) * 2, bool)
    taken[:40, :40] = True
    blank = np.zeros_like(taken)
    blank[50:] = True
    return KnownSky(taken=taken, blank=blank, cell=cell, tile=40, rebin=1, rms=1.0)


def test_random_places_have_data_and_no_island():
    image = empty(200)
    found = places.drawn(image, known(), 5.0, 50, 1, 0)
    assert len(found) == 50
    for place in found:
        assert 5 <= place.x <= 194 and 5 <= place.y < 95
        assert place.x > 85 or place.y > 85
        assert 0 <= place.angle < 180
    assert found == places.drawn(image, known(), 5.0, 50, 1, 0)
    assert found[:10] == places.drawn(image, known(), 5.0, 10, 1, 0)  # a place is its number's
    assert found != places.drawn(image, known(), 5.0, 50, 2, 0)


def test_where_there_is_no_room_there_is_no_place():
    assert places.drawn(empty(200), known(), 60.0, 5, 1, 0) == []


# --- completeness ---


def trial(flux, found, number=0, size=60.0, diffuse=math.nan, beams=math.nan, total=math.nan):
    return Trial(
        size=size, number=number, x=0.0, y=0.0, angle=0.0, flux=flux, peak=1.0, rms=1.0,
        covered=float(found), found=found, diffuse=diffuse, diffuse_error=1.0, total=total,
        total_error=1.0, beams=beams,
    )  # fmt: skip


@pytest.mark.parametrize(
    "found, tried, low, high",
    [
        (0, 10, 0.0, 1 / 11),  # z = 1: z^2 / (n + z^2)
        (10, 10, 10 / 11, 1.0),
        (1, 2, 0.5 - 0.5 / math.sqrt(3), 0.5 + 0.5 / math.sqrt(3)),
    ],
)
def test_intervals_of_shares(found, tried, low, high):
    ends = completeness.wilson(np.array([found]), np.array([tried]))
    assert [float(end[0]) for end in ends] == pytest.approx([low, high])


@pytest.mark.parametrize(
    "found, limit",
    [
        ([0, 0, 1, 1], 4.0),
        ([1, 1, 1, 1], 1.0),
        ([0, 1, 0, 1], 8.0),  # found by chance below
        ([1, 1, 1, 0], math.inf),
    ],
)
def test_the_limit_at_a_place_is_where_all_brighter_ones_are_found(found, limit):
    trials = [trial(flux, bool(f)) for flux, f in zip((1, 2, 4, 8), found, strict=True)]
    assert completeness.limit(trials) == limit


def test_half_and_nearly_all_are_found_where_a_normal_curve_says():
    """Of 10,000 a flux, shares of a normal distribution in log flux about 3, of width 0.5."""
    fluxes = np.geomspace(0.5, 20, 12)
    share = np.array([0.5 * math.erfc(-(math.log(f / 3)) / 0.5 / math.sqrt(2)) for f in fluxes])
    tried = np.full(12, 10_000)
    half, most = completeness.fitted(fluxes, np.rint(share * tried).astype(int), tried)
    assert half == pytest.approx(3.0, rel=0.01)
    assert most == pytest.approx(3.0 * math.exp(0.5 * 1.6449), rel=0.02)


@pytest.mark.parametrize("found", [[0, 0, 0], [10, 10, 10], [0, 1, 4]])
def test_what_the_fluxes_do_not_reach_is_not_given(found):
    fluxes, tried = np.array([1.0, 2.0, 4.0]), np.array([10, 10, 10])
    half, _ = completeness.fitted(fluxes, np.array(found), tried)
    assert math.isnan(half)


def test_islands_are_as_complete_as_sources_like_them():
    """Faint sources: half found, measured 1.5 times too bright; bright ones: all, as they are."""
    faint = [trial(1.0, n % 2 == 0, n, diffuse=1.5, beams=20.0) for n in range(20)]
    bright = [trial(50.0, True, n, diffuse=48.0, total=50.0, beams=200.0) for n in range(20)]
    flux, beams = np.array([1.5, 50.0, 1e4, np.nan]), np.array([20.0, 200.0, 20.0, 20.0])
    share, bias = completeness.of_islands(faint + bright, flux, beams)
    assert share[:2] == pytest.approx([0.5, 1.0]) and bias[:2] == pytest.approx([1.5, 1.0])
    assert np.isnan(share[2:]).all()  # nothing like it was put in


def test_a_curve_counts_each_size_by_itself():
    trials = [trial(1.0, False), trial(2.0, True), trial(1.0, True, size=120.0)]
    small, large = completeness.curves(trials)
    assert (small.size, small.share.tolist()) == (60.0, [0.0, 1.0])
    assert (large.size, large.share.tolist()) == (120.0, [1.0])


# --- the whole ---


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Noise that a beam of 15 arcsec correlates, in pixels of 5."""
    path = tmp_path_factory.mktemp("image") / "field.fits"
    random = np.random.default_rng(5)
    away = np.fft.fftfreq(320)
    response = np.exp(-2 * (np.pi * np.hypot(away, away[:, None]) * 3 / 2.3548) ** 2)
    noise = np.fft.ifft2(np.fft.fft2(random.normal(size=(320, 320))) * response).real
    header = sky((320, 320), pixel=PIXEL, BMAJ=15 / 3600, BMIN=15 / 3600)
    fits.writeto(path, (1e-5 * noise / noise.std()).astype(np.float32), header)
    return path


@pytest.fixture(scope="module")
def injections(image):
    return cd.inject(image, sizes=[45.0], fluxes=[0.05, 2.0, 5.0], count=3, seed=2)


def test_bright_halos_are_found_and_faint_ones_are_not(injections):
    found = injections.completeness
    assert found["completeness"].tolist() == [0.0, 1.0, 1.0]
    assert found["flux_in"].to_value("mJy").tolist() == [0.05, 2.0, 5.0]
    assert found["flux_ratio"][2] == pytest.approx(1.0, abs=0.2)
    rows = injections.injections
    assert len(rows) == 9 and set(rows["number"]) == {0, 1, 2}


def test_a_source_lies_where_the_table_says(injections, image):
    """The catalogue of the image with it has it there."""
    row = injections.injections[-1]
    opened = cd.open_image(image)
    made = injected(Halo(45.0), opened, row["x"].value, row["y"].value, row["pos_ang"].value)
    pixels = opened.pixels().copy()
    pixels[made.rows.start : made.rows.stop, made.columns.start : made.columns.stop] += (
        5e-3 * made.seen
    )
    found = cd.classify(
        pixels * opened.beam.area, opened.wcs, unit="Jy/beam", beam=opened.beam
    ).islands
    place = SkyCoord(found["ra_deg_cont"], found["dec_deg_cont"])
    own = SkyCoord(row["ra"], row["dec"])
    assert own.separation(place).min() < 15 * u.arcsec


def test_the_command_writes_what_the_function_gives(image, injections, tmp_path, capsys):
    words = ["--inject.sizes", "[45]", "--inject.fluxes", "[0.05,2,5]", "--inject.count", "3"]
    words += ["--inject.seed", "2", "--quiet"]
    assert main(["inject", str(image), "--out", str(tmp_path), *words]) == 0
    assert "3/3" in capsys.readouterr().out
    names = {path.name.removeprefix("field.") for path in tmp_path.iterdir()}
    assert names == {
        "injections.fits", "completeness.fits", "completeness.png", "catalogue.fits", "inject.json",
    }  # fmt: skip
    table = QTable.read(tmp_path / "field.injections.fits")
    np.testing.assert_array_equal(table["found"], injections.injections["found"])
    np.testing.assert_array_equal(table["flux_diffuse"], injections.injections["flux_diffuse"])
    record = json.loads((tmp_path / "field.inject.json").read_text())
    assert record["sizes"][0]["upper_limits_mjy"] == {"0": 2.0, "1": 2.0, "2": 2.0}
    islands = QTable.read(tmp_path / "field.catalogue.fits")
    assert {"completeness", "selection_bias", "flux_total"} <= set(islands.colnames)


def test_files_of_others_are_not_replaced(image, injections, tmp_path):
    (tmp_path / "field.catalogue.fits").write_text("mine")
    with pytest.raises(InputError, match=r"field.catalogue.fits: was not written by `inject`"):
        injections.write(tmp_path)
    assert (tmp_path / "field.catalogue.fits").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "words, message",
    [
        (["--at", "150.0 +35.0"], "lies outside of it; expected places inside the image"),
        (["--at", "nowhere"], "no position; expected right ascension and declination"),
        (["--inject.sizes", "[900]"], "a source of 900 arcsec is wider than it"),
        (["--rms", "map.fits"], r"a map of the noise \(--rms FILE\) is not taken"),
        (["--source", "none.fits"], "none.fits"),
    ],
)
def test_bad_usage_is_one_line(image, tmp_path, words, message, capsys):
    assert main(["inject", str(image), "--out", str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    with pytest.raises(InputError, match=message):
        raise InputError(error)
    assert not list((tmp_path / "out").glob("*"))


def test_places_and_shapes_from_python(image):
    found = cd.inject(image, source="bridge", at="10:00:00 -35:00:00", sizes=[240], fluxes=[8])
    assert found.injections["found"].tolist() == [True]
    with pytest.raises(TypeError, match="unexpected keyword argument 'size'.*'sizes'"):
        cd.inject(image, size=[10])
