"""What is filled where an image has no data does not look like emission."""

import numpy as np
import pytest
from support.fields import NOISE, header

import cosmodeep_hpc as cd
from benchmarks.skies import noise, points, radius

FIELDS = 8


@pytest.mark.parametrize("beam", [10.4, 28.0])
@pytest.mark.parametrize("area", [None, 400])
@pytest.mark.parametrize("gap", [False, True])
def test_tiles_that_are_cut_are_not_false(beam, area, gap):
    """At most 2 % of those at edges or at the border of a circle, in fields without emission."""
    found, whole = [], []
    for seed in range(FIELDS):
        random = np.random.default_rng(seed)
        shape = 261 + 3 * seed, 255 + 2 * seed  # the last tiles have 15 to 42 of 40 pixels
        image = noise(shape, beam / 9.6, random)
        if area is not None:
            image = image + points(area)(shape, beam / 9.6, random)
        has_data = np.ones(shape, bool) if not gap else radius(shape) < 0.45 * min(shape)
        pixels = np.where(has_data, image * NOISE, np.nan).astype(np.float32)
        swept = cd.classify(pixels, header(shape, beam=beam), model="robust")
        rows, cols = swept.probability.shape
        tiles = np.zeros((40 * rows, 40 * cols))
        tiles[: shape[0], : shape[1]] = has_data
        share = tiles.reshape(rows, 40, cols, 40).mean(axis=(1, 3))
        known = np.isfinite(swept.probability)
        signal = swept.probability >= swept.record["threshold"]
        found += list(signal[known & (share < 1)])
        whole += list(signal[known & (share == 1)])
    assert len(found) > 60 and np.mean(found) <= 0.02
    assert np.mean(whole) <= 0.02
