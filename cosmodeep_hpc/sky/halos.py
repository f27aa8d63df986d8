"""Halos of a particle-mesh box, their masses and their members (docs/halos.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.sky.massfunction import mass_above, radius_of
from cosmodeep_hpc.sky.nbody import Snapshot
from cosmodeep_hpc.sky.spheres import Spheres, spheres

RESOLVED = (1.5, 2.5)
"""R100 [cell] below which masses follow from the abundance, and above which they are measured."""
LEAST_MASS = 1e12
"""Least mass of a halo [Msun] (paper, section 3.1)."""
_MEMBER_MESH = 64  # cells along a side that know the halos which reach into them


@dataclass(frozen=True)
class Halos:
    """A table of halos, the most massive first.

    Attributes:
        position: float32 (n, 3), centres, in [0, side) [comoving Mpc].
        mass: float64 (n,), M100 [Msun]: the mean density inside R100 is 100 times critical.
        radius: float32 (n,), R100 [comoving Mpc].
    """

    position: NDArray[np.float32]
    mass: NDArray[np.float64]
    radius: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.mass)

    def __getitem__(self, rows: Any) -> Halos:
        """Return the halos chosen by a mask, a slice or numbers."""
        return Halos(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def find(snapshot: Snapshot) -> Halos:
    """Find the halos of a snapshot above LEAST_MASS: `spheres`, with the masses of `matched`."""
    return matched(spheres(snapshot))


def matched(found: Spheres) -> Halos:
    """Return halos with their final masses: measured if the mesh resolves R100, else by abundance.

    The k-th of the spheres by outer mass gets the mass above which a box of this volume holds k -
    1/2 halos by Tinker et al. (2008). If R100 at that mass is wide enough for the mesh, the
    measured mass takes over, by a smooth step in the logarithms between the ends of RESOLVED: a box
    that by chance has many clusters, or few, keeps them.
    """
    rank = np.arange(len(found)) + 0.5
    mass = mass_above(rank / found.side**3, found.redshift)
    low, high = np.log(RESOLVED)
    step = (np.log(radius_of(mass, found.redshift) / found.cell) - low) / (high - low)
    step = np.clip(step, 0, 1)
    weight = np.where(found.inner > 0, step * step * (3 - 2 * step), 0)
    mass = mass ** (1 - weight) * np.maximum(found.inner, 1) ** weight
    order = np.argsort(-mass, kind="stable")
    order = order[mass[order] >= LEAST_MASS]
    radius = radius_of(mass[order], found.redshift).astype(np.float32)
    return Halos(found.position[order], mass[order], radius)


def membership(
    halos: Halos, positions: NDArray[np.float32], side: float, reach: float = 1.0
) -> NDArray[np.int32]:
    """Return the most massive halo around each position.

    Args:
        halos: of a box, the most massive first.
        positions: (n, 3), in the same periodic box [comoving Mpc].
        side: of the box [comoving Mpc].
        reach: radius within which a halo counts [R100].

    Returns:
        int32 (n,), rows of `halos`; -1 for a position in no halo.
    """
    radius = halos.radius * reach
    start, rows = _touched(halos.position, radius, side, _MEMBER_MESH)
    return _member(positions, halos.position, radius, side, start, rows)  # type: ignore[no-any-return]


@jit
def _touched(position: Any, radius: Any, side: float, mesh: int) -> Any:
    """Return, for each cell of a mesh, the spheres that may reach into it: first row, and rows."""
    start = np.zeros(mesh**3 + 1, np.int64)
    rows = np.empty(0, np.int32)
    for turn in range(2):  # count, then fill
        for h in range(len(radius)):
            low = np.floor((position[h] - radius[h]) * mesh / side).astype(np.int64)
            high = np.floor((position[h] + radius[h]) * mesh / side).astype(np.int64)
            high = np.minimum(high, low + mesh - 1)  # each cell once, however large the sphere
            for i in range(low[0], high[0] + 1):
                for j in range(low[1], high[1] + 1):
                    for k in range(low[2], high[2] + 1):
                        cell = (i % mesh * mesh + j % mesh) * mesh + k % mesh
                        if turn:
                            rows[start[cell]] = h
                        start[cell] += 1
        if turn == 0:
            total = 0
            for cell in range(mesh**3 + 1):
                count = start[cell]
                start[cell] = total
                total += count
            rows = np.empty(total, np.int32)
    for cell in range(mesh**3, 0, -1):
        start[cell] = start[cell - 1]
    start[0] = 0
    return start, rows


@jit
def _member(positions: Any, centre: Any, radius: Any, side: float, start: Any, rows: Any) -> Any:
    """Return the first of the spheres that holds each position, or -1."""
    mesh = round(np.cbrt(len(start) - 1))
    half = side / 2
    found = np.full(len(positions), -1, np.int32)
    for p in range(len(positions)):
        cell = 0
        for axis in range(3):
            cell = cell * mesh + int(np.floor(positions[p, axis] * mesh / side)) % mesh
        for r in range(start[cell], start[cell + 1]):
            h = rows[r]
            square = 0.0
            for axis in range(3):
                apart = abs(positions[p, axis] - centre[h, axis]) % side
                if apart > half:
                    apart = side - apart
                square += apart * apart
            if square <= radius[h] ** 2:
                found[p] = h
                break
    return found
