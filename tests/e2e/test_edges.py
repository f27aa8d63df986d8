"""What is filled where an image has no data does not look like emission."""

import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from support.fields import NOISE, header

import cosmodeep_hpc as cd
from benchmarks.skies import noise, points, radius

FIELDS = 8
NO_DATA = 255
NEAR = 20
"""Pixels from an edge."""


@pytest.mark.parametrize("beam", [10.4, 28.0])
@pytest.mark.parametrize("area", [None, 400])
@pytest.mark.parametrize("gap", [False, True])
def test_tiles_that_are_cut_are_not_false(beam, area, gap):
    """At most 2 % of those at edges or at the border of a circle, in fields without emission.

    And at most 1 % of the pixels of islands at these.
    """
    found, whole, marked, inside = [], [], [], []
    for seed in range(FIELDS):
        random = np.random.default_rng(seed)
        shape = 261 + 3 * seed, 255 + 2 * seed  # the last tiles have 15 to 42 of 40 pixels
        image = noise(shape, beam / 9.6, random)
        if area is not None:
            image = image + points(area)(shape, beam / 9.6, random)
        has_data = np.ones(shape, bool) if not gap else radius(shape) < 0.45 * min(shape)
        pixels = np.where(has_data, image * NOISE, np.nan).astype(np.float32)
        swept = cd.classify(pixels, header(shape, beam=beam), model="robust")
        rows, cols = swept.tiles.shape
        tiles = np.zeros((40 * rows, 40 * cols))
        tiles[: shape[0], : shape[1]] = has_data
        share = tiles.reshape(rows, 40, cols, 40).mean(axis=(1, 3))
        known, signal = swept.tiles != NO_DATA, swept.tiles == 1
        found += list(signal[known & (share < 1)])
        whole += list(signal[known & (share == 1)])
        near = has_data & ~binary_erosion(has_data, iterations=NEAR)
        marked.append(np.mean(swept.mask[near] == 1))
        inside.append(np.mean(swept.mask[has_data & ~near] == 1))
    assert len(found) > 60 and np.mean(found) <= 0.02
    assert np.mean(whole) <= 0.02
    assert np.mean(marked) <= 0.01 and np.mean(inside) <= 0.01
