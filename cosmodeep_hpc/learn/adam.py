"""Adam as one fused operation a variable; tested equal to Keras' optimizer of that name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # Keras' own


class Adam:
    """Moments of the gradient of each variable, and the update made from them.

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
