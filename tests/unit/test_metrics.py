"""Accuracy by equation 2 of the paper, and its curve against counting by hand."""

import math

import numpy as np
import pytest

from cosmodeep_hpc.learn.metrics import Accuracy, accuracy, curve, expected_best_threshold, is_found


def test_equation_2_by_hand():
    """100 signal tiles of which 98 are found, 2400 noise tiles of which 6 are taken for signal."""
    a = Accuracy(Nsc=98, Nsw=2, Nvc=2394, Nvw=6)
    assert (a.Ns, a.Nv) == (100, 2400)
    assert (a.As, a.Ws, a.Wv) == (98 / 106, 0.98, 2394 / 2400)


def test_counts():
    signal = np.array([1, 1, 1, 0, 0, 0, 0], dtype=bool)
    found = np.array([1, 1, 0, 1, 0, 0, 0], dtype=bool)
    assert accuracy(signal, found) == Accuracy(Nsc=2, Nsw=1, Nvc=3, Nvw=1)


def test_sum_over_images():
    a, b = Accuracy(Nsc=1, Nsw=2, Nvc=3, Nvw=4), Accuracy(Nsc=10, Nsw=20, Nvc=30, Nvw=40)
    assert a + b == Accuracy(Nsc=11, Nsw=22, Nvc=33, Nvw=44)


def test_everything_called_noise():
    a = accuracy(np.array([True, False]), np.array([False, False]))
    assert (a.As, a.Ws, a.Wv) == (0, 0, 1)


def test_ratios_that_are_not_defined():
    a = Accuracy(Nsc=0, Nsw=0, Nvc=5, Nvw=0)
    assert math.isnan(a.As) and math.isnan(a.Ws)
    assert a.as_dict()["As"] is None and a.as_dict()["Wv"] == 1


def test_found_at_the_threshold_itself():
    probability = np.array([0.5, np.nextafter(np.float32(0.5), 0), np.nan], dtype=np.float32)
    assert is_found(probability, 0.5).tolist() == [True, False, False]


def drawn(n=500, seed=1):
    """Tiles with probabilities that repeat, so that several share a threshold."""
    random = np.random.default_rng(seed)
    signal = random.random(n) < 0.3
    probability = np.round(np.clip(random.normal(0.3 + 0.3 * signal, 0.25), 0, 1), 2)
    return signal, probability.astype(np.float32)


def test_curve_against_counting():
    signal, probability = drawn()
    made = curve(signal, probability)
    assert made.threshold.tolist() == sorted(set(probability.astype(float)), reverse=True)
    for k, threshold in enumerate(made.threshold):
        expected = accuracy(signal, probability.astype(float) >= threshold)
        assert (made.Nsc[k], made.Nvw[k]) == (expected.Nsc, expected.Nvw)
        assert made.at(threshold) == expected
        assert made.precision[k] == expected.Nsc / (expected.Nsc + expected.Nvw)
        assert made.recall[k] == expected.Ws
    for threshold in (0.0, 0.123, 0.5, 1.0, 1.1):
        assert made.at(threshold) == accuracy(signal, is_found(probability, threshold))


@pytest.mark.parametrize("seed", range(5))
def test_best_threshold_against_trying_all(seed):
    signal, probability = drawn(seed=seed)
    made = curve(signal, probability)
    best = made.best_threshold()
    tried = {t: accuracy(signal, is_found(probability, t)).As for t in np.linspace(0, 1, 2001)}
    assert made.at(best).As == accuracy(signal, is_found(probability, best)).As
    assert made.at(best).As == max(tried.values())
    assert np.abs(probability - best).min() > 1e-4  # between tiles, not on one


