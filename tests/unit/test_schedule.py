"""The learning rate: rules for large batches, and the warm-up, against their closed forms."""

import pytest

from cosmodeep_hpc.config import Train
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
