"""The engine against Keras, layer by layer in stacks of all kinds, and its promises on bits."""

import io
import json
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from support.launch import environment
from support.models import counts_network

from cosmodeep_hpc.engine import archive, elementwise, network, winograd
from cosmodeep_hpc.engine.network import OnCores
from cosmodeep_hpc.errors import InputError

pytestmark = pytest.mark.usefixtures("tf")


def build(side, layers, heads=("mean",)):
    """A Keras model of layers in words, all biases and weights at random; each is given the last.

    `c16`, `c16v`, `p16`: a convolution of 3 x 3, of 3 x 3 without zeros, of 1 x 1, of 16 maps; with
    `l` behind it without ReLU, with `s` a sigmoid. `half`, `double`, `cut`, `relu`, `sigmoid`;
    `end`: cut at the end alone; `keep`: remembered; `add`, `times`: joined with what was
    remembered last.
    """
    import keras

    make = keras.layers
    tile = maps = keras.Input((side, side, 1), name="tile")
    kept = []
    for word in layers.split():
        if word[0] in "cp" and word[1].isdigit():
            size = 3 if word[0] == "c" else 1
            number = int("".join(letter for letter in word[1:] if letter.isdigit()))
            activation = {"l": None, "s": "sigmoid"}.get(word[-1], "relu")
            padding = "valid" if "v" in word else "same"
            maps = make.Conv2D(number, size, padding=padding, activation=activation)(maps)
        elif word == "keep":
            kept.append(maps)
        elif word in ("add", "times"):
            maps = (make.Add() if word == "add" else make.Multiply())([maps, kept.pop()])
        elif word in ("relu", "sigmoid"):
            maps = make.Activation(word)(maps)
        else:
            maps = {
                "half": make.AveragePooling2D(2),
                "double": make.UpSampling2D(2),
                "cut": make.Cropping2D(((1, 2), (2, 1))),
                "end": make.Cropping2D(((0, 1), (0, 1))),
            }[word](maps)
    ends = {"mean": make.GlobalAveragePooling2D, "peak": make.GlobalMaxPooling2D}
    outputs = [maps if head == "maps" else ends[head]()(maps) for head in heads]
    model = keras.Model(tile, outputs)
    random = np.random.default_rng(side)
    model.set_weights(
        [
            random.normal(size=w.shape).astype("f") / max(1, np.prod(w.shape[:-1])) ** 0.5
            for w in model.get_weights()
        ]
    )
    return model


def saved(model, folder):
    path = folder / "model.keras"
    model.save(path)
    return path


def random_tiles(side, count):
    return np.random.default_rng(count).normal(size=(count, side, side)).astype("f")


STACKS = [
    (6, "c16", "mean"),
    (6, "c16 half", "peak"),
    (10, "c32 half c48 half", "mean"),  # 5 pixels, then 2 of them
    (12, "c12 half c20 p7", "mean"),  # widths that are no multiple of 16
    (16, "c16 half c64 c96 c48", "mean"),  # more maps than a row holds
    (16, "c16 half c64 p80 p16l", "peak"),
    (22, "c16v c32v c16v", "mean"),
    (22, "c16 half c32v", "mean"),  # 9 pixels of 11
    (24, "c16 half keep c32 half c48l double p16 add relu", "mean"),
    (24, "c16 half keep half c32 half c48 double double p16l add", "mean"),
    (24, "c16 half c32 keep half c48 p32l double add cut relu c32v", "mean"),
    (24, "c16 half c32 keep half c48 p32l double add cut c32", "mean"),
    (20, "c16 keep c16s times", "peak"),
    (20, "c16s sigmoid relu", "mean"),
    (20, "half c16 double cut c16", "mean"),  # a first layer that is no convolution
    (20, "p16 c16", "mean"),
    (20, "c16 end c16", "mean"),  # what was cut off is no longer seen
    (20, "c16 end keep c16 add end c16", "maps"),
    (34, "c16 keep c16 add", "maps"),
    (20, "c16 half c16 p4l", "maps mean peak"),
    (70, "c16 half c48", "mean maps"),
    (120, "c32 half c32 half c16 double", "mean maps"),
    (16, "c16 half " + "c16 p16 " * 6, "mean"),  # twelve layers of one shape: conv2d_10 and _2
]


