"""Labels: which tiles hold signal, by the noise-free sky."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


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


def is_signal(counts: NDArray[np.uint16], n_pix: int) -> NDArray[np.bool_]:
    """Whether tiles with these numbers of bright pixels are signal: more than `n_pix` of them."""
    return counts > n_pix
