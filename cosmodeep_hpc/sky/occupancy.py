"""The number of signal tiles of a Sky image, by which a mock sky is judged, at any efficiency.

All fluxes are proportional to the efficiency xi_e. One pixel decides on a tile, its (N_pix + 1)-th
brightest: these pixels alone give the occupancy at every efficiency.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PAPER = {
    (40, 1e-7): 75,
    (40, 7.5e-8): 94,
    (40, 5e-8): 110,
    (40, 1e-8): 231,
    (9, 1e-7): 100,
    (9, 7.5e-8): 122,
    (9, 5e-8): 143,
    (9, 1e-8): 312,
}
"""Tiles with signal an image by (N_pix, F_th), from the paper's accuracies (its table 2)."""


def tile_levels(sky: NDArray[np.float32], size: int, n_pix: Sequence[int]) -> NDArray[np.float32]:
    """Return the (n_pix + 1)-th brightest pixel of every whole tile of a Sky image.

    Args:
        sky: (rows, columns) [Jy/arcsec^2].
        size: side of a tile [pixel].
        n_pix: pixel thresholds N_pix.

    Returns:
        float32 (len(n_pix), tiles) [Jy/arcsec^2]; a tile is signal if its level exceeds F_th.
    """
    rows, columns = sky.shape[0] // size, sky.shape[1] // size
    tiles = sky[: rows * size, : columns * size].reshape(rows, size, columns, size)
    flat = tiles.swapaxes(1, 2).reshape(rows * columns, size * size)
    places = [size * size - 1 - n for n in n_pix]
    return np.ascontiguousarray(np.partition(flat, places, axis=1)[:, places].T)


def occupancy(
    levels: NDArray[np.float32], thresholds: Sequence[float], gain: float = 1.0
) -> NDArray[np.float64]:
    """Return the signal tiles an image if the sky were `gain` times as bright.

    Args:
        levels: (images, len(n_pix), tiles), see `tile_levels`.
        thresholds: F_th [Jy/arcsec^2].
        gain: factor on the efficiency.

    Returns:
        float64 (len(n_pix), len(thresholds)), means over the images.
    """
    bright = levels[..., None] * gain > np.asarray(thresholds)
    return np.asarray(bright.sum(axis=2).mean(axis=0))
