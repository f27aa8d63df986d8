"""The network of the training step against the Keras model that defines it."""

import numpy as np
import pytest

from cosmodeep_hpc.config.learn import Model
from cosmodeep_hpc.learn.batch import PaperBatch
from cosmodeep_hpc.learn.fastnetwork import FastNetwork
from cosmodeep_hpc.learn.gradient import ByCores, ByTensorFlow
from cosmodeep_hpc.learn.network import HIDDEN_UNITS, build
from cosmodeep_hpc.learn.optimiser import LossScale
from cosmodeep_hpc.learn.sampler import keep_mask

TILES = 6


def random_tiles(size):
    """Noise, as asinh scaling leaves it: no two pixels are equal."""
    return np.random.default_rng(size).normal(size=(TILES, size, size)).astype(np.float32)


def floored_tiles(size):
    """Noise with all below its mean at one value, as the logarithm's floor leaves it."""
    return np.maximum(random_tiles(size), 0)


def flat_tiles(size):
    """Each tile of one value: 0, and others above and below."""
    values = np.array([0, 0.3, -0.7, 1, 0.01, 2], dtype=np.float32)
    return np.ones((TILES, size, size), np.float32) * values[:, np.newaxis, np.newaxis]


def half_flat_tiles(size):
    """Noise above, one value below."""
    tiles = random_tiles(size)
    tiles[:, size // 2 :] = 0.5
    return tiles


def by_keras(tf, net, tiles, labels, keep):
    """Logits, and gradients of the summed cross-entropy, of the Keras model itself."""
    import keras

    trunk = keras.Model(net.input, net.get_layer("hidden").output)
    with tf.GradientTape() as tape:
        logits = net.get_layer("logits")(trunk(tiles[..., np.newaxis], training=True) * keep)
        loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    return logits, tape.gradient(loss, [v.value for v in net.trainable_variables])


def by_fast(tf, net, tiles, labels, keep, *, cores):
    """The same of the fast network, on cores or by TensorFlow alone."""
    fast = FastNetwork(tf, net)
    if cores:
        gradient = ByCores(tf, fast)
        maxima = fast.convolutions().kept_maxima(tiles, fast.weights())
        logits = fast.of_maxima(maxima, keep)
    else:
        gradient = ByTensorFlow(tf, net, fast, LossScale(tf, used=False), xla=False)
        logits = fast.logits(tiles, keep)
    parts = []
    rows = gradient.rows(PaperBatch(tiles=tiles, signal=np.asarray(labels), keep=keep))
    for row, group in zip(rows, gradient.groups, strict=True):
        # over are loss and correct tiles, in the row that comes first
        *own, _ = np.split(row.numpy(), np.cumsum([np.prod(v.shape) for v in group]))
        parts = [p.reshape(v.shape) for p, v in zip(own, group, strict=True)] + parts
    found = gradient.probability(tiles)
    np.testing.assert_allclose(found, tf.nn.softmax(fast.logits(tiles))[:, 1], atol=1e-5)
    assert len(parts) == len(fast.variables)
    return logits, parts


@pytest.mark.parametrize("tiles_of", [random_tiles, floored_tiles, flat_tiles, half_flat_tiles])
@pytest.mark.parametrize(
    "head, cores, size",
    [
        *(("pyramid", cores, size) for cores in (True, False) for size in (9, 40, 41, 64)),
        ("pyramid", True, 44),  # its bins are padded on both sides
        *(("flatten", cores, size) for cores in (True, False) for size in (9, 40, 41)),
    ],
)
def test_outputs_and_gradients_are_those_of_the_keras_model(tf, tiles_of, size, head, cores):
    net = build(Model(head=head), size, 3)
    tiles, labels = tiles_of(size), tf.constant([0, 1, 1, 0, 0, 1])
    keep = keep_mask(HIDDEN_UNITS, 0.25, seed=1, epoch=0, rows=range(TILES))
    logits, gradients = by_keras(tf, net, tiles, labels, keep)
    found, ours = by_fast(tf, net, tiles, labels, keep, cores=cores)
    np.testing.assert_allclose(found, logits, rtol=1e-5, atol=1e-5 * np.abs(logits).max())
    names = [v.path for v in net.trainable_variables]
    for name, one, two in zip(names, ours, gradients, strict=True):
        scale = np.abs(two).max()
        assert scale > 0, name
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=3e-6 * scale, err_msg=name)
