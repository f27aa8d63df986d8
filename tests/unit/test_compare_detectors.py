"""Plain detectors on planted Gaussians and pure noise, and island pixels counted into tiles."""

import numpy as np
import pytest

from cosmodeep_hpc.comparison import detectors, islandtiles
from cosmodeep_hpc.comparison.scoredtiles import IslandCount, Scoring
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.sky import instrument

SCALE, BEAM = 9.6, Beam(10.0, 10.0)


def planted(side, width, peak):
    """A Gaussian in the middle of tile (0, 1) of four tiles."""
    y, x = np.mgrid[: 2 * side, : 2 * side]
    away = (x - 1.5 * side) ** 2 + (y - 0.5 * side) ** 2
    return (peak * np.exp(-away / (2 * width**2))).astype(np.float32)


@pytest.mark.parametrize("sigma", [1.5, 3.0, 6.0])
def test_smoothing_a_planted_gaussian(sigma):
    """Its peak falls by s^2 / (s^2 + sigma^2), and pixel k lies on the circle of k pixels."""
    side, width, peak = 100, 4.0, 5.0
    scores = detectors.plain(planted(side, width, peak), side, [sigma], [0, 40])
    wide = width**2 + sigma**2
    top = peak * width**2 / wide
    assert scores[Scoring("smoothed", f"sigma {sigma:g}, pixel 1", 0)][1] == pytest.approx(
        top, rel=0.01
    )
    at_41 = top * np.exp(-41 / np.pi / (2 * wide))
    found = scores[Scoring("smoothed", f"sigma {sigma:g}, pixel 41", 40)]
    assert found[1] == pytest.approx(at_41, rel=0.02)
    assert found[2] == pytest.approx(0, abs=1e-4 * top)


def test_a_matched_filter_takes_the_scale_of_the_source():
    """In white noise it sees a Gaussian of peak a and width s with sqrt(pi) a s sigma."""
    side, width, peak = 100, 4.0, 2.0
    scores = detectors.matched(planted(side, width, peak), side, [2.0, 4.0, 8.0], [40], None, SCALE)
    found = scores[Scoring("matched", "scales up to 8, brightest pixel")]
    assert found[1] == pytest.approx(np.sqrt(np.pi) * peak * width, rel=0.01)
    to_4 = scores[Scoring("matched", "scales up to 4, brightest pixel")]
    assert to_4[1] == found[1]  # the largest scale adds nothing to it
    alone = detectors.matched(planted(side, width, peak), side, [8.0], [40], None, SCALE)
    # another width r is worse by 2 r s / (r^2 + s^2)
    ratio = alone[Scoring("matched", "scales up to 8, brightest pixel")][1] / found[1]
    assert ratio == pytest.approx(2 * 8 * 4 / (8**2 + 4**2), rel=0.01)


@pytest.mark.parametrize("beam", [None, BEAM, Beam(30.0, 15.0, 30.0)])
@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_noise_of_a_smoothed_map(sigma, beam):
    """Drawn noise, through the beam and through the kernel."""
    stream, side = np.random.default_rng(3), 700
    if beam is None:
        noise = stream.standard_normal((side, side), dtype=np.float32)
    else:
        noise = instrument.noise(stream, side, SCALE, beam)
    smooth = detectors.smoothed(noise, sigma)[50:-50, 50:-50]
    gain = detectors.noise_gain(sigma, beam, SCALE)
    assert smooth.std() / noise.std() == pytest.approx(gain, rel=0.03)
    if beam is None and sigma > 2:
        assert gain == pytest.approx(1 / (2 * np.sqrt(np.pi) * sigma), rel=0.01)


def masks():
    """Islands of two tiles of 4 x 4 pixels at 1 and 2 sigma: those of 2 lie in those of 1."""
    low, high = np.zeros((2, 4, 8), dtype=bool)
    low[1:4, 1:5] = True  # 9 pixels in the first tile, 3 in the second
    high[1:3, 1:3] = True  # 4 pixels in the first
    return {1.0: low, 2.0: high}


def test_tiles_found_by_islands():
    found = masks()
    scores = islandtiles.tile_scores("pybdsf", [2.0, 1.0], found.get, 4, [3, 4])
    any_ = scores[Scoring("pybdsf", islandtiles.ANY)]
    np.testing.assert_array_equal(any_, np.float32([2, 1]))
    more = scores[Scoring("pybdsf", "more than 3 island pixels", 3)]
    np.testing.assert_array_equal(more, np.float32([2, np.nan]))  # 3 pixels are not more than 3
    more = scores[Scoring("pybdsf", "more than 4 island pixels", 4)]
    np.testing.assert_array_equal(more, np.float32([1, np.nan]))


def test_false_islands_cover():
    """Islands that touch diagonally are one; one that touches the truth nowhere is false."""
    mask, truth = np.zeros((2, 6, 6), dtype=bool)
    mask[0, 0] = mask[1, 1] = mask[1, 2] = True
    mask[4:6, 4:6] = True
    truth[1, 2] = truth[3, 3] = True
    assert islandtiles.counted(mask, truth) == IslandCount(2, 7, 1, 4)
    assert islandtiles.counted(~mask & False, truth) == IslandCount(0, 0, 0, 0)


def test_islands_with_a_bright_peak():
    mask = np.zeros((5, 5), dtype=bool)
    mask[0, :2] = mask[3, 3:] = True
    bright = np.zeros((5, 5), dtype=np.float32)
    bright[0, 1], bright[3, 3], bright[4, 0] = 5.5, 5.0, 9
    kept = islandtiles.with_peak(mask, bright, 5.0)
    assert kept.tolist() == (mask & (np.arange(5) < 1)[:, None]).tolist()
    assert not islandtiles.with_peak(mask & False, bright, 5.0).any()
