"""The learning rate: rules for large batches, and the warm-up, against their closed forms."""

import math

import pytest

from cosmodeep_hpc.config.configuration import Train
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn.schedule import learning_rate, peak_rate


@pytest.mark.parametrize(
    "rule, batch, base, rate",
    [
        ("none", 1600, 100, 1e-3),
        ("linear", 1600, 100, 16e-3),
        ("square_root", 1600, 100, 4e-3),
        ("linear", 100, 100, 1e-3),
        ("square_root", 25, 100, 0.5e-3),  # a smaller batch has a smaller rate
        ("linear", 1600, 800, 2e-3),
    ],
)
def test_rules(rule, batch, base, rate):
    train = Train(learning_rate=1e-3, learning_rate_rule=rule, batch=batch, base_batch=base)
    assert peak_rate(train) == pytest.approx(rate, rel=1e-12)
    assert learning_rate(train, 0, 10) == peak_rate(train)  # there is no warm-up by default


@pytest.mark.parametrize(
    "epochs, steps, shares",
    [
        (2.0, 2, [0.25, 0.5, 0.75, 1, 1, 1]),
        (0.5, 8, [0.25, 0.5, 0.75, 1, 1]),
        (0.1, 10, [1, 1]),  # one step long: nothing to rise over
        (0.01, 10, [1, 1]),  # less than a step
        (1.5, 1, [1 / 1.5, 1, 1]),
    ],
)
def test_the_warm_up_is_a_line(epochs, steps, shares):
    train = Train(learning_rate=1e-3, learning_rate_rule="linear", batch=400, warmup_epochs=epochs)
    rates = [learning_rate(train, step, steps) / 4e-3 for step in range(len(shares))]
    assert rates == pytest.approx(shares, rel=1e-12)


def test_the_default_is_the_papers_rate_at_every_step():
    assert {learning_rate(Train(), step, 350) for step in range(0, 17500, 500)} == {7e-5}


def test_an_unknown_rule_is_refused():
    with pytest.raises(InputError, match=r"train\.learning_rate_rule = 'sqrt': expected one of"):
        Train(learning_rate_rule="sqrt")


@pytest.mark.parametrize("warm", [0, 4, 10])
def test_the_cosine_falls_from_the_peak_to_nothing(warm):
    """Half of 1 + cos(pi s), s the share of the 40 steps after the warm-up that is done."""
    train = Train(
        learning_rate=1e-3, warmup_epochs=warm / 10, epochs=4, schedule="cosine", batch=10
    )
    rates = [learning_rate(train, step, 10) / 1e-3 for step in range(40)]
    rising = [(step + 1) / warm for step in range(warm)]
    falling = [(1 + math.cos(math.pi * k / (40 - warm))) / 2 for k in range(40 - warm)]
    assert rates == pytest.approx(rising + falling, rel=1e-12)
    assert 0 < rates[-1] < 0.01 and max(rates) == 1


def test_steps_beyond_the_last_have_no_rate():
    """As where a run is given fewer epochs than it has done; and a warm-up as long as the run."""
    train = Train(epochs=1, schedule="cosine")
    assert learning_rate(train, 25, 10) == pytest.approx(0, abs=1e-20)
    long = Train(learning_rate=1e-3, epochs=2, warmup_epochs=3.0, schedule="cosine")
    assert learning_rate(long, 19, 10) == pytest.approx(1e-3 * 20 / 30)
