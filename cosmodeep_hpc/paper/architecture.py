"""The network drawn from the model file itself: figure 1 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cosmodeep_hpc.engine.graph import Graph, Layer
from cosmodeep_hpc.io.files import replacing
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


def parameters(layer: Layer) -> int:
    """Weights and biases of a layer."""
    return sum(weights.size for weights in layer.weights)


def detail(layer: Layer) -> str:
    """What matters of a layer beside its kind and shape, in words."""
    words = []
    for setting, form in (("kernel_size", "{} x {}"), ("pool_size", "largest of {} x {}")):
        if setting in layer.settings:
            words.append(form.format(*layer.settings[setting]))
    if layer.kind == "GlobalMaxPooling2D":
        words.append("largest of all")
    if layer.kind == "Dropout":
        words.append(f"{layer.settings['rate']:g} in training")
    if layer.activation != "linear":
        words.append({"relu": "ReLU"}.get(layer.activation, layer.activation))
    return ", ".join(words)


def depths(layers: Sequence[Layer]) -> dict[str, int]:
    """How many layers lie before each, on the longest way from the input."""
    found: dict[str, int] = {}
    for layer in layers:
        found[layer.name] = max((found[name] + 1 for name in layer.inputs), default=0)
    return found


def draw(graph: Graph, title: str, path: Path) -> str:
    """Draw the layers of a network, their shapes and their parameters.

    Args:
        title: what the model is called.
        path: the PNG file to write.

    Returns:
        what was drawn, in words.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layers = list(graph.layers.values())
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
    total = sum(parameters(one) for one in layers)
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
    count = f"{parameters(layer):,} parameters" if layer.weights else ""
    lines = [line for line in (layer.kind, detail(layer), shape, count) if line]
    foot = y - tall / 2 - spread / 2 - 0.12
    axes.text(x, foot, layer.name, ha="center", va="top", fontsize=11, weight="bold")
    axes.text(
        x, foot - 0.22, "\n".join(lines), ha="center", va="top", fontsize=9.5, linespacing=1.25
    )
    return (wide + spread) / 2
