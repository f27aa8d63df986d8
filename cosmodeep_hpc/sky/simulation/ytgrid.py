"""Enzo dumps and other formats that yt loads, as a grid.

Only this module imports yt, and only when such a file is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.sky.simulation.cube import cosmology_notes
from cosmodeep_hpc.sky.simulation.grid import UNITS, Grid

DERIVED = {
    "density": "density",
    "dark_matter_density": "dark_matter_density",
    "temperature": "temperature",
    **{f"velocity_{x}": f"velocity_{x}" for x in "xyz"},
    **{f"B_{x}": f"magnetic_field_{x}" for x in "xyz"},
}
"""Names of yt's fields of type `gas`, the same for all codes."""
STORED = {
    "mach": "mach",
    "preshock_temperature": "preshock_temperature",
    "preshock_density": "preshock_density",
}
"""Fields looked up in the dump itself, in lower case. yt's own `mach_number` is something else: the
speed of the gas in units of the sound speed."""


@dataclass(frozen=True, eq=False)
class Covering:
    """A field on the regular grid of a level of refinement, read by planes.

    Attributes:
        dataset: of yt.
        field: of yt, a pair of names.
        unit: to convert it to.
        factor: for a field whose unit yt does not know; else 1.
        level: of refinement; 0 is the root grid.
        shape: cells along the axes at that level.
    """

    dataset: Any
    field: tuple[str, str]
    unit: str
    factor: float
    level: int
    shape: tuple[int, ...]

    def __getitem__(self, rows: slice) -> NDArray[np.floating]:
        """Return the planes `rows`, float64."""
        start, stop, _ = rows.indices(self.shape[0])
        # Of a single plane, yt would make a grid of two dimensions, from the first planes.
        first = min(start, stop - 2) if start > 0 else 0
        last = max(stop, first + 2)
        left = self.dataset.domain_left_edge.copy()
        left[0] += self.dataset.domain_width[0] * (first / self.shape[0])
        dims = (last - first, *self.shape[1:])
        with naming(self.dataset):  # data files may be missing or cut short
            values = self.dataset.covering_grid(self.level, left_edge=left, dims=dims)[self.field]
        if self.unit and not values.units.is_dimensionless:
            values = values.to(self.unit)
        return np.asarray(values)[start - first : stop - first] * self.factor


def read(path: Path, level: int = 0) -> Grid:
    """Return the grid of a file that yt knows; no field is read yet.

    Args:
        path: of the file, as `yt.load` takes it (of Enzo: the parameter file).
        level: of refinement to read the whole box at; 0 is the root grid.

    Raises:
        InputError: yt is not installed or does not know the file, or the data are not those of a
            periodic cosmological box.
    """
    try:
        import yt
    except ImportError as error:
        raise InputError(
            f"{path}: not an HDF5 cube with a dataset 'density', and yt, which reads other "
            f"formats, is not installed: pip install 'cosmodeep_hpc[simulations]'"
        ) from error
    yt.set_log_level("error")
    try:
        dataset = yt.load(str(path))
        dataset.index  # noqa: B018, the first look into the data: files that are missing show here
    except Exception as error:  # whatever a reader of a hundred formats raises on a strange file
        reason = str(error).split("\n", 1)[0]
        raise InputError(
            f"{path}: neither an HDF5 cube with a dataset 'density' nor a file that yt loads "
            f"({type(error).__name__}: {reason}); of an Enzo dump, give the parameter file"
        ) from error
    return of_dataset(dataset, level, str(path))


def of_dataset(dataset: Any, level: int = 0, source: str | None = None) -> Grid:
    """Return the grid of a dataset of yt.

    Args:
        dataset: of yt.
        level: as in `read`.
        source: named in errors; the name of the dataset unless given.

    Raises:
        InputError: as in `read`.
    """
    source = source or str(dataset)
    if not dataset.cosmological_simulation:
        raise InputError(f"{source}: not a cosmological simulation: yt finds no redshift in it")
    if dataset.dimensionality != 3 or not all(dataset.periodicity):
        raise InputError(f"{source}: expected a periodic box of three dimensions")
    finest = int(getattr(dataset.index, "max_level", 0))
    if not 0 <= level <= finest:
        raise InputError(f"{source}: no level {level} of refinement; expected 0 to {finest}")
    width = np.asarray(dataset.domain_width.to("Mpccm"), float)
    if width.max() > width.min() * 1.0001:
        raise InputError(f"{source}: a box of {width} comoving Mpc, expected a cube")
    shape = tuple(int(n) * int(dataset.refine_by) ** level for n in dataset.domain_dimensions)
    fields = {}
    known = set(dataset.derived_field_list)
    for name, derived in DERIVED.items():
        if ("gas", derived) in known:
            fields[name] = Covering(dataset, ("gas", derived), UNITS[name], 1.0, level, shape)
    in_lower_case = {field[1].lower(): field for field in dataset.field_list}
    for name, stored in STORED.items():
        if stored in in_lower_case:
            field = in_lower_case[stored]
            factor = _code_factor(dataset, field, name)
            fields[name] = Covering(dataset, field, UNITS[name], factor, level, shape)
    parameters = {"omegam": dataset.omega_matter, "h": dataset.hubble_constant}
    notes = cosmology_notes(source, parameters)
    return Grid(source, float(dataset.current_redshift), float(width.mean()), fields, notes)


def _code_factor(dataset: Any, field: tuple[str, str], name: str) -> float:
    """Return the factor of Enzo's shock fields, unknown to yt: the density is in code units."""
    if name != "preshock_density" or dataset.field_info[field].units:
        return 1.0
    return float((dataset.mass_unit / dataset.length_unit**3).to("g/cm**3"))
