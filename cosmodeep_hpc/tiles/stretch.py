"""Pixels stretched in one pass to the network's numbers, by the logarithm or by asinh."""

from __future__ import annotations

import numpy as np

from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.engine.logarithm import logarithm

LARGEST = np.float32(1e18)  # I / sigma beyond which its square is no float32
ZERO, ONE = np.float32(0), np.float32(1)


@jit
def scale_log(pixels, floor, low, factor) -> None:  # type: ignore[no-untyped-def]
    """Compute (log(max(pixel, floor)) - low) * factor, cut to [0, 1]; NaN becomes the floor."""
    for i in range(len(pixels)):
        x = pixels[i]
        x = x if x > floor else floor
        x = (logarithm(x) - low) * factor
        x = x if x > ZERO else ZERO
        pixels[i] = x if x < ONE else ONE


@jit
def scale_asinh(pixels, factor) -> None:  # type: ignore[no-untyped-def]
    """Compute asinh(pixel * factor) as sign(x) log(|x| + sqrt(x^2 + 1)); NaN becomes 0."""
    for i in range(len(pixels)):
        x = pixels[i]
        x = x * factor if x == x else ZERO
        size = abs(x)
        size = size if size < LARGEST else LARGEST
        root = logarithm(size + np.sqrt(size * size + ONE))
        pixels[i] = root if x >= ZERO else -root
