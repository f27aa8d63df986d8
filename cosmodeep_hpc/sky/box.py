"""A box of shock elements: simulated once, kept in an HDF5 file, read by every image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cosmodeep_hpc import __version__
from cosmodeep_hpc.config import Sky
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.files import replacing_hdf5
from cosmodeep_hpc.sky import cosmology, nbody, shocks

FORMAT = 1
"""Raise it when the same recipe would give another table."""
UNITS = {
    "position": "Mpc (comoving)",
    "first": "Mpc (comoving)",
    "second": "Mpc (comoving)",
    "mach": "",
    "overdensity": "mean density",
    "temperature": "keV",
}


@dataclass(frozen=True)
class Recipe:
    """All that decides on the content of a box.

    Attributes:
        seed: of the density field.
        side: comoving [Mpc].
        mesh, start, steps, snapshots, smoothing, refinement, scale: as in the section `sky` of the
            configuration.
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

    @property
    def digest(self) -> str:
        """What tells this recipe from every other."""
        numbers = [cosmology.H0, cosmology.OMEGA_M, cosmology.OMEGA_B, cosmology.SIGMA8]
        return digest({**asdict(self), "cosmology": [*numbers, cosmology.N_S], "format": FORMAT})


def digest(content: Any) -> str:
    """16 hexadecimal digits that tell plain values from others."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def recipes(sky: Sky) -> list[Recipe]:
    """The boxes of a configuration, in the order in which slabs number them."""
    return [
        Recipe(
            seed,
            sky.box,
            sky.mesh,
            sky.start,
            sky.steps,
            sky.snapshots,
            sky.smoothing,
            sky.refinement,
            sky.scale,
        )
        for seed in sky.seeds
    ]


def path_of(folder: Path, recipe: Recipe) -> Path:
    """The file of a box."""
    return folder / f"box-{recipe.seed}.h5"


def is_made(path: Path, recipe: Recipe) -> bool:
    """Whether the file holds the box of this recipe, whole."""
    if not path.exists():
        return False
    try:
        with h5py.File(path, "r", locking=False) as file:
            return bool(file.attrs.get("recipe") == recipe.digest)
    except OSError:  # not HDF5, or cut short by other hands: it is made anew
        return False


def make(
    path: Path,
    recipe: Recipe,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Simulate a box, find its shock elements, write the file whole or not at all.

    Args:
        path: of the file.
        recipe: of the box; the same recipe gives the same bytes.
        workers: threads of the FFT; no influence on the result.
        progress: called with (steps done, steps in all).

    Raises:
        InputError: the file cannot be written.
    """
    linear = nbody.initial_displacement(recipe.seed, recipe.mesh, recipe.side, workers)
    with replacing_hdf5(path) as file:
        file.attrs["recipe"] = recipe.digest
        file.attrs["writer"] = f"cosmodeep_hpc {__version__}"
        for name, value in asdict(recipe).items():
            file.attrs[name] = value
        file.attrs["side_unit"] = file.attrs["scale_unit"] = "Mpc (comoving)"
        for snapshot in nbody.evolve(
            linear, recipe.side, recipe.snapshots, recipe.start, recipe.steps, workers, progress
        ):
            elements = shocks.shock_elements(
                snapshot,
                smoothing=recipe.smoothing,
                factor=recipe.refinement,
                scale=recipe.scale,
                workers=workers,
            )
            group = file.create_group(_group(recipe, snapshot.redshift))
            group.attrs["redshift"] = snapshot.redshift
            for field in fields(elements):
                dataset = group.create_dataset(field.name, data=getattr(elements, field.name))
                dataset.attrs["unit"] = UNITS[field.name]


def read(path: Path, recipe: Recipe, redshift: float) -> shocks.Elements:
    """The shock elements of the snapshot at a redshift.

    Raises:
        InputError: the file cannot be read, or is not the box of this recipe.
    """
    with naming(path), h5py.File(path, "r", locking=False) as file:
        if file.attrs.get("recipe") != recipe.digest:
            raise InputError(f"{path}: not made by this configuration; remove it to make it anew")
        group = file[_group(recipe, redshift)]
        return shocks.Elements(
            **{f.name: np.asarray(group[f.name]) for f in fields(shocks.Elements)}
        )


def _group(recipe: Recipe, redshift: float) -> str:
    """The group of a snapshot: snapshots are numbered as the recipe lists them."""
    return f"snapshot-{recipe.snapshots.index(redshift)}"
