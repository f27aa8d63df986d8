"""The symmetries of a square: all eight, the same for tile and targets, and for any ranks."""

import numpy as np
import pytest

from cosmodeep_hpc.learn import symmetries
from cosmodeep_hpc.learn.sampler import keep_mask

TILE = np.array([[1, 2], [3, 4]])


@pytest.mark.parametrize(
    "number, turned",
    [
        (0, [[1, 2], [3, 4]]),
        (1, [[3, 4], [1, 2]]),  # top and bottom
        (2, [[2, 1], [4, 3]]),  # left and right
        (3, [[4, 3], [2, 1]]),  # half a turn
        (4, [[1, 3], [2, 4]]),  # the diagonal
        (5, [[3, 1], [4, 2]]),  # a quarter turn
        (6, [[2, 4], [1, 3]]),  # the other quarter
        (7, [[4, 2], [3, 1]]),  # the other diagonal
    ],
)
def test_each_symmetry(number, turned):
    np.testing.assert_array_equal(symmetries.of_one(number, TILE[np.newaxis])[0], turned)
    images = np.stack([TILE, 10 * TILE, TILE])
    symmetries.apply(np.array([0, number, 0], np.uint8), images)
    np.testing.assert_array_equal(images, [TILE, 10 * np.array(turned), TILE])


def test_what_is_seen_stays_above_what_it_is_called():
    """The surroundings of a tile turn about the same centre as its pixels."""
    window = np.random.default_rng(1).normal(size=(64, 12, 12))
    inner = window[:, 2:-2, 2:-2].copy()
    drawn = symmetries.drawn(1, 0, range(64))
    for images in (window, inner):
        symmetries.apply(drawn, images)
    np.testing.assert_array_equal(window[:, 2:-2, 2:-2], inner)


def test_it_is_a_function_of_seed_epoch_and_place():
    whole = symmetries.drawn(7, 3, range(100))
    parts = [symmetries.drawn(7, 3, r) for r in (range(33), range(33, 34), range(34, 100))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    for other in (symmetries.drawn(8, 3, range(100)), symmetries.drawn(7, 4, range(100))):
        assert (other != whole).any()
    assert symmetries.drawn(7, 3, range(5, 5)).shape == (0,)


def test_each_is_drawn_as_often():
    counts = np.bincount(symmetries.drawn(1, 0, range(8000)), minlength=8)
    assert len(counts) == 8
    assert abs(counts - 1000).max() < 5 * np.sqrt(1000 * 7 / 8)


def test_dropout_is_another_draw():
    kept = keep_mask(16, 0.5, seed=1, epoch=0, rows=range(4000))[:, 0] > 0
    odd = symmetries.drawn(1, 0, range(4000)) & 1 > 0
    assert abs(np.mean(kept == odd) - 0.5) < 5 * 0.5 / np.sqrt(4000)
