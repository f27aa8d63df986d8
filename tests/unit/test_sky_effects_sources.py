"""Radio sources in the Noise image: counts, sizes, places, and their image through the beam."""

import numpy as np
import pytest
from scipy import integrate, stats

from cosmodeep_hpc.config.sky import Effects, Instrument
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.sky.draws import Purpose, draws
from cosmodeep_hpc.sky.effects import pointsources, radiogalaxies
from cosmodeep_hpc.sky.effects.components import Components

STERADIAN = (180 / np.pi) ** 2  # square degrees
FIELD = Instrument(pixels=1000)


def above(low: float, high: float = 1.0) -> float:
    """Sources a square degree with fluxes between two [Jy], integrated by scipy."""

    def per_decade(decade: float) -> float:
        return float(pointsources.per_flux(10**decade)) * 10**decade * np.log(10)

    return integrate.quad(per_decade, np.log10(low), np.log10(high))[0]


@pytest.mark.parametrize(
    "milli, logarithm",
    [  # log10 of S^2.5 dN/dS: sums of the published coefficients, by hand
        (1.0, 0.859),
        (10.0, 1.622),
        (0.1, 0.590),
        (100.0, 2.363),
    ],
)
def test_counts_are_those_of_hopkins(milli, logarithm):
    flux = milli * 1e-3
    euclidean = pointsources.per_flux(flux) * flux**2.5 * STERADIAN
    assert np.log10(euclidean) == pytest.approx(logarithm, abs=1e-6)


def test_counts_agree_with_the_first_survey():
    # 946,432 sources above 1 mJy on 10,575 square degrees (Helfand, White & Becker 2015).
    assert above(1e-3) == pytest.approx(946_432 / 10_575, rel=0.1)


def test_number_and_fluxes_are_drawn_by_the_counts():
    effects = Effects(point_sources=True, flux_limit=100.0)
    numbers, fluxes = [], []
    for index in range(10):
        sources = pointsources.draw(draws(1, Purpose.POINT_SOURCES, index), effects, FIELD)
        inside = sources.inside(FIELD.pixels)
        numbers.append(inside.sum())
        fluxes.append(sources.flux[inside])
    area = (1000 * 9.6 / 3600) ** 2
    expected = above(1e-4) * area
    assert np.sum(numbers) == pytest.approx(10 * expected, abs=4 * np.sqrt(10 * expected))
    assert np.std(numbers) == pytest.approx(np.sqrt(expected), rel=0.7)
    drawn = np.concatenate(fluxes)
    for low, high in ((1e-4, 2e-4), (2e-4, 1e-3), (1e-3, 1e-2), (1e-2, 1.0)):
        expected = above(low, high) * area * 10
        found = ((drawn >= low) & (drawn < high)).sum()
        assert found == pytest.approx(expected, abs=4 * np.sqrt(expected) + 1)


def test_places_are_even_and_reach_beyond_the_image():
    sources = pointsources.draw(draws(1, Purpose.POINT_SOURCES), Effects(), FIELD)
    margin = (150 + 30) / 9.6
    for place in (sources.column, sources.row):
        even = stats.uniform(-margin - 0.5, 1000 + 2 * margin)
        assert stats.kstest(place, even.cdf).pvalue > 1e-3
        assert stats.kstest(place % 1, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(sources.column, sources.row)[0, 1]) < 4 / np.sqrt(len(sources.row))
    assert abs(np.corrcoef(sources.column, sources.flux)[0, 1]) < 4 / np.sqrt(len(sources.row))


def test_sizes_have_the_median_and_the_tail_of_windhorst():
    sources = pointsources.draw(draws(2, Purpose.POINT_SOURCES), Effects(), FIELD)
    for low, high in ((5e-5, 6e-5), (1e-4, 1.2e-4), (3e-4, 4e-4)):
        these = (sources.flux > low) & (sources.flux < high)
        median = 2 * (1e3 * sources.flux[these]) ** 0.3
        error = 4 * 0.5 / np.sqrt(these.sum())
        assert (sources.size[these] > median).mean() == pytest.approx(0.5, abs=error)
        # 2^-(4^0.62) = 0.1945 are four times as large as the median.
        assert (sources.size[these] > 4 * median).mean() == pytest.approx(0.1945, abs=error)
    assert sources.size.max() <= 300


def test_the_median_size_of_windhorst():
    assert pointsources.median_size(1e-3) == pytest.approx(2)
    assert pointsources.median_size(0.1) == pytest.approx(2 * 10**0.6)


def test_a_field_depends_on_seed_and_index_alone():
    one, same, other = (
        pointsources.draw(draws(1, Purpose.POINT_SOURCES, i), Effects(), FIELD) for i in (3, 3, 4)
    )
    assert np.array_equal(one.column, same.column) and np.array_equal(one.flux, same.flux)
    assert len(one.flux) != len(other.flux) or not np.array_equal(one.flux, other.flux)


