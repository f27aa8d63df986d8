"""What is measured of a view in square cells: level, noise and extremes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.noise.cellstatistics import fill_cells

BEAMS = 10.0
"""Beams along the side of a cell, at least: fewer are too few independent values."""
APART = 0.5
"""Beams between the pixels of a second difference, at least: emission adds the less, the nearer."""
APART_UNKNOWN = 2
"""The same in pixels, where no beam is known."""
MOST = 4
"""Tiles along the side of a cell, at most."""
EVERY = 3
"""Rows of a cell from one that counts for level and noise to the next."""
FEW = 9
"""Cells of a view below which all their rows count."""
GRIDS = ("level", "sigma", "rough", "single", "low", "high", "count")


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """What was measured in cells of a view, row by row of them: float32 (rows, cols) each.

    Attributes:
        level: of the pixels without their bright ones [Jy/arcsec^2]; NaN: too few with data.
        sigma: standard deviation of the pixels below the level, about it [Jy/arcsec^2]; NaN as
            above; 0: a constant but for rounding.
        rough: noise by second differences of pixels, in which extended emission cancels
            [Jy/arcsec^2]; NaN: the cell is too small for the beam.
        single: as `sigma`, of the image's own pixels: the first of each block that was averaged.
        low, high: the extremes [Jy/arcsec^2]; NaN: no data.
        count: pixels with data that level and noise come of, or would if there were LEAST.
        side: of a cell [pixel of the view].
    """

    level: NDArray[np.float32]
    sigma: NDArray[np.float32]
    rough: NDArray[np.float32]
    single: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    count: NDArray[np.float32]
    side: int

    @property
    def grids(self) -> NDArray[np.float32]:
        """All grids stacked: float32 (7, rows, cols)."""
        return np.stack([getattr(self, name) for name in GRIDS])


def mesh_of(grids: NDArray[np.float32], side: int) -> Mesh:
    """Return a mesh from its grids stacked: float32 (7, rows, cols)."""
    return Mesh(side=side, **dict(zip(GRIDS, grids, strict=True)))


def joined(parts: list[Mesh]) -> Mesh:
    """Return one mesh of parts that lie above each other, lowest first."""
    return mesh_of(np.concatenate([part.grids for part in parts], axis=1), parts[0].side)


def tiles_of(tile: int, beam: Beam | None) -> int:
    """Return how many tiles make the side of a cell, a divisor of MOST, as the beam asks for.

    Args:
        tile: side of a tile [pixel of the view].
        beam: in units of a pixel of the view.
    """
    wanted = 0.0 if beam is None else BEAMS * beam.major * (1 - 1e-9)  # as headers round it
    return next((n for n in (1, 2) if n * tile >= wanted), MOST)


def is_small(shape: tuple[int, ...], side: int) -> bool:
    """Return whether a view is so small that the noise takes all of its pixels."""
    return shape[0] * shape[1] < FEW * side**2


def measure(
    pixels: NDArray[np.float32],
    side: int,
    unaveraged: NDArray[np.float32] | None = None,
    beam: Beam | None = None,
    *,
    thorough: bool = False,
    apart: float = APART,
) -> Mesh:
    """Measure pixels (ny, nx) in cells of `side` x `side`, each row of cells by itself.

    Args:
        unaveraged: where pixels are averages, one pixel of the image from each: (ny, nx).
        beam: in units of a pixel.
        thorough: look at all rows of a cell.
        apart: beams between the pixels of a difference, at least.
    """
    ny, nx = pixels.shape
    shape = -(-ny // side), -(-nx // side)
    grids = np.full((len(GRIDS), *shape), np.nan, dtype=np.float32)
    step = 1 if thorough else EVERY
    lag = APART_UNKNOWN if beam is None else math.ceil(apart * beam.major)
    fill_cells(pixels, side, step, lag, _gains(beam, lag), grids)
    mesh = mesh_of(grids, side)
    if unaveraged is None:
        mesh.single[:] = mesh.sigma
    else:
        other = np.full_like(grids, np.nan)
        fill_cells(unaveraged, side, step, 0, np.ones(2, np.float32), other)
        mesh.single[:] = other[GRIDS.index("sigma")]
    return mesh


def _gains(beam: Beam | None, apart: int) -> NDArray[np.float32]:
    """Return what differences make of white noise seen through the beam, along columns and rows.

    A second difference 2 x(i) - x(i-d) - x(i+d) has a variance of 6 - 8 rho(d) + 2 rho(2 d), where
    rho is the correlation of the noise.

    Source: Stoehr et al. (2008), ADASS XVII, ASP Conf. 394, 505 (DER_SNR), for rho = 0.
    """
    away = np.array([apart, 2 * apart], dtype=float)
    places = (0.0, away), (away, 0.0)
    alike = [np.zeros(2) if beam is None else beam.noise_correlation(*place) for place in places]
    return np.array([math.sqrt(6 - 8 * near + 2 * far) for near, far in alike], dtype=np.float32)


def interpolated(
    mesh: NDArray[np.float32], side: int, rows: NDArray[np.floating], cols: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Interpolate a mesh at pixels: bilinear between the centres of cells, constant beyond them.

    Args:
        rows, cols: places [pixel] along both axes; pixel centres are whole numbers.

    Returns:
        float32 (len(rows), len(cols)).
    """
    below, above, share = _between(rows, side, mesh.shape[0])
    lines = mesh[below] * (1 - share)[:, None] + mesh[above] * share[:, None]
    left, right, share = _between(cols, side, mesh.shape[1])
    found = lines[:, left]
    found *= 1 - share
    found += lines[:, right] * share
    return np.asarray(found, dtype=np.float32)


def _between(places: NDArray[np.floating], side: int, count: int) -> tuple[Any, Any, Any]:
    """Return the two cells whose centres a place lies between, and its distance from the first."""
    at = np.clip((places + 0.5) / side - 0.5, 0, count - 1)
    first = np.minimum(at.astype(np.int64), count - 1)
    return first, np.minimum(first + 1, count - 1), (at - first).astype(np.float32)
