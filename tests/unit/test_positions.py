"""Positions of islands and their errors: those of many draws of the noise."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from support.findings import findings, mapped, noisy, rows_in, sky

from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.islands.positions import icrs, steps
from cosmodeep_hpc.sky.instrument import noise

SIDE, PIXEL, BEAM = 240, 4.0, Beam(20.0, 20.0)
Y, X = np.mgrid[:SIDE, :SIDE].astype(float)


def blob(x, y, peak, width):
    return peak * np.exp(-((X - x) ** 2 + (Y - y) ** 2) / (2 * width**2))


def measured(source, inside, seed, folder):
    """The island of an image of a source in noise."""
    pixels = source + noise(np.random.default_rng(seed), SIDE, PIXEL, BEAM)
    made = mapped(noisy(pixels, folder), np.where(inside, 0.9, 0.1), cell=1)
    (found,) = rows_in(findings(made).islands.table)
    return found


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """60 images of a Gaussian 7 beams wide and 4 times as bright as the noise, in fixed cells."""
    source, inside = blob(121.3, 118.6, 4.0, 15.0), np.hypot(X - 122, (Y - 119) * 1.6) < 34
    folder = tmp_path_factory.mktemp("drawn")
    return [measured(source, inside, seed, folder) for seed in range(60)]


@pytest.mark.parametrize("axis, named", [("x", "ra_error"), ("y", "dec_error")])
def test_positions_scatter_as_their_errors_say(drawn, axis, named):
    """North is up: columns are right ascension."""
    scatter = np.std([getattr(island, axis) for island in drawn]) * PIXEL
    said = np.median([getattr(island, named) for island in drawn])
    assert said == pytest.approx(scatter, rel=0.2)


def test_fluxes_scatter_as_their_errors_say(drawn):
    for what in ("flux", "diffuse"):
        scatter = np.std([getattr(island, what) for island in drawn])
        said = np.median([getattr(island, f"{what}_error") for island in drawn])
        assert said == pytest.approx(scatter, rel=0.2)


def test_on_an_image_that_is_turned_errors_are_of_the_sky(drawn, tmp_path):
    """By 90 degrees: what scatters along rows is right ascension."""
    source, inside = blob(121.3, 118.6, 4.0, 15.0), np.hypot(X - 122, (Y - 119) * 1.6) < 34
    pixels = source + noise(np.random.default_rng(0), SIDE, PIXEL, BEAM)
    path = noisy(pixels, tmp_path, CROTA2=90.0)
    (turned,) = rows_in(findings(mapped(path, np.where(inside, 0.9, 0.1), cell=1)).islands.table)
    assert (turned.ra_error, turned.dec_error) == pytest.approx(
        (drawn[0].dec_error, drawn[0].ra_error), rel=1e-3
    )


def test_a_source_in_a_corner_of_its_cells_is_where_it_is(tmp_path):
    """Noise of both signs cancels: the middle of the cells draws nothing to itself."""
    inside = np.zeros((SIDE, SIDE), bool)
    inside[80:160, 80:160] = True
    pulls = []
    for seed in range(6):
        island = measured(blob(142.0, 96.5, 40.0, 5.0), inside, seed, tmp_path)
        away = np.array([island.x - 142.0, island.y - 96.5]) * PIXEL
        pulls.append(away / [island.ra_error, island.dec_error])
        middle = np.array([142.0 - 119.5, 96.5 - 119.5]) * PIXEL
        assert (np.abs(middle) > 3 * np.array([island.ra_error, island.dec_error])).all()
    assert np.abs(pulls).max() < 3 and np.abs(np.mean(pulls, axis=0)).max() < 1.2


def test_where_nothing_stands_out_the_middle_stands_in(tmp_path):
    inside = np.zeros((SIDE, SIDE), bool)
    inside[80:160, 90:130] = True
    island = measured(0.0 * X, inside, 1, tmp_path)
    assert (island.x, island.y) == (109.5, 119.5)
    # anywhere in it, evenly
    assert island.ra_error == pytest.approx(40 * PIXEL / np.sqrt(12), rel=0.01)
    assert island.dec_error == pytest.approx(80 * PIXEL / np.sqrt(12), rel=0.01)


@pytest.mark.parametrize("projection", ["SIN", "TAN", "ZEA", "CAR", "GAL"])
@pytest.mark.parametrize("cards", [{}, {"CROTA2": 30.0}, {"CRVAL1": 0.0}])
def test_a_step_leads_where_astropy_says(projection, cards):
    wcs = WCS(sky((200, 200), projection, **cards))
    (found,) = steps(wcs, [31.0], [152.0])
    here = SkyCoord(icrs(wcs, 31.0, 152.0), unit="deg")[0]
    for axis, (dx, dy) in enumerate(((1, 0), (0, 1))):
        there = SkyCoord(icrs(wcs, 31.0 + dx, 152.0 + dy), unit="deg")[0]
        offset = [v.arcsec for v in here.spherical_offsets_to(there)]
        assert found[:, axis] == pytest.approx(offset, abs=0.01)
