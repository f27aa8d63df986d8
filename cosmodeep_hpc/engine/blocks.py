"""A counts network over blocks of a view: what it says of each pixel, and of each tile in them.

A block is computed with all the surroundings that its bits depend on. So they depend on the view
and the network alone, and not on the blocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

import numpy as np

from cosmodeep_hpc.engine import layers
from cosmodeep_hpc.engine.bands import BandProgram, in_bands
from cosmodeep_hpc.engine.dense import Head
from cosmodeep_hpc.engine.enlarged import Frame, cut_of, enlarged
from cosmodeep_hpc.engine.graph import Array, Graph
from cosmodeep_hpc.engine.maps import ThreadMemory, last_maps
from cosmodeep_hpc.engine.simd import zeros

LOGITS = "pixel_logits"
"""The layer with the log-odds of pixels."""
PROGRAMS = 64
"""Programs of blocks that are kept for the next block of the same shape."""
TILES = "counts"
"""The layer with what is said of a tile."""
STEP = 32
"""Blocks begin at multiples of this [pixel]: patches of 4 x 4 pixels at an eighth of the
resolution then lie in the same places for all blocks."""
EVEN = 8
"""Blocks end at multiples of this [pixel], the pixels of an eighth of the resolution."""
EDGE = 40
"""Pixels that are seen beyond the edges of a view: the network sees 35 around a block."""
BEFORE, BEHIND = 99, 112
"""Pixels before and behind a block that its bits depend on at most: patches are computed whole, and
pixels that cancel leave their rounding."""


def seen(block: range, length: int) -> range:
    """Return the pixels that a network is shown for a block, along one side of a view.

    Args:
        block: pixels of the view; it may begin at a multiple of `EVEN`, too.
        length: of the view with what fills it up to whole tiles.
    """
    before = (block.start - BEFORE + EDGE) // STEP * STEP - EDGE  # in the phase of the first pixel
    behind = -(-block.stop // EVEN) * EVEN + BEHIND
    return range(max(before, -EDGE), min(behind, length + EDGE))


@dataclass(frozen=True)
class Block:
    """What a network is shown of a block.

    Attributes:
        window: the block with what is around it, float32, finite.
        frame: where the block lies in it; made of whole tiles, if these are asked for.
        tiles: whether outputs of tiles are asked for.
    """

    window: Array
    frame: Frame
    tiles: bool


@dataclass(frozen=True)
class BlockOutput:
    """What a network says of a block.

    Attributes:
        logits: log-odds that pixels are brighter than each of T thresholds: float32 (rows / 2,
            columns / 2, T).
        tiles: outputs of the tiles in the block, row by row: float32 (tiles, T, L); None where
            they were not asked for.
    """

    logits: Array
    tiles: Array | None


class BlockNetwork(Protocol):
    """A network over blocks of a view.

    Attributes:
        tile: side of a tile [pixel].
        finest: side of a cell of the maps [pixel].
        at_once: blocks that are computed at once.
    """

    tile: int
    finest: int
    at_once: int

    def __call__(self, blocks: Sequence[Block]) -> list[BlockOutput]:
        """Return what the network says of blocks, in their order."""


class BlocksOnCores:
    """A counts network on the cores of a CPU, over blocks of any shape.

    Several threads may call it: they take turns, since each call keeps all cores busy.

    Attributes:
        tile: side of a tile [pixel].
        finest: side of a cell of the maps [pixel].
        at_once: blocks that are computed at once.
    """

    def __init__(self, graph: Graph, threads: int) -> None:
        """Take a network's weights; nothing is computed yet.

        Args:
            threads: blocks that are computed at once.

        Raises:
            UnknownLayer: a layer that the engine does not compute, or a network without a map of
                pixels.
        """
        self._graph = graph
        cut = cut_of(graph)
        self.finest = graph.side // graph.layers[cut.inputs[0]].shape[0]
        self._cell = graph.layers[LOGITS].shape[0]
        self.tile = self._cell * self.finest
        self._head = Head.of(graph, (TILES,), last_maps(graph, (TILES,)))
        self.at_once = max(1, threads)
        self._programs: dict[tuple[Frame, bool], BandProgram] = {}
        self._memory = [Memory() for _ in range(self.at_once)]
        self._one_at_a_time = Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Return all but memory, programs and lock, for another process."""
        return {**vars(self), "_memory": [], "_programs": {}, "_one_at_a_time": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the network in another process, with a lock of its own."""
        vars(self).update(state, _one_at_a_time=Lock())
        self._memory = [Memory() for _ in range(self.at_once)]

    def __call__(self, blocks: Sequence[Block]) -> list[BlockOutput]:
        """Return what the network says of blocks, in their order."""
        with self._one_at_a_time:
            programs = [self._program(block) for block in blocks]
            if self.at_once == 1 or len(blocks) == 1:
                return [
                    self._run(*pair, self._memory[0]) for pair in zip(blocks, programs, strict=True)
                ]
            free = deque(self._memory)

            def run(block: Block, program: BandProgram) -> BlockOutput:
                memory = free.pop()
                try:
                    return self._run(block, program, memory)
                finally:
                    free.append(memory)

            with ThreadPoolExecutor(self.at_once) as pool:  # no thread outlives the call
                return list(pool.map(run, blocks, programs))

    def _program(self, block: Block) -> BandProgram:
        """Return the program of a block, kept for others of its shape."""
        key = block.frame, block.tiles
        if key not in self._programs:
            if len(self._programs) >= PROGRAMS:
                self._programs.pop(next(iter(self._programs)))
            graph = enlarged(self._graph, block.frame)
            ends = last_maps(graph, (TILES, LOGITS) if block.tiles else (LOGITS,))
            self._programs[key] = in_bands(graph, ends, self._cell)
        return self._programs[key]

    def _run(self, block: Block, program: BandProgram, memory: Memory) -> BlockOutput:
        frame = block.frame
        whole = program.whole
        rows, cols = frame.height // self.tile, frame.width // self.tile
        sums = np.empty(rows * cols * whole.n_sums, dtype=np.float32)
        maps = np.empty((1, whole.n_maps), dtype=np.float32)
        given = np.ascontiguousarray(block.window, dtype=np.float32)[None]
        room = memory.of(program)
        room.arena[: program.arena] = 0
        for band in program.bands:
            layers.clear(band.cleared, room.arena)
            layers.run(
                band.steps, room.arena, whole.weights, room.values, room.products,
                given, 0, 1, sums, maps,
            )  # fmt: skip
            layers.shift(band.moves, room.arena)
        output = whole.maps[LOGITS]
        logits = maps[0, output.start : output.start + output.size].reshape(output.shape)
        if not block.tiles:
            return BlockOutput(logits, None)
        numbers = sums.reshape(rows * cols, whole.n_sums)
        found = {
            name: numbers[:, output.start : output.start + output.size]
            for name, output in whole.sums.items()
        }
        self._head(found)
        return BlockOutput(logits, found[TILES])


class Memory:
    """The memory of one thread: as large as the largest program needs."""

    def __init__(self) -> None:
        """Take none yet."""
        self._room = ThreadMemory(*(zeros((1,)) for _ in ThreadMemory._fields))

    def of(self, program: BandProgram) -> ThreadMemory:
        """Return memory for a program."""
        sizes = program.arena, program.whole.values, program.whole.products
        self._room = ThreadMemory(
            *(
                room if len(room) >= size else zeros((size,))
                for room, size in zip(self._room, sizes, strict=True)
            )
        )
        return self._room
