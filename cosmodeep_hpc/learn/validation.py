"""Validation: the accuracy on tiles that are not trained on, each rank classifying its part."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn.metrics import Accuracy, curve
from cosmodeep_hpc.learn.rules import OperatingPoints, RuleCalibrations, mean_as
from cosmodeep_hpc.learn.step import Step
from cosmodeep_hpc.learn.store import Store
from cosmodeep_hpc.parallel.world import World


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Accuracy and loss on the validation tiles; the same on all ranks.

    Attributes:
        threshold: probability of the largest As. accuracy: at that threshold.
        loss: mean cross-entropy of a tile, in the natural mix of signal and noise.
        mean_over_rules: for a counts network, the mean over rules of the largest As.
    """

    threshold: float
    accuracy: Accuracy
    loss: float
    mean_over_rules: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers by name."""
        mean = {} if self.mean_over_rules is None else {"As_over_rules": self.mean_over_rules}
        found = {**self.accuracy.as_dict(), "threshold": self.threshold, "loss": self.loss}
        return {**found, **mean}


def validate(store: Store, step: Step, world: World, batch: int) -> Validation | None:
    """Classify the validation tiles; return None if there are none. A collective call."""
    if len(store.validation) == 0:
        return None
    signal = store.signal[store.validation]
    given = _given(store, step, world, batch)
    probability = _of_label(store, given)
    found = curve(signal, probability)
    threshold = found.best_threshold()
    right = np.where(signal, probability, 1 - probability).astype(np.float64)
    loss = float(-np.log(np.maximum(right, 1e-7)).mean())
    mean = None
    if store.counted is not None:
        mean = mean_as(store.counted.rules, store.counted.bright[store.validation], given)
    return Validation(
        threshold=threshold, accuracy=found.at(threshold), loss=loss, mean_over_rules=mean
    )


def operating_points(
    store: Store, step: Step, world: World, batch: int
) -> tuple[OperatingPoints, RuleCalibrations | None]:
    """Calibrate the network as it is now, and choose its thresholds. A collective call.

    Without a signal tile to validate on, return the defaults.

    Returns:
        the points of the label, and for a counts network those of every rule.
    """
    signal, counted = store.signal[store.validation], store.counted
    if counted is None and not signal.any():
        return OperatingPoints(), None
    given = _given(store, step, world, batch)
    if counted is None:
        return OperatingPoints.fitted(signal, given), None
    readings = RuleCalibrations.fitted(counted.rules, counted.bright[store.validation], given)
    try:
        return readings.at(counted.label.f_th, counted.label.n_pix, Path()), readings
    except InputError:  # no signal tile: whoever asks the model for this rule is told
        return OperatingPoints(), readings


def _of_label(store: Store, given: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability of signal by the label, from the network's output: float32 (n,)."""
    if store.counted is None:
        return given
    rules, label = store.counted.rules, store.counted.label
    return rules.read(given, rules.column(label.f_th, label.n_pix, Path()), label.n_pix)


def _given(store: Store, step: Step, world: World, batch: int) -> NDArray[np.float32]:
    """Return the network's output for all validation tiles, on every rank: float32 (n, ...)."""
    share = world.share(len(store.validation))
    mine = store.validation[share.start : share.stop]
    batches = (mine[start : start + batch] for start in range(0, len(mine), batch))
    with closing(store.tiles.stream(batches, bare=True)) as drawn:
        parts = [step.probability(tiles.pixels) for tiles in drawn]
    everywhere = world.comm.allgather(parts)
    return np.concatenate([part for of_rank in everywhere for part in of_rank])
