"""Noise that rises towards the field's edge, and emission too extended for any baseline."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf, erfinv

from cosmodeep_hpc.sky.effects.uvcoverage import ARCSEC

PRIMARY = 0.18
"""Sigma of ASKAP's primary beam at 1.4 GHz (0.47 deg), in units of half a field (2.67 deg)."""


def noise_rise(place: ArrayLike, edge: float) -> NDArray[np.float64]:
    """Return the rms of the noise along an axis of a mosaic, in units of the rms at its centre.

    In a linear mosaic of fields whose beams are B, the rms is that of one field over sqrt(sum of
    B^2). With fields evenly over |x| < a and a Gaussian B of sigma s, the sum is proportional to
    erf((a - x) / s) + erf((a + x) / s) along each axis. Here s is `PRIMARY`, and a is chosen such
    that the rms is `edge` at x = 1. The map of a square field is the product of its two axes.

    Args:
        place: from the field's centre, 1 at its edge.
        edge: rms in the middle of an edge; `edge`^2 in a corner.

    Source: Sault, Staveley-Smith & Brouw (1996), A&AS 120, 375, equation 2, for equal fields.
    """
    place = np.asarray(place, float)
    if edge <= 1:
        return np.ones(place.shape)
    last = 1 - PRIMARY * erfinv(1 - 2 / edge**2)
    total = erf((last - place) / PRIMARY) + erf((last + place) / PRIMARY)
    return np.asarray(np.sqrt(2 * erf(last / PRIMARY) / total))


def without_short_spacings(
    sky: NDArray[np.float32], scale: float, shortest: float, workers: int = 1
) -> NDArray[np.float32]:
    """Remove the scales of a sky that are larger than the shortest baseline sees.

    In the uv plane the sky is multiplied by 1 - 2^-((q / shortest)^4): nothing remains at q = 0,
    half at the shortest baseline, all but 2e-5 at twice that. Near the shortest baseline there are
    few, and they see the sky for a part of the time only, so there is no sharp edge and no ringing.

    Args:
        sky: float32 (pixels, pixels), in any unit of surface brightness.
        scale: side of a pixel [arcsec].
        shortest: shortest baseline [wavelengths].
        workers: threads of the FFT; no influence on the result.
    """
    pixels = len(sky)
    margin = min(pixels, int(np.ceil(1 / (shortest * ARCSEC * scale))))
    side = scipy.fft.next_fast_len(pixels + margin, real=True)
    spectrum = scipy.fft.rfft2(sky, s=(side, side), workers=workers)
    pixel = scale * ARCSEC * shortest
    down, across = scipy.fft.fftfreq(side, pixel), scipy.fft.rfftfreq(side, pixel)
    square = (down**2)[:, None].astype(np.float32) + (across**2).astype(np.float32)
    spectrum *= 1 - np.exp2(-(square**2))
    seen = scipy.fft.irfft2(spectrum, s=(side, side), workers=workers)
    return np.ascontiguousarray(seen[:pixels, :pixels])
