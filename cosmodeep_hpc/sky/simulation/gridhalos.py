"""Halos of a simulation on a grid: spheres of cells around the peaks of all matter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.io.progress import Progress, silent
from cosmodeep_hpc.sky.cosmology import OMEGA_M
from cosmodeep_hpc.sky.halos import Halos, matched
from cosmodeep_hpc.sky.massfunction import OVERDENSITY
from cosmodeep_hpc.sky.massfunction import critical_density as critical_mass
from cosmodeep_hpc.sky.simulation.grid import PIECE, Field, Grid, critical_density
from cosmodeep_hpc.sky.spheres import OUTER, Spheres, are_peaks, outside_heavier

FINEST = 512
"""Most cells a side on which halos are sought; finer grids are rebinned (10 bytes a cell left)."""
WIDEST = 7.0
"""Largest radius of a sphere [comoving Mpc]: that of 5e15 Msun at a mean density of OUTER."""
SMOOTHING = 0.7
"""Sigma of the Gaussian that smooths the density before peaks are sought [cell]."""
PEAK = 4.0
"""Least smoothed density of a peak [mean density of matter]."""


def find(grid: Grid, progress: Progress = silent) -> Halos:
    """Find the halos of a grid: `spheres` with the masses of `halos.matched`.

    For wide cells, masses follow from the abundance by rank. A grid without dark matter has no
    halos.
    """
    return matched(spheres(grid, progress))


def spheres(grid: Grid, progress: Progress = silent) -> Spheres:
    """Return spheres around the density peaks of gas and dark matter, by falling outer mass.

    A sphere is the set of cells nearest to the peak's cell, with the volume of these cells. Of two
    spheres, the lighter one is dropped if its centre lies in the heavier.

    Args:
        grid: the simulation.
        progress: called with (planes read, planes in all).

    Raises:
        InputError: a field cannot be read, or holds forbidden values.
    """
    if "dark_matter_density" not in grid.fields:
        nothing = np.empty(0)
        return Spheres(
            np.empty((0, 3), np.float32), nothing, nothing, grid.side, grid.cell, grid.redshift
        )
    density = matter(grid, progress)
    n = len(density)
    cell = grid.side / n
    unit = OMEGA_M * critical_mass(0.0) * cell**3  # Msun in a cell of the mean density
    ends = np.array([OUTER, OVERDENSITY]) * critical_mass(grid.redshift) * cell**3 / unit
    offsets, counts = _shells(min(int(np.ceil(WIDEST / cell)), (n - 1) // 2))
    smooth = gaussian_filter(density, SMOOTHING, mode="wrap")
    rows = np.flatnonzero(smooth > PEAK)
    rows = rows[are_peaks(smooth, rows)]
    del smooth
    peaks = np.stack(np.unravel_index(rows, density.shape), 1)
    masses = _grow(density, peaks, offsets, counts, ends)
    order = np.argsort(-masses[:, 0], kind="stable")
    order = order[: np.count_nonzero(masses[:, 0])]
    position = ((peaks[order] + 0.5) * cell).astype(np.float32)
    radius = np.cbrt(masses[order, 0] / ends[0] * 0.75 / np.pi) * cell
    alone = outside_heavier(position, radius, grid.side)
    outer, inner = (masses[order][alone] * unit).T
    return Spheres(position[alone], outer, inner, grid.side, cell, grid.redshift)


def matter(grid: Grid, progress: Progress = silent, finest: int = FINEST) -> Field:
    """Return the density of gas and dark matter [mean density], on at most `finest` cells a side.

    A finer grid is averaged over blocks of cells, if their number divides that of the cells.
    """
    n = grid.n
    mean = OMEGA_M * critical_density() * (1 + grid.redshift) ** 3  # g/cm^3
    block = next((b for b in range(-(-n // finest), 17) if n % b == 0), 1)
    m, planes = n // block, PIECE - PIECE % block or block
    density = np.empty((m, m, m), np.float32)
    for start in range(0, n, planes):
        stop = min(start + planes, n)
        piece = grid.planes("density", start, stop) / np.float32(mean)
        piece += grid.planes("dark_matter_density", start, stop) / np.float32(mean)
        blocks = piece.reshape(-1, block, m, block, m, block)
        density[start // block : stop // block] = blocks.mean(axis=(1, 3, 5))
        progress(stop, n)
    return density


def _shells(reach: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the cells within `reach` of a cell by their distance, and their number up to each.

    Returns:
        Offsets (m, 3), and for each of the different distances the number of cells up to it.
    """
    axis = np.arange(-reach, reach + 1)
    offsets = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    square = np.sum(offsets**2, axis=1)
    order = np.argsort(square, kind="stable")
    order = order[square[order] <= reach**2]
    last = np.flatnonzero(np.diff(square[order], append=-1))
    return offsets[order], last + 1


@jit
def _grow(
    density: Field,
    peaks: NDArray[np.int64],
    offsets: NDArray[np.int64],
    counts: NDArray[np.int64],
    ends: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the masses [cells of mean density] of spheres whose mean density falls to `ends`.

    Args:
        density: of matter [mean density].
        peaks: (p, 3), cells.
        offsets, counts: see `_shells`.
        ends: (e,), densities, the lowest first.

    Returns:
        float64 (p, e); 0 if even the central cell is less dense.
    """
    n = density.shape[1]
    masses = np.zeros((len(peaks), len(ends)))
    for p in range(len(peaks)):
        for e in range(len(ends)):
            mass, done = 0.0, 0
            for count in counts:
                before = mass
                for m in range(done, count):
                    mass += density[
                        (peaks[p, 0] + offsets[m, 0]) % n,
                        (peaks[p, 1] + offsets[m, 1]) % n,
                        (peaks[p, 2] + offsets[m, 2]) % n,
                    ]
                if mass < ends[e] * count:
                    if done:  # within the shell its cells count by their share of the volume
                        dense = (mass - before) / (count - done)
                        masses[p, e] = ends[e] * (before - dense * done) / (ends[e] - dense)
                    break
                done = count
                masses[p, e] = mass
    return masses
