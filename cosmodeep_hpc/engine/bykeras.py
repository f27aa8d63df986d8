"""A trained network by Keras: on GPUs, with JAX, and as a plain twin of the engine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cosmodeep_hpc.engine.backend import BACKENDS, chosen_backend
from cosmodeep_hpc.engine.blocksbykeras import BlocksByKeras
from cosmodeep_hpc.engine.graph import Array, Graph, Shape
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.parallel.runtime import settle_keras


def in_parts(compute: Callable[[Array], Any], rows: Array, part: int) -> Array:
    """Compute `part` rows at a time, the last part filled up with zeros: float32 (n, ...).

    Every batch has the same shape: it is compiled once, and a row's result has the same bits
    whatever its neighbours and its place.
    """
    found = []
    for start in range(0, max(len(rows), 1), part):
        piece = rows[start : start + part]
        count = len(piece)
        if count < part:
            piece = np.zeros((part, *rows.shape[1:]), dtype=np.float32)
            piece[:count] = rows[start:]
        found.append(np.asarray(compute(piece))[:count])
    return found[0] if len(found) == 1 else np.concatenate(found)


class ByKeras:
    """A network as Keras describes it, compiled for batches of one shape.

    Attributes:
        side: of its tiles [pixel].
        shape: of its first output for one tile.
    """

    def __init__(self, network: Any, backend: str) -> None:
        """Take a Keras model; the first batch compiles it.

        Args:
            backend: one of `BACKENDS`, which Keras runs on.
        """
        self.side = int(network.input_shape[1])
        outputs = network.output_shape
        self.shape: Shape = tuple((outputs[0] if isinstance(outputs, list) else outputs)[1:])

        def first(tiles: Any) -> Any:
            given = network(tiles[..., None], training=False)
            return given[0] if isinstance(given, list | tuple) else given

        if backend == "tensorflow":
            import tensorflow as tf

            self._first: Callable[[Any], Any] = tf.function(first)
        else:
            import jax

            self._first = jax.jit(jax.default_matmul_precision("float32")(first))

    def __call__(self, tiles: Array, batch: int) -> Array:
        """Return the first output for tiles (n, side, side), `batch` at once: float32 (n, ...)."""
        return in_parts(self._first, np.ascontiguousarray(tiles, dtype=np.float32), batch)


def load(path: Path) -> ByKeras:
    """Load the network of a `.keras` file; its layers are known to run no code.

    Raises:
        InputError: there is no backend, or Keras cannot load the file.
    """
    keras = _keras()
    try:
        network = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises what its parts raise: ValueError, KeyError, OSError
        reason = str(error).strip().split("\n", 1)[0]
        raise InputError(f"{path}: Keras cannot load the model in it ({reason})") from error
    return ByKeras(network, keras.backend.backend())


def load_blocks(graph: Graph) -> BlocksByKeras:
    """Return a network over blocks of an image, on Keras' backend.

    Raises:
        InputError: there is no backend.
    """
    return BlocksByKeras(graph, _keras())


def _keras() -> Any:
    """Return Keras on the backend that the environment asks for."""
    backend = chosen_backend()
    os.environ.setdefault("KERAS_BACKEND", backend)  # Keras reads it as it is imported
    import keras

    if (running := keras.backend.backend()) not in BACKENDS:
        raise InputError(
            f"Keras runs on {running} in this process; expected tensorflow or jax: set "
            "KERAS_BACKEND before Keras is imported, or unset COSMODEEP_ENGINE"
        )
    if running == "tensorflow":
        import tensorflow as tf

        # float32 throughout: a GPU's shorter TF32 would give a mask that differs from a CPU's
        tf.config.experimental.enable_tensor_float_32_execution(False)
    settle_keras()
    return keras
