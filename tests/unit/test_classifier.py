"""A tile's probability: the network's, with the same bits whatever is classified beside it."""

import importlib.util
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from support.launch import environment
from support.models import brightest_pixel_model, write_untrained

from cosmodeep_hpc.config.learn import Model
from cosmodeep_hpc.engine import backend, bykeras, network
from cosmodeep_hpc.engine.network import OnCores
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.learn.calibration import Calibration
from cosmodeep_hpc.learn.classifier import probabilities
from cosmodeep_hpc.learn.network import build
from cosmodeep_hpc.parallel.world import is_collective

HAS_JAX = importlib.util.find_spec("jax") is not None


def random_tiles(count, size=40):
    return np.random.default_rng(count + size).normal(size=(count, size, size)).astype("f")


def by_layers(network, tiles):
    """Keras' layers one by one, without anything compiled."""
    return np.asarray(network(tiles[..., np.newaxis], training=False))


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
def test_probabilities_are_those_of_the_keras_model(tf, tmp_path, head, size):
    tiles = random_tiles(7, size)
    net = undecided(build(Model(head=head), size, 5), tiles)
    net.save(tmp_path / "a.keras")
    found = network.load(tmp_path / "a.keras", 1)(tiles, 500)
    expected = by_layers(net, tiles)
    assert expected.std() > 0.05
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(bykeras.load(tmp_path / "a.keras")(tiles, 3), expected, atol=1e-5)
    if HAS_JAX:
        from cosmodeep_hpc.engine.byjax import ByJax

        by_jax = ByJax(network.read(tmp_path / "a.keras"))
        assert (by_jax.side, by_jax.shape) == (size, expected.shape[1:])
        np.testing.assert_allclose(by_jax(tiles, 3), expected, atol=1e-5)


def test_probabilities_are_calibrated(model):
    tiles = random_tiles(3)
    calibration = Calibration(scale=0.5, offset=-0.3)
    changed = replace(model, card=replace(model.card, calibration=calibration))
    plain = probabilities(model, tiles, 500).astype(float)
    odds = np.sqrt(plain / (1 - plain)) * np.exp(-0.3)
    np.testing.assert_allclose(probabilities(changed, tiles, 500), odds / (1 + odds), rtol=1e-5)


COUNTS = [1, 101, 499]


@pytest.mark.parametrize("engine", ["cores", "keras"])
def test_neighbours_and_place_do_not_change_a_bit(model, engine):
    """Tiles alone, shifted, reversed and in other numbers; many parts and a broken last one."""
    if engine == "keras":
        model = replace(model, network=bykeras.load(model.path))
    tiles = random_tiles(620)
    found = probabilities(model, tiles, 64)
    assert len(set(found.tolist())) > 600
    np.testing.assert_array_equal(probabilities(model, tiles[::-1], 64)[::-1], found)
    np.testing.assert_array_equal(probabilities(model, tiles[13:], 64), found[13:])
    for count in COUNTS if engine == "cores" else COUNTS[:2]:
        np.testing.assert_array_equal(probabilities(model, tiles[:count], 64), found[:count])
    zeros = np.zeros_like(tiles[:77])
    zeros[31] = tiles[5]
    assert probabilities(model, zeros, 64)[31] == found[5]


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_does_not_change_a_bit(model, threads):
    """One rank with all cores and ranks of one core each sweep to the same bytes."""
    tiles = random_tiles(1000)
    several = modelfile.load(model.path, threads=threads)
    np.testing.assert_array_equal(
        probabilities(several, tiles, 500), probabilities(model, tiles, 500)
    )


def test_no_tiles(model):
    none = random_tiles(0)
    for each in (model, brightest_pixel_model()):
        found = probabilities(each, none, 50)
        assert found.shape == (0,) and found.dtype == np.float32


def test_a_network_that_only_looks_like_the_papers_is_refused(tf, tmp_path):
    """With the names of our layers, but another activation: the short cuts would be wrong."""
    import keras

    config = build(Model(), 40, 1).get_config()
    (conv,) = (layer for layer in config["layers"] if layer["config"].get("name") == "conv2")
    conv["config"]["activation"] = "sigmoid"
    other = keras.Model.from_config(config)
    other.save(tmp_path / "a.keras")
    with pytest.raises(InputError, match="layer 'pool1' of kind MaxPooling2D on maps"):
        network.load(tmp_path / "a.keras", 1)
    tiles = random_tiles(3)
    found = bykeras.load(tmp_path / "a.keras")(tiles, 2)
    np.testing.assert_allclose(found, by_layers(other, tiles), atol=1e-5)


# --- Keras, the plain twin ---


def skies(side, count):
    """Preprocessed tiles: noise, and in every other one a smooth blob of any size and height."""
    random = np.random.default_rng(side)
    tiles = random.normal(0, 0.3, (count, side, side)).astype("f")
    y, x = np.mgrid[:side, :side]
    for tile in tiles[::2]:
        y0, x0 = random.uniform(0, side, 2)
        width, height = random.uniform(2, 15), random.lognormal()
        tile += (height * np.exp(-((y - y0) ** 2 + (x - x0) ** 2) / 2 / width**2)).astype("f")
    return tiles


