"""Shocks of a simulation on a grid, found by the jump of temperature or of velocity.

A shock is smeared over a few cells. Those in which the flow converges, and temperature and entropy
rise together, form its zone; its centre is where the flow converges most. From there the walk goes
along the gradient of temperature to the first cell beyond the zone on either side: to the states
before and behind the shock, whose ratio gives the Mach number.

Source: Ryu et al. (2003), Skillman et al. (2008, unsplit, by temperature), Vazza et al. (2009, by
velocity). How it compares with Enzo's own finder is in docs/shock-finder.md.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.io.progress import Progress, silent
from cosmodeep_hpc.sky.halos import Halos, membership
from cosmodeep_hpc.sky.shocks import Elements
from cosmodeep_hpc.sky.simulation import front, jump
from cosmodeep_hpc.sky.simulation.grid import Field, Grid

Method = Literal["temperature", "velocity"]

WEAKEST = 1.3
"""Smallest Mach number kept (Vazza et al. 2009): weaker jumps are as often waves as shocks."""
FLOOR = 1e4
"""Temperature below which gas counts as this hot [K].

A simulation without reionisation cools its voids to a few kelvin by expansion alone. The real ones
were heated to about 10^4 K, and a Mach number measured from 3 K would be 60 times too large.
"""
SLAB = 32
"""Planes treated at once, with front.REACH + 1 more on either side."""
KEV_PER_KELVIN = 8.617333e-8
SOUND_SQUARED = 5 / 3 * 1.380649e-16 / (0.6 * 1.67262192e-24)
"""Speed of sound squared over temperature, of ionised gas of mean mass 0.6 [cm^2/s^2/K]."""


@dataclass(frozen=True)
class Shocks:
    """Shocked cells.

    Attributes:
        cell: int32 (n, 3), the cell in which the shock has its centre.
        offset: float32 (n,), from the middle of the cell to the shock, along the axis on which the
            normal has its largest component [cells], at most a half.
        normal: float32 (n, 3), unit vector from the cold side to the hot one.
        mach: float32 (n,), Mach number, at least WEAKEST.
        temperature: float32 (n,), before the shock, at least FLOOR [K].
        density: float32 (n,), before the shock [mean density of baryons].
        field: float32 (n,), magnetic field behind the shock [uG, proper]; NaN where unknown.
    """

    cell: NDArray[np.int32]
    offset: Field
    normal: Field
    mach: Field
    temperature: Field
    density: Field
    field: Field

    def __len__(self) -> int:
        return len(self.mach)


def find(
    grid: Grid,
    *,
    method: Method = "temperature",
    stored: bool = True,
    floor: float = FLOOR,
    slab: int = SLAB,
    progress: Progress = silent,
) -> Shocks:
    """Find the shocked cells of a grid.

    The grid is read in slabs: of 1024^3 cells, about 50 planes of 40 MiB are in memory at once.

    Args:
        grid: the simulation.
        method: the jump that the Mach number is measured by.
        stored: take the Mach numbers and the states before the shocks from the grid, if it has any;
            otherwise they are measured.
        floor: temperature that colder gas is raised to [K].
        slab: planes in memory at once; no influence on the result.
        progress: called with (planes done, planes in all).

    Raises:
        InputError: a field cannot be read, or holds forbidden values.
    """
    parts = []
    for start in range(0, grid.n, slab):
        stop = min(start + slab, grid.n)
        parts.append(_find_in_slab(grid, start, stop, method, stored, floor))
        progress(stop, grid.n)
    return Shocks(
        **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Shocks)}
    )


def _find_in_slab(
    grid: Grid, start: int, stop: int, method: Method, stored: bool, floor: float
) -> Shocks:
    """Find the shocks whose centres are in the planes `start` to `stop`."""
    margin = front.REACH + 1

    def read(name: str) -> Field:
        return grid.planes(name, start - margin, stop + margin)

    density = read("density").astype(np.float64) / grid.mean_density
    density = density.astype(np.float32)  # in cgs its powers leave the range of float32
    temperature = read("temperature")
    entropy = np.maximum(temperature, 1e-3) / np.cbrt(density) ** 2
    np.maximum(temperature, np.float32(floor), out=temperature)
    divergence = np.zeros_like(temperature)
    for axis in range(3):
        front.add_derivative(read(f"velocity_{'xyz'[axis]}"), axis, divergence)
    zone = np.zeros(temperature.shape, np.bool_)
    front.mark_zone(temperature, entropy, divergence, zone)
    del entropy

    known = stored and "mach" in grid.fields
    mach_field = read("mach") if known else None
    candidates = zone if mach_field is None else mach_field >= WEAKEST
    count = int(np.count_nonzero(candidates[margin:-margin]))
    cell, normal = np.empty((count, 3), np.int32), np.empty((count, 3), np.float32)
    offset = np.empty(count, np.float32)
    count = front.find_centres(candidates, divergence, temperature, margin, cell, normal, offset)
    cell, normal, offset = cell[:count], normal[:count], offset[:count]
    before, behind = np.empty((count, 3), np.int32), np.empty((count, 3), np.int32)
    alone = np.empty(count, np.bool_)
    front.walk_out(zone, divergence, temperature, cell, normal, before, behind, alone)
    up, down, here = tuple(before.T), tuple(behind.T), tuple(cell.T)

    if mach_field is not None:
        mach = mach_field[here]
        kept = np.ones(count, np.bool_)
    else:
        kept = alone & (density[down] >= density[up])
        if method == "temperature":
            mach = jump.mach_of_temperature(temperature[down] / temperature[up])
        else:
            change = np.zeros(count)
            for axis in range(3):
                velocity = read(f"velocity_{'xyz'[axis]}")
                change += normal[:, axis] * (velocity[up] - velocity[down])
            mach = jump.mach_of_velocity(change / np.sqrt(SOUND_SQUARED * temperature[up]))
        kept &= mach >= WEAKEST
    before_temperature, before_density = temperature[up], density[up]
    if known and "preshock_temperature" in grid.fields:
        before_temperature = np.maximum(read("preshock_temperature")[here], np.float32(floor))
    if known and "preshock_density" in grid.fields:
        given = read("preshock_density")[here].astype(np.float64) / grid.mean_density
        before_density = np.where(given > 0, given, before_density)
    field = np.full(count, np.nan)
    if all(f"B_{x}" in grid.fields for x in "xyz"):
        field = 1e6 * np.sqrt(sum(read(f"B_{x}")[down].astype(np.float64) ** 2 for x in "xyz"))
    cell = cell + np.array([start - margin, 0, 0], np.int32)
    columns = (cell, offset, normal, mach, before_temperature, before_density, field)
    return Shocks(*(np.asarray(c[kept], c.dtype if c is cell else np.float32) for c in columns))


def elements(grid: Grid, found: Shocks) -> Elements:
    """Return shocked cells as parallelograms with the state behind them.

    A front crosses each column of cells along the main axis of its normal once, and has its centre
    in one cell of it. The element is the part of the front's plane inside the column: neighbours
    touch, and the area is cell^2 / max |n_i|.

    Returns:
        One element a shocked cell; density and temperature follow from those before the shock by
        the jump conditions. `field` is NaN if the grid has none, `halo` is -1.
    """
    n = len(found)
    rows = np.arange(n)
    main = np.argmax(np.abs(found.normal), axis=1)
    along = found.normal[rows, main]
    centre = found.cell + np.float32(0.5)
    centre[rows, main] += found.offset
    position = np.asarray(np.mod(centre * np.float32(grid.cell), np.float32(grid.side)), np.float32)
    position[position >= grid.side] = 0  # a rounded remainder
    sides = []
    for step in (1, 2):
        axis = (main + step) % 3
        tangent = np.zeros((n, 3), np.float32)
        tangent[rows, axis] = grid.cell
        tangent[rows, main] = -grid.cell * found.normal[rows, axis] / along
        sides.append(tangent)
    sides[1] *= np.sign(along)[:, None]  # so that their cross product points to the hot side
    hot = found.temperature * jump.temperature_ratio(found.mach)
    return Elements(
        position=position,
        first=sides[0],
        second=sides[1],
        mach=found.mach,
        overdensity=(found.density * jump.density_ratio(found.mach)).astype(np.float32),
        temperature=(KEV_PER_KELVIN * hot).astype(np.float32),
        field=found.field,
        halo=np.full(n, -1, np.int32),
    )


def shock_elements(
    grid: Grid,
    *,
    halos: Halos | None = None,
    method: Method = "temperature",
    stored: bool = True,
    floor: float = FLOOR,
    slab: int = SLAB,
    progress: Progress = silent,
) -> Elements:
    """Return the shock elements of a simulation on a grid: `elements` of what `find` finds.

    Args:
        grid: the simulation.
        halos: of the same grid (`gridhalos.find`); elements inside them refer to them.
        method, stored, floor, slab, progress: see `find`.

    Raises:
        InputError: a field cannot be read, or holds forbidden values.
    """
    found = find(grid, method=method, stored=stored, floor=floor, slab=slab, progress=progress)
    table = elements(grid, found)
    if halos is None:
        return table
    return replace(table, halo=membership(halos, table.position, grid.side))
