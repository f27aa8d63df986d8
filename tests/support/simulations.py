"""A small cosmological simulation made by hand: hot spheres that gas falls on, in an HDF5 cube."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

BARYONS = 0.0478 * 1.8784e-29 * 0.678**2  # g/cm^3: their mean density today
DARK = (0.308 - 0.0478) / 0.0478
SPHERES = ((0.25, 0.25, 0.5), (0.7, 0.6, 0.4), (0.45, 0.8, 0.9))  # centres, in sides of the box
RADIUS = 0.12
HOT, COLD = 5e7, 1e5  # K
UNITS = {
    "density": "g/cm**3",
    "dark_matter_density": "g/cm**3",
    "temperature": "K",
    **{f"velocity_{x}": "cm/s" for x in "xyz"},
    **{f"B_{x}": "G" for x in "xyz"},
}


def cube(
    path: Path,
    side: float,
    redshift: float,
    n: int = 24,
    magnetic: float | None = None,
    spoil: Mapping[str, object] | None = None,
    attributes: Mapping[str, object] | None = None,
) -> Path:
    """Write a cube of n^3 cells and `side` comoving Mpc.

    Args:
        path: of the file.
        side: of the box [comoving Mpc].
        redshift: of the output.
        n: cells along a side.
        magnetic: each component of the magnetic field [G]; none is written by default.
        spoil: by field: a value for one cell, None to leave the field out, or text as its unit.
        attributes: of the file that replace others; None takes one away.
    """
    axis = (np.arange(n) + 0.5) / n
    place = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"))
    density = np.ones((n, n, n))
    temperature = np.full((n, n, n), COLD)
    velocity = np.zeros((3, n, n, n))
    for centre in SPHERES:
        gap = place - np.reshape(centre, (3, 1, 1, 1))
        gap -= np.round(gap)
        radius = np.sqrt((gap**2).sum(axis=0))
        inside = radius < RADIUS
        density += 1e4 * np.exp(-0.5 * (radius / (0.2 * RADIUS)) ** 2)
        temperature[inside] = HOT
        fall = np.where(inside, 0, 8e7 * np.exp(-((radius - RADIUS) / RADIUS)))  # cm/s, inwards
        velocity -= fall * gap / np.maximum(radius, 1e-3)
    gas = density / density.mean() * BARYONS * (1 + redshift) ** 3
    fields = {"density": gas, "dark_matter_density": gas * DARK, "temperature": temperature}
    fields |= {f"velocity_{x}": velocity[i] for i, x in enumerate("xyz")}
    if magnetic is not None:
        fields |= {f"B_{x}": np.full((n, n, n), magnetic) for x in "xyz"}
    spoil = spoil or {}
    given = {"redshift": redshift, "box_comoving_Mpc": side, "OmegaM": 0.308, "h": 0.678}
    with h5py.File(path, "w") as file:
        for name, values in fields.items():
            change = spoil.get(name, "")
            if change is None:
                continue
            unit = change if isinstance(change, str) and change else UNITS[name]
            dataset = file.create_dataset(name, data=values.astype(np.float32))
            dataset.attrs["units"] = unit
            if isinstance(change, float):
                dataset[n // 2, 1, 2] = change
        kept = {**given, **(attributes or {})}
        file.attrs.update({key: value for key, value in kept.items() if value is not None})
    return path
