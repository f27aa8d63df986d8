"""Classifying tiles: the network run on batches of one shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.learn.modelfile import TrainedModel


def probabilities(
    model: TrainedModel, tiles: NDArray[np.float32], batch: int
) -> NDArray[np.float32]:
    """The probability of signal of preprocessed tiles (n, size, size): float32 (n,).

    Every batch has exactly `batch` tiles, the last one filled up with zeros: the network is
    compiled once, and a tile's result does not depend on how many others came with it.
    """
    found = np.empty(len(tiles), dtype=np.float32)
    for start in range(0, len(tiles), batch):
        part = tiles[start : start + batch]
        full = part
        if len(part) < batch:
            full = np.zeros((batch, *tiles.shape[1:]), dtype=np.float32)
            full[: len(part)] = part
        found[start : start + batch] = model.probability(full)[: len(part)]
    return found
