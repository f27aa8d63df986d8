"""The learning rate against closed forms, the update against Keras' Adam, the loss scale."""

import math

import numpy as np
import pytest

from cosmodeep_hpc.config.learn import Train
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn.optimiser import (
    FIRST_SCALE,
    LEAST_SCALE,
    SCALE_PATIENCE,
    Adam,
    LossScale,
    learning_rate,
    peak_rate,
)


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


@pytest.mark.parametrize("rate", [7e-5, 1e-2])
def test_updates_are_those_of_keras(tf, rate):
    """Twenty steps on gradients of very different sizes, zeros among them."""
    import keras

    random = np.random.default_rng(1)
    start = [random.normal(size=shape).astype(np.float32) for shape in ((3, 4), (5,))]
    theirs = [keras.Variable(v) for v in start]
    ours = [tf.Variable(v) for v in start]
    reference = keras.optimizers.Adam(rate)
    adam = Adam(tf, ours)
    update = tf.function(adam.apply)
    for step in range(20):
        gradients = [
            tf.constant((random.normal(size=v.shape) * 10.0 ** (-step % 7)).astype(np.float32))
            for v in start
        ]
        if step == 3:
            gradients = [tf.zeros_like(g) for g in gradients]
        reference.apply(gradients, theirs)
        update(gradients, tf.constant(rate))
        for one, two in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one.numpy(), np.asarray(two), rtol=1e-6, atol=1e-4 * rate)
    assert int(adam.variables[0]) == 20


def test_a_scale_that_is_not_used_changes_nothing(tf):
    scale = LossScale(tf, used=False)
    assert scale.variables == [] and float(scale.up(3.0)) == 3.0
    assert bool(scale.follow(tf.constant(True))) and not bool(scale.follow(tf.constant(False)))


def test_the_scale_is_halved_at_once_and_doubled_in_time(tf):
    scale = LossScale(tf, used=True)
    factor, count = scale.variables
    assert float(scale.up(tf.constant(2.0))) == 2 * FIRST_SCALE
    assert bool(scale.follow(tf.constant(False)))
    assert (float(factor), int(count)) == (FIRST_SCALE / 2, 0)
    for _ in range(SCALE_PATIENCE - 1):
        scale.follow(tf.constant(True))
    assert (float(factor), int(count)) == (FIRST_SCALE / 2, SCALE_PATIENCE - 1)
    scale.follow(tf.constant(True))
    assert (float(factor), int(count)) == (FIRST_SCALE, 0)
    scale.follow(tf.constant(True))
    scale.follow(tf.constant(False))
    assert (float(factor), int(count)) == (FIRST_SCALE / 2, 0)  # counted anew after each overflow


def test_without_a_scale_left_to_lower_the_run_ends(tf):
    """At the least factor an overflow is the network's own."""
    scale = LossScale(tf, used=True)
    halvings = int(np.log2(FIRST_SCALE / LEAST_SCALE))
    went_on = [bool(scale.follow(tf.constant(False))) for _ in range(halvings + 2)]
    assert went_on == [True] * halvings + [False, False]
    assert float(scale.variables[0]) == LEAST_SCALE
