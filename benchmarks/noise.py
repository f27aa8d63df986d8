"""The local noise and the background that a sweep measures, against what was put in.

    python -m benchmarks.noise

A row for each kind of field (benchmarks/skies.py): the error of the noise in the middle and the
share of places within 25 %. Across a step any value between both sides is right. Then how much of a
halo's flux is left where the background is subtracted. Seeded; half a minute of a core.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from benchmarks.skies import FIELDS, Field, NoisyField, halo, radius
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.noise.background import background
from cosmodeep_hpc.noise.localnoise import LocalNoise, local_noise
from cosmodeep_hpc.noise.mesh import Mesh, interpolated, measure
from cosmodeep_hpc.survey.scales import Scale

TILE = 40
SEED = 5
STEEP = 2.5
"""Ratio of the noise within a tile's reach from which on a place lies across a step."""
WITHIN = 0.25
EVERY = 10
"""Pixels between the places that are judged."""
HALOS = [(side, peak) for side in (384, 600, 1000, 2000) for peak in (2.0, 5.0, 20.0)]
SCALE = 31.25
"""E-folding radius of a halo: 5 arcmin in pixels of 9.6 arcsec."""


@dataclass(frozen=True)
class Errors:
    """Errors of a measured noise: their median, and the share of them WITHIN."""

    median: float
    within: float


def measured(image: NDArray[np.float32], beam: float) -> tuple[Mesh, LocalNoise, float | None]:
    """Measure an image as the sweep does; a beam of 0 is not known [pixel].

    Returns:
        mesh, noise, and area of the beam [pixel].
    """
    known = Beam(beam, beam) if beam else None
    grid = Scale(1, image.shape, TILE, known)
    image = np.where(np.abs(image) < 1e20, image, np.nan).astype(np.float32)  # as gaps leave it
    mesh = measure(image, grid.mesh_side, None, known, thorough=grid.is_small)
    area = None if known is None else known.area
    found = local_noise(mesh, area)
    assert found is not None
    return mesh, found, area


def errors(kind: NoisyField, seed: int = SEED) -> Errors:
    """Return the errors of the noise of a field."""
    image, truth = kind.made(seed)
    _, found, _ = measured(image, kind.beam)
    rows, cols = (np.arange(min(5, side // 2), side, EVERY) for side in kind.shape)
    places = np.ix_(rows, cols)
    seen, true = interpolated(found.view, found.side, rows, cols), truth[places]
    low, high = (of(truth, 2 * TILE + 1)[places] for of in (minimum_filter, maximum_filter))
    between = np.maximum(np.maximum(low / seen - 1, seen / high - 1), 0)
    error = np.where(high > STEEP * low, between, np.abs(seen / true - 1))
    error = error[np.isfinite(image[places])]
    return Errors(float(np.median(error)), float(np.mean(error <= WITHIN)))


def on_pixels(image: NDArray[np.float32], beam: float) -> Field:
    """Return the background of an image on its pixels."""
    mesh, found, area = measured(image, beam)
    rows, cols = (np.arange(side, dtype=float) for side in image.shape)
    return interpolated(background(mesh, found, area), mesh.side, rows, cols).astype(np.float64)


def kept(side: int, peak: float) -> float:
    """Return the share of an exponential halo's flux that the background leaves, within 4 SCALE."""
    grain = NoisyField(shape=(side, side))
    image, _ = grain.made(1)
    emission = halo(peak, SCALE)(grain.shape, grain.beam, np.random.default_rng(1))
    both = (image + emission).astype(np.float32)
    eaten = on_pixels(both, grain.beam) - on_pixels(image, grain.beam)
    inside = radius(grain.shape, 0.48, 0.48) < 4 * SCALE
    return float(1 - eaten[inside].sum() / emission[inside].sum())


def main() -> None:
    """Print both tables."""
    print(f"{'field':26} median error  within {WITHIN:.0%}")
    for name, kind in FIELDS.items():
        found = errors(kind)
        print(f"{name:26} {found.median:12.3f}  {found.within:9.3f}", flush=True)
    print("\nside [pixel], peak [noise]: flux of a halo of 5 arcmin that is kept")
    for side, peak in HALOS:
        print(f"{side:5d} {peak:4g}  {kept(side, peak):.3f}", flush=True)


if __name__ == "__main__":
    main()
