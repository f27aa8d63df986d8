"""Regions worth a look: a large object, an elongated one, a small one that stands alone."""

import numpy as np
import pytest

from cosmodeep_hpc.paper.regions import chosen, elongation, groups
from cosmodeep_hpc.paper.skypanel import ImagePart


def grid(*parts, shape=(50, 50)):
    """Tiles with signal in these (rows, columns)."""
    signal = np.zeros(shape, bool)
    for rows, columns in parts:
        signal[rows, columns] = True
    return signal


BLOCK = (slice(30, 34), slice(5, 9))  # 16 tiles
LINE = (slice(8, 9), slice(20, 27))  # 7 tiles in a row
LONELY = (slice(40, 41), slice(40, 42))  # 2 tiles, far from all others
NEAR = (slice(11, 13), slice(20, 21))  # 2 tiles beside the line


def test_each_object_is_in_the_middle_of_its_region():
    less_lonely = (slice(30, 31), slice(22, 24))  # 14 tiles from the block, not 20 from the other
    found = chosen(grid(BLOCK, LINE, LONELY, NEAR, less_lonely))
    assert [r.what for r in found] == ["largest object", "elongated object", "small object"]
    assert [(r.row, r.col) for r in found] == [(27, 2), (3, 18), (35, 36)]


def test_regions_do_not_overlap_and_stay_in_the_field():
    found = chosen(grid((slice(0, 3), slice(0, 3)), (slice(4, 5), slice(4, 9)), LONELY))
    assert [(r.what, r.row, r.col) for r in found] == [
        ("largest object", 0, 0),  # the line beside it would be shown twice
        ("small object", 35, 36),
    ]


def test_the_next_largest_is_shown_where_none_is_elongated_or_small():
    other = (slice(10, 13), slice(40, 43))
    found = chosen(grid(BLOCK, other))
    assert [r.what for r in found] == ["largest object", "next largest object"]


@pytest.mark.parametrize("signal", [grid(), grid(shape=(0, 0))])
def test_a_field_without_signal_has_none(signal):
    assert chosen(signal) == []


def test_tiles_that_touch_at_a_corner_are_one_group():
    signal = np.eye(4, dtype=bool)
    signal[0, 3] = True
    assert [len(group) for group in groups(signal)] == [4, 1]


@pytest.mark.parametrize(
    "group, expected",
    [
        ([(0, 0)], 1),
        ([(0, 0), (0, 1), (1, 0), (1, 1)], 1),
        ([(0, n) for n in range(6)], 6),  # 6 squares of side 1 in a row: 6 x 1
    ],
)
def test_elongation_of_rectangles_is_the_ratio_of_their_sides(group, expected):
    assert elongation(np.array(group)) == pytest.approx(expected)


def test_a_region_of_a_small_field_ends_with_it():
    [region] = chosen(grid((slice(2, 3), slice(2, 3)), shape=(4, 6)))
    assert region.window(40, (160, 230)) == ImagePart((0, 160), (0, 230))


def test_tiles_lie_in_a_window_with_their_centres():
    window = ImagePart((40, 90), (0, 40))
    rows, cols = np.array([0, 1, 2, 1]), np.array([0, 0, 0, 1])
    # centres at y = 20, 60, 100, 60, x = 20, 20, 20, 60
    assert window.holds(rows, cols, 40).tolist() == [False, True, False, False]
