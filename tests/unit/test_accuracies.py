"""Purity, completeness and their kin of the comparison, counted by hand on a few tiles."""

import numpy as np
import pytest

from cosmodeep_hpc.comparison import accuracies
from cosmodeep_hpc.comparison.accuracies import Choice
from cosmodeep_hpc.comparison.limits import PRICES
from cosmodeep_hpc.comparison.scoredtiles import MODEL, IslandCount, LabelRule, ScoredTiles, Scoring

RULE = LabelRule(40, 1e-7)
NETWORK = Scoring.of_model(RULE)
ANY, MORE = (
    Scoring("pybdsf", "any island pixel"),
    Scoring("pybdsf", "more than 40 island pixels", 40),
)
SMOOTH = [
    Scoring("smoothed", "sigma 1.5, pixel 41", 40),
    Scoring("smoothed", "sigma 3, pixel 41", 40),
]
NONE = np.nan


def image(signal, scores, name="a", flux=None, peak=None, counts=None, **more):
    n = len(signal)
    return ScoredTiles(
        name=name,
        pixels=1600 * n,
        pixel_area=3600.0,
        row=np.zeros(n, np.int32),
        col=np.arange(n, dtype=np.int32),
        n_pix=(9, 40),
        levels=np.where(signal, np.float32(2e-7), np.float32(5e-8)) * np.float32([[2], [1]]),
        flux=np.ones(n) * 1e-3 if flux is None else np.array(flux, dtype=float),
        peak=np.float32(np.full(n, 5) if peak is None else peak),
        snr={"tile alone": np.full(n, 3.0)},
        scores={way: np.float32(values) for way, values in scores.items()},
        counts=counts or {},
        **more,
    )


def test_a_rule_takes_its_own_level():
    """With N_pix 9 the levels are twice as bright: the second tile reaches 1e-7, not above it."""
    one = image([True, False], {})
    assert one.is_signal(RULE).tolist() == [True, False]
    assert one.is_signal(LabelRule(9, 1e-7)).tolist() == [True, False]
    assert one.is_signal(LabelRule(9, 0.9e-7)).tolist() == [True, True]


def test_the_better_way_and_its_threshold():
    """The first kernel separates 3 of 4 tiles at best, the second all: As 2/3 and 1."""
    signal = [True, True, False, False]
    one = image(signal, {SMOOTH[0]: [4, 2, 3, 1], SMOOTH[1]: [4, 3, 2, 1]})
    assert accuracies.choose([one], RULE, SMOOTH) == Choice(SMOOTH[1], 2.5)
    assert accuracies.choose([one], RULE, SMOOTH[:1]) == Choice(SMOOTH[0], 1.5)


def test_thresholds_of_islands_are_those_that_were_run():
    one = image([True, True, False], {ANY: [3, 2, 1]})
    assert accuracies.choose([one], RULE, [ANY]) == Choice(ANY, 2.0)


def test_ways_of_a_rule():
    one = image([True], {NETWORK: [1], ANY: [1], MORE: [1], Scoring("pybdsf", "other", 9): [1]})
    assert accuracies.ways([one], RULE) == {MODEL: [NETWORK], "pybdsf": [ANY, MORE]}


def test_chosen_on_other_images():
    """And the network by its own thresholds, for the rules that it serves."""
    here = image([True, False], {NETWORK: [0.9, 0.2], SMOOTH[0]: [2, 1]})
    there = image([True, False], {SMOOTH[0]: [20, 10]}, name="b")
    chosen = accuracies.choices([there], [here], RULE, {RULE: 0.4})
    assert chosen == {MODEL: Choice(NETWORK, 0.4), "smoothed": Choice(SMOOTH[0], 15.0)}
    assert MODEL not in accuracies.choices([there], [here], LabelRule(40, 5e-8), {RULE: 0.4})
    row = accuracies.detector_rows([here], RULE, chosen)
    assert (row["smoothed"]["Nsc"], row["smoothed"]["Nvw"]) == (0, 0)
    assert row[MODEL]["As"] == 1


def test_errors_over_images_by_hand():
    """As 1 and 1/2 of the network, 1/2 and 1/2 of the other: it leads by 1/2 and 0."""
    images = [
        image([True, True], {NETWORK: [0.9, mine], SMOOTH[0]: [2, 1]}, name=name)
        for name, mine in (("a", 0.8), ("b", 0.1))
    ]
    nothing = image([False, False], {NETWORK: [0.1, 0.1], SMOOTH[0]: [1, 1]}, name="c")
    chosen = {MODEL: Choice(NETWORK, 0.5), "smoothed": Choice(SMOOTH[0], 1.5)}
    rows = accuracies.detector_rows([*images, nothing], RULE, chosen)
    assert rows[MODEL]["As_error"] == pytest.approx(0.25) and rows["smoothed"]["As_error"] == 0
    lead = rows["smoothed"]["network_less_it"]
    assert lead == {"mean": pytest.approx(0.25), "standard_error": pytest.approx(0.25)}
    assert "network_less_it" not in rows[MODEL]
    alone = accuracies.detector_rows([nothing], RULE, chosen)
    assert alone["smoothed"]["network_less_it"] == {"mean": None, "standard_error": None}


