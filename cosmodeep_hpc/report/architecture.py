"""The network drawn from the Keras model itself: figure 1 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cosmodeep_hpc.files import replacing
from cosmodeep_hpc.products import picture

COLOURS = {
    "InputLayer": "#BBBBBB",
    "Conv2D": "#56B4E9",
    "MaxPooling2D": "#E69F00",
    "GlobalMaxPooling2D": "#E69F00",
    "Dense": "#009E73",
    "Softmax": "#CC79A7",
}
"""Of kinds of layers; the others only reorder or drop numbers."""
OTHERS = "#EEEEEE"
SHEETS = 8
"""Maps drawn of a layer, at most."""
COLUMN = 1.5
"""Between two layers [inch]."""
HEIGHT = 5.4
"""Of the figure [inch]."""
TALLEST = 1.9
"""Of the largest map, and of the longest vector [inch]."""


@dataclass(frozen=True)
class Layer:
    """A layer of a network.

    Attributes:
        kind: name of its Keras class.
        detail: what else matters of it, in words.
        shape: of its output for one tile.
        parameters: weights and biases.
        inputs: names of the layers before it.
    """

    name: str
    kind: str
    detail: str
    shape: tuple[int, ...]
    parameters: int
    inputs: tuple[str, ...]


def layers_of(network: Any) -> list[Layer]:
    """The layers of a Keras model of one input and one output, each after those before it."""
    # operations that are no layers, such as a logarithm, too
    maker = {id(layer.output): layer.name for layer in network.operations}
    found = []
    for layer in network.operations:
        given = layer.input if isinstance(layer.input, list) else [layer.input]
        inputs = tuple(maker[id(tensor)] for tensor in given if maker[id(tensor)] != layer.name)
        shape = tuple(int(n) for n in layer.output.shape[1:])
        kind = type(layer).__name__
        found.append(Layer(layer.name, kind, _detail(layer), shape, _parameters(layer), inputs))
    return found


def _parameters(layer: Any) -> int:
    return int(layer.count_params()) if hasattr(layer, "count_params") else 0


def _detail(layer: Any) -> str:
    words = []
    for attribute, form in (("kernel_size", "{} x {}"), ("pool_size", "largest of {} x {}")):
        if hasattr(layer, attribute):
            words.append(form.format(*getattr(layer, attribute)))
    if type(layer).__name__ == "GlobalMaxPooling2D":
        words.append("largest of all")
    if hasattr(layer, "rate"):
        words.append(f"{layer.rate:g} in training")
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if activation != "linear":
        words.append({"relu": "ReLU"}.get(activation, activation))
    return ", ".join(words)


def depths(layers: Sequence[Layer]) -> dict[str, int]:
    """How many layers lie before each, on the longest way from the input."""
    found: dict[str, int] = {}
    for layer in layers:
        found[layer.name] = max((found[name] + 1 for name in layer.inputs), default=0)
    return found


def draw(network: Any, title: str, path: Path) -> str:
    """Draw the layers of a Keras model, their shapes and their parameters.

    Args:
        title: what the model is called.
        path: the PNG file to write.

    Returns:
        what was drawn, in words.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layers = layers_of(network)
    depth = depths(layers)
    columns: list[list[Layer]] = [[] for _ in range(max(depth.values()) + 1)]
    for one in layers:
        columns[depth[one.name]].append(one)
    width = COLUMN * len(columns)
    figure = Figure(figsize=(width, HEIGHT), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(0, HEIGHT)
    axes.set_axis_off()
    places: dict[str, tuple[float, float]] = {}
    for number, column in enumerate(columns):
        for place, one in enumerate(column):
            height = 0.2 + (HEIGHT - 0.9) * (len(column) - place - 0.5) / len(column)
            if len(column) == 1 and one.inputs:  # on the line of the branch that it belongs to
                height = sum(places[name][1] for name in one.inputs) / len(one.inputs)
            places[one.name] = COLUMN * (number + 0.5), height
    largest = max(one.shape[0] for one in layers if len(one.shape) == 3)
    longest = max(one.shape[0] for one in layers if len(one.shape) == 1)
    sides = {one.name: _draw_layer(axes, one, places[one.name], largest, longest) for one in layers}
    for one in layers:
        for name in one.inputs:
            (x0, y0), (x1, y1) = places[name], places[one.name]
            axes.annotate(
                "",
                xy=(x1 - sides[one.name] - 0.05, y1 + 0.3),
                xytext=(x0 + sides[name] + 0.05, y0 + 0.3),
                arrowprops={"arrowstyle": "-|>", "color": "0.35", "shrinkA": 0, "shrinkB": 0},
            )
    total = sum(one.parameters for one in layers)
    words = f"{title}: {total:,} parameters"
    axes.text(width / 2, HEIGHT - 0.3, words, ha="center", va="center", fontsize=14)
    with replacing(path) as temporary:
        picture.save(figure, temporary)
    return words


def _draw_layer(
    axes: Any, layer: Layer, place: tuple[float, float], largest: int, longest: int
) -> float:
    """Draw a layer as a stack of maps or as a bar, its words below it; half its width [inch]."""
    from matplotlib.patches import Rectangle

    x, y = place[0], place[1] + 0.3
    colour = COLOURS.get(layer.kind, OTHERS)
    if len(layer.shape) == 3:
        tall = TALLEST * 0.6 * max(layer.shape[0] / largest, 0.12)
        wide, sheets, step = tall, min(layer.shape[2], SHEETS), 0.05
    else:
        tall = TALLEST * max(np.log(layer.shape[0]) / np.log(max(longest, 2)), 0.08)
        wide, sheets, step = 0.22, 1, 0.0
    spread = step * (sheets - 1)
    for sheet in range(sheets):
        shift = spread / 2 - step * sheet
        corner = (x - wide / 2 + shift, y - tall / 2 + shift)
        axes.add_patch(Rectangle(corner, wide, tall, facecolor=colour, edgecolor="0.25", lw=0.7))
    shape = " x ".join(map(str, layer.shape))
    count = f"{layer.parameters:,} parameters" if layer.parameters else ""
    lines = [line for line in (layer.kind, layer.detail, shape, count) if line]
    foot = y - tall / 2 - spread / 2 - 0.12
    axes.text(x, foot, layer.name, ha="center", va="top", fontsize=11, weight="bold")
    axes.text(
        x, foot - 0.22, "\n".join(lines), ha="center", va="top", fontsize=9.5, linespacing=1.25
    )
    return (wide + spread) / 2
