"""A counts network on a window of any shape: the same layers and weights, other sides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cosmodeep_hpc.engine.graph import Graph, Layer, UnknownLayer, shape_of

CONVOLVED = 1
"""Pixels that the last convolution reads around its own, which a cut leaves."""


@dataclass(frozen=True)
class Frame:
    """A window, and the part of it that outputs are wanted of [pixel].

    Attributes:
        shape: rows and columns of the window.
        top, left: the first row and column of the part.
        height, width: of the part.
    """

    shape: tuple[int, int]
    top: int
    left: int
    height: int
    width: int


def enlarged(graph: Graph, frame: Frame) -> Graph:
    """Return a network that takes a window, and gives maps of a part of it.

    Args:
        graph: of tiles with margins, with a cut before its last convolution of 3 x 3.
        frame: its numbers are multiples of what the network halves to.

    Raises:
        UnknownLayer: a network without such a cut, or with another one.
    """
    cut = cut_of(graph)
    halved = graph.side // graph.layers[cut.inputs[0]].shape[0]
    layers: dict[str, Layer] = {}
    for layer in graph.layers.values():
        if layer.name == graph.input:
            layers[layer.name] = replace(layer, shape=(*frame.shape, 1))
            continue
        settings: dict[str, Any] = layer.settings
        if layer.name == cut.name:
            settings = {**settings, "cropping": _cropping(frame, halved)}
        given = [layers[name].shape for name in layer.inputs]
        shape = layer.shape
        if any(len(each) == 3 for each in given):
            shape = shape_of(layer.kind, layer.name, settings, given)
        layers[layer.name] = replace(layer, settings=settings, shape=shape)
    return Graph(layers, graph.input, graph.outputs)


def cut_of(graph: Graph) -> Layer:
    """Return the one layer of a network that cuts margins.

    Raises:
        UnknownLayer: there is none, or more than one.
    """
    cuts = [layer for layer in graph.layers.values() if layer.kind == "Cropping2D"]
    if len(cuts) != 1:
        raise UnknownLayer(f"{len(cuts)} layers that cut margins, where one is expected")
    return cuts[0]


def _cropping(frame: Frame, halved: int) -> list[list[int]]:
    """Return what is cut of each side of maps, but for what the last convolution reads."""
    ends = frame.shape[0] - frame.top - frame.height, frame.shape[1] - frame.left - frame.width
    pairs = ((frame.top, ends[0]), (frame.left, ends[1]))
    return [[pixels // halved - CONVOLVED for pixels in pair] for pair in pairs]
