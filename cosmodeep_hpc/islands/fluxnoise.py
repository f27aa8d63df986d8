"""What the noise of an image makes of the flux in an area, as measured where nothing was found.

The flux in an area A has a variance of sigma^2 A P, where P is the solid angle over which the
noise of a pixel counts once. White noise seen through a beam of solid angle B has P = 2 B in wide
areas. Noise of an interferometer has less there, since it measures no sum of an image; what
deconvolution leaves, sources below the noise, stripes and bowls have more, and the more, the wider
the area is. So P is measured in squares of growing sides, in units of the local noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.islands.blanksky import BlockMeans

FIRST = 0.5
"""Side of the smallest squares [square root of a beam area]."""
WHOLE = 0.6
"""Share of a square that must be left."""
LEAST = 24
"""Squares without which nothing is measured at a side."""


@dataclass(frozen=True)
class FluxNoise:
    """How the noise adds up in areas.

    Attributes:
        areas: of squares [arcsec^2], growing.
        patches: P of each [arcsec^2].
    """

    areas: NDArray[np.float64]
    patches: NDArray[np.float64]

    def error(self, rms: float, area: float) -> float:
        """Return the standard deviation of the flux in an area [Jy].

        Args:
            rms: noise of a pixel [Jy/arcsec^2]. area: [arcsec^2].
        """
        return rms * math.sqrt(area * self.patch(area))

    def patch(self, area: float) -> float:
        """Return P for an area [arcsec^2]: between those of squares, and constant above them.

        Below, the noise is alike all over the area, and P goes as that.
        """
        if not area > self.areas[0]:
            return float(self.patches[0] * area / self.areas[0])
        return float(np.exp(np.interp(np.log(area), np.log(self.areas), np.log(self.patches))))

    @classmethod
    def of_beam(cls, beam: Beam | None, pixel: float) -> FluxNoise:
        """Return what white noise seen through a beam has.

        Args:
            beam: [arcsec]; None: pixels do not correlate. pixel: side of a pixel [arcsec].
        """
        if beam is None:
            return cls(np.array([pixel**2]), np.array([pixel**2]))
        sides: NDArray[np.float64] = FIRST * 2.0 ** np.arange(8.0) * math.sqrt(beam.area)
        patches = [max(_patch(beam, side), pixel**2) for side in sides]
        return cls(sides**2, np.array(patches))

    @classmethod
    def measured(cls, sky: list[BlockMeans], white: FluxNoise) -> FluxNoise:
        """Measure it on what is left of an image without its islands and bright sources.

        Where that is too small, what white noise has stands in, and beyond the widest squares the
        last measure.

        Args:
            sky: parts of the image, in blocks of about FIRST.
            white: what white noise has.
        """
        areas, patches = [], []
        while sky:
            area = sky[0].area
            means = np.concatenate([part.mean.ravel() for part in sky])
            share = np.concatenate([part.share.ravel() for part in sky])
            known = share >= WHOLE
            if known.sum() < LEAST:
                break
            # the mean of a part of a square varies as much more as the part is smaller
            spread = means[known] * np.sqrt(share[known])
            spread -= np.median(spread)
            below = spread[spread < 0]
            areas.append(area)
            patches.append(float(np.mean(below**2)) * area if len(below) else 0.0)
            sky = [part.coarser() for part in sky if min(part.mean.shape) >= 2]
        if not areas or not all(p > 0 for p in patches):
            return white
        return cls(np.array(areas), np.array(patches))


def _patch(beam: Beam, side: float) -> float:
    """Return P in a square of a side [arcsec] of white noise seen through a beam [arcsec^2].

    The mean of the correlation over all pairs of places in the square, times its area; of a round
    beam as wide.
    """
    width = Beam(beam.width, beam.width)
    away = (np.arange(512) + 0.5) / 512 * side
    along = 2 * np.mean((1 - away / side) * width.noise_correlation(away, 0.0))
    return float(along**2 * side**2)
