"""Calibration: turns a network's output into the probability that a tile is signal.

A network is trained on as many noise tiles as signal tiles, so it expects signal to be that
frequent, and it is surer of itself than it is right. Two numbers, fitted on validation images in
their natural mix, correct both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

EDGE = 1e-7
"""Probabilities nearer to 0 or 1 than this count as this far from it, the resolution of a float32.
"""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """logit(p) becomes scale * logit(p) + offset: a temperature 1 / scale, and the prior's shift.

    It rises with p, so that a threshold finds the same tiles before and after.

    Source: Platt (1999); with offset 0, Guo et al. (2017), section 4.2.
    """

    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a scale that would reverse the order of tiles, as a damaged file may hold."""
        if not (math.isfinite(self.scale) and self.scale > 0 and math.isfinite(self.offset)):
            raise ValueError(
                f"calibration by {self.scale} and {self.offset}; expected finite, the first > 0"
            )

    def __call__(self, probability: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the calibrated probabilities, float32 of the same shape; NaN stays NaN."""
        if self == Calibration():
            return probability
        return np.asarray(expit(self.scale * log_odds(probability) + self.offset), dtype=np.float32)


def fitted(signal: NDArray[np.bool_], probability: NDArray[np.float32]) -> Calibration:
    """Return the calibration of largest likelihood on tiles that were not trained on.

    A signal tile counts as (Ns + 1) / (Ns + 2) signal, a noise tile as 1 / (Nv + 2): otherwise a
    network without a mistake on these tiles would be made infinitely sure. Without tiles of both
    kinds the calibration changes nothing.

    Args:
        signal: bool (n,), whether a tile is signal.
        probability: (n,), the network's output; NaN does not count.

    Source: Platt (1999), section 2.2.
    """
    from scipy.optimize import minimize  # only training needs it

    known = np.isfinite(probability)
    truth, x = signal[known], log_odds(probability[known])
    if truth.all() or not truth.any():
        return Calibration()
    n_signal, n_noise = int(truth.sum()), int((~truth).sum())
    target = np.where(truth, (n_signal + 1) / (n_signal + 2), 1 / (n_noise + 2))

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scale = math.exp(parameters[0])  # positive, whatever the search tries
        z = scale * x + parameters[1]
        error = expit(z) - target
        slope = np.array([np.mean(error * x) * scale, np.mean(error)])
        return float(np.mean(np.logaddexp(0, z) - target * z)), slope

    found = minimize(loss, np.zeros(2), jac=True, method="BFGS").x
    return Calibration(scale=math.exp(found[0]), offset=float(found[1]))


def log_odds(probability: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the logarithm of p / (1 - p), float64 of the same shape, finite at 0 and 1.

    NaN stays NaN.
    """
    return np.asarray(logit(np.clip(probability.astype(np.float64), EDGE, 1 - EDGE)))
