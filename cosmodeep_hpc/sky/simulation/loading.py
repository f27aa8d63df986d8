"""Simulations written by other codes: Enzo dumps, other formats of yt, plain HDF5 cubes."""

from __future__ import annotations

from pathlib import Path

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io.progress import Progress, silent
from cosmodeep_hpc.sky.simulation import cube, ytgrid
from cosmodeep_hpc.sky.simulation.grid import Grid

__all__ = ["Grid", "load"]


def load(path: Path | str, progress: Progress = silent, level: int = 0) -> Grid:
    """Return one snapshot of a simulation as a grid.

    Nothing is kept in memory: the density is read once, to check its unit by its mean, and all
    fields are read plane by plane later.

    Args:
        path: an HDF5 file with a three-dimensional dataset `density` at its root (the format is in
            docs/shock-finder.md), or anything that `yt.load` takes.
        progress: called with (planes read, planes in all) while the density is checked.
        level: of refinement at which a dataset of yt is read; 0 is the root grid.

    Returns:
        The grid. Its `notes` are lines to show to the user.

    Raises:
        InputError: the file cannot be read, a field is missing, a unit is missing or wrong, or it
            is not a cubic periodic cosmological box.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; expected an HDF5 cube or a dump that yt loads")
    grid = opened(path, level)
    grid.check_density(progress)
    return grid


def opened(path: Path, level: int = 0) -> Grid:
    """Return the grid of a file that `load` has checked already."""
    plain = path.is_file() and cube.is_cube(path)
    return cube.read(path) if plain else ytgrid.read(path, level)
