"""A tile is signal if more than N_pix Sky pixels are brighter than F_th (paper, section 3.3)."""

import math
from pathlib import Path

import numpy as np
import pytest

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.tiles.labels import column, count_bright, is_signal


def tile_with(bright, value=2e-7, size=40):
    """A tile with this many pixels of a value, the others 0."""
    tile = np.zeros(size * size, dtype=np.float32)
    tile[:bright] = value
    return tile.reshape(1, size, size)


@pytest.mark.parametrize(
    "bright, n_pix, signal",
    [
        (40, 40, False),  # exactly N_pix is noise
        (41, 40, True),
        (9, 9, False),
        (10, 9, True),
        (0, 0, False),
        (1, 0, True),
        (1600, 40, True),
        (1600, 70_000, False),  # more than 16 bits hold
    ],
)
def test_more_than_n_pix(bright, n_pix, signal):
    counts = count_bright(tile_with(bright), [1e-7])
    assert counts.tolist() == [[bright]]
    assert is_signal(counts[:, 0], n_pix).tolist() == [signal]


@pytest.mark.parametrize("f_th", [1e-7, 7.5e-8, 5e-8, 1e-8])
def test_pixels_at_the_threshold_are_not_brighter(f_th):
    at = np.float32(f_th)
    above = np.nextafter(at, np.float32(1))
    assert count_bright(tile_with(50, at), [f_th]).tolist() == [[0]]
    assert count_bright(tile_with(50, above), [f_th]).tolist() == [[50]]


def test_all_thresholds_at_once():
    tile = np.zeros((1, 40, 40), dtype=np.float32)
    tile[0, 0, :7] = [2e-8, 6e-8, 8e-8, 1.1e-7, 1, -1, -1e-7]
    assert count_bright(tile, [1e-7, 7.5e-8, 5e-8, 1e-8]).tolist() == [[2, 3, 4, 5]]


def test_nan_and_infinity():
    tile = np.zeros((1, 40, 40), dtype=np.float32)
    tile[0, 0, :3] = [np.nan, np.inf, -np.inf]
    assert count_bright(tile, [1e-7]).tolist() == [[1]]


def test_the_largest_tile_fits_16_bits():
    tile = np.ones((1, 255, 255), dtype=np.float32)
    counts = count_bright(tile, [1e-7])
    assert counts.dtype == np.uint16 and counts.tolist() == [[255 * 255]]


def test_no_tiles():
    assert count_bright(np.empty((0, 40, 40), np.float32), [1e-7, 1e-8]).shape == (0, 2)


def test_column_of_a_threshold():
    thresholds = [1e-7, 7.5e-8]
    assert column(thresholds, 0.75 * 1e-7, Path("x")) == 1
    assert column(thresholds, 1e-7 * (1 + 4 * math.ulp(1)), Path("x")) == 0  # written otherwise
    with pytest.raises(InputError, match=r"set: no counts at F_th = 5e-08 .* it has 1e-07, 7.5e-0"):
        column(thresholds, 5e-8, Path("set"))
