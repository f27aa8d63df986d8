"""How large islands are on the sky: rectangles, discs and bars, wherever they lie."""

import numpy as np
import pytest
from astropy.wcs import WCS
from support.findings import islands_of, mapped, sky, write_mosaic

from cosmodeep_hpc.islands.extent import ellipses, largest_sizes

SHAPE, PIXEL, CELL = (160, 200), 9.6, 4
TURN = np.deg2rad(30)
TURNED = {
    "PC1_1": np.cos(TURN), "PC1_2": -np.sin(TURN), "PC2_1": np.sin(TURN), "PC2_2": np.cos(TURN)
}  # fmt: skip
SKIES = {
    "north up": {},
    "RA to the right": {"CDELT1": PIXEL / 3600},
    "CROTA": {"CROTA2": 30.0},
    "PC": TURNED,
    "PC and RA to the right": {**TURNED, "CDELT1": PIXEL / 3600},
}
PLACES = {
    "anywhere": (150.0, -35.0),
    "across RA 0h": (0.0, 20.0),
    "beside a pole": (77.0, 89.95),
    "at a pole": (0.0, -90.0),
}
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)


def rectangle(rows, cols):
    """Its rows, as sums over cells have them: island, row, first and last column."""
    return np.array([[0, row, cols.start, cols.stop - 1] for row in rows])


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("cards", SKIES.values(), ids=SKIES)
@pytest.mark.parametrize("rows, cols", [(range(3, 9), range(8, 30)), (range(5, 6), range(7, 8))])
def test_the_largest_size_of_a_rectangle_is_its_diagonal(place, cards, rows, cols):
    ra, dec = PLACES[place]
    wcs = WCS(sky(SHAPE, CRVAL1=ra, CRVAL2=dec, **cards))
    (found,) = largest_sizes(wcs, rectangle(rows, cols), 1, CELL, SHAPE)
    corners = [
        wcs.pixel_to_world(cols.start * CELL - 0.5, rows.start * CELL - 0.5),
        wcs.pixel_to_world(cols.stop * CELL - 0.5, rows.stop * CELL - 0.5),
    ]
    assert found == pytest.approx(corners[0].separation(corners[1]).arcsec, rel=1e-4)
    assert found == pytest.approx(np.hypot(len(rows), len(cols)) * CELL * PIXEL, rel=1e-3)


def test_cells_end_with_the_image():
    """50 columns of 4 pixels, of an image that is 198 wide."""
    wcs = WCS(sky((160, 198)))
    (found,) = largest_sizes(wcs, rectangle(range(1), range(40, 50)), 1, CELL, (160, 198))
    assert found == pytest.approx(np.hypot(4, 38) * PIXEL, rel=1e-3)


def test_of_a_ring_and_of_an_angle_the_ends_count():
    """The convex hull of an L has the diagonal between its tips."""
    ell = np.concatenate([rectangle(range(10), range(1)), rectangle(range(1), range(20))])
    (found,) = largest_sizes(WCS(sky(SHAPE)), ell, 1, CELL, SHAPE)
    tips = np.hypot(20, 10) * CELL * PIXEL
    assert found == pytest.approx(tips, rel=1e-3)


def test_each_island_has_its_own_size():
    rows = np.concatenate([rectangle(range(10, 11), range(5)), rectangle(range(2), range(2))])
    rows[0, 0] = 2
    found = largest_sizes(WCS(sky(SHAPE)), rows, 4, CELL, SHAPE)
    unit = CELL * PIXEL
    expected = [np.sqrt(8) * unit, np.nan, np.sqrt(26) * unit, np.nan]
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def island(folder, inside, **cards):
    path = write_mosaic(folder / "a.fits", np.full(SHAPE, 1e-12), sky(SHAPE, **cards))
    (found,) = islands_of(mapped(path, np.where(inside, 0.9, 0.1), cell=1))
    return found


@pytest.mark.parametrize("place", PLACES)
def test_the_axes_of_a_disc_are_its_diameter(place, tmp_path):
    ra, dec = PLACES[place]
    found = island(tmp_path, np.hypot(X - 100, Y - 80) < 30, CRVAL1=ra, CRVAL2=dec)
    assert (found.major, found.minor) == pytest.approx((60 * PIXEL, 60 * PIXEL), rel=0.01)
    assert 60 * PIXEL < found.largest < 61.5 * PIXEL  # between the corners of its pixels


@pytest.mark.parametrize("cards", SKIES.values(), ids=SKIES)
@pytest.mark.parametrize("turn", [10, 45, 80, 130, 170])
def test_the_axes_of_a_bar_are_where_it_lies(cards, turn, tmp_path):
    """Of a rectangle of even brightness they are 4 / sqrt(12) of its sides."""
    cosine, sine = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    along, across = (X - 100) * cosine + (Y - 80) * sine, (Y - 80) * cosine - (X - 100) * sine
    found = island(tmp_path, (abs(along) < 50) & (abs(across) < 10), **cards)
    sides = np.array([100, 20]) * PIXEL * 4 / np.sqrt(12)
    assert (found.major, found.minor) == pytest.approx(tuple(sides), rel=0.03)
    wcs = WCS(sky(SHAPE, **cards))
    middle = wcs.pixel_to_world(100, 80)
    angle = middle.position_angle(wcs.pixel_to_world(100 + cosine, 80 + sine)).deg % 180
    assert abs((found.angle - angle + 90) % 180 - 90) < 0.5 and 0 <= found.angle < 180


def test_one_pixel_has_its_own_extent():
    """A square of side 1: 4 / sqrt(12)."""
    steps = np.array([[[-PIXEL, 0.0], [0.0, PIXEL]]])
    found = ellipses(np.zeros((1, 2, 2)), steps)
    assert [v[0] for v in found[:2]] == pytest.approx([PIXEL * 4 / np.sqrt(12)] * 2)
