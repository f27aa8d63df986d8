"""The gradient of the summed loss over tiles: on any device, or on the cores of a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine.bykeras import in_parts
from cosmodeep_hpc.engine.simd import zeros
from cosmodeep_hpc.learn.fastnetwork import FastNetwork
from cosmodeep_hpc.learn.lossscale import LossScale

TOGETHER = 500
"""Tiles that go through the dense layers at once: their weights are read once for all."""


def _summed(tf: Any, logits: Any, labels: Any) -> tuple[Any, Any]:
    """The cross-entropy summed over tiles, and it with the number of correct tiles."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    loss = tf.reduce_sum(losses)
    right = tf.equal(tf.argmax(logits, axis=1, output_type=tf.int32), labels)
    return loss, tf.stack([loss, tf.reduce_sum(tf.cast(right, tf.float32))])


class ByTensorFlow:
    """The gradient by TensorFlow alone: on GPUs, in mixed precision, under XLA.

    Attributes:
        groups: the variables of each row of `rows`; from last to first they are in the order of
            the network.
    """

    def __init__(
        self, tf: Any, net: Any, fast: FastNetwork, scale: LossScale, *, xla: bool
    ) -> None:
        """Nothing is compiled before the first call; `net` is the Keras model of `fast`."""
        self._net = net
        self.groups = [fast.variables]

        def row(tiles: Any, labels: Any, keep: Any) -> Any:
            with tf.GradientTape() as tape:
                # dropout by hand: the mask is a function of the tile, not of a generator's state
                loss, sums = _summed(tf, fast.logits(tiles, keep), labels)
                scaled = scale.up(loss)
            gradients = tape.gradient(scaled, fast.variables)
            return tf.concat([*(tf.reshape(g, (-1,)) for g in gradients), sums], axis=0)

        self._row = tf.function(row, reduce_retracing=True, jit_compile=True if xla else None)

    def rows(
        self, tiles: NDArray[np.float32], signal: NDArray[Any], keep: NDArray[Any]
    ) -> Iterator[Any]:
        """The gradient in a row for each of `groups`, as soon as it is known.

        After its gradient the first row holds the loss and the number of correct tiles.

        Args:
            tiles: float32 (n, size, size).
            signal: (n,), whether a tile is signal.
            keep: float32 (n, 1024), the dropout mask.
        """
        yield self._row(tiles, signal.astype(np.int32), keep)

    def probability(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probability of signal of tiles (n, size, size): float32 (n,)."""
        both = self._net.predict_on_batch(tiles[..., np.newaxis])
        return np.asarray(both)[:, 1]


class ByCores:
    """The same in float32 on cores of a CPU: convolutions of our own, the rest by TensorFlow.

    The row of the dense layers, 97 % of the numbers, is there before the convolutions' is begun.
    """

    def __init__(self, tf: Any, fast: FastNetwork) -> None:
        """Nothing is compiled before the first call."""
        # what follows the second layer's maxima: its bias, and the dense layers
        self.groups = [fast.variables[3:], fast.variables[:3]]
        self._tf = tf
        self._fast = fast
        self._convolutions = fast.convolutions()

        def rest(maxima: Any, labels: Any, keep: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(maxima)
                loss, sums = _summed(tf, fast.of_maxima(maxima, keep), labels)
            slopes, *gradients = tape.gradient(loss, [maxima, *self.groups[0]])
            return slopes, tf.concat([*(tf.reshape(g, (-1,)) for g in gradients), sums], axis=0)

        def signal(maxima: Any) -> Any:
            return tf.nn.softmax(fast.of_maxima(maxima))[:, 1]

        self._rest = tf.function(rest, reduce_retracing=True)
        self._signal = tf.function(signal, reduce_retracing=True)

    def rows(
        self, tiles: NDArray[np.float32], signal: NDArray[Any], keep: NDArray[Any]
    ) -> Iterator[Any]:
        """As of `ByTensorFlow`."""
        weights = self._fast.weights()
        maxima = self._convolutions.kept_maxima(tiles, weights)
        slopes, rest = self._rest(maxima, signal.astype(np.int32), keep)
        yield rest
        found = self._convolutions.gradients(tiles, weights, slopes.numpy())
        yield self._tf.constant(np.concatenate([g.reshape(-1) for g in found]))

    def probability(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probability of signal of tiles (n, size, size): float32 (n,).

        A tile's has the same bits whatever its neighbours and its place.
        """
        found = zeros((len(tiles), *self._convolutions.shape))
        self._convolutions.maxima(tiles, self._fast.weights(), found)
        return in_parts(self._signal, found, TOGETHER)
