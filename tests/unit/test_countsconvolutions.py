"""A counts network's convolutions of our own against its Keras layers, and their promises."""

import numpy as np
import pytest

from cosmodeep_hpc.learn import countsnetwork, forward
from cosmodeep_hpc.learn.countsconvolutions import TOGETHER, CountsConvolutions
from cosmodeep_hpc.sections.learn import Model
from cosmodeep_hpc.sections.tiles import Tiles

pytestmark = pytest.mark.usefixtures("tf")


def fresh(size=12, margin=4, thresholds=2, seed=1, depth=2):
    """A network with biases that are not 0, as training leaves them."""
    tiles = Tiles(size=size, margin=margin, thresholds=tuple(range(thresholds, 0, -1)))
    network = countsnetwork.build(Model(network="counts", depth=depth), tiles, seed)
    random = np.random.default_rng(seed)
    network.set_weights(
        [w + 0.1 * random.normal(size=w.shape) * (w.ndim == 1) for w in network.get_weights()]
    )
    return network


def random_tiles(network, count):
    return np.random.default_rng(count).normal(size=(count, *network.input_shape[1:3])).astype("f")


def by_layers(network, tiles):
    """The pixels' logits and the features' means, by Keras."""
    import keras

    middle = keras.Model(network.input, countsnetwork.middle(network))
    return [np.asarray(found) for found in middle(tiles[..., np.newaxis], training=False)]


def by_loops(network, tiles, threads=1):
    """The same, by our own."""
    found = [
        np.full((len(tiles), *each.shape[1:]), 7, "f") for each in countsnetwork.middle(network)
    ]
    CountsConvolutions(network, threads)(tiles, *found)
    return found


@pytest.mark.parametrize("thresholds", [1, 4, 8])
@pytest.mark.parametrize(
    "size, margin, depth",
    [
        *((size, margin, 2) for size, margin in [(40, 8), (40, 0), (12, 4), (20, 2), (28, 6)]),
        *((size, margin, 3) for size, margin in [(40, 16), (40, 0), (12, 2), (24, 4), (28, 6)]),
        (24, 0, 2), (20, 16, 2),
    ],  # whole patches and parts
)  # fmt: skip
def test_they_are_those_of_the_keras_model(size, margin, depth, thresholds):
    network = fresh(size, margin, thresholds, depth=depth)
    tiles = random_tiles(network, 2 * TOGETHER + 1)
    expected = by_layers(network, tiles)
    for found, wanted in zip(by_loops(network, tiles), expected, strict=True):
        assert (found - wanted).std() < 3e-6 * wanted.std()  # of five layers, with Keras' own
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    fast = forward.compiled(network)
    assert isinstance(fast, forward.CountsOnCores)
    np.testing.assert_allclose(
        fast(tiles, 3), np.asarray(network(tiles[..., np.newaxis])[0]), atol=1e-5
    )


@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize("threads", [2, 3])
def test_the_same_bits_whatever_lies_beside_and_on_any_number_of_threads(threads, depth):
    network = fresh(16, depth=depth)
    tiles = random_tiles(network, 13)
    whole = by_loops(network, tiles)
    for rows in (slice(0, 1), slice(3, 12), slice(12, 13)):
        for found, expected in zip(by_loops(network, tiles[rows], threads), whole, strict=True):
            np.testing.assert_array_equal(found, expected[rows])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("pixel", [(0, 0), (9, 10), (23, 23)])  # of the margins, and of the tile
@pytest.mark.parametrize("depth", [2, 3])
def test_a_pixel_that_is_not_finite_is_said_and_leaves_no_trace(pixel, value, depth):
    network = fresh(16, depth=depth)
    tiles = random_tiles(network, 6)
    expected = by_loops(network, tiles)
    convolutions = CountsConvolutions(network, 1)
    found = [np.zeros_like(each) for each in expected]
    faulty = tiles.copy()
    faulty[(2, *pixel)] = value
    convolutions(faulty, *found)
    for given, wanted in zip(found, expected, strict=True):
        assert np.isnan(given[2]).all()
        np.testing.assert_array_equal(np.delete(given, 2, axis=0), np.delete(wanted, 2, axis=0))
    convolutions(tiles, *found)
    for given, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(given, wanted)


def test_a_network_with_another_layer_is_left_to_tensorflow():
    """Not what our loops compute, though all its layers have the names of ours."""
    import keras

    def other(layer):
        described = layer.get_config()
        if layer.name == "conv3":
            described["activation"] = "tanh"
        return type(layer).from_config(described)

    network = keras.models.clone_model(fresh(), clone_function=other)
    fast = forward.compiled(network)
    assert isinstance(fast, forward.CountsByTensorFlow)
    tiles = random_tiles(network, 3)
    expected = np.asarray(network(tiles[..., np.newaxis])[0])
    np.testing.assert_allclose(fast(tiles, 3), expected, atol=1e-5)
