"""The forward pass of a network, as its Keras backend computes it fastest.

Every batch that a backend sees has one shape, the last one filled up with zeros: it is compiled
once, and the probability of a tile has the same bits whatever its neighbours and its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.config import Model, Tiles
from cosmodeep_hpc.learn import countsnetwork
from cosmodeep_hpc.learn.countsconvolutions import CountsConvolutions
from cosmodeep_hpc.learn.countsnetwork import is_counts
from cosmodeep_hpc.learn.fastnetwork import FastNetwork
from cosmodeep_hpc.learn.network import build
from cosmodeep_hpc.learn.readings import of_network
from cosmodeep_hpc.vectors import zeros

Array = NDArray[np.float32]

CONNECTED = 500
"""Tiles that go through the dense layers at once on a CPU: their weights are read once for all."""
PART = 128
"""Tiles that a counts network takes at once on a CPU: their maps are some 50 to 90 MB."""
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
            return of_network(network(tiles[..., None], training=False))

        if backend == "tensorflow":
            import tensorflow as tf

            self._signal: Callable[[Any], Any] = tf.function(signal)
        elif backend == "jax":
            import jax

            self._signal = jax.jit(signal)
        else:
            self._signal = lambda tiles: of_network(network.predict_on_batch(tiles[..., None]))

    def __call__(self, tiles: Array, batch: int) -> Array:
        """What the network gives for tiles (n, size, size), `batch` at a time: float32 (n, ...)."""
        return in_parts(self._signal, tiles, batch)


class OnCores:
    """Our networks on the cores of a CPU: convolutions of our own, dense layers by TensorFlow."""

    def __init__(self, tf: Any, network: Any) -> None:
        """Take the weights of a Keras model of `network.build`, as they are now."""
        fast = FastNetwork(tf, network)
        self._convolutions = fast.convolutions()
        self._weights = fast.weights()
        self._maxima = zeros((CONNECTED, *self._convolutions.shape))
        # the same memory as TensorFlow sees it
        self._seen = tf.experimental.dlpack.from_dlpack(self._maxima.__dlpack__())
        signal = tf.function(lambda maxima: tf.nn.softmax(fast.of_maxima(maxima))[:, 1])
        self._signal = _with_constants(tf, signal, self._maxima.shape)

    def __call__(self, tiles: Array, batch: int) -> Array:
        """The probability of signal of tiles (n, size, size): float32 (n,).

        `batch` says nothing here: the same parts, and so the same bits, whatever it is; and on any
        number of threads.
        """
        found = np.empty(len(tiles), dtype=np.float32)
        for start in range(0, len(tiles), CONNECTED):
            part = tiles[start : start + CONNECTED]
            # rows that are left over hold what was there before: no row depends on another
            self._convolutions.maxima(part, self._weights, self._maxima[: len(part)])
            all_rows = np.asarray(self._signal(self._seen))
            found[start : start + len(part)] = all_rows[: len(part)]
        return found


class CountsOnCores:
    """Counts networks on the cores of a CPU: our own convolutions, what follows by TensorFlow."""

    def __init__(self, tf: Any, network: Any) -> None:
        """Take the weights of a Keras model of `countsnetwork.build`, as they are now."""
        import keras

        threads = max(1, tf.config.threading.get_intra_op_parallelism_threads())
        self._convolutions = CountsConvolutions(network, threads)
        middle = countsnetwork.middle(network)
        rest = keras.Model(middle, network.outputs[0])
        self._filled = [zeros((PART, *each.shape[1:])) for each in middle]
        # the same memory as TensorFlow sees it
        self._seen = [tf.experimental.dlpack.from_dlpack(x.__dlpack__()) for x in self._filled]
        counts = tf.function(lambda logits, features: rest([logits, features], training=False))
        self._counts = _with_constants(tf, counts, *(x.shape for x in self._filled))

    def __call__(self, tiles: Array, batch: int) -> Array:
        """The probability of each rule of tiles (n, size, size): float32 (n, T, L).

        `batch` says nothing here: the same parts, and so the same bits, whatever it is; and on any
        number of threads.
        """
        return in_parts(self._part, tiles, PART)

    def _part(self, tiles: Array) -> Any:
        self._convolutions(tiles, *self._filled)
        return self._counts(*self._seen)


class CountsByTensorFlow:
    """Counts networks of other widths, and changed ones, on the cores of a CPU."""

    def __init__(self, tf: Any, network: Any) -> None:
        """Take the weights of a Keras model with a counts network's outputs, as they are now."""
        counts = tf.function(lambda tiles: of_network(network(tiles[..., None], training=False)))
        self._counts = _with_constants(tf, counts, (PART, *network.input_shape[1:3]))
        self._constant = tf.constant

    def __call__(self, tiles: Array, batch: int) -> Array:
        """As of `CountsOnCores`."""
        return in_parts(lambda part: self._counts(self._constant(part)), tiles, PART)


def _with_constants(tf: Any, function: Any, *shapes: tuple[int, ...]) -> Any:
    """A `tf.function` of float32 tensors of these shapes, its variables made constants.

    With constant weights oneDNN's dense layers sum in the same order on any number of threads; with
    variable ones they do not.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    given = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    constant = convert_variables_to_constants_v2(function.get_concrete_function(*given))
    # called by itself `constant` would first write its arguments into the text of an error that
    # TensorFlow then catches: 2 ms
    of_constants = tf.function(lambda *tensors: constant(*tensors)[0])
    return of_constants.get_concrete_function(*given)


Forward = Callable[[Array, int], Array]


def compiled(network: Any) -> Forward:
    """The fastest forward pass of a Keras model with the backend that Keras runs on here."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        if not tf.config.get_visible_devices("GPU"):
            if is_counts(network):
                of_counts = CountsOnCores if are_our_counts(network) else CountsByTensorFlow
                return of_counts(tf, network)
            if is_ours(network):
                return OnCores(tf, network)
    return Whole(network, backend)


def is_ours(network: Any) -> bool:
    """Whether a Keras model computes what `network.build` builds, layer by layer."""
    names = {layer.name for layer in network.layers}
    model = Model(head="pyramid") if "pool2_3x3" in names else Model(head="flatten")
    twin = build(model, network.input_shape[1], seed=1)
    return bool(_computes(network.get_config()) == _computes(twin.get_config()))


def are_our_counts(network: Any) -> bool:
    """Whether the convolutions of a counts network are those of `CountsConvolutions`."""
    import keras

    _, _, side, thresholds = network.output_shape[1]
    margin = network.input_shape[1] // 2 - side
    tiles = Tiles(size=2 * side, margin=margin, thresholds=tuple(range(thresholds, 0, -1)))
    model = Model(network="counts", depth=countsnetwork.depth_of(network))
    twin = countsnetwork.build(model, tiles, seed=1)
    ours, theirs = (
        keras.Model(each.input, countsnetwork.middle(each), name="middle").get_config()
        for each in (twin, network)
    )
    return bool(_computes(ours) == _computes(theirs))


def _computes(described: Any) -> Any:
    """A Keras description of layers without what only training needs."""
    if isinstance(described, dict):
        return {k: _computes(v) for k, v in described.items() if k not in DRAWN}
    if isinstance(described, list | tuple):
        return [_computes(value) for value in described]
    return described
