"""Outlines of islands follow the sides of their cells, holes and corners too."""

import numpy as np
import pytest
from regions import PixCoord, PolygonPixelRegion
from support.findings import labels_of

from cosmodeep_hpc.products.outlines import outlines, polygon


def inside(corners, x, y):
    """Which points the polygon holds, by the rule of astropy's regions."""
    region = PolygonPixelRegion(PixCoord(corners[:, 0], corners[:, 1]))
    return region.contains(PixCoord(x, y))


@pytest.mark.parametrize(
    "cells, corners",
    [
        (["#"], 4),
        (["###"], 4),
        (["#.", "##"], 6),
        (["#.", ".#"], 8),  # two squares in one loop, through the corner that they share
        (["###", "#.#", "###"], 9),  # and where the cut to the hole begins
    ],
)
def test_corners(cells, corners):
    where = np.array([[c == "#" for c in row] for row in cells])
    loop = polygon(where)
    assert len(set(loop)) <= corners and len(loop) <= corners + 3


@pytest.mark.parametrize("seed", range(30))
def test_every_cell_is_in_the_outline_of_its_island_and_no_other(seed):
    random = np.random.default_rng(seed)
    labels = labels_of(random.random((9, 11)) < random.uniform(0.2, 0.9))
    found = outlines(labels, 10, (90, 110))
    assert [outline.number for outline in found] == list(range(1, len(labels) + 1))
    y, x = np.mgrid[:90, :110] + 0.01  # the centres of pixels, off the lines of the cuts
    expected = np.kron(labels.whole(), np.ones((10, 10), int))
    for outline in found:
        np.testing.assert_array_equal(
            inside(outline.corners, x.ravel(), y.ravel()).reshape(90, 110),
            expected == outline.number,
        )


@pytest.mark.parametrize("seed", range(10))
def test_an_outline_is_the_same_however_many_cells_are_looked_at_together(seed):
    """Rings and holes across their borders."""
    random = np.random.default_rng(seed)
    labels = labels_of(random.random((25, 13)) < random.uniform(0.4, 0.9))
    group = labels.group(1 + random.integers(len(labels)))
    whole = polygon(group)
    assert all(polygon(group, at_once) == whole for at_once in (1, 30, 80))


def test_the_area_of_an_outline_is_that_of_its_cells():
    """Shoelace formula: holes count backwards, cuts not at all."""
    cells = np.ones((7, 8), bool)
    cells[1, 1] = cells[3:5, 3:6] = cells[5, 6] = False
    x, y = np.array(polygon(cells), float).T
    assert 0.5 * (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() == cells.sum()


def test_outlines_end_where_the_image_ends():
    (outline,) = outlines(labels_of(np.ones((2, 2), bool)), 40, (70, 75))
    assert outline.corners.min() == -0.5
    np.testing.assert_array_equal(outline.corners.max(axis=0), [74.5, 69.5])
