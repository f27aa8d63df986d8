"""Plain detectors: the brightness of a smoothed tile, and a matched filter of several scales."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cosmodeep_hpc.comparison.scoredtiles import Scoring
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.sky.occupancy import tile_levels

REACH = 4.0  # sigmas at which a kernel ends
Scores = dict[Scoring, NDArray[np.float32]]


def smoothed(pixels: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Smooth pixels by a Gaussian of sum 1; beyond the edge there is nothing."""
    through: NDArray[np.float32] = gaussian_filter(pixels, sigma, truncate=REACH, mode="constant")
    return through


def noise_gain(sigma: float, beam: Beam | None, scale: float) -> float:
    """Return the noise of a smoothed map over the map's, for noise seen through the beam.

    The kernel's weights k and the noise's correlation r give it exactly, as the root of the sum
    over pixels i, j of k_i k_j r(i - j).

    Args:
        sigma: of the kernel [pixel].
        beam: None for noise that is independent from pixel to pixel.
        scale: side of a pixel [arcsec].
    """
    reach = int(REACH * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    overlap = np.convolve(kernel, kernel)  # of the kernel with itself, at each lag
    if beam is None:
        return float((kernel**2).sum())
    lag = np.arange(-2 * reach, 2 * reach + 1) * scale
    return float(np.sqrt(overlap @ beam.noise_correlation(lag, lag[:, None]) @ overlap))


def plain(
    pixels: NDArray[np.float32], size: int, kernels: Sequence[float], n_pix: Sequence[int]
) -> Scores:
    """Score tiles by their (n_pix + 1)-th brightest smoothed pixel [unit of `pixels`].

    Args:
        pixels: float32 (ny, nx), all with data.
        size: side of a tile [pixel].
        kernels: widths of the smoothing (sigma) [pixel].
        n_pix: pixel thresholds N_pix of labels.

    Returns:
        for each kernel and N_pix scores of the whole tiles, row by row.
    """
    scores: Scores = {}
    for sigma in kernels:
        levels = tile_levels(smoothed(pixels, sigma), size, n_pix)
        for n, level in zip(n_pix, levels, strict=True):
            scores[Scoring("smoothed", f"sigma {sigma:g}, pixel {n + 1}", n)] = level
    return scores


def matched(
    significance: NDArray[np.float32],
    size: int,
    scales: Sequence[float],
    n_pix: Sequence[int],
    beam: Beam | None,
    scale: float,
) -> Scores:
    """Score tiles by a matched filter: the largest of several smoothed maps, over their noise.

    The score of a tile is its brightest pixel of that map, or its (n_pix + 1)-th brightest. Each
    scale is a way of its own, which uses all scales up to this one.

    Args:
        significance: float32 (ny, nx), pixels over their noise.
        size: side of a tile [pixel].
        scales: widths of the kernels (sigma) [pixel].
        n_pix: pixel thresholds N_pix of labels.
        beam: that the noise was seen through.
        scale: side of a pixel [arcsec].

    Returns:
        scores of the whole tiles, row by row.
    """
    best = np.full(significance.shape, -np.inf, dtype=np.float32)
    scores: Scores = {}
    for sigma in sorted(scales):
        seen = smoothed(significance, sigma)
        seen /= np.float32(noise_gain(sigma, beam, scale))
        np.maximum(best, seen, out=best)
        peak, *levels = tile_levels(best, size, [0, *n_pix])
        scales_used = f"scales up to {sigma:g}"
        scores[Scoring("matched", f"{scales_used}, brightest pixel")] = peak
        for n, level in zip(n_pix, levels, strict=True):
            scores[Scoring("matched", f"{scales_used}, pixel {n + 1}", n)] = level
    return scores