@pytest.mark.parametrize("side, layers, heads", STACKS)
def test_a_stack_is_computed_as_keras_does(tmp_path, side, layers, heads):
    model = build(side, layers, heads.split())
    graph = archive.read(saved(model, tmp_path))
    tiles = random_tiles(side, 5)
    given = model(tiles[..., np.newaxis], training=False)
    expected = [np.asarray(each) for each in (given if isinstance(given, list) else [given])]
    found = OnCores(graph, 1, graph.outputs).outputs(tiles)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape and other.std() > 1e-4
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize(
    "size, margin, depth, thresholds, width",
    [
        (40, 8, 2, 4, 16),
        (40, 16, 3, 4, 16),  # as the models that ship
        (40, 0, 3, 1, 16),
        (20, 2, 2, 8, 16),
        (12, 2, 3, 2, 20),
        (28, 6, 2, 4, 4),
        (28, 6, 3, 1, 24),
        (20, 16, 2, 2, 12),
    ],
)
def test_a_counts_network_is_that_of_keras(tmp_path, size, margin, depth, thresholds, width):
    model = counts_network(size, margin, thresholds, depth, width)
    tiles = random_tiles(model.input_shape[1], 5)
    expected = np.asarray(model(tiles[..., np.newaxis])[0])
    found = network.load(saved(model, tmp_path), 1)(tiles, 3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)


def test_a_sum_that_is_asked_for_is_given_as_it_is(tmp_path):
    """Though what cuts it and its ReLU would be done with it in one pass, were it not."""
    import keras

    model = build(24, "c16 half keep half c16l double add cut relu c16")
    (total,) = (layer for layer in model.layers if isinstance(layer, keras.layers.Add))
    tiles = random_tiles(24, 3)
    expected = np.asarray(keras.Model(model.input, total.output)(tiles[..., np.newaxis]))
    graph = archive.read(saved(model, tmp_path))
    found = OnCores(graph, 1, [total.name, *graph.outputs]).outputs(tiles)
    assert (expected < 0).any()
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(found[1], OnCores(graph, 1).outputs(tiles)[0])


@pytest.fixture(scope="module")
def path(tf, tmp_path_factory):
    return saved(counts_network(), tmp_path_factory.mktemp("counts"))


@pytest.mark.parametrize("threads", [2, 3])
def test_the_same_bits_whatever_lies_beside_and_on_any_number_of_threads(path, threads):
    one, several = (network.load(path, count) for count in (1, threads))
    tiles = random_tiles(24, 300)
    whole = one(tiles, 500)
    assert len(np.unique(whole[:, 0, 0])) > 290
    np.testing.assert_array_equal(several(tiles, 7), whole)
    np.testing.assert_array_equal(one(tiles[::-1], 500)[::-1], whole)
    for rows in (slice(0, 1), slice(3, 140), slice(299, 300), slice(0, 0)):
        np.testing.assert_array_equal(several(tiles[rows], 500), whole[rows])


def test_calls_in_several_threads_do_not_meet_in_a_network(path):
    loaded, tiles = network.load(path, 2), random_tiles(24, 400)
    whole = loaded(tiles, 500)
    parts = [slice(start, start + 100) for start in range(0, 400, 100)] * 5
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda rows: loaded(tiles[rows], 500), parts))
    for rows, one in zip(parts, found, strict=True):
        np.testing.assert_array_equal(one, whole[rows])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("pixel", [(0, 0), (9, 10), (23, 23)])  # of the margins, and of the tile
def test_a_pixel_that_is_not_finite_is_said_and_leaves_no_trace(path, pixel, value):
    loaded, tiles = network.load(path, 1), random_tiles(24, 6)
    expected = loaded(tiles, 500)
    faulty = tiles.copy()
    faulty[(2, *pixel)] = value
    found = loaded(faulty, 500)
    assert np.isnan(found[2]).all()
    np.testing.assert_array_equal(np.delete(found, 2, axis=0), np.delete(expected, 2, axis=0))
    np.testing.assert_array_equal(loaded(tiles, 500), expected)


WITHOUT = """
import sys
for name in ("tensorflow", "keras", "jax"):
    sys.modules[name] = None  # an import of it is an error
import numpy as np
from pathlib import Path
from cosmodeep_hpc.engine import network
path, tiles, found = sys.argv[1:]
np.save(found, network.load(Path(path), 2)(np.load(tiles), 500))
"""


def test_neither_tensorflow_nor_keras_is_imported(path, tmp_path):
    tiles = random_tiles(24, 9)
    np.save(tmp_path / "tiles.npy", tiles)
    words = [path, tmp_path / "tiles.npy", tmp_path / "found.npy"]
    line = [sys.executable, "-c", WITHOUT, *map(str, words)]
    subprocess.run(line, env=environment(), check=True)
    np.testing.assert_array_equal(
        np.load(tmp_path / "found.npy"), network.load(path, 1)(tiles, 500)
    )


# --- what cannot be computed, or is damaged ---


