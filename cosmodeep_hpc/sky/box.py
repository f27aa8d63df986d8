"""A box: shock elements and halos of a simulated volume, in an HDF5 file for all images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc import __version__
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.io.files import replacing_hdf5
from cosmodeep_hpc.sky.halos import Halos
from cosmodeep_hpc.sky.shocks import Elements

UNITS = {
    "position": "Mpc (comoving)",
    "first": "Mpc (comoving)",
    "second": "Mpc (comoving)",
    "mach": "",
    "overdensity": "mean density",
    "temperature": "keV",
    "field": "uG",
    "halo": "row of halos",
    "mass": "solMass",
    "radius": "Mpc (comoving)",
    "density": "mean density",
}
DENSITY_MESH = 256
"""Most cells along a side of the density that a box keeps for pictures."""


@dataclass(frozen=True)
class Content:
    """The content of a box at one redshift.

    Attributes:
        redshift: of the snapshot.
        elements: its shock elements.
        halos: its halos, the most massive first.
        density: float (m, m, m), in units of the mean.
    """

    redshift: float
    elements: Elements
    halos: Halos
    density: NDArray[Any]


@dataclass(frozen=True)
class Box:
    """A complete box file.

    Attributes:
        path: of the file.
        side: comoving [Mpc].
        redshifts: of its snapshots.
    """

    path: Path
    side: float
    redshifts: tuple[float, ...]

    def nearest(self, redshift: float) -> float:
        """Return the redshift of the snapshot nearest to a redshift."""
        return min(self.redshifts, key=lambda z: abs(z - redshift))

    def elements(self, redshift: float) -> Elements:
        """Return the shock elements of the snapshot at a redshift."""
        return Elements(**self._table(redshift, "", Elements))

    def halos(self, redshift: float) -> Halos:
        """Return the halos of the snapshot at a redshift."""
        return Halos(**self._table(redshift, "halos/", Halos))

    def density(self, redshift: float) -> NDArray[np.float32]:
        """Return the density at a redshift, float32 (m, m, m) in units of the mean."""
        with naming(self.path), h5py.File(self.path, "r", locking=False) as file:
            return np.asarray(file[f"{self._group(redshift)}/density"], np.float32)

    def _table(self, redshift: float, prefix: str, kind: type) -> dict[str, NDArray[Any]]:
        with naming(self.path), h5py.File(self.path, "r", locking=False) as file:
            group = f"{self._group(redshift)}/{prefix}"
            return {f.name: np.asarray(file[group + f.name]) for f in fields(kind)}

    def _group(self, redshift: float) -> str:
        return f"snapshot-{self.redshifts.index(redshift)}"


def digest(content: Any) -> str:
    """Return 16 hexadecimal digits that identify plain values."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_made(path: Path, recipe: str) -> bool:
    """Return whether the file holds the complete box of this recipe (a digest)."""
    if not path.exists():
        return False
    try:
        with h5py.File(path, "r", locking=False) as file:
            return bool(file.attrs.get("recipe") == recipe)
    except OSError:  # not HDF5, or cut short by other hands: it is made anew
        return False


def opened(path: Path, recipe: str) -> Box:
    """Return the box of a file.

    Raises:
        InputError: the file cannot be read, or is not the box of this recipe.
    """
    if not path.exists():
        raise InputError(f"{path}: no such box; run the same command again, which makes it")
    with naming(path), h5py.File(path, "r", locking=False) as file:
        if file.attrs.get("recipe") != recipe:
            raise InputError(f"{path}: not made by this configuration; remove it to make it anew")
        return _opened(path, file)


def volume_at(path: Path, volume: str) -> Box | None:
    """Return the box of a file if its simulated volume has this digest, whatever its field."""
    if not path.exists():
        return None
    try:
        with h5py.File(path, "r", locking=False) as file:
            return _opened(path, file) if file.attrs.get("volume") == volume else None
    except OSError:  # not HDF5, or cut short: it is made anew
        return None


def _opened(path: Path, file: Any) -> Box:
    groups = [file[f"snapshot-{number}"] for number in range(len(file))]  # not as text sorts
    redshifts = tuple(float(group.attrs["redshift"]) for group in groups)
    return Box(path, float(file.attrs["side"]), redshifts)


def write(
    path: Path,
    recipe: str,
    side: float,
    attributes: Mapping[str, Any],
    snapshots: Iterable[Content],
) -> None:
    """Write a box, completely or not at all.

    Args:
        path: of the file.
        recipe: digest of all that decides on the content.
        side: of the box [comoving Mpc].
        attributes: further ones, for the reader.
        snapshots: drawn one by one.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing_hdf5(path) as file:
        file.attrs["recipe"] = recipe
        file.attrs["writer"] = f"cosmodeep_hpc {__version__}"
        file.attrs["side"] = side
        file.attrs["side_unit"] = UNITS["position"]
        for name, value in attributes.items():
            file.attrs[name] = value
        for number, content in enumerate(snapshots):
            group = file.create_group(f"snapshot-{number}")
            group.attrs["redshift"] = content.redshift
            _write_table(group, content.elements)
            _write_table(group.create_group("halos"), content.halos)
            density = content.density.astype(np.float16)
            dataset = group.create_dataset("density", data=density, compression="lzf", shuffle=True)
            dataset.attrs["unit"] = UNITS["density"]


def _write_table(group: Any, table: Any) -> None:
    for field in fields(table):
        dataset = group.create_dataset(field.name, data=getattr(table, field.name))
        dataset.attrs["unit"] = UNITS[field.name]
