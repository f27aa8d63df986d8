"""Labels of islands strip by strip: those of scipy on the whole plane, whatever the strips."""

import numpy as np
import pytest
import scipy.ndimage
from support.findings import grids_of, labels_of

from cosmodeep_hpc.islands.labels import EIGHT, Labels


def spiral(side):
    """One line of cells from a corner to the middle, a cell free between its turns."""
    cells, at = np.zeros((side, side), bool), np.zeros(2, int)
    lengths = [side - 1] + [n for n in range(side - 1, 0, -2) for _ in range(2)]
    steps = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    cells[0, 0] = True
    for turn, length in enumerate(lengths):
        for _ in range(length):
            at += steps[turn % 4]
            cells[tuple(at)] = True
    return cells


def ring(shape, width):
    y, x = np.mgrid[: shape[0], : shape[1]]
    away = np.hypot((y - shape[0] / 2 + 0.5) / shape[0], (x - shape[1] / 2 + 0.5) / shape[1])
    return abs(away - 0.4) < width


def at_random(shape, share, seed):
    return np.random.default_rng(seed).random(shape) < share


def comb(shape):
    """Teeth that the last row alone joins."""
    cells = np.zeros(shape, bool)
    cells[:, ::2] = cells[-1] = True
    return cells


FIELDS = {
    "empty": np.zeros((13, 7), bool),
    "full": np.ones((13, 7), bool),
    "one cell": np.ones((1, 1), bool),
    "a row": at_random((1, 50), 0.5, 1),
    "a column": at_random((50, 1), 0.5, 1),
    "sparse": at_random((60, 41), 0.1, 1),
    "about to connect": at_random((60, 41), 0.3, 2),
    "just connected": at_random((60, 41), 0.42, 3),
    "dense": at_random((60, 41), 0.7, 4),
    "stripes": np.arange(60)[:, None] % 2 * np.ones((1, 9)) > 0,
    "chessboard": np.add.outer(np.arange(30), np.arange(31)) % 2 == 0,
    "diagonals": np.add.outer(np.arange(40), np.arange(31)) % 4 == 0,
    "comb": comb((40, 31)),
    "hanging comb": comb((40, 31))[::-1],
    "spiral": spiral(45),
    "spiral upside down": spiral(45)[::-1],
    "ring": ring((64, 64), 0.04),
    "ring and disc": ring((64, 48), 0.04)
    | ~ring((64, 48), 0.25) & np.pad(np.ones((40, 30), bool), ((12, 12), (9, 9))),
}


def expected(signal, least=1):
    """Labels by scipy, numbered by their first cells, row after row."""
    found, count = scipy.ndimage.label(signal, structure=EIGHT)
    first = [int(np.flatnonzero(found == n)[0]) for n in range(1, count + 1)]
    kept = [n for n in np.argsort(first) + 1 if (found == n).sum() >= least]
    labels = np.zeros_like(found)
    for number, old in enumerate(kept, 1):
        labels[found == old] = number
    return labels


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("height", [2, 3, 7, 16, 1000])
def test_labels_are_those_of_the_whole_plane(name, height):
    signal = FIELDS[name]
    wanted = expected(signal)
    labels = labels_of(signal, at_once=height * signal.shape[1])
    assert len(labels) == wanted.max(initial=0) and labels.shape == signal.shape
    np.testing.assert_array_equal(labels.whole(), wanted)
    assert labels.boxes == scipy.ndimage.find_objects(wanted)
    joined = np.concatenate([strip.labels for strip in labels.strips()])
    np.testing.assert_array_equal(joined, wanted)
    assert [strip.first for strip in labels.strips()] == list(range(0, len(signal), height))


@pytest.mark.parametrize(
    "name, islands", [("spiral", 1), ("ring", 1), ("comb", 1), ("ring and disc", 2)]
)
def test_islands_that_cross_many_strips_are_one(name, islands):
    signal = FIELDS[name]
    assert len(labels_of(signal, at_once=2 * signal.shape[1])) == islands


@pytest.mark.parametrize("least", [1.5, 2, 4, 9.1, 50, 1e9])
@pytest.mark.parametrize("height", [2, 7, 1000])
def test_small_groups_are_left_out_and_the_others_numbered_anew(least, height):
    """By their size in the plane, not in a strip."""
    signal = FIELDS["about to connect"]
    wanted = expected(signal, least)
    labels = labels_of(signal, least, at_once=height * signal.shape[1])
    np.testing.assert_array_equal(labels.whole(), wanted)
    assert labels.boxes == scipy.ndimage.find_objects(wanted)
    assert 0 < len(labels) < expected(signal).max() or least == 1e9


@pytest.mark.parametrize("high", [0.0, 0.6, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("height", [2, 7, 1000])
@pytest.mark.parametrize("name", ["about to connect", "just connected", "comb", "ring and disc"])
def test_groups_are_kept_whose_highest_cell_is_high_enough(name, height, high):
    """Hysteresis: in whichever strip it lies."""
    signal = FIELDS[name]
    random = np.random.default_rng(5).uniform(0, 0.9, signal.shape) ** 8  # few are high
    probability = np.where(signal, 0.5 + random, 0.25).astype(np.float32)
    all_of_them = expected(signal)
    wanted = np.zeros_like(all_of_them)
    for number in range(1, all_of_them.max() + 1):
        if probability[all_of_them == number].max() >= high:
            wanted[all_of_them == number] = wanted.max() + 1
    labels = Labels(grids_of(probability), 0.5, 1, high, at_once=height * signal.shape[1])
    np.testing.assert_array_equal(labels.whole(), wanted)
    assert labels.boxes == scipy.ndimage.find_objects(wanted)


@pytest.mark.parametrize("height", [2, 5, 1000])
def test_rows_and_groups_are_parts_of_the_plane(height):
    """In any order, many times over."""
    signal = FIELDS["just connected"]
    wanted = expected(signal)
    labels = labels_of(signal, at_once=height * signal.shape[1])
    for start, stop in ((40, 60), (0, 60), (3, 4), (17, 31), (59, 60), (0, 1)):
        np.testing.assert_array_equal(labels.rows(start, stop), wanted[start:stop])
    for number in range(len(labels), 0, -1):
        here = wanted[labels.boxes[number - 1]]
        np.testing.assert_array_equal(labels.group(number), here == number)
