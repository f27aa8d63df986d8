"""The factor that lifts a loss before its gradients are computed in float16."""

from __future__ import annotations

from typing import Any

FIRST = 2.0**8  # the gradient is that of the sum over the tiles of a rank: large
LEAST = 2.0**-16  # below it the overflow is the network's own
PATIENCE = 1000  # finite steps in a row after which the factor is doubled


class LossScale:
    """Doubled now and then, halved when a gradient overflows; the same on all ranks.

    Small gradients become zero in float16 and large ones infinite: the factor, a power of two,
    keeps them between. It is the state of a run like the weights are.

    Source: Micikevicius et al. (2018), section 3.2.
    """

    def __init__(self, tf: Any, *, used: bool) -> None:
        """Start at the first factor; where it is not used it is one, and there is no state."""
        self._tf = tf
        self._factor = tf.Variable(FIRST, name="loss_scale") if used else None
        self._finite = tf.Variable(0, dtype=tf.int64, name="finite_steps") if used else None

    @property
    def variables(self) -> list[Any]:
        """The factor and the finite steps since it changed, where it is used."""
        return [v for v in (self._factor, self._finite) if v is not None]

    def up(self, value: Any) -> Any:
        """The value times the factor."""
        return value if self._factor is None else value * self._factor

    def follow(self, finite: Any) -> Any:
        """Change the factor after a step; for use inside a `tf.function`.

        Args:
            finite: bool (), whether the step's loss and gradients were.

        Returns:
            bool (), whether the run goes on: the step was finite, or a smaller factor may help.
        """
        tf = self._tf
        if self._factor is None or self._finite is None:
            return finite
        factor = self._factor.read_value()
        count = tf.where(finite, self._finite + 1, 0)
        full = count >= PATIENCE
        self._finite.assign(tf.where(full, tf.zeros_like(count), count))
        rising = tf.where(full, factor * 2, factor)
        self._factor.assign(tf.where(finite, rising, tf.maximum(factor / 2, LEAST)))
        return finite | (factor > LEAST)
