"""What stands where an image has no data: noise like that around, so that an edge is no signal."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.images.beam import Beam

SIDE = 256
"""Side of the square of noise that is repeated [pixel]."""
SEED = 20_18


@dataclass(frozen=True)
class ShownLevel:
    """The level of a plane where nothing is bright, in cells.

    Attributes:
        mesh: of some rows of cells. side: of a cell [pixel]. first: the first of these rows.
    """

    mesh: NDArray[np.float32]
    side: int
    first: int


def fill(
    pixels: NDArray[np.float32],
    first: tuple[int, int],
    sigma: float,
    beam: Beam | None,
    shown: ShownLevel | None = None,
) -> None:
    """Put noise into pixels that are NaN, in place, on the level of what is around.

    A pixel's noise depends on its place in the plane alone.

    Args:
        pixels: (ny, nx) of a view.
        first: row and column of the first pixel in the plane; below 0 outside it.
        sigma: of the noise, in the pixels' unit.
        beam: in units of a pixel; None: the noise of neighbours does not correlate.
        shown: the level, in the pixels' unit, which goes on beyond the edges; None: 0.
    """
    shown = shown or ShownLevel(np.zeros((1, 1), np.float32), 1, 0)
    noise = noise_of(beam)
    _fill(pixels, *first, np.float32(sigma), noise, shown.mesh, shown.side, shown.first)


@jit
def _fill(pixels, top, left, sigma, noise, mesh, side, first) -> None:  # type: ignore[no-untyped-def]
    """Fill pixels that are NaN; the mesh goes on beyond its outermost centres of cells."""
    rows, cols = mesh.shape
    half, zero = np.float32(0.5), np.float32(0)
    for y in range(pixels.shape[0]):
        at = (np.float32(y + top) + half) / np.float32(side) - half - np.float32(first)
        at = min(max(at, zero), np.float32(rows - 1))
        below = int(at)
        above, up = min(below + 1, rows - 1), at - np.float32(below)
        for x in range(pixels.shape[1]):
            if pixels[y, x] == pixels[y, x]:
                continue
            at = (np.float32(x + left) + half) / np.float32(side) - half
            at = min(max(at, zero), np.float32(cols - 1))
            before = int(at)
            behind, share = min(before + 1, cols - 1), at - np.float32(before)
            low = mesh[below, before] + up * (mesh[above, before] - mesh[below, before])
            high = mesh[below, behind] + up * (mesh[above, behind] - mesh[below, behind])
            found = sigma * noise[(y + top) % len(noise), (x + left) % len(noise)]
            pixels[y, x] = found + (low + share * (high - low))


@lru_cache(maxsize=16)
def noise_of(beam: Beam | None) -> NDArray[np.float32]:
    """Return noise of standard deviation 1 through the beam: float32 (SIDE, SIDE), periodic."""
    white = np.random.default_rng(SEED).normal(size=(SIDE, SIDE))
    if beam is None:
        return np.asarray(white / white.std(), np.float32)
    away = np.fft.fftfreq(SIDE, 1 / SIDE)
    power = np.fft.fft2(beam.noise_correlation(away, away[:, None])).real
    seen = np.fft.ifft2(np.fft.fft2(white) * np.sqrt(power.clip(0))).real
    return np.asarray(seen / seen.std(), np.float32)
