"""The paper's network on cores: its two convolutions with their maxima, before the dense layers."""

from __future__ import annotations

import numpy as np

from cosmodeep_hpc.engine.convolutions import Convolutions, Weights
from cosmodeep_hpc.engine.firstlayer import FEATURES as FIRST
from cosmodeep_hpc.engine.graph import Array, Graph, Layer
from cosmodeep_hpc.engine.secondlayer import FEATURES as SECOND
from cosmodeep_hpc.engine.simd import zeros


class PaperMaps:
    """Tiles to the features that the dense layers see, as `network.build` makes them.

    Maxima are taken before bias and ReLU, which both rise monotonically: the same numbers from a
    part of the pixels.

    Attributes:
        known: name of the layer whose output is found.
    """

    def __init__(self, graph: Graph, end: str, *, pyramid: bool) -> None:
        """Take the weights of a network of which `end_of_maps` says these."""
        first, second = (layer for layer in graph.layers.values() if layer.kind == "Conv2D")
        self.known = (end,)
        self._weights = Weights.of(first.weights[0], first.weights[1], second.weights[0])
        self._bias, self._pyramid, self._side = second.weights[1], pyramid, graph.side

    def memory(self) -> Convolutions:
        """What a thread works in."""
        return Convolutions(self._side, pyramid=self._pyramid, threads=1)

    def __call__(self, tiles: Array, memory: Convolutions) -> dict[str, Array]:
        """The features of tiles (n, size, size): float32 (n, k)."""
        maxima = zeros((len(tiles), *memory.shape))
        memory.maxima(tiles, self._weights, maxima)
        bins = maxima.reshape(len(tiles), -1, SECOND)
        if self._pyramid:
            bins = np.concatenate([bins, bins.max(axis=1, keepdims=True)], axis=1)
        features = np.maximum(bins + self._bias, np.float32(0))
        return {self.known[0]: features.reshape(len(tiles), -1)}


def end_of_maps(graph: Graph) -> tuple[str, bool] | None:
    """The layer that `PaperMaps` computes of a network, and whether by the pyramid of maxima.

    None of a network with other maps.
    """
    names = [layer.name for layer in graph.layers.values() if layer.kind == "Conv2D"]
    if len(names) != 2:
        return None
    first, second = (graph.layers[name] for name in names)
    tile = graph.layers[first.inputs[0]]
    pooled = _only(graph, first, "MaxPooling2D")
    known = (
        tile.name == graph.input
        and len(graph.users(tile.name)) == 1
        and pooled is not None
        and _only(graph, pooled, "Conv2D") is second
        and pooled.settings["pool_size"] == [2, 2]
        and all(_is_convolution(layer) for layer in (first, second))
        and (first.shape[2], second.shape[2]) == (FIRST, SECOND)
        and second.name not in graph.outputs
    )
    return _end(graph, second) if known else None


def _end(graph: Graph, second: Layer) -> tuple[str, bool] | None:
    """As `end_of_maps`, of what follows the second convolution."""
    side = second.shape[0]
    flat = _only(graph, second, "MaxPooling2D")
    if flat is not None:
        end = _only(graph, flat, "Flatten")
        halved = flat.settings["pool_size"] == [2, 2]
        return (end.name, False) if halved and end is not None else None
    users = {layer.kind: layer for layer in graph.users(second.name)}
    if users.keys() != {"MaxPooling2D", "GlobalMaxPooling2D"}:
        return None
    third = -(-side // 3)
    bins = _only(graph, users["MaxPooling2D"], "Flatten")
    end = None if bins is None else _only(graph, bins, "Concatenate")
    whole = users["GlobalMaxPooling2D"].name
    if end is None or bins is None or end.inputs != (bins.name, whole):
        return None
    fits = users["MaxPooling2D"].settings["pool_size"] == [third, third]
    return (end.name, True) if fits and len(graph.users(whole)) == 1 else None


def _only(graph: Graph, layer: Layer, kind: str) -> Layer | None:
    """The one layer that sees another, if it is of a kind."""
    users = graph.users(layer.name)
    return users[0] if [user.kind for user in users] == [kind] else None


def _is_convolution(layer: Layer) -> bool:
    settings = layer.settings
    return (
        settings["kernel_size"] == [3, 3]
        and settings["padding"] == "same"
        and layer.activation == "relu"
    )
