"""The network drawn from the model file itself: figure 1 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
COLUMN, ROW = 1.7, 1.2
"""Between two layers, along the way and across it [inch]."""


def parameters(layer: Layer) -> int:
    """Return the number of weights and biases of a layer."""
    return sum(weights.size for weights in layer.weights)


def detail(layer: Layer) -> str:
    """Return what matters of a layer beside its kind and shape, in words."""
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
    """Return how many layers lie before each, on the longest way from the input."""
    found: dict[str, int] = {}
    for layer in layers:
        found[layer.name] = max((found[name] + 1 for name in layer.inputs), default=0)
    return found


def draw(graph: Graph, title: str, path: Path) -> str:
    """Draw the layers of a network, with their shapes and parameters, as boxes joined by arrows.

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
    width, height = COLUMN * len(columns), ROW * max(map(len, columns)) + 1.7
    figure = Figure(figsize=(width, height), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    boxes: dict[str, Any] = {}
    for number, column in enumerate(columns):
        for place, one in enumerate(column):
            y = (height - 0.7) * (len(column) - place - 0.5) / len(column)
            if len(column) == 1 and one.inputs:  # on the line of the branch that it belongs to
                y = sum(boxes[name].xyann[1] for name in one.inputs) / len(one.inputs)
            boxes[one.name] = _box(axes, one, (COLUMN * (number + 0.5), y))
    for one in layers:
        for name in one.inputs:
            start, end = boxes[name], boxes[one.name]
            style = {"arrowstyle": "-|>", "color": "0.35", "shrinkA": 0, "shrinkB": 0}
            ends = {"patchA": start.get_bbox_patch(), "patchB": end.get_bbox_patch()}
            axes.annotate("", end.xyann, start.xyann, arrowprops=style | ends)
    words = f"{title}: {sum(map(parameters, layers)):,} parameters"
    axes.text(width / 2, height - 0.3, words, ha="center", va="center", fontsize=14)
    with replacing(path) as temporary:
        picture.save(figure, temporary)
    return words


def _box(axes: Any, layer: Layer, place: tuple[float, float]) -> Any:
    """Draw a layer as a box with its name, kind, shape and parameters."""
    count = f"{parameters(layer):,} parameters" if layer.weights else ""
    lines = [layer.name, layer.kind, detail(layer), " x ".join(map(str, layer.shape)), count]
    about = {"boxstyle": "round", "facecolor": COLOURS.get(layer.kind, OTHERS), "edgecolor": "0.25"}
    text = "\n".join(filter(None, lines))
    return axes.annotate(text, place, place, ha="center", va="center", fontsize=9, bbox=about)
