"""Trained networks for callers: probabilities of tiles, by the engine, JAX or Keras."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numba
import numpy as np

from cosmodeep_hpc.engine import archive, bykeras, paper
from cosmodeep_hpc.engine.backend import ENGINE, chosen_engine
from cosmodeep_hpc.engine.blocks import BlockNetwork, BlocksOnCores
from cosmodeep_hpc.engine.dense import Head
from cosmodeep_hpc.engine.graph import Array, Graph, Shape, UnknownLayer
from cosmodeep_hpc.errors import InputError

if TYPE_CHECKING:
    from cosmodeep_hpc.engine.maps import Maps
    from cosmodeep_hpc.engine.papermaps import PaperMaps

PART = 128
"""Tiles that a thread takes at once."""


class Network(Protocol):
    """A trained network.

    Attributes:
        side: of its tiles [pixel].
        shape: of its first output for one tile.
    """

    side: int
    shape: Shape

    def __call__(self, tiles: Array, batch: int) -> Array:
        """Return the first output for tiles (n, side, side): float32 (n, ...).

        Args:
            batch: tiles at a time; it matters on GPUs only.
        """


def load(path: Path, threads: int) -> Network:
    """Load the network of a `.keras` file.

    Args:
        threads: number of threads that may compute at once.

    Raises:
        InputError: a damaged file, layers that the engine does not compute, or no compiler.
    """
    engine = chosen_engine()
    if engine == "keras":
        return bykeras.load(path)
    if engine == "jax":
        from cosmodeep_hpc.engine.byjax import ByJax  # imports JAX

        return ByJax(read(path))
    if numba.config.DISABLE_JIT:
        raise InputError(
            "NUMBA_DISABLE_JIT is set; expected it unset, since the engine's loops only run "
            f"compiled: unset it, or set {ENGINE}=keras, where TensorFlow or JAX is installed"
        )
    with _naming(path):
        return OnCores(archive.read(path), threads)


def load_blocks(path: Path, threads: int) -> BlockNetwork:
    """Load the network of a `.keras` file to go over blocks of an image.

    Raises:
        InputError: as `load` does.
    """
    with _naming(path):
        graph = archive.read(path)
        engine = chosen_engine()
        if engine == "keras":
            return bykeras.load_blocks(graph)
        if engine == "jax":
            from cosmodeep_hpc.engine.byjax import BlocksByJax  # imports JAX

            return BlocksByJax(graph)
        return BlocksOnCores(graph, threads)


def read(path: Path) -> Graph:
    """Read the layers and weights of the network of a `.keras` file.

    Raises:
        InputError: as `load` does.
    """
    with _naming(path):
        return archive.read(path)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn errors about the network of a file into an InputError of one line."""
    try:
        yield
    except archive.Damaged as error:
        raise InputError(
            f"{path}: its network cannot be read ({error}); expected a model as `cosmodeep train` "
            "writes it: copy or train it again"
        ) from error
    except UnknownLayer as error:
        raise InputError(
            f"{path}: its network has {error}, which the engine does not compute; set "
            f"{ENGINE}=keras, where TensorFlow or JAX is installed"
        ) from error


class OnCores:
    """A network on the cores of a CPU.

    A tile's output has the same bits whatever its neighbours, its place, the number of threads and
    the processor; it is NaN if one of the tile's pixels is not finite. Several threads may call it:
    they take turns, since each call keeps all cores busy.
    """

    def __init__(self, graph: Graph, threads: int, outputs: Sequence[str] = ()) -> None:
        """Take a network's weights; nothing is computed yet.

        Args:
            outputs: names of the layers for `outputs`; by default the network's first output.

        Raises:
            UnknownLayer: a layer that the engine does not compute.
        """
        self._ends = tuple(outputs) or graph.outputs[:1]
        self._shapes = [graph.layers[end].shape for end in self._ends]
        self.side, self.shape = graph.side, self._shapes[0]
        papers = paper.end_of_maps(graph)
        self._maps: PaperMaps | Maps
        # imported here: each brings loops that only one kind of network needs
        if papers is None:
            from cosmodeep_hpc.engine.maps import Maps

            self._maps = Maps(graph, self._ends)
        else:
            from cosmodeep_hpc.engine.papermaps import PaperMaps

            self._maps = PaperMaps(graph, papers[0], pyramid=papers[1])
        self._head = Head.of(graph, self._ends, self._maps.known)
        self._threads = max(1, threads)
        self._memory: list[Any] = []  # one for each thread, allocated by the first call
        self._one_at_a_time = Lock()  # calls from several threads would share that memory

    def __getstate__(self) -> dict[str, Any]:
        """Return all but memory and lock, for another process."""
        return {**vars(self), "_memory": [], "_one_at_a_time": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the network in another process, with a lock of its own."""
        vars(self).update(state, _one_at_a_time=Lock())

    def __call__(self, tiles: Array, batch: int = PART) -> Array:
        """Return the first output for tiles (n, side, side): float32 (n, ...), whatever `batch`."""
        return self.outputs(tiles)[0]

    def outputs(self, tiles: Array) -> list[Array]:
        """Return each output for tiles (n, side, side): float32 (n, ...)."""
        tiles = np.ascontiguousarray(tiles, dtype=np.float32)
        found = [np.empty((len(tiles), *shape), dtype=np.float32) for shape in self._shapes]

        def work(memory: Any, rows: range) -> None:
            for start in range(rows.start, rows.stop, PART):
                part = slice(start, min(start + PART, rows.stop))
                layers = self._maps(tiles[part], memory)
                self._head(layers)
                for whole, end in zip(found, self._ends, strict=True):
                    whole[part] = layers[end]

        threads = min(self._threads, max(1, len(tiles)))
        ends = [len(tiles) * k // threads for k in range(threads + 1)]
        parts = [range(ends[k], ends[k + 1]) for k in range(threads)]
        with self._one_at_a_time:
            while len(self._memory) < threads:
                self._memory.append(self._maps.memory())
            if threads == 1:
                work(self._memory[0], parts[0])
            else:
                with ThreadPoolExecutor(threads) as pool:  # no thread outlives the call
                    list(pool.map(work, self._memory, parts))
        return found
