"""Labels: which tiles hold signal, according to the noise-free sky."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError


def count_bright(sky: NDArray[np.float32], thresholds: Sequence[float]) -> NDArray[np.uint16]:
    """Count the Sky pixels brighter than each threshold, for tiles (n, size, size).

    A pixel equal to the threshold, as float32 holds it, is not brighter. NaN is never brighter.

    Returns:
        uint16 (n, len(thresholds)).

    Source: Gheller, Vazza & Bonafede (2018), section 3.3.
    """
    counts = np.empty((len(sky), len(thresholds)), dtype=np.uint16)
    for column, threshold in enumerate(thresholds):
        counts[:, column] = np.count_nonzero(sky > np.float32(threshold), axis=(1, 2))
    return counts


def exceeded(sky: NDArray[np.float32], thresholds: Sequence[float]) -> NDArray[np.uint8]:
    """Return the thresholds that each pixel exceeds, for Sky tiles (n, size, size).

    See `count_bright` for the comparison.

    Returns:
        uint8 (n, size, size): bit k says whether a pixel is brighter than threshold k; 8 thresholds
        at most.
    """
    found = np.zeros(sky.shape, dtype=np.uint8)
    for column, threshold in enumerate(thresholds):
        found |= (sky > np.float32(threshold)).astype(np.uint8) << np.uint8(column)
    return found


def column(thresholds: Sequence[float], f_th: float, source: Path) -> int:
    """Return the index of flux threshold `f_th` [Jy/arcsec^2] among those of the counts.

    Raises:
        InputError: `source`, which has the counts, was not made with it.
    """
    found = place(thresholds, f_th)
    if found is None:
        raise InputError(
            f"{source}: no counts at F_th = {f_th:g} Jy/arcsec^2; it has "
            f"{', '.join(f'{t:g}' for t in thresholds)}: change label.f_th, or make the tiles "
            "again with it in tiles.thresholds"
        )
    return found


def place(thresholds: Sequence[float], f_th: float) -> int | None:
    """Return the index of a flux threshold, however it was written; None if it is missing."""
    near = np.flatnonzero(np.isclose(thresholds, f_th, rtol=1e-6, atol=0.0))
    return int(near[0]) if len(near) else None


def is_signal(counts: NDArray[np.uint16], n_pix: int) -> NDArray[np.bool_]:
    """Return whether tiles with these numbers of bright pixels are signal: more than `n_pix`."""
    return counts > n_pix
