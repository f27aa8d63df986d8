"""A counts network over blocks of a view by Keras' operations: the plain twin of `blocks`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cosmodeep_hpc.engine.blocks import LOGITS, TILES, Block, BlockOutput
from cosmodeep_hpc.engine.enlarged import cut_of, enlarged
from cosmodeep_hpc.engine.graph import Graph, Layer


class BlocksByKeras:
    """A counts network on whatever Keras' backend computes on, one block after the other.

    Attributes:
        tile: side of a tile [pixel].
        finest: side of a cell of the maps [pixel].
    """

    def __init__(self, graph: Graph, keras: Any) -> None:
        """Take a network's weights.

        Args:
            keras: the module, on its backend.

        Raises:
            UnknownLayer: a network without a map of pixels.
        """
        self._graph, self._ops = graph, keras.ops
        self._precise = keras.backend.backend() == "jax"
        self.finest = graph.side // graph.layers[cut_of(graph).inputs[0]].shape[0]
        self._cell = graph.layers[LOGITS].shape[0]
        self.tile = self._cell * self.finest
        self.at_once = 1

    def __call__(self, blocks: Sequence[Block]) -> list[BlockOutput]:
        """Return what the network says of blocks, in their order."""
        if self._precise:
            import jax

            with jax.default_matmul_precision("float32"):
                return [self._run(block) for block in blocks]
        return [self._run(block) for block in blocks]

    def _run(self, block: Block) -> BlockOutput:
        graph = enlarged(self._graph, block.frame)
        ends = (TILES, LOGITS) if block.tiles else (LOGITS,)
        window = np.ascontiguousarray(block.window, dtype=np.float32)
        found: dict[str, Any] = {graph.input: self._ops.convert_to_tensor(window[None, ..., None])}
        for layer in graph.needed(ends):
            if layer.name != graph.input:
                given = [found[name] for name in layer.inputs]
                found[layer.name] = self._activated(layer, self._computed(layer, given))
        logits = np.asarray(self._ops.convert_to_numpy(found[LOGITS]))[0]
        tiles = np.asarray(self._ops.convert_to_numpy(found[TILES])) if block.tiles else None
        return BlockOutput(logits, tiles)

    def _activated(self, layer: Layer, values: Any) -> Any:
        kinds: dict[str, Callable[[Any], Any]] = {
            "linear": lambda x: x,
            "relu": self._ops.relu,
            "sigmoid": self._ops.sigmoid,
        }
        return kinds[layer.activation](values)

    def _computed(self, layer: Layer, given: list[Any]) -> Any:
        """Return a layer's output before its activation; numbers of whole maps are of cells."""
        ops, settings, first = self._ops, layer.settings, given[0]
        match layer.kind:
            case "Conv2D":
                kernel, bias = layer.weights
                return ops.conv(first, kernel, padding=settings["padding"]) + bias
            case "Dense":
                kernel, bias = layer.weights
                return ops.matmul(first, kernel) + bias
            case "AveragePooling2D":
                return ops.average_pool(first, 2, 2)
            case "UpSampling2D":
                return ops.repeat(ops.repeat(first, 2, axis=1), 2, axis=2)
            case "Cropping2D":
                (top, bottom), (left, right) = settings["cropping"]
                return first[:, top : first.shape[1] - bottom, left : first.shape[2] - right]
            case "GlobalAveragePooling2D":
                return self._cells(ops.average_pool(first, self._cell, self._cell))
            case "GlobalMaxPooling2D":
                return self._cells(ops.max_pool(first, self._cell, self._cell))
            case "Rescaling":
                return first * settings["scale"] + settings["offset"]
            case "Log":
                return ops.log(first)
            case "Concatenate":
                return ops.concatenate(given, axis=-1)
            case "Reshape":
                return ops.reshape(first, (-1, *layer.shape))
            case "Subtract":
                return first - given[1]
            case "Multiply":
                return first * given[1]
            case "Add":
                return first + given[1]
        return first  # activations, and what is there in training alone

    def _cells(self, pooled: Any) -> Any:
        """Return numbers of cells, row by row: (cells, maps)."""
        return self._ops.reshape(pooled, (-1, pooled.shape[-1]))
