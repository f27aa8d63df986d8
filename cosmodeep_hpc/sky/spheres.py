"""Spheres around the density peaks of a particle-mesh box, by spherical overdensity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.sky.cosmology import OMEGA_M
from cosmodeep_hpc.sky.massfunction import OVERDENSITY, critical_density
from cosmodeep_hpc.sky.mesh import deposit
from cosmodeep_hpc.sky.nbody import Snapshot

OUTER = 25.0
"""Halos are found and ranked by spheres of this mean density [critical density], which a mesh
resolves far better than those of OVERDENSITY."""
LEAST_PARTICLES = 20
"""Fewest particles of a sphere of the density OUTER."""
_SMOOTHING = 0.7  # sigma of the Gaussian that smooths the density before peaks are sought [cell]
_PEAK = 4.0  # least smoothed density of a peak [mean density]
_CORE = 1.5  # first radius in which a peak is centred, and from which its sphere grows [cell]
_SHIFTS = 2  # how often a sphere is then moved to the centre of mass of its inner half


@dataclass(frozen=True)
class Spheres:
    """Measurements around the density peaks of a snapshot, by falling outer mass.

    Attributes:
        position: float32 (n, 3), centres, in [0, side) [comoving Mpc].
        outer: float64 (n,), mass inside a mean density of OUTER times critical [Msun].
        inner: float64 (n,), the same for OVERDENSITY; 0 if the density is nowhere so high.
        side: of the box [comoving Mpc].
        cell: of the mesh that made the forces [comoving Mpc].
        redshift: of the snapshot.
    """

    position: NDArray[np.float32]
    outer: NDArray[np.float64]
    inner: NDArray[np.float64]
    side: float
    cell: float
    redshift: float

    def __len__(self) -> int:
        return len(self.outer)


def spheres(snapshot: Snapshot) -> Spheres:
    """Grow spheres around density peaks until their mean density falls to a threshold.

    A peak is moved to the centre of mass around it a few times. Of two spheres, the lighter one is
    dropped if its centre lies in the heavier.

    Args:
        snapshot: as many particles as cells of the mesh that moved them. Needs 40 bytes a particle.
    """
    n, side = snapshot.displacement.shape[1], snapshot.side
    cell = side / n
    density = gaussian_filter(
        deposit(snapshot.displacement, snapshot.side, n), _SMOOTHING, mode="wrap"
    )
    rows = np.flatnonzero(density > _PEAK)
    rows = rows[are_peaks(density, rows)]
    rows = rows[np.argsort(-density.ravel()[rows], kind="stable")]
    del density
    centre = np.stack(np.unravel_index(rows, (n,) * 3), 1) * cell
    position, start = _sorted(snapshot.displacement, side)
    critical = critical_density(snapshot.redshift)
    particle = OMEGA_M * critical_density(0.0) * cell**3
    numbers = np.array([OUTER, OVERDENSITY]) * critical / particle  # particles / Mpc^3
    counts = _grow(position, start, side, centre, numbers, _CORE * cell)
    order = np.argsort(-counts[:, 0], kind="stable")
    order = order[: np.count_nonzero(counts[:, 0])]
    counts, place = counts[order], _wrapped(centre[order], side)
    radius = np.cbrt(counts[:, 0] / (4 / 3 * np.pi * numbers[0]))
    alone = outside_heavier(place, radius, side)
    outer, inner = (counts[alone] * particle).T
    return Spheres(place[alone], outer, inner, side, cell, snapshot.redshift)


def _wrapped(position: NDArray[np.float64], side: float) -> NDArray[np.float32]:
    """Return positions in [0, side), as float32."""
    place = np.mod(position, side).astype(np.float32)
    place[place >= side] = 0  # a rounded remainder
    return place


def outside_heavier(
    place: NDArray[np.float32], radius: NDArray[np.float64], side: float
) -> NDArray[np.bool_]:
    """Return which spheres (by falling mass) have their centre outside all heavier kept ones."""
    kept = np.ones(len(place), bool)
    if len(place):
        tree = cKDTree(place, boxsize=side)
        for row in range(len(place)):
            if kept[row]:
                inside = np.array(tree.query_ball_point(place[row], radius[row]))
                kept[inside[inside > row]] = False
    return kept


@jit
def are_peaks(density: Any, rows: Any) -> Any:
    """Return which of the cells `rows` are higher than the 26 around; of equal ones, the last."""
    n = density.shape[0]
    top = np.ones(len(rows), np.bool_)
    for r in range(len(rows)):
        i, j, k = rows[r] // (n * n), rows[r] // n % n, rows[r] % n
        here = density[i, j, k]
        for step in range(27):
            a, b, c = step // 9 - 1, step // 3 % 3 - 1, step % 3 - 1
            other = density[(i + a) % n, (j + b) % n, (k + c) % n]
            if other > here or (other == here and step > 13):
                top[r] = False
                break
    return top


@jit
def _sorted(displacement: Any, side: float) -> Any:
    """Return positions of particles in the order of their cells, and where each cell begins."""
    n = displacement.shape[1]
    cell = side / n
    start = np.zeros(n**3 + 1, np.int32)
    position = np.empty((n**3, 3), np.float32)
    for turn in range(2):  # count, then fill
        for i in range(n):
            for j in range(n):
                for k in range(n):
                    x = np.float32((i * cell + displacement[0, i, j, k]) % side)
                    y = np.float32((j * cell + displacement[1, i, j, k]) % side)
                    z = np.float32((k * cell + displacement[2, i, j, k]) % side)
                    row = min(int(x / cell), n - 1) * n + min(int(y / cell), n - 1)
                    row = row * n + min(int(z / cell), n - 1)
                    if turn:
                        p = start[row]
                        position[p, 0], position[p, 1], position[p, 2] = x, y, z
                    start[row] += 1
        if turn == 0:
            total = 0
            for row in range(n**3 + 1):
                count = start[row]
                start[row] = total
                total += count
    for row in range(n**3, 0, -1):  # filling moved each start to the next cell's start
        start[row] = start[row - 1]
    start[0] = 0
    return position, start


@jit
def _around(
    position: Any, start: Any, side: float, centre: Any, radius: float, squares: Any, moment: Any
) -> int:
    """Count the particles in a sphere; write squares of distances, and the sum of offsets."""
    n = round(np.cbrt(len(start) - 1))
    cell, limit = side / n, radius * radius
    reach = int(np.ceil(radius / cell))
    low = np.floor(centre / cell).astype(np.int64) - reach
    count = 0
    moment[:] = 0
    for i in range(low[0], low[0] + 2 * reach + 1):
        for j in range(low[1], low[1] + 2 * reach + 1):
            line = (i % n * n + j % n) * n
            for k in range(low[2], low[2] + 2 * reach + 1):
                row = line + k % n
                for p in range(start[row], start[row + 1]):
                    x = position[p, 0] - centre[0]
                    y = position[p, 1] - centre[1]
                    z = position[p, 2] - centre[2]
                    x -= side * round(x / side)
                    y -= side * round(y / side)
                    z -= side * round(z / side)
                    square = x * x + y * y + z * z
                    if square < limit:
                        if count < len(squares):
                            squares[count] = square
                        moment[0] += x
                        moment[1] += y
                        moment[2] += z
                        count += 1
    return count


@jit
def _grow(position: Any, start: Any, side: float, centre: Any, numbers: Any, core: float) -> Any:
    """Count the particles in the spheres around centres, and move the centres in place.

    Args:
        position, start: see `_sorted`.
        side: of the box.
        centre: float64 (n, 3), of density peaks, the highest first.
        numbers: (m,), mean densities at which spheres end [particles / Mpc^3], the lowest first.
        core: see _CORE [Mpc].

    Returns:
        int64 (n, m); 0 if LEAST_PARTICLES lie less dense, and for a peak deep in a sphere that has
        been grown already (within half its radius: it would become the same sphere).
    """
    volume = 4 / 3 * np.pi
    counts = np.zeros((len(centre), len(numbers)), np.int64)
    radii = np.zeros(len(centre))
    squares, moment = np.empty(0), np.zeros(3)
    for h in range(len(centre)):
        if _is_deep(centre, radii, h, side):
            continue
        for _ in range(3):
            count = _around(position, start, side, centre[h], core, squares[:0], moment)
            centre[h] = (centre[h] + moment / max(count, 1)) % side
        for turn in range(_SHIFTS + 1):
            radius = core
            count = _around(position, start, side, centre[h], radius, squares, moment)
            while count > numbers[0] * volume * radius**3 and radius < 0.3 * side:
                radius *= 1.3
                count = _around(position, start, side, centre[h], radius, squares, moment)
            if count > len(squares):
                squares = np.empty(2 * count)
                _around(position, start, side, centre[h], radius, squares, moment)
            inward = np.sort(squares[:count])
            for t in range(len(numbers)):
                inside = LEAST_PARTICLES
                while inside <= count and inside >= numbers[t] * volume * inward[inside - 1] ** 1.5:
                    inside += 1
                counts[h, t] = inside - 1 if inside > LEAST_PARTICLES else 0
            radii[h] = (counts[h, 0] / (volume * numbers[0])) ** (1 / 3)
            if turn == _SHIFTS or counts[h, 0] == 0:
                break
            count = _around(position, start, side, centre[h], radii[h] / 2, squares[:0], moment)
            centre[h] = (centre[h] + moment / max(count, 1)) % side
    return counts


@jit
def _is_deep(centre: Any, radii: Any, row: int, side: float) -> bool:
    """Return whether a centre lies within half the radius of an earlier sphere."""
    for other in range(row):
        square = 0.0
        for axis in range(3):
            apart = abs(centre[row, axis] - centre[other, axis])
            square += min(apart, side - apart) ** 2
        if 4 * square < radii[other] ** 2:
            return True
    return False
