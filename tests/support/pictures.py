"""Pictures looked at by a test: they open, have a size, and something is on them."""

from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.image import imread


def look(path: Path) -> np.ndarray:
    """The pixels of a picture, float (ny, nx, 3); it must be of some size and not blank."""
    pixels = imread(path)[..., :3]
    assert min(pixels.shape[:2]) > 300
    assert len(np.unique(pixels[::4, ::4].reshape(-1, 3), axis=0)) > 20
    return pixels


def has_colour(pixels: np.ndarray, colour: str) -> bool:
    """Whether a colour is on a picture, on ten pixels at least, nearly: thin lines are blended."""
    return bool((np.abs(pixels - np.array(to_rgb(colour))).max(axis=-1) < 0.15).sum() >= 10)
