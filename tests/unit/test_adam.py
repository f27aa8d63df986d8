"""The fused update against Keras' Adam, and the loss scale against its rule."""

import numpy as np
import pytest

from cosmodeep_hpc.learn.adam import Adam
from cosmodeep_hpc.learn.lossscale import FIRST, LEAST, PATIENCE, LossScale


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
    assert float(scale.up(tf.constant(2.0))) == 2 * FIRST
    assert bool(scale.follow(tf.constant(False)))
    assert (float(factor), int(count)) == (FIRST / 2, 0)
    for _ in range(PATIENCE - 1):
        scale.follow(tf.constant(True))
    assert (float(factor), int(count)) == (FIRST / 2, PATIENCE - 1)
    scale.follow(tf.constant(True))
    assert (float(factor), int(count)) == (FIRST, 0)
    scale.follow(tf.constant(True))
    scale.follow(tf.constant(False))
    assert (float(factor), int(count)) == (FIRST / 2, 0)  # counted anew after each overflow


def test_without_a_scale_left_to_lower_the_run_ends(tf):
    """At the least factor an overflow is the network's own."""
    scale = LossScale(tf, used=True)
    halvings = int(np.log2(FIRST / LEAST))
    went_on = [bool(scale.follow(tf.constant(False))) for _ in range(halvings + 2)]
    assert went_on == [True] * halvings + [False, False]
    assert float(scale.variables[0]) == LEAST
