"""`python -m benchmarks.shock_finder PATH...`: our shock finder against the Mach numbers in a file.

PATH is a simulation that holds `mach`, `preshock_temperature` and `preshock_density`, such as Enzo
writes them. The tables of docs/shock-finder.md are what this prints.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.sky.shocks import Elements
from cosmodeep_hpc.sky.simulation import gridshocks, loading
from cosmodeep_hpc.sky.simulation.grid import Grid

Cells = NDArray[np.float64]
NEAR = sorted(product((-1, 0, 1), repeat=3), key=lambda step: sum(s * s for s in step))
"""Steps to a cell's 27 neighbours, itself included, the nearest first."""
STRONG = (1.3, 2.0, 5.0)
"""Mach numbers above which shares are given."""
CELLS = (
    "data",
    "method",
    *(f"found, M > {m:g}" for m in STRONG),
    "found, of the flux",
    *(f"true, M > {m:g}" for m in STRONG),
    "true, of the flux",
    "same cell",
    "by chance",
)
RATIOS = ("data", "method", "M, M > 2", "M, M > 5", "area", "flux", "radio")


def on_grid(cell: NDArray[np.int32], values: NDArray[np.floating], n: int) -> Cells:
    """Put values of cells on a grid of zeros."""
    grid = np.zeros((n, n, n))
    grid[tuple(cell.T)] = values
    return grid


def kinetic_flux(density: Cells, temperature: Cells, mach: Cells) -> Cells:
    """Return 1/2 rho v^3 of the gas that enters a shock; only its shares are used."""
    speed = mach * np.sqrt(gridshocks.SOUND_SQUARED * temperature)
    return 0.5 * density * speed**3


def nearest(values: Cells) -> Cells:
    """Return each cell's value, or else that of its nearest neighbour with one, or 0."""
    result = np.zeros_like(values)
    for step in NEAR:
        there = np.roll(values, step, (0, 1, 2))
        result = np.where(result > 0, result, there)
    return result


def share(part: NDArray[np.bool_], whole: NDArray[np.bool_], weight: Cells | None = None) -> str:
    """Return how much of `whole` is also in `part` [%]."""
    weight = np.ones(whole.shape) if weight is None else weight
    return f"{100 * weight[whole & part].sum() / weight[whole].sum():.1f}"


def totals(table: Elements, flux: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return area, kinetic energy flux, and A n T^(3/2) of M > 2: equation 32 less field, Psi."""
    area = table.area.astype(np.float64)
    radio = area * table.overdensity * table.temperature**1.5
    return np.array([area.sum(), (area * flux).sum(), radio[table.mach > 2].sum()])


def compare(name: str, grid: Grid) -> tuple[list[list[str]], list[list[str]]]:
    """Return the rows of the two tables for one simulation: one a method."""
    n = grid.n
    missing = [
        f for f in ("mach", "preshock_temperature", "preshock_density") if f not in grid.fields
    ]
    if missing:
        raise InputError(f"{grid.source}: nothing to compare with: it has no {', '.join(missing)}")
    mach = grid.planes("mach", 0, n).astype(np.float64)
    mach[mach < gridshocks.WEAKEST] = 0
    density = grid.planes("preshock_density", 0, n).astype(np.float64) / grid.mean_density
    flux = kinetic_flux(density, grid.planes("preshock_temperature", 0, n).astype(float), mach)
    stored = gridshocks.find(grid)
    reference = totals(
        gridshocks.elements(grid, stored),
        kinetic_flux(stored.density, stored.temperature, stored.mach),
    )
    cells, ratios = [], []
    for method in get_args(gridshocks.Method):
        found = gridshocks.find(grid, method=method, stored=False)
        ours_flux = kinetic_flux(found.density, found.temperature, found.mach)
        ours = on_grid(found.cell, found.mach, n)
        ours_of_flux = on_grid(found.cell, ours_flux, n)
        near_ours, near_theirs = nearest(ours), nearest(mach)
        chance = np.roll(near_ours, (n // 2, n // 3, n // 4), (0, 1, 2)) > 0
        row = [name, method]
        row += [share(near_ours > 0, mach > m) for m in STRONG]
        row += [share(near_ours > 0, mach > 0, flux)]
        row += [share(near_theirs > 0, ours > m) for m in STRONG]
        row += [share(near_theirs > 0, ours > 0, ours_of_flux)]
        cells.append(row + [share(ours > 0, mach > 0), share(chance, mach > 0)])
        row = [name, method]
        for least in (2.0, 5.0):
            both = (mach > least) & (near_ours > 0)
            low, middle, high = np.percentile(np.log10(near_ours[both] / mach[both]), (16, 50, 84))
            row.append(f"{10**middle:.2f}, {(high - low) / 2:.2f} dex")
        sums = totals(gridshocks.elements(grid, found), ours_flux) / reference
        ratios.append(row + [f"{ratio:.2f}" for ratio in sums])
    return cells, ratios


def show(columns: tuple[str, ...], rows: list[list[str]]) -> None:
    """Print a table in Markdown."""
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def main(paths: list[str]) -> int:
    """Print the agreement cell by cell [%], and our totals in units of the file's."""
    if not paths:
        print(__doc__, file=sys.stderr)
        return 2
    cells, ratios = [], []
    try:
        for path in paths:
            compared = compare(Path(path).stem, loading.load(path))
            cells += compared[0]
            ratios += compared[1]
    except InputError as error:
        print(f"shock_finder: {error}", file=sys.stderr)
        return 2
    show(CELLS, cells)
    print()
    show(RATIOS, ratios)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
