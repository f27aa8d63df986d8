"""A rank's part of a global batch: its tiles, and the numbers that a network is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnTiles:
    """Tiles as a store gives them: copies, to be changed at will.

    Attributes:
        positions: int64 (n,), in the store.
        pixels: float32 (n, window, window), contiguous; n may be 0.
        exceeded: for a counts network, the thresholds that each Sky pixel exceeds, uint8
            (n, size, size), a bit for each; None where it was not asked for.
    """

    positions: NDArray[np.int64]
    pixels: NDArray[np.float32]
    exceeded: NDArray[np.uint8] | None = None


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
