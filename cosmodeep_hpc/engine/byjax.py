"""A trained network by JAX alone: on GPUs, or on whatever device JAX has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import numpy as np

from cosmodeep_hpc.engine import jaxlayers
from cosmodeep_hpc.engine.blocks import LOGITS, TILES, Block, BlockOutput
from cosmodeep_hpc.engine.bykeras import in_parts
from cosmodeep_hpc.engine.enlarged import Frame, cut_of, enlarged
from cosmodeep_hpc.engine.graph import Array, Graph
from cosmodeep_hpc.engine.jaxlayers import Weights


class ByJax:
    """A network of tiles, compiled for batches of one shape.

    Attributes:
        side: of its tiles [pixel].
        shape: of its first output for one tile.
    """

    def __init__(self, graph: Graph) -> None:
        """Take a network's weights; the first batch compiles it."""
        end = graph.outputs[0]
        self.side, self.shape = graph.side, graph.layers[end].shape
        self._weights = jax.device_put(jaxlayers.weights_of(graph))
        self._first = jax.jit(
            lambda weights, tiles: jaxlayers.outputs(graph, [end], tiles[..., None], weights)[0]
        )

    def __call__(self, tiles: Array, batch: int) -> Array:
        """Return the first output for tiles (n, side, side), `batch` at once: float32 (n, ...)."""
        rows = np.ascontiguousarray(tiles, dtype=np.float32)
        return in_parts(partial(self._first, self._weights), rows, batch)


@dataclass(frozen=True)
class BlockProgram:
    """What is computed of a block: a counts network without its weights.

    Two are equal if their layers are: what is compiled for one is for the other, too.

    Attributes:
        layers: text that describes them.
        graph: of tiles with margins.
    """

    layers: str
    graph: Graph = field(compare=False)

    @classmethod
    def of(cls, graph: Graph) -> BlockProgram:
        """Return the program of a network.

        Raises:
            UnknownLayer: a network without a map of pixels.
        """
        cut_of(graph)
        bare = {name: replace(layer, weights=()) for name, layer in graph.layers.items()}
        return cls(repr(bare), Graph(bare, graph.input, graph.outputs))

    @property
    def finest(self) -> int:
        """Side of a cell of the maps [pixel]."""
        return self.graph.side // self.graph.layers[cut_of(self.graph).inputs[0]].shape[0]

    @property
    def tile(self) -> int:
        """Side of a tile [pixel]."""
        return self.graph.layers[LOGITS].shape[0] * self.finest

    def outputs(self, window: Any, weights: Weights, frame: Frame, *, tiles: bool) -> list[Any]:
        """Compute a block, as `Block` describes it; can be traced.

        Returns:
            log-odds (rows / 2, columns / 2, T), and outputs of tiles (tiles, T, L) if asked for.
        """
        ends = (LOGITS, TILES) if tiles else (LOGITS,)
        given, cell = window[None, ..., None], self.tile // self.finest
        graph = enlarged(self.graph, frame)
        logits, *of_tiles = jaxlayers.outputs(graph, ends, given, weights, cell)
        return [logits[0], *of_tiles]


class BlocksByJax:
    """A counts network over blocks of a view, compiled for each shape of them.

    Attributes:
        program: what is computed.
        weights: of its layers, on the device.
        tile: side of a tile [pixel].
        finest: side of a cell of the maps [pixel].
        at_once: blocks that are computed at once.
    """

    def __init__(self, graph: Graph) -> None:
        """Take a network's weights.

        Raises:
            UnknownLayer: a network without a map of pixels.
        """
        self.program = BlockProgram.of(graph)
        self.weights: Weights = jax.device_put(jaxlayers.weights_of(graph))
        self.tile, self.finest, self.at_once = self.program.tile, self.program.finest, 1

    def __call__(self, blocks: Sequence[Block]) -> list[BlockOutput]:
        """Return what the network says of blocks, in their order."""
        found = []
        for block in blocks:
            window = np.ascontiguousarray(block.window, dtype=np.float32)
            given = _outputs(self.program, window, self.weights, block.frame, tiles=block.tiles)
            logits, *tiles = map(np.asarray, given)
            found.append(BlockOutput(logits, tiles[0] if tiles else None))
        return found


_outputs = jax.jit(BlockProgram.outputs, static_argnums=(0, 3), static_argnames="tiles")