def test_without_a_compiler_one_line_says_so(path, monkeypatch):
    monkeypatch.setattr("numba.config.DISABLE_JIT", True)
    with pytest.raises(InputError, match="NUMBA_DISABLE_JIT is set.*unset it, or set COSMODEEP_EN"):
        network.load(path, 1)


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda k: k.layers.Conv2D(8, 5), "'it' of kind Conv2D (kernel_size [5, 5], "),
        (lambda k: k.layers.Conv2D(8, 3, strides=2), "strides [2, 2]"),
        (lambda k: k.layers.Conv2D(8, 3, dilation_rate=2), "dilation_rate [2, 2]"),
        (lambda k: k.layers.Conv2D(8, 3, activation="tanh"), "activation tanh"),
        (lambda k: k.layers.AveragePooling2D(3), "pool_size [3, 3]"),
        (lambda k: k.layers.UpSampling2D(2, interpolation="bilinear"), "interpolation bilinear"),
        (lambda k: k.layers.BatchNormalization(), "layer 'it' of kind BatchNormalization"),
        (lambda k: k.layers.MaxPooling2D(2, padding="same"), "of kind MaxPooling2D on maps"),
    ],
)
def test_a_layer_that_is_not_known_is_named(tf, tmp_path, make, said):
    import keras

    layer = make(keras)
    layer.name = "it"
    tile = keras.Input((12, 12, 1))
    model = keras.Model(tile, keras.layers.GlobalAveragePooling2D()(layer(tile)))
    path = saved(model, tmp_path)
    with pytest.raises(InputError) as caught:
        network.load(path, 1)
    text = str(caught.value)
    assert text.startswith(f"{path}: its network has layer 'it'") and said in text
    assert "COSMODEEP_ENGINE=keras" in text


def altered(path, to, change):
    """A copy of a model with its weights changed, in HDF5, or its description."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        config = json.loads(old.read("config.json"))
        content = io.BytesIO(old.read("model.weights.h5"))
        with h5py.File(content, "r+") as file:
            change(config["config"]["layers"], file["layers"])
        new.writestr("config.json", json.dumps(config))
        new.writestr("model.weights.h5", content.getvalue())
    return to


def swap(layers, weights):
    """Of layers of one shape."""
    weights.move("conv2d_5", "other")
    weights.move("conv2d_4", "conv2d_5")
    weights.move("other", "conv2d_4")


def shorten(layers, weights):
    bias = weights["dense/vars/1"][:-1]
    del weights["dense/vars/1"]
    weights["dense/vars/1"] = bias


def lose(layers, weights):
    del weights["conv2d_1"]


def widen(layers, weights):
    (one,) = (layer for layer in layers if layer["name"] == "hidden1")
    one["config"]["units"] += 1


def cut_off(layers, weights):
    (one,) = (layer for layer in layers if layer["name"] == "conv3")
    one["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = "nowhere"


@pytest.mark.parametrize(
    "change, said",
    [
        (swap, "of 'deep2' in place of"),
        (shorten, "(255,)"),
        (lose, "no weights of layer 'conv2'"),
        (widen, "of layer 'hidden1'"),
        (cut_off, "layer 'conv3' has an input that no layer makes"),
    ],
)
def test_weights_that_are_not_those_of_the_description_are_refused(path, tmp_path, change, said):
    bad = altered(path, tmp_path / "bad.keras", change)
    with pytest.raises(InputError) as caught:
        network.load(bad, 1)
    text = str(caught.value)
    assert text.startswith(f"{bad}: its network cannot be read (") and said in text


@pytest.mark.filterwarnings("error")
def test_a_sum_that_overflows_is_said_without_a_word_beside():
    """By a softmax; the rows beside it have theirs."""
    rows = np.array([[np.inf, 0], [0, 0], [np.nan, 1]], dtype=np.float32)
    np.testing.assert_array_equal(elementwise.softmax(rows)[1], [0.5, 0.5])
    assert np.isnan(elementwise.softmax(rows)[[0, 2]]).all()


def test_a_kernel_at_the_points_has_the_same_bits_alone_and_among_others():
    kernel = random_tiles(3, 48 * 65).transpose(1, 2, 0).reshape(3, 3, 48, 65)
    whole = winograd.transformed(kernel)
    for maps, features in ((slice(0, 1), slice(0, 65)), (slice(0, 48), slice(64, 65))):
        alone = winograd.transformed(kernel[:, :, maps, features])
        np.testing.assert_array_equal(alone, whole[:, maps, features])
    exact = np.einsum("pt,tk->pk", winograd.KERNEL_AT_POINTS, kernel.reshape(9, -1).astype("d"))
    np.testing.assert_allclose(whole.reshape(36, -1), exact, rtol=1e-7, atol=1e-12)
