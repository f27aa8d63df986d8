"""One training step against a calculation of its own: the mean gradient, dropout, and Adam."""

import numpy as np
import pytest

from cosmodeep_hpc.config.learn import Model
from cosmodeep_hpc.learn.allreduce import Allreduce
from cosmodeep_hpc.learn.batch import PaperBatch
from cosmodeep_hpc.learn.gradient import TOGETHER
from cosmodeep_hpc.learn.network import HIDDEN_UNITS, build
from cosmodeep_hpc.learn.sampler import keep_mask
from cosmodeep_hpc.learn.step import Step

RATE = 1e-3


@pytest.fixture
def data():
    random = np.random.default_rng(1)
    tiles = random.normal(size=(13, 40, 40)).astype(np.float32)
    return tiles, random.random(13) < 0.5


def batch_of(tiles, signal, keep, rows=slice(None)):
    return PaperBatch(tiles=tiles[rows], signal=signal[rows], keep=keep[rows])


def fresh(tf, world):
    net = build(Model(), 40, 1)
    return net, Step(tf, net, RATE, Allreduce(world))


def logits_by_hand(tf, net, tiles, keep):
    """The network written out in TensorFlow's own operations."""
    weights = {layer.name: [tf.constant(w) for w in layer.get_weights()] for layer in net.layers}
    maps = tf.constant(tiles[..., np.newaxis])
    for name in ("conv1", "conv2"):
        kernel, bias = weights[name]
        maps = tf.nn.relu(tf.nn.conv2d(maps, kernel, 1, "SAME") + bias)
        if name == "conv1":
            maps = tf.nn.max_pool2d(maps, 2, 2, "SAME")
    bins = tf.reshape(tf.nn.max_pool2d(maps, 7, 7, "SAME"), (len(tiles), 9 * 64))
    features = tf.concat([bins, tf.reduce_max(maps, axis=(1, 2))], axis=1)
    kernel, bias = weights["hidden"]
    hidden = tf.nn.relu(features @ kernel + bias) * keep
    kernel, bias = weights["logits"]
    return np.asarray(hidden @ kernel + bias, dtype=np.float64)


def test_loss_by_hand(tf, world, data):
    """The summed cross-entropy of the softmax, taken once, and the tiles on the right side."""
    tiles, signal = data
    net, step = fresh(tf, world)
    keep = keep_mask(HIDDEN_UNITS, 0.25, seed=1, epoch=0, rows=range(13))
    logits = logits_by_hand(tf, net, tiles, keep)
    right, wrong = (np.where(signal == s, logits[:, 1], logits[:, 0]) for s in (True, False))
    loss, correct, _ = step.train(batch_of(tiles, signal, keep), 13)
    assert loss == pytest.approx(np.log1p(np.exp(wrong - right)).sum(), rel=1e-5)
    assert correct == (right > wrong).sum()


def test_update_is_adams_first_step_on_the_mean_gradient(tf, world, data):
    """A weight moves by eta g / (|g| + e / sqrt(1 - beta2)), g the gradient of the mean loss.

    Kingma & Ba (2015), algorithm 1 in the form of section 2, with their beta2 and Keras' e of 1e-7.
    """
    tiles, signal = data
    net, step = fresh(tf, world)
    before = [w.copy() for w in net.get_weights()]
    ones = np.ones((13, HIDDEN_UNITS), np.float32)
    labels = tf.constant(signal.astype(np.int32))
    with tf.GradientTape() as tape:
        probability = net(tiles[..., np.newaxis], training=False)
        chosen = tf.gather(probability, labels, axis=1, batch_dims=1)
        loss = -tf.reduce_mean(tf.math.log(chosen))
    gradient = tape.gradient(loss, [v.value for v in net.trainable_variables])
    step.train(batch_of(tiles, signal, ones), 13)
    for old, new, g in zip(before, net.get_weights(), gradient, strict=True):
        g = np.asarray(g, dtype=np.float64)
        moved = -RATE * g / (np.abs(g) + 1e-7 / np.sqrt(1e-3))
        firm = np.abs(g) > 1e-3 * np.abs(g).max()  # of smaller ones rounding decides too much
        np.testing.assert_allclose((new - old)[firm], moved[firm], rtol=5e-3, atol=1e-7)


def test_parts_of_a_batch_add_up(tf, world, data):
    """The sum of the parts' gradients is the whole batch's, however it is divided."""
    tiles, signal = data
    _, step = fresh(tf, world)
    keep = keep_mask(HIDDEN_UNITS, 0.25, seed=1, epoch=0, rows=range(13))

    def gradients(rows):
        last, first = step._gradient.rows(batch_of(tiles, signal, keep, rows))
        ends = [np.cumsum([np.prod(v.shape) for v in group]) for group in step._gradient.groups]
        return [
            *np.split(first.numpy(), ends[1][:-1]),
            *np.split(last.numpy(), ends[0]),  # then loss and correct tiles
        ]

    whole = gradients(slice(0, 13))
    parts = zip(gradients(slice(0, 2)), gradients(slice(2, 13)), strict=True)
    for one, two in zip(whole, parts, strict=True):
        np.testing.assert_allclose(sum(two), one, rtol=1e-4, atol=1e-5 * np.abs(one).max())


