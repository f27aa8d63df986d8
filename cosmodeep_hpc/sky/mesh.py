"""Particles and meshes: cloud-in-cell deposit and interpolation in a periodic box.

Particles start on a grid of n^3 points and are given by their displacement from it. Cell i of a
mesh has its centre at i * side / mesh.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine.jit import jit

Field = NDArray[np.float32]


def deposit(displacement: Field, side: float, mesh: int, values: Field | None = None) -> Field:
    """Deposit particles, or values that they carry, on a mesh by cloud-in-cell.

    Args:
        displacement: float32 (3, n, n, n) [comoving Mpc], not wrapped.
        side: of the box [comoving Mpc].
        mesh: cells along a side.
        values: float32 (n, n, n) carried by the particles; None counts them.

    Returns:
        float32 (mesh, mesh, mesh), sums over particles in units of the mean number a cell.
    """
    n = displacement.shape[1]
    total = np.zeros((mesh,) * 3, np.float32)
    carried = np.ones((1, 1, 1), np.float32) if values is None else values
    _deposit(displacement, mesh / side, mesh / n, carried, total)
    total *= np.float32((mesh / n) ** 3)
    return total


def interpolate(displacement: Field, side: float, table: Field) -> Field:
    """Interpolate fields of a mesh at the particles, by the weights of `deposit`.

    Args:
        displacement: float32 (3, n, n, n) [comoving Mpc], not wrapped.
        side: of the box [comoving Mpc].
        table: float32 (mesh, mesh, mesh, c), the fields side by side.

    Returns:
        float32 (c, n, n, n).
    """
    n, mesh = displacement.shape[1], len(table)
    result = np.empty((table.shape[3], n, n, n), np.float32)
    _interpolate(displacement, mesh / side, mesh / n, table, result)
    return result


def read(field: Field, position: Field, side: float) -> Field:
    """Return a field of a mesh at positions (p, 3) in the box [comoving Mpc], float32 (p,)."""
    result = np.empty(len(position), np.float32)
    _read(field, position, len(field) / side, result)
    return result


@jit
def _corner(place: float, mesh: int) -> Any:
    """Return the cells below and above a place, and the weight of the upper one."""
    floor = np.floor(place)
    low = int(floor) % mesh
    high = low + 1
    if high == mesh:
        high = 0
    return low, high, np.float32(place - floor)


@jit
def _deposit(displacement: Field, cells: float, ratio: float, values: Field, total: Field) -> None:
    one = np.float32(1)
    n, mesh = displacement.shape[1], total.shape[0]
    alike = values.size == 1
    value = values[0, 0, 0]
    for i in range(n):
        for j in range(n):
            for k in range(n):
                x0, x1, u = _corner(i * ratio + displacement[0, i, j, k] * cells, mesh)
                y0, y1, v = _corner(j * ratio + displacement[1, i, j, k] * cells, mesh)
                z0, z1, w = _corner(k * ratio + displacement[2, i, j, k] * cells, mesh)
                if not alike:
                    value = values[i, j, k]
                low, high = value * (one - u), value * u
                total[x0, y0, z0] += low * (one - v) * (one - w)
                total[x0, y0, z1] += low * (one - v) * w
                total[x0, y1, z0] += low * v * (one - w)
                total[x0, y1, z1] += low * v * w
                total[x1, y0, z0] += high * (one - v) * (one - w)
                total[x1, y0, z1] += high * (one - v) * w
                total[x1, y1, z0] += high * v * (one - w)
                total[x1, y1, z1] += high * v * w


@jit
def _interpolate(
    displacement: Field, cells: float, ratio: float, table: Field, result: Field
) -> None:
    one = np.float32(1)
    n, mesh = displacement.shape[1], table.shape[0]
    for i in range(n):
        for j in range(n):
            for k in range(n):
                x0, x1, u = _corner(i * ratio + displacement[0, i, j, k] * cells, mesh)
                y0, y1, v = _corner(j * ratio + displacement[1, i, j, k] * cells, mesh)
                z0, z1, w = _corner(k * ratio + displacement[2, i, j, k] * cells, mesh)
                for c in range(table.shape[3]):
                    result[c, i, j, k] = (one - u) * (
                        (one - v) * ((one - w) * table[x0, y0, z0, c] + w * table[x0, y0, z1, c])
                        + v * ((one - w) * table[x0, y1, z0, c] + w * table[x0, y1, z1, c])
                    ) + u * (
                        (one - v) * ((one - w) * table[x1, y0, z0, c] + w * table[x1, y0, z1, c])
                        + v * ((one - w) * table[x1, y1, z0, c] + w * table[x1, y1, z1, c])
                    )


@jit
def _read(field: Field, position: Field, cells: float, result: Field) -> None:
    one = np.float32(1)
    mesh = field.shape[0]
    for p in range(len(position)):
        x0, x1, u = _corner(position[p, 0] * cells, mesh)
        y0, y1, v = _corner(position[p, 1] * cells, mesh)
        z0, z1, w = _corner(position[p, 2] * cells, mesh)
        result[p] = (one - u) * (
            (one - v) * ((one - w) * field[x0, y0, z0] + w * field[x0, y0, z1])
            + v * ((one - w) * field[x0, y1, z0] + w * field[x0, y1, z1])
        ) + u * (
            (one - v) * ((one - w) * field[x1, y0, z0] + w * field[x1, y0, z1])
            + v * ((one - w) * field[x1, y1, z0] + w * field[x1, y1, z1])
        )