@pytest.mark.parametrize("column, row", [(20.0, 20.0), (20.3, 19.6), (20.5, 20.5)])
def test_a_point_is_the_beam_at_its_place(column, row):
    beam, scale = Beam(20, 12, 30), 4.0
    image = np.zeros((41, 41), np.float32)
    one = np.ones(1)
    Components.points(column * one, row * one, 5e-3 * one).spread(image, scale, beam)
    place = np.arange(41)
    expected = beam.profile((place - column) * scale, ((place - row) * scale)[:, None])
    assert np.allclose(image * beam.area, 5e-3 * expected, atol=1e-9)
    assert image.sum() * scale**2 == pytest.approx(5e-3, rel=1e-4)


def test_an_ellipse_has_its_flux_width_and_angle():
    scale, beam = 2.0, Beam(10, 10)
    image = np.zeros((200, 200), np.float32)
    values = np.array([[100.2], [99.4], [2e-3], [60.0], [25.0], [np.deg2rad(40)]])
    Components(*values).spread(image, scale, beam)
    assert image.sum() * scale**2 == pytest.approx(2e-3, rel=1e-5)
    light = image / image.sum(dtype=float)
    rows, columns = np.mgrid[:200, :200]
    row, column = (light * rows).sum(), (light * columns).sum()
    assert (column, row) == pytest.approx((100.2, 99.4), abs=1e-3)
    east, north = -(columns - column) * scale, (rows - row) * scale
    second = np.array([[(light * a * b).sum() for a in (north, east)] for b in (north, east)]) * (
        8 * np.log(2)
    )
    values, axes = np.linalg.eigh(second)
    assert np.sqrt(values) == pytest.approx([np.hypot(25, 10), np.hypot(60, 10)], rel=1e-3)
    assert np.rad2deg(np.arctan2(axes[1, 1], axes[0, 1])) % 180 == pytest.approx(40, abs=0.1)


def test_beams_are_flux_over_peak():
    beam, image = Beam(10, 10), np.zeros((301, 301), np.float32)
    wide = Components(*np.array([[150.0], [150.0], [1.0], [60.0], [25.0], [0.7]]))
    wide.spread(image, 1.0, beam)
    assert wide.beams(beam) == pytest.approx([1 / (image.max() * beam.area)], rel=1e-4)
    assert Components.points(*np.ones((3, 2))).beams(beam) == pytest.approx([1, 1])


def test_components_beside_an_image_reach_into_it_and_far_ones_do_not():
    image = np.zeros((20, 20), np.float32)
    beam = Beam(10, 10)
    far = Components.points(np.array([-1.0, 500.0]), np.array([10.0, 10.0]), np.ones(2))
    far.spread(image, 9.6, beam)
    assert image[10, 0] * beam.area == pytest.approx(0.5 ** ((9.6 / 5) ** 2), rel=1e-4)
    assert (image[:, 5:] == 0).all()


def galaxies(number: int, size: float = 60.0) -> Components:
    stream = draws(1, Purpose.RADIO_GALAXIES)
    place = np.full(number, 50.0)
    return radiogalaxies.draw(
        stream, place, place, np.linspace(1e-3, 0.5, number), np.full(number, size), 2.0
    )


def test_radio_galaxies_keep_the_flux_of_their_source():
    found = galaxies(200).flux.reshape(200, 11).sum(axis=1)
    assert found == pytest.approx(np.linspace(1e-3, 0.5, 200))
    assert (galaxies(200).flux > 0).all()


def test_radio_galaxies_are_two_lobes_about_a_core():
    parts = galaxies(400)
    north = ((parts.row - 50) * 2.0).reshape(400, 11)
    east = (-(parts.column - 50) * 2.0).reshape(400, 11)
    assert (north[:, 0] == 0).all() and (east[:, 0] == 0).all()
    ends = np.stack([np.hypot(north[:, i], east[:, i]) for i in (5, 10)])
    # End to end it is about as large as its source; the arms are 2 : 3 at most.
    assert ends.sum(axis=0) == pytest.approx(np.full(400, 54), abs=18)
    assert (ends.min(axis=0) / ends.max(axis=0)).min() > 0.55
    # The arms point away from each other, within their bend, whatever the orientation.
    angle = np.arctan2(east[:, [1, 6]], north[:, [1, 6]])
    assert (np.cos(angle[:, 0] - angle[:, 1]) < -0.8).all()
    even = stats.kstest(angle[:, 0] % (2 * np.pi), stats.uniform(0, 2 * np.pi).cdf)
    assert even.pvalue > 1e-3
    # A third of them is bent: their ends lie to one side of the core.
    outer = np.arctan2(east[:, [5, 10]], north[:, [5, 10]])
    bent = np.cos(outer[:, 0] - outer[:, 1]) > np.cos(np.pi - 0.4)
    assert bent.mean() == pytest.approx(0.3, abs=0.1)


def test_knots_lie_along_the_arm():
    parts = galaxies(50)
    north, east = (parts.row - 50).reshape(50, 11), -(parts.column - 50).reshape(50, 11)
    angle = parts.angle.reshape(50, 11)
    for arm in (slice(1, 6), slice(6, 11)):
        # Between two knots the arm runs as the knots do on the average.
        step = np.arctan2(np.diff(east[:, arm]), np.diff(north[:, arm]))
        mean = (angle[:, arm][:, 1:] + angle[:, arm][:, :-1]) / 2
        assert (abs(np.cos(step - mean)) > 0.99).all()
