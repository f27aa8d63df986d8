"""Calibrated probabilities: as often right as they say."""

import numpy as np
import pytest
from scipy.special import expit, logit

from cosmodeep_hpc.learn.calibration import Calibration, fitted

RANDOM = np.random.default_rng(1)


def drawn(scale: float, offset: float, n: int = 200_000) -> tuple[np.ndarray, np.ndarray]:
    """Tiles whose probability of signal is known, and a network that is wrong by two numbers."""
    true = RANDOM.normal(-2, 2, n)
    signal = RANDOM.random(n) < expit(true)
    return signal, expit((true - offset) / scale).astype(np.float32)


@pytest.mark.parametrize("scale, offset", [(1.0, 0.0), (0.4, 0.0), (1.7, -3.0), (0.6, 2.0)])
def test_what_a_network_is_wrong_by_is_found(scale, offset):
    found = fitted(*drawn(scale, offset))
    # errors of a logistic regression on 200,000 tiles are below 0.01; five times that
    assert found.scale == pytest.approx(scale, abs=0.05)
    assert found.offset == pytest.approx(offset, abs=0.05)


def test_a_network_trained_on_half_signal_is_set_to_their_true_share():
    """By Bayes: trained 1 : 1 on what is 1 : 49, a network's odds are 49 times too high."""
    n = 400_000
    signal = RANDOM.random(n) < 0.02
    x = RANDOM.normal(np.where(signal, 1.0, -1.0), 1.0)  # odds of equally many: exp(2 x)
    found = fitted(signal, expit(2 * x).astype(np.float32))
    assert found.scale == pytest.approx(1, abs=0.05)
    assert found.offset == pytest.approx(-np.log(49), abs=0.1)


def test_calibrated_probabilities_are_as_often_right():
    signal, probability = drawn(0.5, -1.0)
    calibrated = fitted(signal, probability)(probability)
    for low in np.arange(0, 1, 0.1):
        at = (calibrated >= low) & (calibrated < low + 0.1)
        share, error = signal[at].mean(), np.sqrt(0.25 / at.sum())
        assert share == pytest.approx(calibrated[at].mean(), abs=5 * error)


def test_formula():
    p = np.array([0.1, 0.5, 0.9], dtype=np.float32)
    expected = expit(0.5 * logit(p.astype(float)) - 1)
    np.testing.assert_allclose(Calibration(scale=0.5, offset=-1.0)(p), expected, rtol=1e-6)
    assert Calibration()(p) is p


def test_ends_and_no_data():
    p = np.array([0.0, 1.0, np.nan], dtype=np.float32)
    low, high, none = Calibration(scale=0.5, offset=0.0)(p)
    assert 0 < low < 1e-3 and 1 - 1e-3 < high < 1 and np.isnan(none)


@pytest.mark.parametrize("signal", [[], [True, True], [False, False]])
def test_one_kind_of_tile_says_nothing(signal):
    probability = np.linspace(0.2, 0.7, len(signal), dtype=np.float32)
    assert fitted(np.array(signal, dtype=bool), probability) == Calibration()


def test_no_mistake_does_not_make_it_infinitely_sure():
    signal = np.arange(100) >= 50
    found = fitted(signal, np.where(signal, 0.9, 0.1).astype(np.float32))
    # Platt's targets, 51 / 52 and 1 / 52, are met exactly: two probabilities, two numbers
    assert found(np.float32([0.9, 0.1])) == pytest.approx([51 / 52, 1 / 52], abs=1e-4)


@pytest.mark.parametrize("scale, offset", [(0, 0), (-1, 0), (np.nan, 0), (1, np.inf)])
def test_what_would_turn_tiles_around_is_refused(scale, offset):
    with pytest.raises(ValueError, match="calibration"):
        Calibration(scale=scale, offset=offset)
