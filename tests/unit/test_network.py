"""The network of the paper: its size, its layers, and its first values."""

import numpy as np
import pytest

from cosmodeep_hpc.config.learn import Model
from cosmodeep_hpc.learn.network import build

pytestmark = pytest.mark.usefixtures("tf")


def built(size=40, seed=1, **model):
    return build(Model(**model), size, seed)


@pytest.mark.parametrize("size", [9, 10, 40, 41, 64, 80, 255])
def test_parameters_do_not_depend_on_the_tile(size):
    """320 + 18,496 + 656,384 + 2,050: convolutions, 10 bins of 64 maps to 1024 units, outputs."""
    assert built(size).count_params() == 677_250


def test_parameters_of_the_flattened_network():
    """10 x 10 x 64 = 6400 features of a 40-pixel tile."""
    expected = (9 + 1) * 32 + (9 * 32 + 1) * 64 + (6400 + 1) * 1024 + (1024 + 1) * 2
    assert built(head="flatten").count_params() == expected == 6_575_490


def test_probabilities_sum_to_one(tf):
    tiles = np.random.default_rng(1).normal(size=(7, 40, 40, 1)).astype(np.float32)
    out = np.asarray(built()(tiles))
    assert out.shape == (7, 2) and out.dtype == np.float32
    np.testing.assert_allclose(out.sum(axis=1), 1, atol=1e-6)


def test_second_pooling_is_3x3_and_1x1_bins(tf):
    """Against maxima taken by hand: 20 x 20 maps in bins of 7, the whole, channels last."""
    import keras

    net = built()
    assert net.get_layer("pool2_3x3").output.shape[1:] == (3, 3, 64)
    assert net.get_layer("pool2_1x1").output.shape[1:] == (64,)
    tiles = np.random.default_rng(1).normal(size=(2, 40, 40, 1)).astype(np.float32)
    inner = keras.Model(
        net.inputs, [net.get_layer("conv2").output, net.get_layer("features").output]
    )
    maps, features = (np.asarray(v) for v in inner([tiles]))
    edges = [0, 7, 14, 20]  # SAME padding puts the odd pixel at the end
    bins = [
        maps[:, edges[i] : edges[i + 1], edges[j] : edges[j + 1]].max(axis=(1, 2))
        for i in range(3)
        for j in range(3)
    ]
    expected = np.concatenate([*bins, maps.max(axis=(1, 2))], axis=1)
    np.testing.assert_array_equal(features, expected)


def test_first_weights(tf):
    """Truncated normal of sd 0.1 (cut at 0.2, so an sd of 0.088), biases 0.1."""
    net = built()
    kernel, bias = net.get_layer("hidden").get_weights()
    assert np.abs(kernel).max() <= 0.2 and kernel.std() == pytest.approx(0.0880, rel=0.01)
    for layer in ("conv1", "conv2", "hidden", "logits"):
        assert (net.get_layer(layer).get_weights()[1] == np.float32(0.1)).all()


def test_weights_are_a_function_of_the_seed(tf):
    first, again, other = (built(seed=s).get_weights() for s in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0].ravel()[:32], first[2].ravel()[:32])  # layers differ
    built(seed=2**63 - 1)
