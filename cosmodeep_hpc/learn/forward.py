"""The forward pass of a network, as its Keras backend computes it fastest.

Every batch that a backend sees has one shape, the last one filled up with zeros: it is compiled
once, and the probability of a tile has the same bits whatever its neighbours and its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.config import Model
from cosmodeep_hpc.learn import firstlayer
from cosmodeep_hpc.learn.fastnetwork import FastNetwork
from cosmodeep_hpc.learn.network import build

Array = NDArray[np.float32]

CONVOLVED = 100
"""Tiles convolved at once on a CPU; 250 are 2 % faster, and waste more on the last part."""
CONNECTED = 500
"""Tiles whose features go through the dense layers at once on a CPU: their weights are read once
for all of them."""
ALIGNED = 64  # bytes
DRAWN = {"kernel_initializer", "bias_initializer", "rate", "seed"}
"""What of a layer's description says how it is trained and not what it computes."""


def in_parts(compute: Callable[[Array], Any], rows: Array, part: int) -> Array:
    """What `compute` makes of `part` rows at a time, for all rows: float32 (n, ...)."""
    found = []
    for start in range(0, max(len(rows), 1), part):
        piece = rows[start : start + part]
        count = len(piece)
        if count < part:
            piece = np.zeros((part, *rows.shape[1:]), dtype=np.float32)
            piece[:count] = rows[start:]
        found.append(np.asarray(compute(piece))[:count])
    return found[0] if len(found) == 1 else np.concatenate(found)


class Whole:
    """The network as Keras describes it, compiled for batches of one shape.

    For GPUs, for backends other than TensorFlow, and for networks that are not as ours.
    """

    def __init__(self, network: Any, backend: str) -> None:
        """Nothing is compiled before the first batch."""

        def signal(tiles: Any) -> Any:
            return network(tiles[..., None], training=False)[:, 1]

        if backend == "tensorflow":
            import tensorflow as tf

            self._signal: Callable[[Any], Any] = tf.function(signal)
        elif backend == "jax":
            import jax

            self._signal = jax.jit(signal)
        else:
            self._signal = lambda tiles: network.predict_on_batch(tiles[..., None])[:, 1]

    def __call__(self, tiles: Array, batch: int) -> Array:
        """The probability of signal of tiles (n, size, size), `batch` at a time: float32 (n,)."""
        return in_parts(self._signal, tiles, batch)


def _aligned(shape: tuple[int, ...]) -> Array:
    """Memory that begins where vector instructions like it, and TensorFlow asks for it."""
    count = math.prod(shape)
    memory = np.zeros(count + ALIGNED // 4, dtype=np.float32)
    first = -memory.ctypes.data % ALIGNED // 4
    return memory[first : first + count].reshape(shape)


class OnCores:
    """Our networks on the cores of a CPU, by TensorFlow and a first layer of our own.

    Beside one pass over the first layer it saves padding: the convolutions, which cost most, work
    in small parts. The dense layers work in large ones.
    """

    def __init__(self, tf: Any, network: Any) -> None:
        """Take the weights of a Keras model of `network.build`, as they are now."""
        from tensorflow.python.framework.convert_to_constants import (
            convert_variables_to_constants_v2,
        )

        fast = FastNetwork(tf, network)
        conv1 = network.get_layer("conv1")
        self._kernel = conv1.kernel.numpy().reshape(9, -1)
        self._bias = conv1.bias.numpy()
        size = int(network.input_shape[1])
        self._maps = _aligned((CONVOLVED, *firstlayer.pooled_shape(size)))
        # the same memory as TensorFlow sees it: a copy of it would cost as much as 4 % of the speed
        self._seen = tf.experimental.dlpack.from_dlpack(self._maps.__dlpack__())
        threads = max(1, tf.config.threading.get_intra_op_parallelism_threads())
        self._cuts = [p for p in np.array_split(np.arange(CONVOLVED), threads) if len(p)]
        self._threads = ThreadPoolExecutor(len(self._cuts)) if len(self._cuts) > 1 else None
        self._features = tf.function(fast.features)
        signal = tf.function(lambda rows: tf.nn.softmax(fast.outputs(rows))[:, 1])
        rows = tf.TensorSpec((CONNECTED, network.get_layer("hidden").kernel.shape[0]), tf.float32)
        # with constant weights oneDNN's dense layers sum in the same order on any number of
        # threads; with variable ones they do not
        self._signal = convert_variables_to_constants_v2(signal.get_concrete_function(rows))
        self._constant = tf.constant

    def __call__(self, tiles: Array, batch: int) -> Array:
        """The probability of signal of tiles (n, size, size): float32 (n,).

        `batch` says nothing here: the same parts, and so the same bits, whatever it is; and on any
        number of threads.
        """
        features = in_parts(self._convolved, tiles, CONVOLVED)
        return in_parts(lambda rows: self._signal(self._constant(rows))[0], features, CONNECTED)

    def _convolved(self, tiles: Array) -> Any:
        """The features of `CONVOLVED` tiles."""

        def work(part: NDArray[np.int_]) -> None:
            at = slice(part[0], part[-1] + 1)
            firstlayer.pooled(tiles[at], self._kernel, self._bias, self._maps[at])

        if self._threads is None:
            work(self._cuts[0])
        else:
            list(self._threads.map(work, self._cuts))
        return self._features(self._seen)


Forward = Callable[[Array, int], Array]


def compiled(network: Any) -> Forward:
    """The fastest forward pass of a Keras model with the backend that Keras runs on here."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow" and is_ours(network):
        import tensorflow as tf

        if not tf.config.get_visible_devices("GPU"):
            return OnCores(tf, network)
    return Whole(network, backend)


def is_ours(network: Any) -> bool:
    """Whether a Keras model computes what `network.build` builds, layer by layer."""
    names = {layer.name for layer in network.layers}
    model = Model(head="pyramid") if "pool2_3x3" in names else Model(head="flatten")
    twin = build(model, network.input_shape[1], seed=1)
    return bool(_computes(network.get_config()) == _computes(twin.get_config()))


def _computes(described: Any) -> Any:
    """A Keras description of layers without what only training needs."""
    if isinstance(described, dict):
        return {k: _computes(v) for k, v in described.items() if k not in DRAWN}
    if isinstance(described, list | tuple):
        return [_computes(value) for value in described]
    return described
