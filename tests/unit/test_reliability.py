"""Reliability counts tiles by their probability, and keeps what a reliability diagram needs."""

import json

import numpy as np
import pytest
from support.pictures import has_colour, look

from cosmodeep_hpc.evaluation import reliability
from cosmodeep_hpc.evaluation.reliability import EDGES, Reliability, prior_shifted


def counted(probability, signal):
    return Reliability.of(np.array(signal, bool), np.array(probability, np.float32))


def test_bins_by_hand():
    """A bin includes its lower edge, the last one both; a tile without data is in none."""
    one = counted([0.0, 0.005, 0.25, 0.5, 0.999, 1.0, np.nan], [0, 1, 0, 1, 1, 1, 1])
    tiles = dict(zip(EDGES, one.tiles, strict=False))
    assert {edge: n for edge, n in tiles.items() if n} == {0: 2, 0.2: 1, 0.5: 1, 0.99: 2}
    assert dict(zip(EDGES, one.signal, strict=False))[0.2] == 0 and sum(one.signal) == 4
    assert one.probability[EDGES.index(0.99)] == pytest.approx(1.999)
    assert one.odds == 4 / 2


def test_error_by_hand():
    """Two tiles at 0.25, one signal: off by 0.25 each; one at 0.999, signal: by 0.001."""
    assert counted([0.25, 0.25, 0.999], [1, 0, 1]).error == pytest.approx(
        (0.5 + 0.001) / 3, abs=1e-6
    )


def test_right_probabilities_have_a_small_error_and_wrong_ones_a_large_one():
    random = np.random.default_rng(1)
    p = random.random(100_000).astype(np.float32)
    signal = random.random(len(p)) < p
    assert counted(p, signal).error < 0.005
    assert counted(1 - p, signal).error > 0.3


def test_tiles_of_two_runs_are_added_and_survive_json():
    a, b = counted([0.1, 0.9], [0, 1]), counted([0.9], [0])
    both = a + b
    assert both == counted([0.1, 0.9, 0.9], [0, 1, 0])
    assert Reliability.from_dict(json.loads(json.dumps(both.as_dict()))) == both


@pytest.mark.parametrize(
    "change, message",
    [
        ({"tiles": (1, 2)}, "expected 1 counts"),
        ({"signal": (5,)}, "more tiles with signal"),
    ],
)
def test_counts_that_cannot_be_are_refused(change, message):
    whole = {"edges": (0, 1), "tiles": (3,), "signal": (1,), "probability": (0.5,)}
    Reliability(**whole)
    with pytest.raises(ValueError, match=message):
        Reliability(**{**whole, **change})
    with pytest.raises(ValueError, match="other bins"):
        _ = Reliability(**whole) + counted([0.5], [1])


@pytest.mark.parametrize(
    "p, odds, expected",
    [
        (0.5, 1.0, 0.5),  # as it was trained
        (0.5, 0.03, 0.03 / 1.03),  # knowing nothing: the share of signal
        (0.9, 1 / 9, 0.5),  # nine to one for signal, one to nine against
        (0.0, 0.03, 0.0),
        (1.0, 0.03, 1.0),
    ],
)
def test_rare_signal_makes_probabilities_smaller(p, odds, expected):
    assert prior_shifted(np.array([p]), odds) == pytest.approx([expected])


def test_picture_of_several_rules(tmp_path):
    random = np.random.default_rng(1)
    p = random.random(500).astype(np.float32)
    few = {f"rule {n}": counted(p, random.random(500) < p) for n in range(5)}
    few["no signal"] = counted([0.1, 0.2], [0, 0])
    reliability.draw(few, tmp_path / "reliability.png")
    assert has_colour(look(tmp_path / "reliability.png"), reliability.COLOUR)
