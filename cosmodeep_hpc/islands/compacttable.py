"""Compact sources in and beside islands, a column each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class CompactTable:
    """Compact sources in and beside islands, (n,) each.

    Attributes:
        number: from 1, through all planes. plane: index of its plane in the list of those swept.
        island: number of the island that it lies in; 0: beside one.
        x, y: [pixel]. ra, dec: ICRS [deg].
        ra_error, dec_error: [arcsec on the sky].
        flux, flux_error: [Jy]. peak: [Jy/arcsec^2]. rms: local noise [Jy/arcsec^2].
        given: whether it is of a user's list.
    """

    number: NDArray[np.int64]
    plane: NDArray[np.int64]
    island: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    ra_error: NDArray[np.float64]
    dec_error: NDArray[np.float64]
    flux: NDArray[np.float64]
    flux_error: NDArray[np.float64]
    peak: NDArray[np.float64]
    rms: NDArray[np.float64]
    given: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.number)
