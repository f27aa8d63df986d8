"""What is known of one image once a model has classified it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.evaluation.mapscore import MapScore


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """One image: the labels of its tiles, and the model's probabilities.

    Attributes:
        row, col: int32 (n,), places of its tiles.
        signal: bool (n,), by the Sky image. probability: float32 (n,).
        score: of its map of pixels and its islands; None: the model knows tiles alone.
    """

    name: str
    row: NDArray[np.int32]
    col: NDArray[np.int32]
    signal: NDArray[np.bool_]
    probability: NDArray[np.float32]
    score: MapScore | None = None
