"""`python -m benchmarks.wide`: how wide emission may be for a model's map (docs/robust.md).

    python -m benchmarks.wide --model robust      # half a minute

Round halos, exponential and Gaussian, lie in flat noise seen through the beam of the training, each
far from the others. Given is the share of the pixels brighter than F_th = 1e-7 that the mask marks,
by peak (in units of the noise) and by radius in pixels that the network sees (e-folding radius, or
standard deviation).
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

import cosmodeep_hpc as cd
from benchmarks.images import NOISE, header_of

SIDE, PIXEL, BEAM = 2400, 9.6, 10.0  # pixels, arcsec, arcsec
F_TH = 1e-7  # Jy/arcsec^2
RADII, PEAKS = (5, 10, 20, 30, 40, 60), (3, 8, 20)
SHAPES = ("exponential", "Gaussian")


def sky(radius: float, shape: str) -> tuple[NDArray[np.float64], list[tuple[slice, slice]]]:
    """Return halos of one radius, and the square around each."""
    side = SIDE // len(PEAKS)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    away = np.hypot(x, y) / radius
    one = np.exp(-away) if shape == "exponential" else np.exp(-(away**2) / 2)
    made, squares = np.zeros((side, SIDE)), []
    for number, peak in enumerate(PEAKS):
        square = slice(0, side), slice(number * side, (number + 1) * side)
        made[square] = peak * NOISE * one
        squares.append(square)
    return made, squares


def main() -> None:
    """Print a table for each shape."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="robust", help="run folder, file or shipped name")
    words = parser.parse_args()
    model = cd.load_model(words.model)
    header = header_of(SIDE, PIXEL, BEAM)
    for shape in SHAPES:
        print(f"{shape:20}" + "".join(f"{f'{peak} sigma':>10}" for peak in PEAKS))
        for radius in RADII:
            made, squares = sky(radius, shape)
            noise = np.random.default_rng(radius).normal(size=made.shape)
            noise = gaussian_filter(noise, BEAM / PIXEL / 2.3548, mode="wrap")
            noise *= NOISE / noise.std()
            found = cd.classify((made + noise).astype(np.float32), header, model=model).mask == 1
            shares = [np.mean(found[square][made[square] > F_TH]) for square in squares]
            print(f"radius {radius:3d} pixels   " + "".join(f"{share:10.2f}" for share in shares))


if __name__ == "__main__":
    main()
