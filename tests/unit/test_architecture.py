"""Figure 1 is drawn from the model itself: its layers, shapes, parameters and connections."""

import pytest
from pictures import has_colour, look

from cosmodeep_hpc.config import Model
from cosmodeep_hpc.report import architecture
from cosmodeep_hpc.report.architecture import Layer, depths, layers_of


@pytest.fixture(scope="module")
def pyramid(tf):
    from cosmodeep_hpc.learn import network

    return network.build(Model(), 40, 1)


def test_layers_have_the_shapes_and_parameters_of_the_paper(pyramid):
    """Weights and biases by hand: 3 x 3 kernels, then full connections."""
    found = {layer.name: layer for layer in layers_of(pyramid)}
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
    assert {name: (found[name].shape, found[name].parameters) for name in expected} == expected
    assert sum(layer.parameters for layer in found.values()) == 677_250
    assert found["conv1"].detail == "3 x 3, ReLU" and found["pool1"].detail == "largest of 2 x 2"


def test_the_two_poolings_meet_in_the_features(pyramid):
    layers = layers_of(pyramid)
    inputs = {layer.name: layer.inputs for layer in layers}
    assert inputs["tile"] == () and set(inputs["features"]) == {"bins", "pool2_1x1"}
    assert inputs["pool2_3x3"] == inputs["pool2_1x1"] == ("conv2",)
    depth = depths(layers)
    assert depth["pool2_3x3"] == depth["pool2_1x1"] == 4 and depth["features"] == 6


def test_depth_is_the_longest_way():
    a, b = Layer("a", "", "", (1,), 0, ()), Layer("b", "", "", (1,), 0, ("a",))
    c = Layer("c", "", "", (1,), 0, ("a", "b"))
    assert depths([a, b, c]) == {"a": 0, "b": 1, "c": 2}


@pytest.mark.parametrize("head, parameters", [("pyramid", "677,250"), ("flatten", "6,575,490")])
def test_picture_of_each_head(tf, tmp_path, head, parameters):
    """Flattened: 320 + 18,496 + (10 x 10 x 64 + 1) x 1024 + 2,050."""
    from cosmodeep_hpc.learn import network

    net = network.build(Model(head=head), 40, 1)
    words = architecture.draw(net, "a model", tmp_path / "network.png")
    assert words == f"a model: {parameters} parameters"
    seen = look(tmp_path / "network.png")
    assert has_colour(seen, architecture.COLOURS["Conv2D"])
