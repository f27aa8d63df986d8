"""The paper's network on cores: its two convolutions with their maxima, before the dense layers."""

from __future__ import annotations

import numpy as np

from cosmodeep_hpc.engine.convolutions import Convolutions, Weights
from cosmodeep_hpc.engine.graph import Array, Graph
from cosmodeep_hpc.engine.paper import SECOND
from cosmodeep_hpc.engine.simd import zeros


class PaperMaps:
    """Computes the features that the dense layers read, as `network.build` defines them.

    Maxima are taken before bias and ReLU, which both rise monotonically: this gives the same
    numbers from a part of the pixels.

    Attributes:
        known: name of the layer whose output it computes.
    """

    def __init__(self, graph: Graph, end: str, *, pyramid: bool) -> None:
        """Take the weights of a network; `paper.end_of_maps` gives `end` and `pyramid`."""
        first, second = (layer for layer in graph.layers.values() if layer.kind == "Conv2D")
        self.known = (end,)
        self._weights = Weights.of(first.weights[0], first.weights[1], second.weights[0])
        self._bias, self._pyramid, self._side = second.weights[1], pyramid, graph.side

    def memory(self) -> Convolutions:
        """Allocate the memory of one thread."""
        return Convolutions(self._side, pyramid=self._pyramid, threads=1)

    def __call__(self, tiles: Array, memory: Convolutions) -> dict[str, Array]:
        """Return the features of tiles (n, size, size): float32 (n, k)."""
        maxima = zeros((len(tiles), *memory.shape))
        memory.maxima(tiles, self._weights, maxima)
        bins = maxima.reshape(len(tiles), -1, SECOND)
        if self._pyramid:
            bins = np.concatenate([bins, bins.max(axis=1, keepdims=True)], axis=1)
        features = np.maximum(bins + self._bias, np.float32(0))
        return {self.known[0]: features.reshape(len(tiles), -1)}
