"""One training step: gradients on each rank, one sum over ranks, one update."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.learn.allreduce import Allreduce
from cosmodeep_hpc.learn.batch import Batch
from cosmodeep_hpc.learn.checkpoint import State
from cosmodeep_hpc.learn.countsgradient import OfCounts
from cosmodeep_hpc.learn.countsnetwork import is_counts
from cosmodeep_hpc.learn.fastnetwork import FastNetwork
from cosmodeep_hpc.learn.gradient import ByCores, ByTensorFlow
from cosmodeep_hpc.learn.optimiser import Adam, LossScale


def _gradient(
    tf: Any, net: Any, scale: LossScale, precision: str, xla: bool
) -> ByCores | ByTensorFlow | OfCounts:
    """Return the object that computes this network's gradient on this device."""
    if is_counts(net):
        return OfCounts(tf, net, scale, precision=precision, xla=xla)
    fast = FastNetwork(tf, net, precision=precision)
    if precision == "float32" and not xla and not tf.config.get_visible_devices("GPU"):
        return ByCores(tf, fast)
    return ByTensorFlow(tf, net, fast, scale, xla=xla)


class Step:
    """The network with its optimizer (Adam), as TensorFlow functions.

    Each rank computes the gradient of the *sum* of the losses over its part of the global batch.
    Summed over ranks and divided by the size of the batch, it is the gradient of the batch's mean
    loss, however the batch is divided.

    Attributes:
        learning_rate: of the next step; may be set between steps.
    """

    def __init__(
        self,
        tf: Any,
        net: Any,
        learning_rate: float,
        allreduce: Allreduce,
        *,
        precision: str = "float32",
        xla: bool = False,
    ) -> None:
        """Prepare the functions; nothing runs yet.

        Args:
            tf: the module `tensorflow`.
            net: the Keras model; its variables are trained.
            learning_rate: of Adam.
            allreduce: sums over ranks.
            precision: that the network is computed with: float32, bfloat16, or float16 with a
                scaled loss. Weights, gradients between ranks and the update are float32.
            xla: compile with XLA, except the sum over ranks.
        """
        self.learning_rate = learning_rate
        self._tf = tf
        self._net = net
        self._allreduce = allreduce
        self._scale = LossScale(tf, used=precision == "float16")
        self._gradient = _gradient(tf, net, self._scale, precision, xla)
        self._shapes = [[tuple(v.shape) for v in group] for group in self._gradient.groups]
        self._optimizer = Adam(tf, [v for group in self._gradient.groups[::-1] for v in group])
        self._finish = tf.function(
            self._update, reduce_retracing=True, jit_compile=True if xla else None
        )
        self._seconds = {"compute": 0.0, "allreduce": 0.0}

    def _update(self, rows: Any, batch: Any, learning_rate: Any) -> Any:
        """Update the weights if all gradients are finite.

        Returns:
            [summed loss, correct tiles]; the loss is nan if the run cannot go on.
        """
        tf = self._tf
        # one number for all gradients: it is not finite if any of them is not, or if it overflows
        finite = tf.math.is_finite(tf.add_n([tf.nn.l2_loss(row) for row in rows]))
        sums = rows[0][-2:]
        divisor = self._scale.up(batch)

        def update() -> Any:
            mean = []
            for row, shapes in list(zip(rows, self._shapes, strict=True))[::-1]:
                sizes = [math.prod(shape) for shape in shapes]
                parts = tf.split(row[: sum(sizes)], sizes)
                mean += [tf.reshape(g, s) / divisor for g, s in zip(parts, shapes, strict=True)]
            self._optimizer.apply(mean, learning_rate)
            return tf.constant(True)

        tf.cond(finite, update, lambda: tf.constant(False))
        goes_on = self._scale.follow(finite)
        return tf.stack([tf.where(goes_on, sums[0], math.nan), sums[1]])

    def train(
        self,
        part: Batch,
        batch: int,
        flags: Sequence[bool] = (),
    ) -> tuple[float, float, list[bool]]:
        """Do one step; a collective call.

        If the loss or its gradient is not finite, no rank updates its weights.

        Args:
            part: this rank's tiles, a `PaperBatch` or a `CountsBatch` as the network asks for.
            batch: tiles of the global batch, over all ranks.
            flags: what this rank has to say, as many flags on all ranks. They go with the
                gradient: a message of their own costs two ranks on two cores a tenth of a step.

        Returns:
            the loss summed over the global batch, the correctly classified tiles in it, and which
            flags were set on any rank. The loss is nan if the gradient is not finite; under
            float16 only once the loss cannot be scaled down any further.
        """
        tf = self._tf
        start = time.perf_counter()
        before = start

        def rows() -> Iterator[Any]:
            nonlocal before
            if flags:
                yield tf.constant([float(flag) for flag in flags])
            if len(part.tiles):
                yield from self._gradient.rows(part)  # type: ignore[arg-type]  # the network's own
            else:
                sizes = [sum(map(math.prod, shapes)) for shapes in self._shapes]
                yield from (tf.zeros(n + 2 * (k == 0)) for k, n in enumerate(sizes))
            before = time.perf_counter()

        summed = self._allreduce.sums(rows())
        said = (summed.pop(0).numpy() > 0).tolist() if flags else []
        after = time.perf_counter()
        settings = tf.constant(float(batch)), tf.constant(float(self.learning_rate))
        done = self._finish(summed, *settings)
        loss, correct = done.numpy().tolist()
        self._seconds["allreduce"] += after - before
        self._seconds["compute"] += time.perf_counter() - start - (after - before)
        return loss, correct, said

    def read_times(self) -> dict[str, float]:
        """Return seconds of `train` since the last call: "compute" and "allreduce".

        "allreduce" is the time that the sum over ranks takes after this rank has computed; it
        includes waiting for the slowest rank, and on a GPU, which computes asynchronously, waiting
        for the GPU.
        """
        seconds, self._seconds = self._seconds, dict.fromkeys(self._seconds, 0.0)
        return seconds

    def probability(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of signal of preprocessed tiles (n, window, window): float32 (n,).

        A counts network gives that of each rule: float32 (n, T, L).
        """
        return self._gradient.probability(tiles)

    @property
    def _variables(self) -> tuple[list[Any], list[Any]]:
        """TensorFlow's variables of the network, and of optimizer and loss scale."""
        weights = [v.value for v in self._net.variables]
        return weights, [*self._optimizer.variables, *self._scale.variables]

    def broadcast(self) -> None:
        """Copy rank 0's weights and optimizer to every rank."""
        weights, optimizer = self._variables
        self._allreduce.broadcast([*weights, *optimizer])

    def state(self, *, epoch: int, step: int, total_steps: int, recipe: str) -> State:
        """Return the state of the run for a checkpoint."""
        weights, optimizer = ([v.numpy() for v in part] for part in self._variables)
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
        for part, values in zip(self._variables, (state.weights, state.optimizer), strict=True):
            for variable, value in zip(part, values, strict=True):
                variable.assign(value)
