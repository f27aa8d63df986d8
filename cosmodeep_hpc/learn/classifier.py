"""Classifying tiles: the network run on all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.learn.card import Card
from cosmodeep_hpc.learn.modelfile import TrainedModel


def probabilities(
    model: TrainedModel, tiles: NDArray[np.float32], batch: int
) -> NDArray[np.float32]:
    """Return the calibrated probability of signal of preprocessed tiles: float32 (n,).

    A counts network is asked for the rule in the model's card. A tile's result does not depend on
    the other tiles, on their number or on its place among them.

    Args:
        tiles: float32 (n, window, window).
        batch: tiles that the network sees at a time, if Keras computes.
    """
    if len(tiles) == 0:
        return np.empty(0, dtype=np.float32)
    return read(outputs(model, tiles, batch), model.card, model.path)


def outputs(model: TrainedModel, tiles: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
    """Return the network's output for n > 0 tiles: float32 (n,); of a counts network (n, T, L)."""
    given = model.network(tiles, batch)
    return given if model.card.readings is not None else np.ascontiguousarray(given[:, 1])


def read(given: NDArray[np.float32], card: Card, source: Path) -> NDArray[np.float32]:
    """Return the calibrated probability of signal by the rule of a card: float32 (n,).

    Args:
        given: of `outputs`.

    Raises:
        InputError: the network, of the file `source`, does not know the rule.
    """
    if card.readings is not None:
        return card.readings.probability(given, card.f_th, card.n_pix, source)
    return card.calibration(given)
