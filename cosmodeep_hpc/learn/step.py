"""One training step: gradients on each rank, one sum over ranks, one update."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.learn.allreduce import Allreduce
from cosmodeep_hpc.learn.checkpoint import State


class Step:
    """The network with its optimizer (Adam), as TensorFlow functions.

    The gradient is that of the *sum* of the losses over a rank's part of the global batch; summed
    over ranks and divided by the size of the batch it is the gradient of the whole batch's mean,
    however the batch is divided.
    """

    def __init__(self, tf: Any, net: Any, learning_rate: float, allreduce: Allreduce) -> None:
        """Prepare the functions; nothing runs yet."""
        import keras

        self._net = net
        self._allreduce = allreduce
        self._optimizer = keras.optimizers.Adam(learning_rate)
        self._rate = learning_rate
        self._optimizer.build(net.trainable_variables)
        self._trunk = keras.Model(net.inputs, net.get_layer("hidden").output)
        self._logits = net.get_layer("logits")
        self._tf = tf
        self._gradients = tf.function(self._local_gradients, reduce_retracing=True)
        self._apply = tf.function(self._update, reduce_retracing=True)
        self._measure = tf.function(self._length)

    def _local_gradients(self, tiles: Any, labels: Any, keep: Any) -> list[Any]:
        """The gradients of the summed loss, then [summed loss, correctly classified tiles]."""
        tf = self._tf
        with tf.GradientTape() as tape:
            # dropout by hand: the mask is a function of the tile, not of a generator's state
            hidden = self._trunk(tiles[..., tf.newaxis], training=True) * keep
            logits = self._logits(hidden)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_sum(losses)
        variables = [v.value for v in self._net.trainable_variables]
        right = tf.equal(tf.argmax(logits, axis=1, output_type=tf.int32), labels)
        sums = tf.stack([loss, tf.reduce_sum(tf.cast(right, tf.float32))])
        return [*tape.gradient(loss, variables), sums]

    def _length(self, gradients: list[Any]) -> Any:
        """The length of the gradient as a vector; not finite where any part of it is not."""
        return self._tf.sqrt(sum(self._tf.reduce_sum(g * g) for g in gradients))

    def _update(self, gradients: list[Any], batch: Any) -> None:
        mean = [g / batch for g in gradients]
        self._optimizer.apply(mean, self._net.trainable_variables)

    def train(
        self,
        tiles: NDArray[np.float32],
        signal: NDArray[np.bool_],
        keep: NDArray[np.float32],
        batch: int,
    ) -> tuple[float, float]:
        """One step on this rank's part of a global batch of `batch` tiles; a collective call.

        Where the loss or its gradient is not finite nothing is updated, on any rank.

        Args:
            tiles: float32 (n, size, size), preprocessed; n may be 0.
            signal: bool (n,).
            keep: float32 (n, 1024), the dropout mask.
            batch: tiles of the global batch, over all ranks.

        Returns:
            the loss summed over the global batch (nan where its gradient is not finite), and its
            correctly classified tiles.
        """
        tf = self._tf
        if len(tiles):
            local = self._gradients(
                tf.constant(tiles), tf.constant(signal.astype(np.int32)), tf.constant(keep)
            )
        else:
            local = [tf.zeros(v.shape) for v in self._net.trainable_variables] + [tf.zeros(2)]
        *gradients, sums = self._allreduce.sum(local)
        loss, correct = sums.numpy().tolist()
        if not np.isfinite(float(self._measure(gradients))):
            # max pooling hides a NaN pixel from the loss, not from the gradient
            loss = float("nan")
        if np.isfinite(loss):
            self._apply(gradients, tf.constant(float(batch)))
        return loss, correct

    def set_learning_rate(self, rate: float) -> None:
        """Use this learning rate from the next step on."""
        if rate != self._rate:
            self._optimizer.learning_rate.assign(rate)
            self._rate = rate

    def probability(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probability of signal of preprocessed tiles (n, size, size): float32 (n,)."""
        both = self._net.predict_on_batch(tiles[..., np.newaxis])
        return np.asarray(both)[:, 1]

    @property
    def _variables(self) -> tuple[list[Any], list[Any]]:
        return self._net.variables, self._optimizer.variables

    def broadcast(self) -> None:
        """Start every rank from rank 0's weights and optimizer."""
        weights, optimizer = self._variables
        self._allreduce.broadcast([v.value for v in (*weights, *optimizer)])

    def state(self, *, epoch: int, step: int, total_steps: int, recipe: str) -> State:
        """The state of the run for a checkpoint."""
        weights, optimizer = ([np.asarray(v) for v in part] for part in self._variables)
        return State(
            epoch=epoch,
            step=step,
            total_steps=total_steps,
            recipe=recipe,
            weights=weights,
            optimizer=optimizer,
        )

    def restore(self, state: State) -> None:
        """Take weights and optimizer from a checkpoint."""
        self._rate = float("nan")  # the optimizer's variables hold that of the checkpoint
        for part, values in zip(self._variables, (state.weights, state.optimizer), strict=True):
            for variable, value in zip(part, values, strict=True):
                variable.assign(value)
