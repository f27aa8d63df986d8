"""A tile's probability: the network's, with the same bits whatever is classified beside it."""

import importlib.util
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from launch import environment
from models import CARD, brightest_pixel_model, write_untrained

from cosmodeep_hpc.config import Model
from cosmodeep_hpc.learn import forward, modelfile
from cosmodeep_hpc.learn.calibration import Calibration
from cosmodeep_hpc.learn.classifier import probabilities
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.learn.network import build


def random_tiles(count, size=40):
    return np.random.default_rng(count + size).normal(size=(count, size, size)).astype("f")


def by_layers(network, tiles):
    """Keras' layers one by one, without anything compiled."""
    return np.asarray(network(tiles[..., np.newaxis], training=False))[:, 1]


def undecided(network, tiles):
    """Its last layer scaled so that the tiles' probabilities lie around a half."""
    import keras

    logits = network.get_layer("logits")
    both = np.asarray(keras.Model(network.input, logits.output)(tiles[..., np.newaxis]))
    kernel, bias = logits.get_weights()
    spread = both.std(axis=0)
    logits.set_weights([kernel / spread, (bias - both.mean(axis=0)) / spread])
    return network


@pytest.fixture(scope="module")
def model(tf, tmp_path_factory):
    return modelfile.load(write_untrained(tmp_path_factory.mktemp("model") / "model.keras"))


@pytest.mark.parametrize("head", ["pyramid", "flatten"])
@pytest.mark.parametrize("size", [9, 40, 41])  # with windows of one row and column too
def test_probabilities_are_those_of_the_keras_model(tf, head, size):
    tiles = random_tiles(7, size)
    network = undecided(build(Model(head=head), size, 5), tiles)
    fast = forward.compiled(network)
    assert isinstance(fast, forward.OnCores)
    expected = by_layers(network, tiles)
    assert expected.std() > 0.05
    np.testing.assert_allclose(fast(tiles, 500), expected, atol=1e-5)
    whole = forward.Whole(network, "tensorflow")
    np.testing.assert_allclose(whole(tiles, 3), expected, atol=1e-5)


@pytest.mark.parametrize("compiled", [True, False])
def test_probabilities_are_calibrated(model, compiled):
    tiles = random_tiles(3)
    made = model if compiled else replace(model, forward=None)
    calibration = Calibration(scale=0.5, offset=-0.3)
    changed = replace(made, card=replace(made.card, calibration=calibration))
    plain = probabilities(made, tiles, 500).astype(float)
    odds = np.sqrt(plain / (1 - plain)) * np.exp(-0.3)
    np.testing.assert_allclose(probabilities(changed, tiles, 500), odds / (1 + odds), rtol=1e-5)


COUNTS = [1, 101, 499]


@pytest.mark.parametrize("kind", ["cores", "whole"])
def test_neighbours_and_place_do_not_change_a_bit(model, kind):
    """Tiles alone, shifted, reversed and in other numbers; many parts and a broken last one."""
    if kind == "whole":  # as on a GPU
        model = replace(model, forward=forward.Whole(model.network, "tensorflow"))
    tiles = random_tiles(620)
    found = probabilities(model, tiles, 64)
    assert len(set(found.tolist())) > 600
    np.testing.assert_array_equal(probabilities(model, tiles[::-1], 64)[::-1], found)
    np.testing.assert_array_equal(probabilities(model, tiles[13:], 64), found[13:])
    for count in COUNTS if kind == "cores" else COUNTS[:2]:
        np.testing.assert_array_equal(probabilities(model, tiles[:count], 64), found[:count])
    zeros = np.zeros_like(tiles[:77])
    zeros[31] = tiles[5]
    assert probabilities(model, zeros, 64)[31] == found[5]


THREADS = """
import sys
import numpy as np
from cosmodeep_hpc import runtime
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.learn.calibration import Calibration
from cosmodeep_hpc.learn.classifier import probabilities
from cosmodeep_hpc.world import open_world
runtime.start_backend(open_world())
model, tiles, out = sys.argv[1:]
np.save(out, probabilities(modelfile.load(model), np.load(tiles), 500))
"""


