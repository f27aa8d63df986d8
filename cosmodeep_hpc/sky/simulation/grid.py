"""A simulated box on a regular grid, read plane by plane.

A cube of 1024^3 cells has 4 GiB a field: a grid holds no field, but reads the planes asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io.progress import Progress, silent
from cosmodeep_hpc.sky import cosmology
from cosmodeep_hpc.sky.mesh import Field

UNITS = {
    "density": "g/cm**3",
    "dark_matter_density": "g/cm**3",
    "temperature": "K",
    "velocity_x": "cm/s",
    "velocity_y": "cm/s",
    "velocity_z": "cm/s",
    "B_x": "G",
    "B_y": "G",
    "B_z": "G",
    "mach": "",
    "preshock_temperature": "K",
    "preshock_density": "g/cm**3",
}
"""The fields of a grid and their units: proper, at the redshift of the grid."""
REQUIRED = ("density", "temperature", "velocity_x", "velocity_y", "velocity_z")
"""The fields that a shock finder needs."""
FEWEST = 4
"""Fewest cells of a side: with less, a cell is its own neighbour's neighbour."""
DENSITY_RANGE = (0.5, 2.0)
"""Mean density of the gas in units of that of all baryons, beyond which its unit must be wrong.

A periodic box has the mean density of the universe; a little is missing where stars formed.
Comoving densities, or those of all matter, lie outside (at z > 0.26, and anywhere).
"""
PIECE = 32
"""Planes read at once when a whole field is read."""


class Planes(Protocol):
    """Anything of three axes that gives planes along the first: an array, or a part of a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along the three axes."""

    def __getitem__(self, rows: slice, /) -> NDArray[np.floating]:
        """Return the planes `rows`, in the unit of UNITS."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A periodic cubic box of n^3 cells; axis 0 is x, cell i has its centre at (i + 1/2) side / n.

    Attributes:
        source: the path of the file, for errors.
        redshift: of the fields.
        side: of the box [comoving Mpc].
        fields: of UNITS, in their units there; those of REQUIRED at least. Velocities are peculiar
            and proper. `mach` is zero except in the cells that hold a front's centre, and
            `preshock_temperature` and `preshock_density` give the state before it in that cell.
        notes: lines that the user should read, such as another cosmology.

    Raises:
        InputError: a field is missing or unknown, the grid is not cubic, or it is not cosmological.
    """

    source: str
    redshift: float
    side: float
    fields: Mapping[str, Planes]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        missing = [name for name in REQUIRED if name not in self.fields]
        if missing:
            raise InputError(
                f"{self.source}: no field {', '.join(missing)}; a shock finder needs "
                f"{', '.join(REQUIRED)} (found {', '.join(self.fields) or 'none of them'})"
            )
        unknown = [name for name in self.fields if name not in UNITS]
        if unknown:
            raise ValueError(f"{self.source}: unknown fields {unknown}")
        for name, planes in self.fields.items():
            shape = tuple(planes.shape)
            if shape != (self.n,) * 3:
                raise InputError(
                    f"{self.source}: {name} has {' x '.join(map(str, shape))} cells, expected a "
                    f"cube, the same for all fields; cut or rebin it"
                )
        if self.n < FEWEST:
            raise InputError(f"{self.source}: {self.n} cells a side, expected {FEWEST} or more")
        if not (np.isfinite(self.redshift) and self.redshift >= 0):
            raise InputError(f"{self.source}: redshift {self.redshift}, expected 0 or more")
        if not (np.isfinite(self.side) and self.side > 0):
            raise InputError(f"{self.source}: box of {self.side} Mpc, expected more than 0")

    @property
    def n(self) -> int:
        """Cells along a side."""
        return int(self.fields["density"].shape[0])

    @property
    def cell(self) -> float:
        """Side of a cell [comoving Mpc]."""
        return self.side / self.n

    @property
    def mean_density(self) -> float:
        """Mean density of all baryons at the redshift, in the paper's cosmology [g/cm^3]."""
        return cosmology.OMEGA_B * critical_density() * (1 + self.redshift) ** 3

    def planes(self, name: str, start: int, stop: int) -> Field:
        """Return the planes `start` to `stop` of a field; they may reach beyond the box.

        Returns:
            float32 (stop - start, n, n), in the unit of UNITS.

        Raises:
            InputError: the field cannot be read, or holds forbidden values: NaN, a density that is
                not positive, or no temperature at all.
        """
        n = self.n
        result = np.empty((stop - start, n, n), np.float32)
        done = start
        while done < stop:
            first = done % n
            count = min(stop - done, n - first)
            result[done - start : done - start + count] = self._read(name, first, first + count)
            done += count
        return result

    def _read(self, name: str, first: int, last: int) -> NDArray[np.floating]:
        """Return planes of the box itself, checked."""
        values = self.fields[name][first:last]
        where = f"{self.source}: {name}, planes {first} to {last - 1} along x"
        bad = np.count_nonzero(~np.isfinite(values))
        if bad:
            raise InputError(f"{where}: {bad} of {values.size} values are NaN or infinite")
        if name == "density" and not (values > 0).all():
            empty = np.count_nonzero(values <= 0)
            raise InputError(f"{where}: {empty} of {values.size} values are not positive")
        if name == "temperature" and not (values > 0).any():
            raise InputError(f"{where}: all zero; expected the gas temperature [K]")
        return values

    def check_density(self, progress: Progress = silent) -> None:
        """Read the density once and check its mean, which shows a wrong unit.

        Args:
            progress: called with (planes done, planes in all).

        Raises:
            InputError: the mean is outside DENSITY_RANGE times that of all baryons.
        """
        total = 0.0
        for start in range(0, self.n, PIECE):
            stop = min(start + PIECE, self.n)
            total += float(self.planes("density", start, stop).sum(dtype=np.float64))
            progress(stop, self.n)
        ratio = total / self.n**3 / self.mean_density
        if not DENSITY_RANGE[0] <= ratio <= DENSITY_RANGE[1]:
            raise InputError(
                f"{self.source}: the mean gas density is {ratio:.3g} times that of all baryons at "
                f"redshift {self.redshift:.4g} ({self.mean_density:.3g} g/cm^3), expected about 1; "
                f"is it gas alone, proper (not comoving), and its unit right?"
            )


def critical_density() -> float:
    """Return the critical density today [g/cm^3]."""
    return float(cosmology.astropy_cosmology().critical_density0.cgs.value)