def test_a_network_of_many_rules_is_read_by_each():
    """Its scores and its threshold of the rule that tiles are judged by."""
    faint = LabelRule(40, 5e-8)
    one = image([True, False], {NETWORK: [0.9, 0.2], Scoring.of_model(faint): [0.8, 0.6]})
    for rule, threshold in ((RULE, 0.5), (faint, 0.7)):
        chosen = accuracies.choices([], [one], rule, {RULE: 0.5, faint: 0.7})
        assert chosen == {MODEL: Choice(Scoring.of_model(rule), threshold)}
    assert accuracies.choices([], [one], LabelRule(9, 5e-8), {RULE: 0.5, faint: 0.7}) == {}


def test_an_image_where_a_finder_failed_does_not_count_for_it():
    images = [
        image([True, False], {ANY: [3, NONE]}),
        image([True, False], {}, name="b", failures={"pybdsf": "pybdsf: too long"}),
    ]
    row = accuracies.detector_rows(images, RULE, {"pybdsf": Choice(ANY, 2.0)})["pybdsf"]
    assert (row["images"], row["Ns"], row["Nsc"], row["Ws"]) == (1, 1, 1, 1.0)


def test_islands_by_hand():
    """A square arcminute a pixel: 7200 false pixels are 2 square degrees of 8000 in all."""
    counts = {"pybdsf": {1.0: IslandCount(5, 9000, 4, 7200), 2.0: IslandCount(1, 1800, 0, 0)}}
    scores = {ANY: [2, 1, 1, NONE, 1], MORE: [2, NONE, NONE, NONE, 1]}
    one = image([True, True, False, False, False], scores, counts=counts)
    low, high = accuracies.island_rows([one], RULE)["pybdsf"]
    assert (low["islands"], low["false_islands"]) == (5, 4)
    assert low["false_area_deg2"] == pytest.approx(2)
    assert low["false_share_of_sky"] == pytest.approx(7200 / 8000)
    assert low["any"] == {"tiles": 4, "purity": 0.5, "completeness": 1.0}
    assert low["more"] == {"tiles": 2, "purity": 0.5, "completeness": 0.5}
    assert high["any"] == {"tiles": 1, "purity": 1.0, "completeness": 0.5}


def test_completeness_at_equal_purity():
    """At 1 sigma PyBDSF is pure to 2/3; there the other finds all, of the faint one too."""
    signal = [True, True, True, False, False]
    one = image(
        signal,
        {ANY: [2, 1, NONE, 1, NONE], SMOOTH[0]: [9, 8, 7, 3, 8.5]},
        peak=[9, 5, 1.9, 0.1, 0.1],
    )
    chosen = {"pybdsf": Choice(ANY, 1.0), "smoothed": Choice(SMOOTH[0], 5.0)}
    high, low = accuracies.at_equal_purity([one], RULE, chosen)
    assert (high["threshold"], high["purity"]) == (2, 1)
    assert high["smoothed"]["completeness"] == pytest.approx(1 / 3)
    assert low["purity"] == pytest.approx(2 / 3)
    assert low["pybdsf"] == {"completeness": pytest.approx(2 / 3), "of_faint": 0}
    assert low["smoothed"] == {"completeness": 1, "of_faint": 1}
    assert accuracies.faint_tiles([one], RULE) == 1


def test_completeness_by_flux():
    """Half a decade a bin: 1 and 2 mJy share one, 10 mJy begins another; noise does not count."""
    one = image([True, True, True, False], {ANY: [3, NONE, 3, 3]}, flux=[1e-3, 2e-3, 1e-2, 5e-2])
    table = accuracies.by_flux([one], RULE, {"pybdsf": Choice(ANY, 2.0)})
    assert table["edges_jy"] == pytest.approx([1e-3, 10**-2.5, 1e-2, 10**-1.5])
    assert table["signal_tiles"] == [2, 0, 1]
    assert table["completeness"]["pybdsf"] == [0.5, None, 1.0]


def test_limit_of_tiles_far_from_the_edge_of_the_label():
    """Signal at twice F_th and noise at half of it, SNR 3: Phi(1.5) and Phi(-3)."""
    row = accuracies.limit_rows([image([True, False], {})], RULE)["tile alone"]
    plain, best = row["maximum_likelihood"], row["one_shift"]
    assert plain["Ws"] == pytest.approx(0.9332, abs=1e-4)
    assert plain["Wv"] == pytest.approx(1 - 0.00135, abs=1e-4)
    assert best["As"] > plain["As"] and best["shift"] < 1
    assert len(row["curve"]["purity"]) == len(PRICES)


def test_curve_of_a_detector():
    drawn = accuracies.curves(
        [image([True, False, True], {ANY: [3, 2, 2]})], RULE, {"pybdsf": Choice(ANY, 2.0)}
    )
    assert drawn["pybdsf"] == {
        "threshold": [3, 2],
        "purity": [1, pytest.approx(2 / 3)],
        "completeness": [0.5, 1],
    }
