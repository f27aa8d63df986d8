"""Validation: the accuracy on tiles that are not trained on, each rank classifying its part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.learn import calibration
from cosmodeep_hpc.learn.calibration import Calibration
from cosmodeep_hpc.learn.card import SHARE
from cosmodeep_hpc.learn.metrics import Accuracy, curve
from cosmodeep_hpc.learn.step import Step
from cosmodeep_hpc.learn.store import Store
from cosmodeep_hpc.world import World


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What was found on the validation tiles; the same on all ranks.

    Attributes:
        threshold: probability of the largest As. accuracy: at that threshold.
        loss: mean cross-entropy of a tile, in the natural mix of signal and noise.
    """

    threshold: float
    accuracy: Accuracy
    loss: float

    def as_dict(self) -> dict[str, Any]:
        """Its numbers by name."""
        return {**self.accuracy.as_dict(), "threshold": self.threshold, "loss": self.loss}


def validate(store: Store, step: Step, world: World, batch: int) -> Validation | None:
    """Classify the validation tiles; None where there are none. A collective call."""
    if len(store.validation) == 0:
        return None
    signal = store.signal[store.validation]
    probability = _probability(store, step, world, batch)
    found = curve(signal, probability)
    threshold = found.best_threshold()
    right = np.where(signal, probability, 1 - probability).astype(np.float64)
    loss = float(-np.log(np.maximum(right, 1e-7)).mean())
    return Validation(threshold=threshold, accuracy=found.at(threshold), loss=loss)


@dataclass(frozen=True, kw_only=True)
class OperatingPoints:
    """What the validation tiles make of a trained network, by the names of a model's card."""

    calibration: Calibration = Calibration()
    threshold: float = 0.5
    completeness: float | None = None
    purity: float | None = None


def operating_points(store: Store, step: Step, world: World, batch: int) -> OperatingPoints:
    """Calibrate the network as it is now, and choose its thresholds. A collective call.

    Without a signal tile to validate on there is nothing to choose by.
    """
    signal = store.signal[store.validation]
    if not signal.any():
        return OperatingPoints()
    probability = _probability(store, step, world, batch)
    fitted = calibration.fitted(signal, probability)
    found = curve(signal, fitted(probability))
    return OperatingPoints(
        calibration=fitted,
        threshold=found.best_threshold(),
        completeness=found.threshold_of(completeness=SHARE),
        purity=found.threshold_of(purity=SHARE),
    )


def _probability(store: Store, step: Step, world: World, batch: int) -> NDArray[np.float32]:
    """The probability of signal of all validation tiles, on every rank."""
    share = world.share(len(store.validation))
    mine = store.validation[share.start : share.stop]
    parts = [
        step.probability(store.tiles[mine[start : start + batch]])
        for start in range(0, len(mine), batch)
    ]
    everywhere = world.comm.allgather(np.concatenate([*parts, np.empty(0, dtype=np.float32)]))
    return np.concatenate(everywhere)
