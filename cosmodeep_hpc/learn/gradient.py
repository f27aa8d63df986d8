"""The gradient of the summed loss over tiles: on any device, or on the cores of a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine.bykeras import in_parts
from cosmodeep_hpc.engine.simd import zeros
from cosmodeep_hpc.learn.batch import PaperBatch
from cosmodeep_hpc.learn.fastnetwork import FastNetwork
from cosmodeep_hpc.learn.optimiser import LossScale

TOGETHER = 500
"""Tiles that go through the dense layers at once: their weights are read once for all."""


def _summed(tf: Any, logits: Any, labels: Any) -> tuple[Any, Any]:
    """Return the cross-entropy summed over tiles, and with it the number of correct tiles."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    loss = tf.reduce_sum(losses)
    right = tf.equal(tf.argmax(logits, axis=1, output_type=tf.int32), labels)
    return loss, tf.stack([loss, tf.reduce_sum(tf.cast(right, tf.float32))])


class ByTensorFlow:
    """The gradient by TensorFlow alone: on GPUs, in mixed precision, under XLA.

    Attributes:
        groups: the variables of each row that `rows` yields; the groups, read from last to first,
            are in the order of the network.
    """

    def __init__(
        self, tf: Any, net: Any, fast: FastNetwork, scale: LossScale, *, xla: bool
    ) -> None:
        """Prepare the functions; `net` is the Keras model of `fast`. The first call compiles."""
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

    def rows(self, batch: PaperBatch) -> Iterator[Any]:
        """Yield the gradient in a row for each of `groups`, as soon as it is known.

        The first row holds the loss and the number of correct tiles after its gradient.
        """
        yield self._row(batch.tiles, batch.signal.astype(np.int32), batch.keep)

    def probability(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of signal of tiles (n, size, size): float32 (n,)."""
        both = self._net.predict_on_batch(tiles[..., np.newaxis])
        return np.asarray(both)[:, 1]


class ByCores:
    """The same gradient in float32 on a CPU: our own convolutions, the rest by TensorFlow.

    The row of the dense layers, 97 % of the numbers, is complete before the convolutions' row is
    begun, so that its sum over ranks begins early.
    """

    def __init__(self, tf: Any, fast: FastNetwork) -> None:
        """Prepare the functions; the first call compiles."""
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

    def rows(self, batch: PaperBatch) -> Iterator[Any]:
        """Yield the same rows as `ByTensorFlow.rows`."""
        weights = self._fast.weights()
        maxima = self._convolutions.kept_maxima(batch.tiles, weights)
        slopes, rest = self._rest(maxima, batch.signal.astype(np.int32), batch.keep)
        yield rest
        found = self._convolutions.gradients(batch.tiles, weights, slopes.numpy())
        yield self._tf.constant(np.concatenate([g.reshape(-1) for g in found]))

    def probability(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of signal of tiles (n, size, size): float32 (n,).

        A tile's probability has the same bits whatever its neighbours and its place.
        """
        found = zeros((len(tiles), *self._convolutions.shape))
        self._convolutions.maxima(tiles, self._fast.weights(), found)
        return in_parts(self._signal, found, TOGETHER)