SHIPPED = sorted(path.stem for path in modelfile.MODELS.glob("*.keras"))


@pytest.mark.parametrize("name", SHIPPED)
def test_both_engines_find_the_same_tiles(tf, name):
    """At most one of 100,000 may differ, and it lies within 1e-4 of the threshold."""
    model = modelfile.load(name)
    twin = replace(model, network=bykeras.load(model.path))
    tiles = skies(model.card.preprocessing.window, 1000)
    one, other = (probabilities(each, tiles, 500) for each in (model, twin))
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
    found = one >= model.card.threshold
    assert 100 < found.sum() < 900
    differ = found != (other >= model.card.threshold)
    assert differ.sum() <= 1e-5 * len(tiles)
    assert (abs(one - model.card.threshold)[differ] < 1e-4).all()


@pytest.mark.parametrize(
    "variables, line",
    [
        ({"COSMODEEP_ENGINE": "gpu"}, "COSMODEEP_ENGINE is gpu; expected cores, jax or keras"),
        ({"COSMODEEP_ENGINE": "jax"}, "COSMODEEP_ENGINE is jax, and Python finds no module jax"),
        (
            {"COSMODEEP_ENGINE": "keras", "KERAS_BACKEND": "torch"},
            "KERAS_BACKEND is torch; expected tensorflow or jax",
        ),
        (
            {"COSMODEEP_ENGINE": "keras", "KERAS_BACKEND": "jax"},
            "COSMODEEP_ENGINE is keras on jax, and Python finds no module jax",
        ),
    ],
)
def test_an_engine_that_cannot_run_is_refused(monkeypatch, world, variables, line):
    monkeypatch.setattr(backend, "find_spec", lambda name: None)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=line) as caught:
        backend.start(world)
    assert is_collective(caught.value)


def test_a_backend_chosen_for_other_work_is_no_matter_of_the_engine(monkeypatch, world, model):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    backend.start(world)
    assert isinstance(modelfile.load(model.path).network, OnCores)


JAX = """
import os, sys
import numpy as np
sys.modules["tensorflow"] = None  # an import of it is an error
if os.environ["COSMODEEP_ENGINE"] == "jax":
    sys.modules["keras"] = None
from cosmodeep_hpc.engine import backend
from cosmodeep_hpc.parallel.world import open_world
backend.start(open_world())
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.learn.classifier import probabilities
model, tiles, out = sys.argv[1:]
tiles, model = np.load(tiles), modelfile.load(model)
found = probabilities(model, tiles, 16)
assert np.array_equal(probabilities(model, tiles[::-1], 16)[::-1], found)
np.save(out, found)
import jax
print(jax.default_backend(), os.environ["NPROC"], os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"])
"""


@pytest.mark.skipif(not HAS_JAX, reason="jax is not installed: pip install '.[jax]'")
@pytest.mark.parametrize("engine", ["jax", "keras"])
def test_jax_gives_the_same_probabilities_without_tensorflow(model, tmp_path, engine):
    """And, as an engine of its own, without Keras."""
    tiles = random_tiles(50)
    np.save(tmp_path / "tiles.npy", tiles)
    words = [model.path, tmp_path / "tiles.npy", tmp_path / "found.npy"]
    chosen = {"COSMODEEP_ENGINE": engine, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    env = environment(TF_NUM_INTRAOP_THREADS="1", **chosen)
    env.pop("NPROC", None)
    job = subprocess.run(
        [sys.executable, "-c", JAX, *map(str, words)],
        env=env, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert job.returncode == 0, job.stderr
    assert job.stdout.split() == ["cpu", "1", "false"]
    found = np.load(tmp_path / "found.npy")
    np.testing.assert_allclose(found, probabilities(model, tiles, 500), atol=1e-5)


USERS = """
import sys
import numpy as np
from pathlib import Path
from cosmodeep_hpc.engine import bykeras
tiles = np.load(sys.argv[2])
print(abs(bykeras.load(Path(sys.argv[1]))(tiles, 8) - np.load(sys.argv[3])).max())
"""


@pytest.mark.parametrize(
    "setting", ['{"image_data_format": "channels_first", "floatx": "float16", "epsilon": 1e-3}']
)
def test_a_keras_json_of_the_user_changes_nothing(tf, model, tmp_path, setting):
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(setting)
    tiles = random_tiles(8)
    np.save(tmp_path / "tiles.npy", tiles)
    np.save(tmp_path / "found.npy", model.network(tiles, 500))
    words = [model.path, tmp_path / "tiles.npy", tmp_path / "found.npy"]
    env = environment(HOME=str(tmp_path))
    line = [sys.executable, "-c", USERS, *map(str, words)]
    job = subprocess.run(line, env=env, check=True, capture_output=True, text=True)
    assert float(job.stdout) < 1e-5
