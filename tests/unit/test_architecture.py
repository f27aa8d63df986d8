"""Figure 1 is drawn from the model itself: its layers, shapes, parameters and connections."""

import pytest
from support.pictures import has_colour, look

from cosmodeep_hpc.config.learn import Model
from cosmodeep_hpc.engine import archive
from cosmodeep_hpc.engine.graph import Layer
from cosmodeep_hpc.paper import architecture
from cosmodeep_hpc.paper.architecture import depths, detail, parameters


def described(folder, head):
    """An untrained network of the paper's, as its file describes it."""
    from cosmodeep_hpc.learn import network

    network.build(Model(head=head), 40, 1).save(folder / "a.keras")
    return archive.read(folder / "a.keras")


@pytest.fixture(scope="module")
def pyramid(tf, tmp_path_factory):
    return described(tmp_path_factory.mktemp("model"), "pyramid")


def test_layers_have_the_shapes_and_parameters_of_the_paper(pyramid):
    """Weights and biases by hand: 3 x 3 kernels, then full connections."""
    found = pyramid.layers
    expected = {
        "tile": ((40, 40, 1), 0),
        "conv1": ((40, 40, 32), (3 * 3 * 1 + 1) * 32),
        "pool1": ((20, 20, 32), 0),
        "conv2": ((20, 20, 64), (3 * 3 * 32 + 1) * 64),
        "pool2_3x3": ((3, 3, 64), 0),
        "pool2_1x1": ((64,), 0),
        "features": ((3 * 3 * 64 + 64,), 0),
        "hidden": ((1024,), (640 + 1) * 1024),
        "probability": ((2,), 0),
        "logits": ((2,), (1024 + 1) * 2),
    }
    assert {name: (found[name].shape, parameters(found[name])) for name in expected} == expected
    assert sum(map(parameters, found.values())) == 677_250
    assert detail(found["conv1"]) == "3 x 3, ReLU"
    assert detail(found["pool1"]) == "largest of 2 x 2"


def test_the_two_poolings_meet_in_the_features(pyramid):
    layers = list(pyramid.layers.values())
    inputs = {layer.name: layer.inputs for layer in layers}
    assert inputs["tile"] == () and set(inputs["features"]) == {"bins", "pool2_1x1"}
    assert inputs["pool2_3x3"] == inputs["pool2_1x1"] == ("conv2",)
    depth = depths(layers)
    assert depth["pool2_3x3"] == depth["pool2_1x1"] == 4 and depth["features"] == 6


def test_depth_is_the_longest_way():
    given = {"a": (), "b": ("a",), "c": ("a", "b")}
    layers = [Layer(name, "Add", inputs, {}, (1,)) for name, inputs in given.items()]
    assert depths(layers) == {"a": 0, "b": 1, "c": 2}


@pytest.mark.parametrize("head, parameters", [("pyramid", "677,250"), ("flatten", "6,575,490")])
def test_picture_of_each_head(tf, tmp_path, head, parameters):
    """Flattened: 320 + 18,496 + (10 x 10 x 64 + 1) x 1024 + 2,050."""
    words = architecture.draw(described(tmp_path, head), "a model", tmp_path / "network.png")
    assert words == f"a model: {parameters} parameters"
    seen = look(tmp_path / "network.png")
    assert has_colour(seen, architecture.COLOURS["Conv2D"])
