"""The network of the training step against the Keras model that defines it."""

import itertools

import numpy as np
import pytest

from cosmodeep_hpc.config import Model
from cosmodeep_hpc.learn import fastbackward
from cosmodeep_hpc.learn.fastnetwork import FastNetwork
from cosmodeep_hpc.learn.network import HIDDEN_UNITS, build
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


def by_fast(tf, fast, tiles, labels, keep):
    """The same of the fast network."""

    @tf.function
    def both(tiles, labels, keep):
        with tf.GradientTape() as tape:
            logits = fast.logits(tiles, keep)
            loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        return logits, tape.gradient(loss, fast.variables)

    return both(tf.constant(tiles), labels, tf.constant(keep))


@pytest.mark.parametrize("tiles_of", [random_tiles, floored_tiles, flat_tiles, half_flat_tiles])
@pytest.mark.parametrize(
    "head, sparse, size",
    [
        *(("pyramid", sparse, size) for sparse in (True, False) for size in (9, 40, 41, 64)),
        ("pyramid", True, 44),  # its bins are padded on both sides
        *(("flatten", True, size) for size in (9, 40, 41)),
    ],
)
def test_outputs_and_gradients_are_those_of_the_keras_model(tf, tiles_of, size, head, sparse):
    net = build(Model(head=head), size, 3)
    tiles, labels = tiles_of(size), tf.constant([0, 1, 1, 0, 0, 1])
    keep = keep_mask(HIDDEN_UNITS, 0.25, seed=1, epoch=0, rows=range(TILES))
    logits, gradients = by_keras(tf, net, tiles, labels, keep)
    found, ours = by_fast(tf, FastNetwork(tf, net, sparse=sparse), tiles, labels, keep)
    np.testing.assert_allclose(found, logits, rtol=1e-5, atol=1e-5 * np.abs(logits).max())
    names = [v.path for v in net.trainable_variables]
    for name, one, two in zip(names, ours, gradients, strict=True):
        scale = np.abs(two).max()
        assert scale > 0, name
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=3e-6 * scale, err_msg=name)


def test_a_tie_goes_to_the_first_pixel_of_the_bin():
    """Two equal maxima in a bin: the patch around the first in row order, by hand."""
    maps = np.zeros((1, 9, 9, 1), np.float32)
    maps[0, :3, :3, 0] = np.arange(9, dtype=np.float32).reshape(3, 3)
    found = np.zeros((1, 9, 9, 1), np.float32)
    found[0, 1, 1, 0] = found[0, 2, 0, 0] = 4
    bins = found.reshape(1, 3, 3, 3, 3, 1).max(axis=(2, 4))
    slope = np.zeros_like(bins)
    slope[0, 0, 0, 0] = 2
    kernel = np.arange(1, 10, dtype=np.float32).reshape(3, 3, 1, 1)
    d_maps, d_kernel = fastbackward.gradients(maps, kernel, found, bins, slope)
    np.testing.assert_array_equal(d_kernel[..., 0, 0], 2 * maps[0, :3, :3, 0])
    expected = np.zeros((9, 9), np.float32)
    expected[:3, :3] = 2 * kernel[..., 0, 0]
    np.testing.assert_array_equal(d_maps[0, ..., 0], expected)


@pytest.mark.parametrize("threads, cuts", [(2, [0, 3, 5]), (3, [0, 2, 4, 5]), (8, range(6))])
def test_backward_pass_by_parts_of_the_batch(threads, cuts):
    """Each thread has tiles of its own, and their sums are added in order: the same bits."""
    random = np.random.default_rng(1)
    maps, kernel, found, slope = (
        random.normal(size=shape).astype(np.float32)
        for shape in ((5, 10, 10, 4), (3, 3, 4, 6), (5, 10, 10, 6), (5, 3, 3, 6))
    )
    padded = np.pad(found, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    bins = padded.reshape(5, 3, 4, 3, 4, 6).max(axis=(2, 4))
    parts = [
        fastbackward.gradients(maps[i:j], kernel, found[i:j], bins[i:j], slope[i:j])
        for i, j in itertools.pairwise(cuts)
    ]
    d_maps, d_kernel = fastbackward.gradients(maps, kernel, found, bins, slope, threads)
    np.testing.assert_array_equal(d_maps, np.concatenate([part[0] for part in parts]))
    np.testing.assert_array_equal(d_kernel, np.stack([part[1] for part in parts]).sum(axis=0))


def test_a_maximum_that_is_not_a_number_is_passed_on():
    """No pixel equals it; a gradient without a NaN would hide the fault."""
    ones = np.ones((1, 9, 9, 1), np.float32)
    bins = np.full((1, 3, 3, 1), np.nan, np.float32)
    slope = bins.copy()
    d_maps, d_kernel = fastbackward.gradients(ones, np.ones((3, 3, 1, 1), "f"), ones, bins, slope)
    assert np.isnan(d_maps).any() and np.isnan(d_kernel).all()
