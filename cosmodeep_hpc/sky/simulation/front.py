"""Loops over the cells of shock fronts on a grid.

Fields are of shape (planes, n, n): periodic in the last two axes; the end planes of the first only
lend their values. See `gridshocks` for the method.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.sky.simulation.grid import Field

REACH = 8
"""Longest walk from the centre of a shock [cells]; 99 % end within 5 in the cubes tried."""
RISE = np.float32(1e-3)
"""Least d ln S / d ln T in a zone: in an adiabatic flow rounding makes the entropy S rise a little.

The jump at the weakest shock kept has 0.05.
"""
SCHARR = (np.float32(10 / 16), np.float32(3 / 16))


@jit
def add_derivative(velocity: Field, axis: int, divergence: Field) -> None:
    """Add a velocity's derivative along its axis [its unit a cell], except in the end planes."""
    planes, n = velocity.shape[0], velocity.shape[1]
    half = np.float32(0.5)
    for i in range(1, planes - 1):
        for j in range(n):
            for k in range(n):
                if axis == 0:
                    change = velocity[i + 1, j, k] - velocity[i - 1, j, k]
                elif axis == 1:
                    change = velocity[i, (j + 1) % n, k] - velocity[i, j - 1, k]
                else:
                    change = velocity[i, j, (k + 1) % n] - velocity[i, j, k - 1]
                divergence[i, j, k] += half * change


@jit
def _gradient(field: Field, i: int, j: int, k: int) -> Any:
    """Return differences over two cells along the axes; j and k are periodic."""
    n = field.shape[1]
    return (
        field[i + 1, j, k] - field[i - 1, j, k],
        field[i, (j + 1) % n, k] - field[i, j - 1, k],
        field[i, j, (k + 1) % n] - field[i, j, k - 1],
    )


@jit
def _slope(field: Field, i: int, j: int, k: int) -> Any:
    """Return a gradient with the right direction across a front of few cells, by Scharr's filter.

    The plain differences of `_gradient` tilt a front that is steeper than a cell towards the
    diagonals by 5 degrees, and enlarge its area by 5 %; this filter does by half a degree and 0.3
    %.

    Source: Scharr (2000), weights 3, 10, 3 across the axis of the derivative.
    """
    n = field.shape[1]
    x, y, z = np.float32(0), np.float32(0), np.float32(0)
    for a in range(-1, 2):
        for b in range(-1, 2):
            weight = SCHARR[abs(a)] * SCHARR[abs(b)]
            ja, ia = (j + a) % n, i + a
            kb, jb = (k + b) % n, (j + b) % n
            x += weight * (field[i + 1, ja, kb] - field[i - 1, ja, kb])
            y += weight * (field[ia, (j + 1) % n, kb] - field[ia, j - 1, kb])
            z += weight * (field[ia, jb, (k + 1) % n] - field[ia, jb, k - 1])
    return x, y, z


@jit
def mark_zone(
    temperature: Field, entropy: Field, divergence: Field, zone: NDArray[np.bool_]
) -> None:
    """Mark converging cells in which temperature and entropy rise together."""
    planes, n = temperature.shape[0], temperature.shape[1]
    for i in range(1, planes - 1):
        for j in range(n):
            for k in range(n):
                if divergence[i, j, k] >= 0:
                    continue
                t = _gradient(temperature, i, j, k)
                s = _gradient(entropy, i, j, k)
                along = t[0] * s[0] + t[1] * s[1] + t[2] * s[2]
                square = t[0] * t[0] + t[1] * t[1] + t[2] * t[2]
                least = RISE * square * entropy[i, j, k] / temperature[i, j, k]
                zone[i, j, k] = along > least


@jit
def find_centres(
    candidates: NDArray[np.bool_],
    divergence: Field,
    temperature: Field,
    margin: int,
    cell: NDArray[np.int32],
    normal: Field,
    offset: Field,
) -> int:
    """Find the candidates that converge more than their neighbours on the normal's main axis.

    One cell of each such column remains, however oblique and however smeared the front is.
    """
    planes, n = temperature.shape[0], temperature.shape[1]
    count = 0
    for i in range(margin, planes - margin):
        for j in range(n):
            for k in range(n):
                if not candidates[i, j, k]:
                    continue
                t = _slope(temperature, i, j, k)
                length = np.sqrt(t[0] * t[0] + t[1] * t[1] + t[2] * t[2])
                if length == 0:
                    continue
                main = 0
                for axis in range(1, 3):
                    if abs(t[axis]) > abs(t[main]):
                        main = axis
                if main == 0:
                    low, high = (i - 1, j, k), (i + 1, j, k)
                elif main == 1:
                    low, high = (i, (j - 1) % n, k), (i, (j + 1) % n, k)
                else:
                    low, high = (i, j, (k - 1) % n), (i, j, (k + 1) % n)
                here = divergence[i, j, k]
                below, above = divergence[low], divergence[high]
                if candidates[low] and (below < here or (below == here and t[main] < 0)):
                    continue  # of two equal ones, keep the one on the hot side, on any axis
                if candidates[high] and (above < here or (above == here and t[main] > 0)):
                    continue
                curvature = below - 2 * here + above
                shift = np.float32(0)
                if curvature > 0:  # the minimum of the parabola through the three values
                    shift = np.float32(0.5) * (below - above) / curvature
                offset[count] = min(max(shift, np.float32(-0.5)), np.float32(0.5))
                cell[count, 0], cell[count, 1], cell[count, 2] = i, j, k
                for axis in range(3):
                    normal[count, axis] = t[axis] / length
                count += 1
    return count


@jit
def walk_out(
    zone: NDArray[np.bool_],
    divergence: Field,
    temperature: Field,
    cell: NDArray[np.int32],
    normal: Field,
    before: NDArray[np.int32],
    behind: NDArray[np.int32],
    alone: NDArray[np.bool_],
) -> None:
    """Walk from each centre to the cells before and behind the shock.

    A walk ends in the first cell outside the zone or past a maximum of the divergence, where
    another shock begins; or on the last cell before the temperature turns, or after REACH cells.
    `alone` becomes false if the walk meets a cell of this zone that converges more than the centre.
    """
    n = temperature.shape[1]
    for p in range(len(cell)):
        i, j, k = cell[p]
        largest = max(abs(normal[p, 0]), abs(normal[p, 1]), abs(normal[p, 2]))
        alone[p] = True
        for sign in (-1, 1):
            last = (i, j, k)
            for step in range(1, REACH + 1):
                length = sign * step / largest
                there = (
                    i + int(np.rint(length * normal[p, 0])),
                    (j + int(np.rint(length * normal[p, 1]))) % n,
                    (k + int(np.rint(length * normal[p, 2]))) % n,
                )
                if sign * (temperature[there] - temperature[last]) < 0:
                    break
                turned = divergence[there] < divergence[last]
                if zone[there] and divergence[there] < divergence[i, j, k]:
                    alone[p] = False
                last = there
                if turned or not zone[there]:
                    break
            ends = before if sign < 0 else behind
            for axis in range(3):
                ends[p, axis] = last[axis]