def test_the_number_of_threads_does_not_change_a_bit(model, tmp_path):
    """One rank with all cores and ranks of one core each sweep to the same bytes."""
    tiles = random_tiles(1000)
    np.save(tmp_path / "tiles.npy", tiles)
    for threads in (1, 2):
        words = [model.path, tmp_path / "tiles.npy", tmp_path / f"{threads}.npy"]
        env = environment(TF_NUM_INTRAOP_THREADS=str(threads))
        subprocess.run([sys.executable, "-c", THREADS, *map(str, words)], env=env, check=True)
    one, two = (np.load(tmp_path / f"{threads}.npy") for threads in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_no_tiles(model):
    none = random_tiles(0)
    for each in (model, brightest_pixel_model()):
        found = probabilities(each, none, 50)
        assert found.shape == (0,) and found.dtype == np.float32


def test_a_network_that_is_not_ours_is_computed_as_keras_describes_it(tf):
    """With the names of our layers, but another activation: the short cuts would be wrong."""
    network = build(Model(), 40, 1)
    assert forward.is_ours(network)
    config = network.get_config()
    (conv,) = (layer for layer in config["layers"] if layer["config"].get("name") == "conv2")
    conv["config"]["activation"] = "tanh"
    import keras

    other = keras.Model.from_config(config)
    other.set_weights(network.get_weights())
    assert not forward.is_ours(other)
    tiles = random_tiles(3)
    found = forward.compiled(other)(tiles, 2)
    np.testing.assert_allclose(found, by_layers(other, tiles), atol=1e-5)
    assert abs(found - by_layers(network, tiles)).max() > 1e-3


def test_a_saved_network_is_ours_again(model):
    assert isinstance(model.forward, forward.OnCores)


JAX = """
import os, sys
import numpy as np
sys.modules["tensorflow"] = None  # an import of it is an error
from cosmodeep_hpc import runtime
from cosmodeep_hpc.world import open_world
runtime.start_backend(open_world())
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.learn.calibration import Calibration
from cosmodeep_hpc.learn.classifier import probabilities
model, tiles, out = sys.argv[1:]
tiles, model = np.load(tiles), modelfile.load(model)
found = probabilities(model, tiles, 16)
assert np.array_equal(probabilities(model, tiles[::-1], 16)[::-1], found)
np.save(out, found)
import keras
print(keras.backend.backend(), os.environ["NPROC"], os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"])
"""


@pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="jax is not installed: pip install '.[jax]'"
)
def test_jax_gives_the_same_probabilities_without_tensorflow(model, tmp_path):
    tiles = random_tiles(50)
    np.save(tmp_path / "tiles.npy", tiles)
    words = [model.path, tmp_path / "tiles.npy", tmp_path / "found.npy"]
    env = environment(KERAS_BACKEND="jax", JAX_PLATFORMS="cpu", TF_NUM_INTRAOP_THREADS="1")
    env.pop("NPROC", None)
    job = subprocess.run(
        [sys.executable, "-c", JAX, *map(str, words)],
        env=env, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert job.returncode == 0, job.stderr
    assert job.stdout.split() == ["jax", "1", "false"]
    found = np.load(tmp_path / "found.npy")
    np.testing.assert_allclose(found, probabilities(model, tiles, 500), atol=1e-5)


def test_a_model_without_a_compiled_network_sees_batches_of_one_shape():
    model = brightest_pixel_model(level=3.5)
    assert isinstance(model, TrainedModel) and model.card.preprocessing == CARD.preprocessing
    tiles = random_tiles(40)
    np.testing.assert_array_equal(probabilities(model, tiles, 33), tiles.max(axis=(1, 2)) > 3.5)
    assert model.network.shapes == {(33, 40, 40, 1)}
