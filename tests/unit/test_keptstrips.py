"""What is kept of planes between the pass that measures them and the one that classifies them."""

import numpy as np
import pytest

from cosmodeep_hpc.survey.keptstrips import KeptStrips
from cosmodeep_hpc.survey.view import Strip


def strip(rows, value=0.0):
    pixels = np.full((rows, 10), value, np.float32)
    return Strip(pixels, pixels.copy(), np.zeros((rows, 3), np.int64))


def test_a_plane_is_taken_once():
    kept, given = KeptStrips(), strip(5, 3.0)
    kept.keep((0, 1), given)
    assert kept.take((0, 0)) is None
    found = kept.take((0, 1))
    assert found.pixels is given.pixels and found.gaps is given.gaps and found.single is None
    assert kept.take((0, 1)) is None


@pytest.mark.parametrize("rows, there", [(1, [0, 1, 2, 3]), (4, [2, 3]), (8, [3]), (11, [])])
def test_the_last_ones_are_kept_as_far_as_they_fit(rows, there):
    """At most 100 pixels, of planes of 10 columns."""
    kept = KeptStrips(most=100)
    for plane in range(4):
        kept.keep((0, plane), strip(rows))
    assert [plane for plane in range(4) if kept.take((0, plane)) is not None] == there


def test_rows_of_a_strip():
    whole = Strip(np.arange(20, dtype="f4").reshape(4, 5), None, np.arange(12).reshape(4, 3))
    some = whole.rows(1, 3)
    np.testing.assert_array_equal(some.pixels, [[5, 6, 7, 8, 9], [10, 11, 12, 13, 14]])
    np.testing.assert_array_equal(some.gaps, [[3, 4, 5], [6, 7, 8]])
