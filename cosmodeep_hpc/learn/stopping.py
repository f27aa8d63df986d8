"""What the validations of a run decide: which model is the best, and when training stops.

The measure is As at its best threshold: the number that the paper judges by, and that the
threshold of a model is chosen for. The loss is no such measure: over validation images, of which
one tile in thirty may be signal, it is mostly that of noise tiles, and it grows with a network's
confidence while As still improves. As is a ratio of counts, the same on every rank.
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
        best_epoch: of that validation.
        since: validations since it.
        best_weights: the network's variables at it, in order; empty where they are not kept.
    """

    epoch: int = -1
    best: float = -1.0
    best_epoch: int = -1
    since: int = 0
    best_weights: Sequence[NDArray[np.float32]] = ()

    def is_better(self, score: float) -> bool:
        """Whether an As is better than any before; nan, of no signal tile at all, never is."""
        return score > self.best

    def after(
        self,
        epoch: int,
        score: float,
        weights: Sequence[NDArray[np.float32]] = (),
    ) -> Standing:
        """The standing after one more validation; `weights` are kept if it is the best."""
        if not self.is_better(score):
            return replace(self, epoch=epoch, since=self.since + 1)
        return Standing(
            epoch=epoch,
            best=score,
            best_epoch=epoch,
            best_weights=weights,
        )

    def is_over(self, patience: int) -> bool:
        """Whether training stops here: `patience` validations without a better one; 0: never."""
        return 0 < patience <= self.since
