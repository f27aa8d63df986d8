"""Signal tiles from kept pixels, against counting the pixels."""

import numpy as np
import pytest

from cosmodeep_hpc.sky.occupancy import occupancy, tile_levels


@pytest.mark.parametrize("n_pix", [9, 40])
@pytest.mark.parametrize("gain", [1.0, 0.3])
def test_levels_count_the_same_tiles_as_pixels_do(n_pix, gain):
    sky = np.random.default_rng(1).lognormal(-17, 1.5, (125, 90)).astype(np.float32)
    levels = tile_levels(sky, 40, (n_pix,))
    assert levels.shape == (1, 6)  # whole tiles only
    expected = sum(
        (sky[r : r + 40, c : c + 40] * gain > 1e-7).sum() > n_pix
        for r in (0, 40, 80)
        for c in (0, 40)
    )
    assert occupancy(levels[None], (1e-7,), gain)[0, 0] == expected


def test_a_tile_with_exactly_n_pix_bright_pixels_is_noise():
    sky = np.zeros((40, 40), np.float32)
    sky.flat[:40] = 1
    assert occupancy(tile_levels(sky, 40, (40, 39))[None], (0.5,)).tolist() == [[0], [1]]
