"""The local noise of a view, from what was measured in its cells.

A cell's own noise is that of its fainter half. Extended emission adds to it, as it adds little to
second differences; where these are clearly lower, they count. Emission that is bright enough to add
to them, too, shows by how much lower they are: such a cell has at most the noise of the cells
around it. The median of 3 x 3 cells keeps steps of the noise and leaves single cells out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.noise.mesh import Mesh, is_small, measure, tiles_of

TOLERANCE = 1.25
"""Noise within this factor of the training's is left as it is."""
STRUCTURE = 1.15
"""Noise that is this much lower in differences has emission in it."""
ERRORS = 3.0
"""What counts as lower, in standard errors, where cells have few independent pixels."""
DOUBTED = 1.5
"""From this ratio on, emission may add to differences as well."""
ABOVE = 1.25
"""Times the noise around it that such a cell may have."""
PADDED = 1e-3
"""Times the median of all cells: a cell of less noise is padding that something was added to."""
KNOWN = (0.9, 1.7)
"""What the noise in differences may be of that which the beam lets expect: real noise is not white
noise through the beam."""
WHOLE = 0.5
"""Share of the most pixels of a cell from which on a cell tells the ratio of both."""
UNLIKE = 0.2
"""Cells whose ratio of both is less than this below the largest have no emission."""


@dataclass(frozen=True, kw_only=True)
class LocalNoise:
    """The local noise in cells of a view: float32 (rows, cols).

    Attributes:
        view: of the pixels of the view [Jy/arcsec^2].
        image: of the image's own pixels [Jy/arcsec^2].
        side: of a cell [pixel of the view].
    """

    view: NDArray[np.float32]
    image: NDArray[np.float32]
    side: int


def local_noise(mesh: Mesh, beam_area: float | None) -> LocalNoise | None:
    """Return the noise of a view; None where no cell has any.

    Args:
        beam_area: of the view's beam [pixel]; None where it is not known.
    """
    own = mesh.sigma.astype(np.float64)
    own[~(own > 0)] = np.nan
    if np.isnan(own).all():
        return None
    own[own < PADDED * np.nanmedian(own)] = np.nan
    spread = ERRORS * np.sqrt((beam_area or 1.0) / mesh.side**2)
    calm = _calm(mesh, own, beam_area, max(UNLIKE, spread))
    measured = np.isfinite(own)
    with np.errstate(invalid="ignore"):
        structured = own > max(STRUCTURE, 1 + spread) * calm
        doubted = own > DOUBTED * calm
    found = np.where(structured, calm, own)
    if doubted.any() and (measured & ~doubted).any():
        around = _filled(_median(np.where(doubted, np.nan, found)))
        found = np.where(doubted, np.fmin(found, ABOVE * around), found)
    smooth = _filled(np.where(measured, _median(found), np.nan))
    with np.errstate(invalid="ignore"):
        ratio = mesh.single / mesh.sigma
    usable = np.isfinite(ratio) & measured & ~doubted
    if not usable.any():
        usable = np.isfinite(ratio) & measured
    per_pixel = float(np.median(ratio[usable])) if usable.any() else 1.0
    return LocalNoise(
        view=smooth.astype(np.float32),
        image=(smooth * per_pixel).astype(np.float32),
        side=mesh.side,
    )


def median_noise(pixels: NDArray[np.float32], tile: int, beam: Beam | None) -> float | None:
    """Return the median of the local noise of an image; None where it has none.

    Args:
        pixels: (ny, nx); NaN: no data.
        tile: side of a tile [pixel].
        beam: in units of a pixel; None where it is not known.
    """
    side = tile * tiles_of(tile, beam)
    mesh = measure(pixels, side, None, beam, thorough=is_small(pixels.shape, side))
    found = local_noise(mesh, None if beam is None else beam.area)
    return None if found is None else float(np.median(found.view))


def _calm(
    mesh: Mesh, own: NDArray[np.float64], beam_area: float | None, unlike: float
) -> NDArray[np.float64]:
    """Return the noise of cells in differences, in units of that of their pixels; NaN: unknown.

    The ratio of both comes of the image's own cells without emission, near what the beam says.
    """
    with np.errstate(invalid="ignore"):
        ratio = mesh.rough / own
    known = np.isfinite(ratio) & (ratio > 0)
    if not known.any():
        return np.full(own.shape, np.nan)
    whole = known & (mesh.count >= WHOLE * np.nanmax(mesh.count))
    largest = np.percentile(ratio[whole], 90)
    usual = float(np.median(ratio[whole & (ratio >= (1 - unlike) * largest)]))
    if beam_area is not None:
        usual = min(max(usual, KNOWN[0]), KNOWN[1])
    return np.where(known, mesh.rough / usual, np.nan)


def _median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of the known values of 3 x 3 cells; NaN: none is known."""
    rows, cols = values.shape
    around = np.pad(values, 1, constant_values=np.nan)
    nine = np.stack([around[y : y + rows, x : x + cols] for y in range(3) for x in range(3)])
    nine.sort(axis=0)  # NaN last
    known = np.isfinite(nine).sum(axis=0)
    low, high = np.maximum(known - 1, 0) // 2, known // 2
    pair = np.take_along_axis(nine, np.stack([low, np.minimum(high, 8)]), axis=0)
    return np.asarray(np.where(known > 0, pair.mean(axis=0), np.nan))


def _filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give cells without a value that of their nearest neighbour with one."""
    nearest = distance_transform_edt(np.isnan(values), return_distances=False, return_indices=True)
    return np.asarray(values[tuple(nearest)])


def is_as_trained(sigma: NDArray[np.float32], trained: float) -> bool:
    """Return whether nine tenths of a plane have the noise of the training, within TOLERANCE."""
    low, high = np.percentile(sigma, [5, 95]) / trained
    return bool(low > 1 / TOLERANCE and high < TOLERANCE)
