"""Any rule is read after training: at the levels, between them, and not beyond."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn.calibration import Calibration
from cosmodeep_hpc.learn.rules import OperatingPoints, RuleCalibrations, Rules, mean_as

RULES = Rules(thresholds=(1e-7, 1e-8), levels=(0, 4, 9, 40))
MODEL = Path("model.keras")


def points(scale, offset, threshold, purity=None):
    fitted = Calibration(scale=scale, offset=offset)
    return OperatingPoints(calibration=fitted, threshold=threshold, purity=purity)


KNOWN = RuleCalibrations(
    thresholds=RULES.thresholds,
    levels=RULES.levels,
    points=(
        (points(1, 0, 0.5), points(1, -1, 0.3, 0.8), points(2, -2, 0.5, 0.9), None),
        (None, None, None, None),
    ),
)


@pytest.mark.parametrize(
    "n_pix, where",
    [(0, (0, 0, 0)), (1, (0, 1, 1 / 4)), (4, (1, 1, 0)), (7, (1, 2, 3 / 5)), (40, (3, 3, 0))],
)
def test_n_pix_lies_between_two_levels(n_pix, where):
    assert RULES.between(n_pix) == pytest.approx(where)


def test_probabilities_are_those_of_the_rule():
    given = np.random.default_rng(1).random((5, 2, 4)).astype("f")
    given[4] = np.nan
    np.testing.assert_array_equal(RULES.read(given, 1, 9), given[:, 1, 2])
    one, two = given[:, 0, 1].astype(float), given[:, 0, 2].astype(float)
    expected = expit(0.4 * logit(one) + 0.6 * logit(two))  # 7 is 3/5 of the way from 4 to 9
    np.testing.assert_allclose(RULES.read(given, 0, 7), expected, rtol=1e-6)
    assert np.isnan(RULES.read(given, 0, 7)[4])
    sure = np.array([[[0, 1, 1, 1]], [[0, 0, 0, 0]]], np.float32)
    assert np.isfinite(RULES.read(sure, 0, 7)).all()


def on_line(one, two, share):
    return expit((1 - share) * logit(one) + share * logit(two))


def test_thresholds_are_interpolated_alike():
    assert KNOWN.at(1e-7, 4, MODEL) == points(1, -1, 0.3, 0.8)
    found = KNOWN.at(1e-7 * (1 + 1e-9), 7, MODEL)
    assert found.threshold == pytest.approx(on_line(0.3, 0.5, 0.6))
    assert found.purity == pytest.approx(on_line(0.8, 0.9, 0.6))
    assert found.completeness is None
    assert KNOWN.at(1e-7, 2, MODEL).purity is None  # one of the two has none


def test_probabilities_are_calibrated_before():
    """By each level's own; a tile that is found at both is found between them."""
    given = np.random.default_rng(2).uniform(0.02, 0.98, (500, 2, 4)).astype("f")
    low, mid, high = (KNOWN.probability(given, 1e-7, n, MODEL) for n in (4, 7, 9))
    np.testing.assert_allclose(low, expit(logit(given[:, 0, 1].astype(float)) - 1), rtol=1e-5)
    np.testing.assert_allclose(high, expit(2 * logit(given[:, 0, 2].astype(float)) - 2), rtol=1e-4)
    np.testing.assert_allclose(mid, on_line(low.astype(float), high, 0.6), rtol=1e-4)
    found = [p >= KNOWN.at(1e-7, n, MODEL).threshold for p, n in ((low, 4), (mid, 7), (high, 9))]
    assert (found[1][found[0] & found[2]]).all() and (~found[1][~(found[0] | found[2])]).all()
    assert 0 < found[1].sum() < 500


@pytest.mark.parametrize(
    "f_th, n_pix, line",
    [
        (
            2e-8,
            9,
            "was not trained for label.f_th = 2e-08, label.n_pix = 9; expected F_th of",
        ),
        (
            1e-7,
            41,
            "label.n_pix = 41; expected F_th of 1e-07, 1e-08 Jy/arcsec^2 and N_pix from 0 t",
        ),
        (1e-7, 10, "no validation tile had so many bright pixels (calibrated up to N_pix = 9)"),
        (1e-8, 0, "no validation tile had so many bright pixels (calibrated for none)"),
    ],
)
def test_what_is_not_known_is_refused(f_th, n_pix, line):
    with pytest.raises(InputError) as caught:
        KNOWN.at(f_th, n_pix, MODEL)
    assert str(caught.value).startswith("model.keras: ") and line in str(caught.value)


def test_they_are_fitted_rule_by_rule():
    """A tile is signal with more than N_pix bright pixels; the rule of 40 has none of them."""
    counts = np.array([[0, 9], [5, 10], [4, 9], [1, 30]], np.uint16)
    given = np.zeros((4, 2, 4), np.float32)
    given[:] = np.array([0.1, 0.8, 0.4, 0.3])[:, np.newaxis, np.newaxis]
    found = RuleCalibrations.fitted(RULES, counts, given)
    assert found.points[0][3] is None and found.points[1][3] is None
    for column, number, signal in ((0, 1, [1]), (1, 2, [1, 3]), (0, 0, [1, 2, 3])):
        truth = np.isin(np.arange(4), signal)
        assert found.points[column][number] == OperatingPoints.fitted(truth, given[:, 0, 0])
    calibrated = np.sort(found.points[0][1].calibration(given[:, 0, 1]).astype(float))[::-1]
    scores = [  # with the k likeliest tiles found, by what the probabilities lead to expect
        calibrated[:k].sum() / (calibrated.sum() + (1 - calibrated[:k]).sum()) for k in range(1, 5)
    ]
    k = int(np.argmax(scores))
    assert k < 3 and found.points[0][1].threshold == pytest.approx(calibrated[k : k + 2].mean())


def test_the_mean_over_rules():
    """As by hand: more than 0 pixels 3 / 3, more than 4 finds one tile of one and none besides."""
    rules = Rules(thresholds=(1e-7,), levels=(0, 4, 9))
    counts = np.array([[0], [5], [4], [1]], np.uint16)
    given = np.array([0.1, 0.8, 0.4, 0.3], np.float32)[:, np.newaxis, np.newaxis]
    given = np.repeat(given, 3, axis=2)
    given[1, 0, 1] = 0.2  # now behind two tiles of noise: 1 / (1 + 2)
    assert mean_as(rules, counts, given) == pytest.approx((1 + 1 / 3) / 2)
    assert np.isnan(mean_as(rules, 0 * counts, given))


def test_round_trip_as_json():
    from dataclasses import asdict

    assert RuleCalibrations.from_dict(json.loads(json.dumps(asdict(KNOWN)))) == KNOWN


@pytest.mark.parametrize(
    "change",
    [
        {"levels": (0, 4, 9)},
        {"thresholds": (1e-7,)},
        {"levels": (4, 0, 9, 40)},
        {"points": ()},
    ],
)
def test_what_does_not_fit_together_is_no_reading(change):
    with pytest.raises(ValueError, match="readings"):
        RuleCalibrations(**{**vars(KNOWN), **change})
