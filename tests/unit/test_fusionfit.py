"""The fit of the fusion, and what is chosen from the map of validation fields."""

import numpy as np
import pytest
from scipy.special import expit

from cosmodeep_hpc.learn.fusionfit import fitted, points_of, reliability
from cosmodeep_hpc.learn.pixelmap import MapPoints


def cells(count, weights, offset, seed=1):
    """Log-odds at all scales, and the probability and truth by a linear rule: (n, T) each."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (count, np.shape(weights)[1])).astype(np.float32)
    probability = expit(logits @ np.transpose(weights) + offset)
    return logits, probability, random.random(probability.shape) < probability


@pytest.mark.parametrize(
    "weights, offset",
    [
        ([[1.0]], [0.0]),  # as the network says
        ([[0.4]], [-1.5]),  # too sure of itself
        ([[0.5, 0.3, 0.2]], [-0.5]),  # three scales
        ([[0.6, 0.1, 0.2, 0.0], [0.1, 0.5, 0.0, 0.4]], [0.5, -1.0]),  # two F_th at two scales
    ],
)
def test_a_linear_rule_is_recovered(weights, offset):
    fusion = fitted(*cells(40_000, weights, offset)[::2], seed=1)
    logits, probability, truth = cells(20_000, weights, offset, seed=2)  # others
    for column in range(len(offset)):
        found = fusion.of_logits(logits, column)
        assert np.abs(found - probability[:, column]).mean() < 0.02
        for low in (0.1, 0.3, 0.5, 0.7):
            here = (found >= low) & (found < low + 0.2)
            by_chance = 4 * np.sqrt(0.25 / max(here.sum(), 1))
            away = found[here].mean() - truth[here, column].mean()
            assert abs(away) < 0.01 + by_chance


def test_a_rule_that_no_sum_makes_is_followed_better_than_by_one():
    """Bright where two scales agree: their product decides."""
    random = np.random.default_rng(1)
    logits = random.normal(0, 3, (40_000, 2)).astype(np.float32)
    probability = expit(logits[:, 0] * logits[:, 1])
    truth = random.random(len(logits)) < probability
    found = fitted(logits, truth[:, None], seed=1).of_logits(logits, 0)
    assert np.abs(found - 0.5).mean() > 0.3  # sums of the two know nothing
    assert np.abs(found - probability).mean() < 0.1


def test_the_fit_is_the_same_every_time():
    logits, _, truth = cells(5000, [[0.5, 0.3]], [0.0])
    assert fitted(logits, truth, seed=3) == fitted(logits, truth, seed=3)
    assert fitted(logits, truth, seed=3) != fitted(logits, truth, seed=4)


@pytest.mark.parametrize(
    "truth, threshold, completeness, purity",
    [
        ([1, 1, 0, 1, 0], 0.495, 0.205, 0.785),
        ([1, 1, 1, 1, 1], 0.495, 0.08, 0.495),  # all of them, all of them right: pure at the best
        ([1, 0, 0, 0, 0], 0.495, 0.495, 0.875),  # complete at the best
        ([0, 1, 0, 0, 0], 0.495, 0.495, None),  # never as pure
        ([0, 0, 0, 0, 0], 0.5, None, None),  # nothing is known of such a field
    ],
)
def test_points_of_a_table(truth, threshold, completeness, purity):
    """Halfway to the next lower probability; the best IoU is what probabilities lead to expect.

    Of .92 .83 .74 .25 .16, n found: sums .92 1.75 2.49 2.74 2.9 over 2.9 + .08 .25 .51 1.26 2.1.
    """
    probability = np.array([0.92, 0.83, 0.74, 0.25, 0.16], np.float32)
    shuffled = [3, 0, 4, 2, 1]
    found = points_of(np.array(truth, bool)[shuffled], probability[shuffled])
    assert found.threshold == pytest.approx(threshold)
    for one, other in ((found.completeness, completeness), (found.purity, purity)):
        assert one == (None if other is None else pytest.approx(other))
    assert found == MapPoints() or len(found.reliability) == 5


def test_reliability_is_told_by_classes_that_have_cells():
    probability = np.array([0.0, 0.04, 0.08, 0.55, 0.57, 0.99, 1.0], np.float32)
    truth = np.array([0, 0, 1, 1, 0, 1, 1], bool)
    assert reliability(truth, probability) == (
        (0.04, 0.3333, 3),
        (0.56, 0.5, 2),
        (0.995, 1.0, 2),
    )
