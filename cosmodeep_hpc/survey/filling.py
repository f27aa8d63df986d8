"""What stands where an image has no data: noise like that around, so that an edge is no signal."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.images.beam import Beam

SIDE = 256
"""Side of the square of noise that is repeated [pixel]."""
SEED = 20_18


def fill(
    pixels: NDArray[np.float32], first: tuple[int, int], sigma: float, beam: Beam | None
) -> None:
    """Put noise into pixels that are NaN, in place.

    A pixel's noise depends on its place in the plane alone.

    Args:
        pixels: (ny, nx) of a view.
        first: row and column of the first pixel in the plane; below 0 outside it.
        sigma: of the noise, in the pixels' unit.
        beam: in units of a pixel; None: the noise of neighbours does not correlate.
    """
    missing = np.isnan(pixels)
    if not missing.any():
        return
    noise = _noise(beam)
    rows, cols = np.nonzero(missing)
    found = noise[(rows + first[0]) % SIDE, (cols + first[1]) % SIDE]
    pixels[rows, cols] = np.float32(sigma) * found


@lru_cache(maxsize=16)
def _noise(beam: Beam | None) -> NDArray[np.float32]:
    """Return noise of standard deviation 1 through the beam: float32 (SIDE, SIDE), periodic."""
    white = np.random.default_rng(SEED).normal(size=(SIDE, SIDE))
    if beam is None:
        return np.asarray(white / white.std(), np.float32)
    away = np.fft.fftfreq(SIDE, 1 / SIDE)
    power = np.fft.fft2(beam.noise_correlation(away, away[:, None])).real
    seen = np.fft.ifft2(np.fft.fft2(white) * np.sqrt(power.clip(0))).real
    return np.asarray(seen / seen.std(), np.float32)