def test_validation_sees_each_tile_as_it_is_alone(tf, world):
    """The Keras model's probability, as its weights are; the same bits however tiles lie."""
    net, step = fresh(tf, world)
    tiles = np.random.default_rng(5).normal(size=(TOGETHER + 9, 40, 40)).astype("f")
    before = step.probability(tiles)
    net.set_weights([0.9 * weight for weight in net.get_weights()])
    found = step.probability(tiles)
    expected = np.asarray(net(tiles[..., np.newaxis], training=False))[:, 1]
    assert expected.std() > 0.05 and (found != before).all()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    alone = [(k, k + 1) for k in range(20)]
    for start, stop in (*alone, (0, 0), (3, 10), (TOGETHER - 1, TOGETHER + 9)):
        np.testing.assert_array_equal(step.probability(tiles[start:stop]), found[start:stop])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_or_gradient_that_is_not_finite_changes_nothing(tf, world, data, value):
    """Max pooling may hide a NaN pixel from the loss, but not from the gradient."""
    tiles, signal = data
    net, step = fresh(tf, world)
    before = step.state(epoch=0, step=0, total_steps=0, recipe="")
    tiles = tiles.copy()
    tiles[3, 2, 1] = value
    loss, *_ = step.train(batch_of(tiles, signal, np.ones((13, HIDDEN_UNITS), np.float32)), 13)
    after = step.state(epoch=0, step=0, total_steps=0, recipe="")
    assert not np.isfinite(loss)
    for part in ("weights", "optimizer"):
        for a, b in zip(getattr(before, part), getattr(after, part), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_restored_state_goes_on_bit_for_bit(tf, world, data):
    tiles, signal = data
    keep = keep_mask(HIDDEN_UNITS, 0.25, seed=1, epoch=0, rows=range(13))
    net, step = fresh(tf, world)
    for _ in range(2):
        step.train(batch_of(tiles, signal, keep), 13)
    state = step.state(epoch=0, step=2, total_steps=2, recipe="")
    step.train(batch_of(tiles, signal, keep), 13)
    other, again = fresh(tf, world)
    again.restore(state)
    again.train(batch_of(tiles, signal, keep), 13)
    for a, b in zip(net.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "options, tolerance",
    [({"xla": True}, 1e-4), ({"precision": "bfloat16"}, 0.05), ({"precision": "float16"}, 0.02)],
)
def test_other_ways_to_compute_the_step(tf, world, data, options, tolerance):
    """XLA rounds differently; bfloat16 keeps 8 bits, float16 11: the gradient follows."""
    tiles, signal = data
    keep = keep_mask(HIDDEN_UNITS, 0.25, seed=1, epoch=0, rows=range(13))
    rows, moments = {}, {}
    for name, words in (("plain", {}), ("other", options)):
        net = build(Model(), 40, 1)
        step = Step(tf, net, RATE, Allreduce(world), **words)
        found = list(step._gradient.rows(batch_of(tiles, signal, keep)))
        assert all(row.dtype == tf.float32 for row in found)
        found[0] = found[0][:-2]
        row = np.concatenate([row.numpy() for row in found[::-1]])
        rows[name] = row / float(step._scale.up(tf.constant(1.0)))
        before = net.get_weights()
        loss, *_ = step.train(batch_of(tiles, signal, keep), 13)
        assert np.isfinite(loss)
        assert all(w.dtype == np.float32 for w in net.get_weights())
        assert any((a != b).any() for a, b in zip(before, net.get_weights(), strict=True))
        moments[name] = np.concatenate(
            [np.ravel(v.numpy()) for v in step._optimizer.variables[1:9]]
        )
    for found in (rows, moments):  # of the update too, which Adam's division would hide
        apart = np.linalg.norm(found["other"] - found["plain"]) / np.linalg.norm(found["plain"])
        assert 0 < apart < tolerance


def test_an_overflow_of_float16_is_no_step_and_no_end(tf, world, data):
    """The scale is halved until the gradient fits; weights and moments wait for it."""
    tiles, signal = data
    keep = np.ones((13, HIDDEN_UNITS), np.float32)
    net = build(Model(), 40, 1)
    step = Step(tf, net, RATE, Allreduce(world), precision="float16")
    factor, start = step._scale.variables[0], 26
    factor.assign(2.0**start)
    before, losses, halved = net.get_weights(), [], 0
    while all(np.array_equal(a, b) for a, b in zip(before, net.get_weights(), strict=True)):
        losses.append(step.train(batch_of(tiles, signal, keep), 13)[0])
        halved += 1
        assert halved <= start
    assert halved > 5 and len(set(losses)) == 1 and np.isfinite(losses[0])
    assert float(factor) == 2.0 ** (start - (halved - 1))  # the last one was not halved
    other = Step(tf, build(Model(), 40, 2), RATE, Allreduce(world), precision="float16")
    other.restore(step.state(epoch=0, step=1, total_steps=1, recipe=""))
    assert float(other._scale.variables[0]) == float(factor)


def test_times_of_the_parts_are_read_once(tf, world, data):
    tiles, signal = data
    _, step = fresh(tf, world)
    keep = np.ones((13, HIDDEN_UNITS), np.float32)
    step.train(batch_of(tiles, signal, keep), 13)
    step.read_times()
    for _ in range(3):
        step.train(batch_of(tiles, signal, keep), 13)
    times = step.read_times()
    assert set(times) == {"compute", "allreduce"}
    assert times["compute"] > 0
    assert 0 <= times["allreduce"] < 0.1 * times["compute"]  # alone there is nothing to add up
    assert step.read_times() == {"compute": 0, "allreduce": 0}


def test_the_learning_rate_may_change_between_steps(tf, world, data):
    """Adam's first step moves each weight by the learning rate, whatever the gradient."""
    tiles, signal = data
    net, step = fresh(tf, world)
    step.learning_rate = 0.25
    before = net.get_layer("logits").get_weights()[1]
    step.train(batch_of(tiles, signal, np.ones((13, HIDDEN_UNITS), np.float32)), 13)
    moved = np.abs(net.get_layer("logits").get_weights()[1] - before)
    np.testing.assert_allclose(moved, 0.25, rtol=1e-3)
