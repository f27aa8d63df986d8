"""The measures of islands, a column each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class IslandTable:
    """Islands and their measures, (n,) each. Pixels are counted from 0.

    Brightness and fluxes are less the background.

    Attributes:
        number: from 1, through all planes. plane: index of its plane in the list of those swept.
        ra, dec: middle of the diffuse emission, weighted by brightness, ICRS [deg]; NaN beyond the
            edge of the projection. ra_error, dec_error: what the noise makes of it [arcsec on the
            sky].
        x, y: the same [pixel]. x_min, x_max, y_min, y_max: the outermost pixels.
        x_peak, y_peak, ra_peak, dec_peak: the brightest pixel, and its centre, as above.
        cells: how many. pixels: with data in them.
        area: of those pixels [arcsec^2]. beams: in areas of the beam; NaN where it is not known.
        flux: their sum [Jy]. compact: the part of it in compact sources; NaN: they were not looked
            for. diffuse: the rest.
            total: of the whole source, also outside of the island; NaN: not measured. Each with its
            error: `flux_error` and so on.
        scale: length by which the brightness falls at the island's edge [arcsec]; NaN as `total`.
        peak: brightness of the brightest pixel [Jy/arcsec^2].
        background: mean of what was subtracted [Jy/arcsec^2].
        rms: median noise of the image's pixels in it [Jy/arcsec^2].
        largest: largest angular size [arcsec].
        major, minor: axes of the ellipse of its pixels' second moments [arcsec]; angle: of the long
            one, from north through east [deg].
        sources: compact ones inside.
        mean_probability, max_probability: of its cells.
        coverage: share of its pixels that have data.
        edge: it lies at the edge of the image, and may go on there. gap: beside cells without data.
        partial: a cell of it is cut by the edge of the image or has pixels without data.
    """

    number: NDArray[np.int64]
    plane: NDArray[np.int64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    ra_error: NDArray[np.float64]
    dec_error: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    x_min: NDArray[np.int64]
    x_max: NDArray[np.int64]
    y_min: NDArray[np.int64]
    y_max: NDArray[np.int64]
    x_peak: NDArray[np.int64]
    y_peak: NDArray[np.int64]
    ra_peak: NDArray[np.float64]
    dec_peak: NDArray[np.float64]
    cells: NDArray[np.int64]
    pixels: NDArray[np.int64]
    area: NDArray[np.float64]
    beams: NDArray[np.float64]
    flux: NDArray[np.float64]
    flux_error: NDArray[np.float64]
    compact: NDArray[np.float64]
    compact_error: NDArray[np.float64]
    diffuse: NDArray[np.float64]
    diffuse_error: NDArray[np.float64]
    total: NDArray[np.float64]
    total_error: NDArray[np.float64]
    scale: NDArray[np.float64]
    peak: NDArray[np.float64]
    background: NDArray[np.float64]
    rms: NDArray[np.float64]
    largest: NDArray[np.float64]
    major: NDArray[np.float64]
    minor: NDArray[np.float64]
    angle: NDArray[np.float64]
    sources: NDArray[np.int64]
    mean_probability: NDArray[np.float64]
    max_probability: NDArray[np.float64]
    coverage: NDArray[np.float64]
    edge: NDArray[np.bool_]
    gap: NDArray[np.bool_]
    partial: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.number)
