"""The gradient of a counts network's loss, which judges pixels and the number of bright pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.config.learn import levels
from cosmodeep_hpc.engine.bykeras import in_parts
from cosmodeep_hpc.learn import countsnetwork
from cosmodeep_hpc.learn.batch import CountsBatch
from cosmodeep_hpc.learn.optimiser import LossScale

PIXELS = 4.0
"""Weight of the pixels' loss relative to that of the counts."""
TOGETHER = 128
"""Validation tiles that the network takes at once: their maps are some 50 to 90 MB."""


class OfCounts:
    """The gradient of the summed loss over tiles, by TensorFlow on any device.

    The loss of a tile is the mean cross-entropy of its counts, over all rules, plus `PIXELS` times
    the mean cross-entropy of its pixels, over all thresholds.

    Attributes:
        groups: see `gradient.ByTensorFlow`.
    """

    def __init__(self, tf: Any, net: Any, scale: LossScale, *, precision: str, xla: bool) -> None:
        """Prepare the functions for a network of `countsnetwork.build`; the first call compiles."""
        variables = [variable.value for variable in net.trainable_variables]
        self.groups = [variables]
        own = dict(zip((v.path for v in net.trainable_variables), variables, strict=True))
        logits = countsnetwork.before_sigmoid(countsnetwork.in_precision(net, precision))
        weights = [own[variable.path] for variable in logits.trainable_variables]
        size = 2 * net.output_shape[1][1]
        counted = tf.constant(levels(size), tf.float32)
        bits = tf.constant([1 << k for k in range(net.output_shape[1][-1])], tf.uint8)

        def row(tiles: Any, counts: Any, exceeded: Any) -> Any:
            more = tf.cast(tf.cast(counts, tf.float32)[..., tf.newaxis] > counted, tf.float32)
            shares = of_pixels(tf, exceeded, bits)
            with tf.GradientTape() as tape:
                outputs, _ = logits.stateless_call(weights, [], tiles[..., tf.newaxis])
                losses = [
                    tf.reduce_sum(_mean(tf, tf.nn.sigmoid_cross_entropy_with_logits(*pair)))
                    for pair in zip((more, shares), outputs, strict=True)
                ]
                loss = losses[0] + PIXELS * losses[1]
                scaled = scale.up(loss)
            gradients = tape.gradient(scaled, variables)
            right = tf.cast(tf.equal(outputs[0] > 0, more > 0), tf.float32)
            sums = tf.stack([loss, tf.reduce_sum(_mean(tf, right))])
            return tf.concat([*(tf.reshape(g, (-1,)) for g in gradients), sums], axis=0)

        def probability(tiles: Any) -> Any:
            return net(tiles[..., tf.newaxis], training=False)[0]

        self._row = tf.function(row, reduce_retracing=True, jit_compile=True if xla else None)
        self._probability = tf.function(probability, reduce_retracing=True)

    def rows(self, batch: CountsBatch) -> Iterator[Any]:
        """Yield one row: the gradient, then the loss and the number of correct tiles.

        A tile with right answers to a share of the rules counts as this share of a tile.
        """
        yield self._row(batch.tiles, batch.counts.astype(np.int32), batch.exceeded)

    def probability(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of each rule for tiles (n, window, window): float32 (n, T, L).

        A tile's probability has the same bits whatever its neighbours and its place.
        """
        return in_parts(self._probability, tiles, TOGETHER)


def of_pixels(tf: Any, exceeded: Any, bits: Any) -> Any:
    """Return the share of each 2 x 2 pixels that exceeds each threshold.

    Args:
        tf: the module `tensorflow`.
        exceeded: uint8 (n, size, size). bits: uint8 (T,), the bit of each threshold.

    Returns:
        float32 (n, size / 2, size / 2, T).
    """
    half, count = exceeded.shape[1] // 2, bits.shape[0]
    found = tf.bitwise.bitwise_and(exceeded[..., tf.newaxis], bits) > 0
    pixels = tf.reshape(tf.cast(found, tf.float32), (-1, half, 2, half, 2, count))
    return tf.reduce_mean(pixels, axis=(2, 4))


def _mean(tf: Any, values: Any) -> Any:
    """Return the mean of each tile: (n, ...) to (n,)."""
    return tf.reduce_mean(tf.reshape(values, (-1, values.shape[1:].num_elements())), axis=1)