@pytest.mark.parametrize(
    "signal, probability, best",
    [
        ([1, 1, 0, 0], [0.9, 0.7, 0.3, 0.1], 0.5),  # halfway between the kinds
        ([1, 0], [0.9, 0.1], 0.5),
        ([1, 1], [0.9, 0.5], 0.25),  # nothing below: halfway to 0
        # As is 1/2 at 0.9 and 2/4 at 0.3: the lower of the two, so that Ws is larger
        ([1, 0, 0, 1], [0.9, 0.6, 0.5, 0.3], 0.15),
        ([0, 0], [0.9, 0.1], 0.5),  # nothing to choose by
        ([], [], 0.5),
    ],
)
def test_best_threshold_by_hand(signal, probability, best):
    made = curve(np.array(signal, dtype=bool), np.array(probability, dtype=np.float32))
    assert made.best_threshold() == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize(
    "probability, best",
    [
        # 1.9 tiles are expected to be signal: As of 0.9 / 2, 1.5 / 2.4, 1.8 / 3.1, 1.9 / 4
        ([0.9, 0.1, 0.6, 0.3], 0.45),
        ([0.9, np.nan, 0.1, 0.6, 0.3], 0.45),
        # 1.5 of them: 0.5 / 2, 1 / 2.5 and 1.5 / 3, all of the same probability
        ([0.5, 0.5, 0.5], 0.25),
        ([], 0.5),
        # of any probability from 0 to 1 alike: As = (1 - t^2) / (1 + (1 - t)^2) = t / (1 - t)
        ((np.arange(20001) + 0.5) / 20001, (3 - 5**0.5) / 2),
    ],
)
def test_expected_best_threshold_by_hand(probability, best):
    found = expected_best_threshold(np.array(probability, dtype=np.float32))
    assert found == pytest.approx(best, abs=1e-4)


def test_what_is_expected_of_few_tiles_serves_others_better_than_what_was_found_on_them():
    random = np.random.default_rng(1)
    others = random.beta(0.3, 3, 50_000).astype("f")

    def expected(threshold):
        found = others[others >= threshold].astype(float)
        return found.sum() / (others.sum() + (1 - found).sum())

    scores = []
    for _ in range(100):
        probability = random.beta(0.3, 3, 500).astype("f")
        signal = random.random(500) < probability
        found = curve(signal, probability).best_threshold()
        scores.append([expected(t) for t in (found, expected_best_threshold(probability))])
    by_found, by_expected = np.mean(scores, axis=0)
    best = max(expected(t) for t in np.linspace(0.01, 0.99, 99))
    assert best - by_expected < 0.1 * (best - by_found)


# found one after the other: purity 1, 1, 2/3, 3/4, 3/5, completeness 1/3, 2/3, 2/3, 1, 1
ORDERED = curve(
    np.array([1, 1, 0, 1, 0], dtype=bool), np.array([0.9, 0.7, 0.5, 0.3, 0.1], dtype=np.float32)
)


@pytest.mark.parametrize(
    "asked, expected",
    [
        ({"completeness": 0.2}, 0.8),
        ({"completeness": 0.6}, 0.6),
        ({"completeness": 2 / 3}, 0.6),  # reached, not passed
        ({"completeness": 0.9}, 0.2),
        ({"completeness": 1.0}, 0.2),
        ({"purity": 1.0}, 0.6),
        ({"purity": 0.75}, 0.2),  # is lost at 0.5 and found again at 0.3
        ({"purity": 0.7}, 0.2),
        ({"purity": 0.6}, 0.05),
        ({"purity": 0.1}, 0.05),
    ],
)
def test_threshold_of_a_completeness_or_a_purity(asked, expected):
    assert ORDERED.threshold_of(**asked) == pytest.approx(expected, abs=1e-6)


def test_threshold_of_what_is_not_reached():
    made = curve(np.array([0, 1, 1], dtype=bool), np.float32([0.9, 0.5, np.nan]))
    assert made.threshold_of(purity=0.99) == pytest.approx(0.25)  # purity 1/2 at most
    assert made.threshold_of(completeness=0.99) == pytest.approx(0.25)  # one has no data
    assert curve(np.array([False]), np.float32([0.5])).threshold_of(purity=0.99) == 0.5


def test_tiles_without_data_are_never_found():
    signal = np.array([True, True, False])
    made = curve(signal, np.array([0.8, np.nan, np.nan], dtype=np.float32))
    assert made.at(0.0) == Accuracy(Nsc=1, Nsw=1, Nvc=1, Nvw=0)
    assert made.best_threshold() == pytest.approx(0.4)
