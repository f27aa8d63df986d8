"""A rank's part of a global batch: the tiles, and the numbers that a network is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class PaperBatch:
    """Tiles for the paper's network.

    Attributes:
        tiles: float32 (n, window, window), preprocessed; n may be 0.
        signal: bool (n,), whether a tile is signal.
        keep: float32 (n, 1024), the dropout mask.
    """

    tiles: NDArray[np.float32]
    signal: NDArray[np.bool_]
    keep: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class CountsBatch:
    """Tiles for a counts network.

    Attributes:
        tiles: float32 (n, window, window), preprocessed; n may be 0.
        counts: uint16 (n, T), the bright pixels of a tile by each threshold.
        exceeded: uint8 (n, size, size), the thresholds that a pixel exceeds, a bit for each.
    """

    tiles: NDArray[np.float32]
    counts: NDArray[np.uint16]
    exceeded: NDArray[np.uint8]


Batch = PaperBatch | CountsBatch
