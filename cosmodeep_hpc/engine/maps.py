"""The maps of a network, computed tile by tile in a core's cache by a program of its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cosmodeep_hpc.engine import layers, program
from cosmodeep_hpc.engine.graph import Array, Graph
from cosmodeep_hpc.engine.simd import zeros

WHOLE = ("GlobalAveragePooling2D", "GlobalMaxPooling2D")


class ThreadMemory(NamedTuple):
    """The memory of one thread, float32 arrays: see `layers.run`."""

    arena: Array
    values: Array
    products: Array


class Maps:
    """Computes what later layers need of a network's maps, and maps that are asked for.

    Attributes:
        known: names of the layers whose output it computes.
    """

    def __init__(self, graph: Graph, ends: Sequence[str]) -> None:
        """Take the weights of a network.

        Args:
            ends: names of the layers to compute in the end.

        Raises:
            UnknownLayer: a layer that the engine does not compute there.
        """
        self._program = program.program_of(graph, last_maps(graph, ends))
        self.known = (*self._program.sums, *self._program.maps)

    def memory(self) -> ThreadMemory:
        """Allocate the memory of one thread."""
        made = self._program
        return ThreadMemory(*(zeros((size,)) for size in (made.arena, made.values, made.products)))

    def __call__(self, tiles: Array, memory: ThreadMemory) -> dict[str, Array]:
        """Return the outputs of the layers `known` for tiles (n, side, side): float32 (n, ...)."""
        made, count = self._program, len(tiles)
        sums = np.empty(count * made.n_sums, dtype=np.float32)
        maps = np.empty((count, made.n_maps), dtype=np.float32)
        for first in range(0, count, program.TOGETHER):
            some = min(program.TOGETHER, count - first)
            layers.run(
                made.steps, memory.arena, made.weights, memory.values, memory.products,
                tiles, first, some, sums, maps,
            )  # fmt: skip
        found = {}
        for outputs, numbers in ((made.sums, sums.reshape(count, made.n_sums)), (made.maps, maps)):
            for name, output in outputs.items():
                own = numbers[:, output.start : output.start + output.size]
                found[name] = own.reshape(count, *output.shape)
        return found


def last_maps(graph: Graph, ends: Sequence[str]) -> list[str]:
    """Return the names of the layers where maps end, on the way to `ends`.

    These layers reduce whole maps to numbers, or give maps that are asked for themselves or that a
    later layer reads pixel by pixel.
    """
    found = []
    for layer in graph.needed(ends):
        users = graph.users(layer.name)
        if layer.kind in WHOLE:
            found.append(layer.name)
        elif len(layer.shape) == 3:
            left = any(len(user.shape) != 3 and user.kind not in WHOLE for user in users)
            if left or layer.name in ends:
                found.append(layer.name)
    return found
