"""Recipes of boxes: our own particle mesh, or the output of another simulation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cosmodeep_hpc.config.sky import Sky
from cosmodeep_hpc.io.progress import Progress, silent
from cosmodeep_hpc.sky import box, cosmology, gas, halos, nbody, shocks
from cosmodeep_hpc.sky.emission import Amplitude, with_field
from cosmodeep_hpc.sky.lightcone import Slab, stack
from cosmodeep_hpc.sky.mesh import Field, deposit
from cosmodeep_hpc.sky.simulation import gridhalos, gridshocks
from cosmodeep_hpc.sky.simulation.grid import Grid
from cosmodeep_hpc.sky.simulation.loading import opened

SAME_SIDE = 1e-3
"""Relative difference up to which the sides of two outputs count as those of one run: codes round
them, and the unit of a comoving length may go with the redshift."""
FORMAT = 3
"""Raise it when the same recipe would give another table."""


class Recipe(Protocol):
    """All that decides the content of a box."""

    @property
    def name(self) -> str:
        """Name of its file, without the ending."""

    @property
    def side(self) -> float:
        """Comoving side of the box [Mpc]."""

    @property
    def digest(self) -> str:
        """Digest that identifies the recipe."""

    def make(self, path: Path, workers: int, progress: Progress) -> None:
        """Write the box: the same bytes whatever the threads of the FFT.

        Args:
            path: of the file.
            workers: threads of the FFT.
            progress: called with (parts done, parts in all).
        """


def amplitude_of(sky: Sky) -> Amplitude:
    """Return the free parameters of the emission."""
    return Amplitude(
        sky.efficiency,
        sky.mach_cut,
        sky.field,
        sky.field_density,
        sky.field_temperature,
        sky.field_limit,
    )


@dataclass(frozen=True)
class ParticleMesh:
    """A box of the built-in simulation.

    Attributes:
        seed: of the density field.
        side: comoving [Mpc].
        mesh, start, steps, snapshots, smoothing, refinement, scale, halo_gas: as in the section
            `sky` of the configuration.
        field: the options of the magnetic field.
    """

    seed: int
    side: float
    mesh: int
    start: float
    steps: int
    snapshots: tuple[float, ...]
    smoothing: float
    refinement: int
    scale: float
    halo_gas: float
    field: tuple[float, float, float, float]

    @property
    def name(self) -> str:
        """Name of its file, without the ending."""
        return f"box-{self.side:g}-{self.seed}"

    @property
    def digest(self) -> str:
        """Digest that identifies the recipe."""
        return box.digest([self.volume, self.field])

    @property
    def volume(self) -> str:
        """Digest that identifies the recipe except its magnetic field."""
        numbers = [cosmology.H0, cosmology.OMEGA_M, cosmology.OMEGA_B, cosmology.SIGMA8]
        numbers.append(cosmology.N_S)
        recipe = {**asdict(self), "cosmology": numbers, "format": FORMAT}
        del recipe["field"]
        return box.digest(recipe)

    def make(self, path: Path, workers: int = 1, progress: Progress = silent) -> None:
        """Simulate, find shock elements and halos, and write the box completely or not at all.

        If an existing box differs in the magnetic field alone, only that column is made anew.
        """
        known = box.volume_at(path, self.volume)
        snapshots = self._refilled(known) if known else self._snapshots(workers, progress)
        attributes = {**asdict(self), "volume": self.volume}
        box.write(path, self.digest, self.side, attributes, snapshots)

    def _refilled(self, known: box.Box) -> Iterator[box.Content]:
        amplitude = Amplitude(1.0, 1.0, *self.field)
        for redshift in known.redshifts:
            filled = with_field(known.elements(redshift), redshift, amplitude, anew=True)
            yield box.Content(redshift, filled, known.halos(redshift), known.density(redshift))

    def _snapshots(self, workers: int, progress: Progress) -> Iterator[box.Content]:
        amplitude = Amplitude(1.0, 1.0, *self.field)
        linear = nbody.initial_displacement(self.seed, self.mesh, self.side, workers)
        run = nbody.evolve(
            linear, self.side, self.snapshots, self.start, self.steps, workers, progress
        )
        del linear
        for snapshot in run:
            elements = shocks.shock_elements(
                snapshot,
                smoothing=self.smoothing,
                factor=self.refinement,
                scale=self.scale,
                workers=workers,
            )
            found = halos.find(snapshot)
            members = halos.membership(found, elements.position, self.side)
            elements = gas.with_gas(
                replace(elements, halo=members),
                found,
                self.side,
                snapshot.redshift,
                self.halo_gas,
            )
            yield box.Content(
                snapshot.redshift,
                with_field(elements, snapshot.redshift, amplitude),
                found,
                deposit(snapshot.displacement, self.side, min(self.mesh, box.DENSITY_MESH)),
            )


@dataclass(frozen=True)
class Output:
    """The place of one snapshot of another simulation, without its grid, which stays on a rank.

    Attributes:
        path: as it is opened.
        redshift: of the snapshot.
        mark: identifies the file without reading it: name, size and time of change.
    """

    path: Path
    redshift: float
    mark: tuple[str, int, int]


@dataclass(frozen=True)
class Simulation:
    """A box of another simulation: the snapshots of one run.

    Attributes:
        outputs: one a snapshot, by rising redshift.
        side: comoving [Mpc].
        number: of the run, among those of the same side.
        field: the options of the magnetic field, if the simulation has none.
    """

    outputs: tuple[Output, ...]
    side: float
    number: int
    field: tuple[float, float, float, float]

    @property
    def name(self) -> str:
        """Name of its file, without the ending."""
        return f"simulation-{self.side:g}-{self.number}"

    @property
    def digest(self) -> str:
        """Digest that identifies the recipe."""
        marks = [output.mark for output in self.outputs]
        return box.digest([marks, self.field, "simulation", FORMAT])

    def make(self, path: Path, workers: int = 1, progress: Progress = silent) -> None:
        """Find shock elements and halos, and write the box completely or not at all."""
        sources = {"sources": [output.path.name for output in self.outputs]}
        box.write(path, self.digest, self.side, sources, self._snapshots(progress))

    def _snapshots(self, progress: Progress) -> Iterator[box.Content]:
        amplitude = Amplitude(1.0, 1.0, *self.field)
        for number, output in enumerate(self.outputs):
            progress(number, len(self.outputs))
            grid = opened(output.path)
            found = gridhalos.find(grid)
            elements = gridshocks.shock_elements(grid, halos=found)
            yield box.Content(
                grid.redshift,
                with_field(elements, grid.redshift, amplitude),
                found,
                coarse_density(grid, box.DENSITY_MESH),
            )


def coarse_density(grid: Grid, cells: int) -> Field:
    """Return a grid's gas density in units of the mean, on at most `cells` cells a side."""
    factor = next(k for k in range(-(-grid.n // cells), grid.n + 1) if grid.n % k == 0)
    m = grid.n // factor
    density = np.empty((m, m, m), np.float32)
    for i in range(m):
        planes = grid.planes("density", i * factor, (i + 1) * factor)
        blocks = planes.reshape(factor, m, factor, m, factor)
        density[i] = blocks.mean(axis=(0, 2, 4), dtype=np.float64) / grid.mean_density
    return density


def slabs_of(sky: Sky, sides: Sequence[float]) -> list[Slab]:
    """Return the slabs of the light cone, filled with boxes of these sides [comoving Mpc]."""
    return stack(sky.z_near, sky.z_far, sides, sky.reach)


def particle_meshes(sky: Sky, *, test: bool) -> list[Recipe]:
    """Return the recipes of the boxes that a configuration's light cone needs, to train or test."""
    recipes: list[Recipe] = []
    slabs = slabs_of(sky, sky.sides)
    for side in sorted({slab.side for slab in slabs}):
        wanted = [slab.redshift for slab in slabs if slab.side == side]
        snapshots = {min(sky.snapshots, key=partial(_distance, z)) for z in wanted}
        for seed in sky.test_seeds if test else sky.seeds:
            recipes.append(
                ParticleMesh(
                    seed,
                    side,
                    sky.mesh,
                    sky.start,
                    sky.steps,
                    tuple(sorted(snapshots, reverse=True)),
                    sky.smoothing,
                    sky.refinement,
                    sky.scale,
                    sky.halo_gas,
                    _field(sky),
                )
            )
    return recipes


def _distance(one: float, other: float) -> float:
    return abs(one - other)


def _field(sky: Sky) -> tuple[float, float, float, float]:
    return sky.field, sky.field_density, sky.field_temperature, sky.field_limit


def simulations(sky: Sky, grids: Sequence[tuple[Path, Grid]]) -> list[Recipe]:
    """Return the boxes that the light cone needs, of the outputs of other simulations.

    Outputs of one side at different redshifts count as snapshots of one run; several outputs at the
    same redshift belong to different runs.

    Args:
        sky: the light cone, and options of the magnetic field.
        grids: the outputs and their paths.
    """
    runs: dict[float, list[dict[float, Path]]] = {}
    for path, grid in grids:
        side = next((s for s in runs if abs(grid.side - s) < SAME_SIDE * s), grid.side)
        known = runs.setdefault(side, [])
        run = next((run for run in known if grid.redshift not in run), None)
        if run is None:
            run = {}
            known.append(run)
        run[grid.redshift] = path
    recipes: list[Recipe] = []
    for side in sorted({slab.side for slab in slabs_of(sky, list(runs))}):
        for number, run in enumerate(runs[side]):
            outputs = tuple(Output(run[z], z, _mark(run[z])) for z in sorted(run))
            recipes.append(Simulation(outputs, side, number, _field(sky)))
    return recipes


def _mark(path: Path) -> tuple[str, int, int]:
    """Return what identifies a file or folder without reading it."""
    found: Any = path.stat()
    return path.name, int(found.st_size), int(found.st_mtime)
