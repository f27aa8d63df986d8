"""What the validations of a run decide: which model is the best, and when training stops.

They are compared by As at its best threshold: the number that the paper judges by, and that a
model's threshold is chosen for. The loss would not do: of validation images, where one tile in
thirty may be signal, it mostly measures noise tiles, and it grows with a network's confidence while
As still improves. As is a ratio of counts, the same on every rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How the validations of a run went so far; part of its checkpoints.

    Attributes:
        epoch: of the last validation; -1 before the first.
        best: As of the best validation, the earliest of equal ones; -1 before the first.
        best_epoch: epoch of the best validation.
        since: validations since the best one.
        best_weights: the network's variables at the best one, in order; empty if they are not kept.
    """

    epoch: int = -1
    best: float = -1.0
    best_epoch: int = -1
    since: int = 0
    best_weights: Sequence[NDArray[np.float32]] = ()

    def is_better(self, score: float) -> bool:
        """Return whether an As is better than any before; nan (no signal tiles) never is."""
        return score > self.best

    def after(
        self,
        epoch: int,
        score: float,
        weights: Sequence[NDArray[np.float32]] = (),
    ) -> Standing:
        """Return the standing after one more validation; keep `weights` if it is the best."""
        if not self.is_better(score):
            return replace(self, epoch=epoch, since=self.since + 1)
        return Standing(
            epoch=epoch,
            best=score,
            best_epoch=epoch,
            best_weights=weights,
        )

    def is_over(self, patience: int) -> bool:
        """Return whether training stops after `patience` validations without a better one.

        With a patience of 0 it never stops.
        """
        return 0 < patience <= self.since
