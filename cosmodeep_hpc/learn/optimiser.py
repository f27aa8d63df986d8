"""The optimiser: Adam, the learning rate of a step, and the factor that scales a float16 loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cosmodeep_hpc.config.learn import Train

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # Keras' own
FIRST_SCALE = 2.0**8  # small, as the gradient sums over a rank's tiles
LEAST_SCALE = 2.0**-16  # below it the overflow is the network's own
SCALE_PATIENCE = 1000  # finite steps in a row after which the factor is doubled


def peak_rate(train: Train) -> float:
    """Return the learning rate after the warm-up: that of `base_batch`, scaled to the batch.

    `linear` multiplies by the ratio r of the batches: one step follows the mean gradient of a batch
    r times as large instead of r steps. `square_root` multiplies by the root of r, which keeps the
    noise that adaptive optimisers such as Adam see.

    Source: Goyal et al. (2017), section 2.1; Malladi et al. (2022).
    """
    ratio = train.batch / train.base_batch
    factor = {"none": 1.0, "linear": ratio, "square_root": math.sqrt(ratio)}
    return train.learning_rate * factor[train.learning_rate_rule]


def learning_rate(train: Train, step: int, steps: int) -> float:
    """Return the learning rate of a step of a run.

    It is a function of the step alone, so a resumed run needs no state for it.

    Args:
        step: global batches done since the run began. steps: global batches in an epoch.

    Source: Goyal et al. (2017), section 2.2 (the gradual warm-up); Loshchilov & Hutter (2017),
    section 3 (the cosine).
    """
    warm = train.warmup_epochs * steps
    rising = min(1.0, (step + 1) / warm if warm > 1 else 1.0)
    if train.schedule == "constant" or rising < 1:
        return peak_rate(train) * rising
    left = train.epochs * steps - warm  # steps after the warm-up
    done = min(max(step - warm, 0.0) / left, 1.0) if left > 0 else 0.0
    return peak_rate(train) * (1 + math.cos(math.pi * done)) / 2


class Adam:
    """Adam: the moments of each variable's gradient, and the update made from them.

    The update is one fused operation a variable; tests hold it against Keras' optimiser.

    Source: Kingma & Ba (2015), algorithm 1 in the form at the end of their section 2.
    """

    def __init__(self, tf: Any, variables: Sequence[Any]) -> None:
        """Start with moments of zero for these TensorFlow variables."""
        self._tf = tf
        self._weights = list(variables)
        self._steps = tf.Variable(0, dtype=tf.int64, name="steps")
        self._means = [tf.Variable(tf.zeros_like(v), name="mean") for v in variables]
        self._squares = [tf.Variable(tf.zeros_like(v), name="square") for v in variables]

    @property
    def variables(self) -> list[Any]:
        """The state: the number of updates, the first moments, the second moments."""
        return [self._steps, *self._means, *self._squares]

    def apply(self, gradients: Sequence[Any], learning_rate: Any) -> None:
        """Update the variables by one step; for use inside a `tf.function`."""
        tf = self._tf
        done = tf.cast(self._steps.assign_add(1), tf.float32)
        powers = tf.pow(BETA_1, done), tf.pow(BETA_2, done)
        slots = zip(self._weights, self._means, self._squares, gradients, strict=True)
        for weight, mean, square, gradient in slots:
            tf.raw_ops.ResourceApplyAdam(
                var=weight.handle,
                m=mean.handle,
                v=square.handle,
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=learning_rate,
                beta1=BETA_1,
                beta2=BETA_2,
                epsilon=EPSILON,
                grad=gradient,
            )


class LossScale:
    """The factor that scales a loss before its gradients are computed in float16.

    In float16 small gradients become zero and large ones infinite; the factor, a power of two,
    keeps them between. It is halved when a gradient overflows and doubled after many finite steps,
    on all ranks alike, and is saved with the weights.

    Source: Micikevicius et al. (2018), section 3.2.
    """

    def __init__(self, tf: Any, *, used: bool) -> None:
        """Start at the first factor; an unused scale has the factor one and no variables."""
        self._tf = tf
        self._factor = tf.Variable(FIRST_SCALE, name="loss_scale") if used else None
        self._finite = tf.Variable(0, dtype=tf.int64, name="finite_steps") if used else None

    @property
    def variables(self) -> list[Any]:
        """The factor and the number of finite steps since it changed; empty if it is unused."""
        return [v for v in (self._factor, self._finite) if v is not None]

    def up(self, value: Any) -> Any:
        """Return the value times the factor."""
        return value if self._factor is None else value * self._factor

    def follow(self, finite: Any) -> Any:
        """Change the factor after a step; for use inside a `tf.function`.

        Args:
            finite: bool (), whether the step's loss and gradients were finite.

        Returns:
            bool (), whether the run continues: the step was finite, or a smaller factor may help.
        """
        tf = self._tf
        if self._factor is None or self._finite is None:
            return finite
        factor = self._factor.read_value()
        count = tf.where(finite, self._finite + 1, 0)
        full = count >= SCALE_PATIENCE
        self._finite.assign(tf.where(full, tf.zeros_like(count), count))
        rising = tf.where(full, factor * 2, factor)
        self._factor.assign(tf.where(finite, rising, tf.maximum(factor / 2, LEAST_SCALE)))
        return finite | (factor > LEAST_SCALE)
