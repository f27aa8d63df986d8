"""Figure 11: pixels inside and outside of clusters, counted on a sky made by hand."""

import json

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.table import Table
from support.fields import NOISE, write
from support.models import CARD
from support.pictures import has_colour, look

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.evaluation.evaluated import Evaluated
from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.paper import fluxdistribution
from cosmodeep_hpc.paper.classifiedimage import Classified
from cosmodeep_hpc.paper.clustermask import HaloCircles, catalogue_of, inside, read
from cosmodeep_hpc.paper.fluxdistribution import distribution
from cosmodeep_hpc.sky.statistics import edges
from cosmodeep_hpc.tiles.pairs import find_pairs


def halos(*rows):
    """Halos of (row, column, radius [pixel], mass)."""
    columns = np.array(rows, float).reshape(-1, 4).T
    return HaloCircles(*columns)


def bin_of(flux):
    """The number of the bin that holds a surface brightness, by its edges."""
    return int(np.searchsorted(edges(), flux, side="right")) - 1


@pytest.fixture
def sky():
    """2 x 3 tiles of 10 pixels: 3e-9 to the left, 3e-7 in the middle, 3e-5 to the right."""
    return np.repeat(np.float32([[3e-9, 3e-7, 3e-5]]), 10, axis=1).repeat(20, axis=0)


FOUND = np.array([[False, True, False], [False, True, True]])


def test_pixels_by_hand(sky):
    """A cluster over the tile in the lower middle alone, with 5 of its pixels cut off by hand."""
    wide = halos((4.5, 14.5, 4.4, 1e15))
    counted = distribution(sky, FOUND, 10, wide)
    within = int(inside(wide, sky.shape).sum())
    assert 0 < within < 100
    left, middle, right = (bin_of(f) for f in (3e-9, 3e-7, 3e-5))
    curves = {key: np.array(c.pixels) for key, c in counted.curves.items()}
    assert {n: c for n, c in enumerate(curves["all", "outside"]) if c} == {
        left: 200, middle: 200 - within, right: 200
    }  # fmt: skip
    assert {n: c for n, c in enumerate(curves["all", "inside"]) if c} == {middle: within}
    # two tiles found in the middle, and one to the right
    assert {n: c for n, c in enumerate(curves["found", "outside"]) if c} == {
        middle: 200 - within, right: 100
    }  # fmt: skip
    assert curves["found", "inside"].sum() == within
    assert (counted.tiles_found, counted.tiles_outside) == (3, 2)
    assert counted.sky_inside == within / 600 and counted.halos == 1


def test_no_cluster_and_nothing_but_cluster(sky):
    nothing, all_of_it = halos(), halos((10, 15, 100, 1e14))
    empty, full = (distribution(sky, FOUND, 10, h) for h in (nothing, all_of_it))
    assert sum(empty.curves["all", "inside"].pixels) == 0 and empty.tiles_outside == 3
    assert full.curves["all", "inside"] == empty.curves["all", "outside"]
    assert full.tiles_outside == 0 and full.sky_inside == 1


def test_every_pixel_with_data_is_counted_once(sky):
    sky = np.ascontiguousarray(sky)
    sky[0, 0], sky[0, 1], sky[0, 2] = np.nan, 0, 1.0  # no data, fainter and brighter than all bins
    total = distribution(sky, FOUND, 10, halos((0, 0, 3, 1e14)))
    both = total.curves["all", "inside"] + total.curves["all", "outside"]
    assert (both.fainter, both.brighter) == (1, 1) and sum(both.pixels) == 600 - 3


@pytest.mark.parametrize("place", [(50, 60), (0, 0), (-15, 40), (200, 50), (49.5, 60.5)])
def test_a_circle_is_the_pixels_within_its_radius(place):
    shape, radius = (100, 120), 20.3
    y, x = np.mgrid[: shape[0], : shape[1]]
    expected = np.hypot(y - place[0], x - place[1]) <= radius
    assert np.array_equal(inside(halos((*place, radius, 1e14)), shape), expected)


def test_the_circle_of_a_catalogue_is_r100_on_the_sky(tmp_path):
    """Against astropy's separations of all pixels from the centre."""
    image = open_image(write(tmp_path / "noise-a.fits", np.zeros((200, 200), np.float32)))
    centre = SkyCoord(150.1, -35.1, unit="deg")
    table = {"RA": [150.1], "DEC": [-35.1], "M100": [3e14], "THETA100": [300.0]}
    Table(table).write(tmp_path / "halos-a.fits")
    found = read(catalogue_of(image.path), image)
    y, x = np.mgrid[:200, :200]
    apart = image.wcs.pixel_to_world(x, y).separation(centre).to_value(units.arcsec)
    mask = inside(found, image.shape)
    edge = np.abs(apart - 300) < 0.1  # a hundredth of a pixel
    assert np.array_equal(mask[~edge], (apart <= 300)[~edge]) and mask.any()
    assert found.above(3e14).mass.tolist() == [3e14] and len(found.above(4e14).mass) == 0


@pytest.mark.parametrize(
    "content, message",
    [
        ({"RA": [1.0], "DEC": [1.0]}, "halos-a.fits: no halo catalogue .*M100"),
        (None, "halos-a.fits: cannot read it"),
    ],
)
def test_other_catalogues_are_named(tmp_path, content, message):
    image = open_image(write(tmp_path / "noise-a.fits", np.zeros((80, 80), np.float32)))
    if content is not None:
        Table(content).write(tmp_path / "halos-a.fits")
    with pytest.raises(InputError, match=message):
        read(catalogue_of(image.path), image)


def test_picture_and_numbers(tmp_path):
    random = np.random.default_rng(1)
    sky = np.full((80, 120), 1e-9, np.float32)
    sky[10:20, 10:20], sky[50:60, 50:60] = 3e-7, 5e-7
    write(tmp_path / "sky-a.fits", sky)
    write(tmp_path / "noise-a.fits", sky + random.normal(0, NOISE, sky.shape).astype(np.float32))
    row, col = (side.ravel().astype(np.int32) for side in np.mgrid[:2, :3])
    signal = np.array([1, 0, 0, 0, 1, 0], bool)
    image = Evaluated(
        name="a", row=row, col=col, signal=signal, probability=np.float32([1, 1, 0, 0, 1, 0])
    )
    circles = halos((20, 20, 25, 1e14), (60, 60, 200, 5e12))
    words = fluxdistribution.draw(
        find_pairs(tmp_path)[0], Classified("m", CARD, image), circles, 5e13, tmp_path / "p.png"
    )
    # tile (0, 1), found without signal, does not count
    assert words.startswith("clusters from 5e+13 Msun: 1 of 2 tiles found lie outside")
    seen = look(tmp_path / "p.png")
    assert has_colour(seen, fluxdistribution.ALL) and has_colour(seen, fluxdistribution.FOUND)
    content = json.loads((tmp_path / "p.json").read_text())
    assert content["noise_rms"] == pytest.approx(NOISE, rel=0.1)
    outside = {m: row["tiles_outside"] for m, row in content["by_cluster_mass"].items()}
    assert outside == {
        "1e+12": 0, "1e+13": 1, "5e+13": 1, "1e+14": 1, "2e+14": 2, "5e+14": 2
    }  # fmt: skip
    assert len(content["edges"]) == len(content["curves"]["all inside"]["pixels"]) + 1
