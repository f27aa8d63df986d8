"""A model file says how its tiles were made; any other file is refused in one line."""

import io
import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.models import CARD, weights_of, write_untrained

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.learn.calibration import Calibration
from cosmodeep_hpc.learn.classifier import outputs

pytestmark = pytest.mark.usefixtures("tf")
OURS = replace(
    CARD,
    threshold=0.123456789,
    completeness=0.1,
    purity=0.9,
    calibration=Calibration(scale=0.7, offset=-1 / 3),
    trained_on=("a1", "b2"),
)


@pytest.fixture(scope="module")
def path(tf, tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    return write_untrained(run / modelfile.MODEL, **vars(OURS))


def test_card_round_trip(path):
    assert modelfile.read_card(path) == OURS


@pytest.mark.parametrize(
    "point, threshold", [("accuracy", 0.123456789), ("completeness", 0.1), ("purity", 0.9)]
)
def test_operating_points(path, point, threshold):
    assert modelfile.load(path, point).card == replace(OURS, threshold=threshold)


def test_a_model_without_an_operating_point(tmp_path):
    known = write_untrained(tmp_path / "a.keras")  # as by training without validation images
    assert modelfile.load(known, "accuracy").card.threshold == CARD.threshold
    with pytest.raises(InputError, match=r"a\.keras: no threshold for a purity of 0\.99"):
        modelfile.load(known, "purity")


def test_a_card_of_format_1(tmp_path, path):
    """As it was before there were calibration and other operating points."""
    content = json.loads(zipfile.ZipFile(path).read(modelfile.CARD))
    for name in ("completeness", "purity", "calibration"):
        del content[name]
    old = copy(path, tmp_path / "a.keras", cosmodeep=json.dumps(content | {"format": 1}).encode())
    expected = replace(OURS, completeness=None, purity=None, calibration=Calibration())
    assert modelfile.read_card(old) == expected


def test_a_card_of_format_2(tmp_path, path):
    """As it was before there were networks of many rules; whatever is asked, it has one."""
    content = json.loads(zipfile.ZipFile(path).read(modelfile.CARD))
    del content["readings"]
    old = copy(path, tmp_path / "a.keras", cosmodeep=json.dumps(content | {"format": 2}).encode())
    assert modelfile.read_card(old) == modelfile.read_card(old, rule=(5e-8, 9)) == OURS


def turned_around(tmp_path, path):
    content = json.loads(zipfile.ZipFile(path).read(modelfile.CARD))
    content["calibration"]["scale"] = -1
    return copy(path, tmp_path / "a.keras", cosmodeep=json.dumps(content).encode())


def test_found_by_folder_and_by_file(path):
    assert modelfile.find(path.parent) == modelfile.find(path) == modelfile.find(str(path)) == path


def test_a_folder_of_a_shipped_name_counts_if_it_is_a_run(tmp_path, monkeypatch):
    """Nothing of the working folder hides a model of the package but a model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counts").mkdir()
    assert modelfile.find("counts") == modelfile.shipped("counts")
    (tmp_path / "counts" / "model.keras").touch()
    assert modelfile.find("counts") == Path("counts/model.keras")
    (tmp_path / "unfinished").mkdir()
    with pytest.raises(InputError, match="unfinished: no model.keras in it"):
        modelfile.find("unfinished")


def test_the_network_comes_back_bit_for_bit(path):
    from cosmodeep_hpc.config.learn import Model
    from cosmodeep_hpc.learn.network import build

    assert modelfile.load(path).card == OURS
    for a, b in zip(weights_of(path), build(Model(), 40, 1).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_probability_is_that_of_signal(path):
    import keras

    model, tiles = modelfile.load(path), np.zeros((3, 40, 40), np.float32)
    tiles[:] = np.random.default_rng(1).normal(size=tiles.shape)
    both = np.asarray(keras.saving.load_model(path, compile=False)(tiles[..., np.newaxis]))
    np.testing.assert_allclose(outputs(model, tiles, 500), both[:, 1], atol=1e-6)


def copy(path, to, **members):
    """The archive with members replaced, or left out where None."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            content = members.get(name.partition(".")[0], old.read(name))
            if content is not None:
                new.writestr(name, content)
    return to


def plain_keras(tmp_path, path):
    return copy(path, tmp_path / "plain.keras", cosmodeep=None)


def text(tmp_path, path):
    (tmp_path / "a.keras").write_text("hello")
    return tmp_path / "a.keras"


def missing(tmp_path, path):
    return tmp_path / "no.keras"


def unfinished_run(tmp_path, path):
    return tmp_path


def no_network(tmp_path, path):
    return copy(path, tmp_path / "a.keras", config=b"{}")


def no_json_network(tmp_path, path):
    return copy(path, tmp_path / "a.keras", config=b"{")


def deep_network(tmp_path, path):
    return copy(path, tmp_path / "a.keras", config=b"[" * 100_000 + b"]" * 100_000)


def no_weights(tmp_path, path):
    return copy(path, tmp_path / "a.keras", model=None)


def damaged_card(tmp_path, path):
    return copy(path, tmp_path / "a.keras", cosmodeep=b'{"format": 1}')


def a_list_for_a_card(tmp_path, path):
    return copy(path, tmp_path / "a.keras", cosmodeep=b"[]")


def no_json(tmp_path, path):
    return copy(path, tmp_path / "a.keras", cosmodeep=b"\xff")


def later_format(tmp_path, path):
    return copy(path, tmp_path / "a.keras", cosmodeep=b'{"format": 6}')


def truncated(tmp_path, path):
    content = path.read_bytes()
    (tmp_path / "a.keras").write_bytes(content[: len(content) // 2])
    return tmp_path / "a.keras"


def flipped(tmp_path, path):
    """A byte of the weights: the archive's own checksum tells."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "a.keras").write_bytes(content)
    return tmp_path / "a.keras"


def marked(tmp_path, path, places):
    """The card's entry in the archive's list, and its header, with a byte of each changed.

    Args:
        places: of the byte in the entry and in the header, and its new value.
    """
    with zipfile.ZipFile(path) as archive:
        header = archive.getinfo(modelfile.CARD).header_offset
    content = bytearray(path.read_bytes())
    entry = content.rindex(modelfile.CARD.encode()) - 46  # the list of the members comes last
    in_list, in_header, value = places
    content[entry + in_list] = content[header + in_header] = value
    (tmp_path / "a.keras").write_bytes(content)
    return tmp_path / "a.keras"


def with_password(tmp_path, path):
    return marked(tmp_path, path, (8, 6, 1))


def of_unknown_method(tmp_path, path):
    return marked(tmp_path, path, (10, 8, 98))


def ending_early(tmp_path, path):
    """The card is said to have 16 MB, more than follow in the file."""
    longer = marked(tmp_path, path, (23, 21, 1))
    return marked(tmp_path, longer, (27, 25, 1))


def unfolding(tmp_path, path):
    """A card of few bytes that unfolds to more than any machine should read for it."""
    bad = copy(path, tmp_path / "a.keras", cosmodeep=None)
    with (
        zipfile.ZipFile(bad, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open(modelfile.CARD, "w", force_zip64=True) as card,
    ):
        for _ in range(1025):
            card.write(bytes(2**20))
    return bad


def named_in_two_lines(tmp_path, path):
    with zipfile.ZipFile(path) as archive:
        card = archive.read(modelfile.CARD).decode()
    return copy(path, tmp_path / "a.keras", cosmodeep=card.replace("scale", "a\\nb").encode())


def not_a_number(tmp_path, path):
    """A weight of a training that diverged."""
    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content, "r+") as weights:
        weights["layers/dense/vars/0"][3, 5] = np.nan
    return copy(path, tmp_path / "a.keras", model=content.getvalue())


@pytest.mark.parametrize(
    "make, line",
    [
        (plain_keras, "a Keras model, but not one of `cosmodeep train`"),
        (text, "not a .keras file"),
        (missing, "no such model; expected a run folder, a .keras file, or a model of the package"),
        (unfinished_run, "no model.keras in it; expected the folder of a finished training run"),
        (no_network, "its network cannot be read ("),
        (no_json_network, "damaged description of the network"),
        (deep_network, "damaged description of the network"),
        (no_weights, "its network cannot be read ("),
        (damaged_card, "damaged model card"),
        (a_list_for_a_card, "damaged model card"),
        (no_json, "damaged model card"),
        (turned_around, "damaged model card (calibration by -1"),
        (later_format, "model format 6; expected 5"),
        (truncated, "not a .keras file"),
        (flipped, "its network cannot be read ("),
        (with_password, "not a .keras file, or not a complete one ("),
        (of_unknown_method, "not a .keras file, or not a complete one ("),
        (ending_early, "not a .keras file, or not a complete one ("),
        (unfolding, "bytes; expected at most"),
        (named_in_two_lines, "damaged model card ("),
        (not_a_number, "weights of layer 'hidden' that are not finite"),
    ],
)
def test_not_a_model_of_ours(tmp_path, path, make, line):
    bad = make(tmp_path, path)
    with pytest.raises(InputError) as caught:
        modelfile.load(bad)
    assert str(caught.value).startswith(str(bad)) and line in str(caught.value)
    assert "\n" not in str(caught.value)


def with_layer(tmp_path, path, layer):
    """The model with its dropout layer replaced by one of another description."""
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    layers = config["config"]["layers"]
    (place,) = (i for i, old in enumerate(layers) if old["class_name"] == "Dropout")
    layers[place] |= layer
    return copy(path, tmp_path / "a.keras", config=json.dumps(config).encode())


def lambda_of(marker):
    """A Lambda layer of Keras, as it is saved: marshalled code that makes the file `marker`."""
    import keras

    touch = keras.layers.Lambda(eval(f"lambda x: (open({str(marker)!r}, 'w').close(), x)[1]"))
    return keras.saving.serialize_keras_object(touch)


ON_IMPORT = "from pathlib import Path\nPath({!r}).touch()\nclass Layer:\n    pass\n"


@pytest.mark.parametrize("kind", ["lambda", "module", "function", "registered", "initializer"])
def test_a_file_that_asks_for_code_is_refused_and_nothing_runs(tmp_path, path, monkeypatch, kind):
    """By the name of what it asks for, in one line; the code it asks for would make a file."""
    marker = tmp_path / "it-ran"
    (tmp_path / "evil_module.py").write_text(ON_IMPORT.format(str(marker)))
    monkeypatch.syspath_prepend(tmp_path)
    evil = {"module": "evil_module", "class_name": "Layer", "registered_name": "Layer"}
    function = {"module": "builtins", "class_name": "function", "config": "evil_module.Layer"}
    layer, named = {
        "lambda": (lambda_of(marker), "holds keras.layers.Lambda"),
        "module": (evil, "holds evil_module.Layer"),
        "function": ({"config": {"rate": function}}, "holds builtins.function"),
        "registered": ({"registered_name": "evil>Layer"}, "holds keras.layers.evil>Layer"),
        "initializer": ({"config": {"rate": 0.5, "seed": evil}}, "holds evil_module.Layer"),
    }[kind]
    bad = with_layer(tmp_path, path, layer)
    with pytest.raises(InputError) as caught:
        modelfile.load(bad)
    text = str(caught.value)
    assert text.startswith(f"{bad}: {named}; expected only what") and "\n" not in text
    assert "evil_module" not in sys.modules and not marker.exists()


def test_the_code_of_that_test_would_run(tmp_path, path):
    """What it stands on: without safe mode, the Lambda layer makes its file."""
    import keras

    marker = tmp_path / "it-ran"
    bad = with_layer(tmp_path, path, lambda_of(marker))
    keras.saving.load_model(bad, compile=False, safe_mode=False)
    assert marker.exists()


def test_a_file_with_other_members_is_refused(tmp_path, path):
    """Keras would unpack them."""
    bad = copy(path, tmp_path / "a.keras")
    with zipfile.ZipFile(bad, "a") as archive:
        archive.writestr("assets/../../evil.txt", "x")
    with pytest.raises(InputError, match="holds a file 'assets/../../evil.txt'"):
        modelfile.load(bad)


def test_a_failed_save_keeps_the_earlier_model(tmp_path, path):
    class Broken:
        def save(self, to):
            to.write_bytes(b"half")
            raise OSError(28, "No space left on device")

    there = tmp_path / "model.keras"
    there.write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="No space left on device"):
        modelfile.save(there, Broken(), OURS)
    assert modelfile.read_card(there) == OURS
    assert [p.name for p in tmp_path.iterdir()] == ["model.keras"]
