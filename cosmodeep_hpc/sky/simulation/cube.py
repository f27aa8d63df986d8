"""Plain HDF5 cubes: a three-dimensional dataset for each field, and attributes.

The format that a user writes is in docs/shock-finder.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.sky import cosmology
from cosmodeep_hpc.sky.simulation.grid import UNITS, Grid

SPELLINGS = {
    "density": ("density", "gasdensity", "rho", "rhogas"),
    "dark_matter_density": ("darkmatterdensity", "dmdensity", "rhodm"),
    "temperature": ("temperature", "temp", "gastemperature"),
    "mach": ("mach", "machnumber"),
    "preshock_temperature": ("preshocktemperature",),
    "preshock_density": ("preshockdensity",),
    **{
        f"velocity_{x}": (f"velocity{x}", f"{x}velocity", f"vel{x}", f"v{x}", f"gasvelocity{x}")
        for x in "xyz"
    },
    **{f"B_{x}": (f"b{x}", f"magneticfield{x}", f"magnetic{x}") for x in "xyz"},
}
"""Names of datasets that are understood, without case, spaces, `_` and `-`."""
REDSHIFT = ("redshift", "z", "currentredshift")
SCALE_FACTOR = ("scalefactor", "a", "expansionfactor")
HUBBLE = ("h", "hubble", "hubbleparam", "hubbleconstant", "h0", "littleh")
BOX = ("box", "boxsize", "boxside", "side", "boxlength")
"""Attributes of the side of the box, with the unit in another attribute such as `box_unit`."""
COSMOLOGY = {
    "Omega_m": (("omegam", "omegamatter", "omega0", "om0"), cosmology.OMEGA_M),
    "Omega_b": (("omegab", "omegabaryon", "ob0"), cosmology.OMEGA_B),
    "h": (HUBBLE, cosmology.H0 / 100),
}
"""Attributes that are compared with the light cone's cosmology."""
TOLERANCE = 0.03
"""Relative difference of a cosmological parameter above which the user is told."""
OTHER_UNITS = {"dimensionless": "", "none": "", "kelvin": "K"}


@dataclass(frozen=True)
class Cube:
    """A dataset of an HDF5 file, read by planes and converted to the unit of its field.

    Attributes:
        path: of the file.
        name: of the dataset.
        shape: of the dataset.
        factor: from its unit to that of UNITS.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    factor: float

    def __getitem__(self, rows: slice) -> NDArray[np.floating]:
        """Return the planes `rows`, float32; float64 if float32 cannot hold the product."""
        with naming(self.path), h5py.File(self.path, "r", locking=False) as file:
            values = np.asarray(file[self.name][rows])
        return values if self.factor == 1 else values * np.float64(self.factor)


def is_cube(path: Path) -> bool:
    """Return whether the file is HDF5 with a three-dimensional gas density at its root."""
    with naming(path), path.open("rb"):
        pass  # h5py would not tell a missing file from another format
    if not h5py.is_hdf5(path):
        return False
    with naming(path), h5py.File(path, "r", locking=False) as file:
        return "density" in _datasets(file)


def read(path: Path) -> Grid:
    """Return the grid of an HDF5 file; no field is read yet.

    Raises:
        InputError: a field or attribute is missing, a unit is missing, unknown or of another kind,
            or the file is damaged.
    """
    with naming(path), h5py.File(path, "r", locking=False) as file:
        attributes = {_plain(name): value for name, value in file.attrs.items()}
        redshift = _redshift(path, attributes)
        found = _datasets(file)
        side = _side(path, attributes, redshift, file[found["density"]].shape[0])
        fields = {}
        for field, name in found.items():
            dataset = file[name]
            factor = _factor(path, name, dataset.attrs, field)
            fields[field] = Cube(path, name, dataset.shape, factor)
        order = str(_text(attributes.get("axisorder", "")))
    if -1 < order.find("iz") < order.find("ix"):
        raise InputError(
            f"{path}: axis_order is {order!r}, expected [ix, iy, iz]: axis 0 is x; transpose it"
        )
    return Grid(str(path), redshift, side, fields, cosmology_notes(path, attributes))


def cosmology_notes(path: object, attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a line if parameters differ from the light cone's by more than TOLERANCE.

    Args:
        path: named in the line.
        attributes: by their names without case, `_` and `-`.
    """
    differing = []
    for label, (names, ours) in COSMOLOGY.items():
        value = _number(path, attributes, names)
        if value is not None and label == "h" and value > 10:
            value /= 100  # H0 in km/s/Mpc
        if value is not None and abs(value / ours - 1) > TOLERANCE:
            differing.append(f"{label} = {value:.4g} (the light cone: {ours:.4g})")
    if not differing:
        return ()
    return (f"{path}: another cosmology: {', '.join(differing)}; distances are the light cone's",)


def _plain(name: str) -> str:
    """Return a name without the parts that people spell differently."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def _text(value: Any) -> Any:
    """Return a string attribute, which HDF5 may give as bytes or as an array of one."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _datasets(file: h5py.File) -> dict[str, str]:
    """Return the name in the file of each field of UNITS that it has."""
    there = {
        _plain(name): name
        for name, item in file.items()
        if isinstance(item, h5py.Dataset) and item.ndim == 3
    }
    return {
        field: there[spelling]
        for field in UNITS
        for spelling in SPELLINGS[field][::-1]  # the first spelling is taken in the end
        if spelling in there
    }


def _number(path: object, attributes: Mapping[str, Any], names: Iterable[str]) -> float | None:
    """Return the first of the attributes that the file has.

    Raises:
        InputError: it is not a number.
    """
    for name in names:
        if name in attributes:
            try:
                return float(np.asarray(attributes[name]).reshape(-1)[0])
            except (ValueError, IndexError):
                raise InputError(
                    f"{path}: attribute {name} is {attributes[name]!r}, expected a number"
                ) from None
    return None


def _redshift(path: Path, attributes: Mapping[str, Any]) -> float:
    redshift = _number(path, attributes, REDSHIFT)
    scale = _number(path, attributes, SCALE_FACTOR)
    if redshift is None and scale is not None and scale > 0:
        redshift = 1 / scale - 1
    if redshift is None:
        raise InputError(
            f"{path}: no redshift, so not a cosmological box; expected an attribute 'redshift' "
            f"(or 'scale_factor') of the file"
        )
    return redshift


def _side(path: Path, attributes: Mapping[str, Any], redshift: float, n: int) -> float:
    """Return the side of the box [comoving Mpc]."""
    hubble = _number(path, attributes, HUBBLE)
    if hubble is not None and hubble > 10:
        hubble /= 100  # H0 in km/s/Mpc
    lengths = {"mpc": 1.0, "kpc": 1e-3, "mpccm": 1.0, "kpccm": 1e-3}
    if hubble is not None:
        lengths |= {f"{unit}/h": length / hubble for unit, length in lengths.items()}
    for name, scale in (
        ("boxcomovingmpc", 1.0),
        ("sidecomovingmpc", 1.0),
        ("boxcomovingmpcoverh", 1 / (hubble or np.nan)),
        ("boxpropermpc", 1 + redshift),
        ("cellcomovingkpc", 1e-3 * n),
    ):
        value = _number(path, attributes, (name,))
        if value is not None and np.isfinite(scale):
            return value * scale
    for name in BOX:
        value = _number(path, attributes, (name,))
        if value is None:
            continue
        unit = str(_text(attributes.get(f"{name}unit", attributes.get(f"{name}units", ""))))
        plain = unit.lower().replace("comoving", "").replace("()", "").replace(" ", "")
        if plain not in lengths:
            raise InputError(
                f"{path}: the side of the box has the unit {unit!r}, expected an attribute "
                f"'{name}_unit' that is one of {', '.join(lengths)} (comoving)"
                + ("" if hubble else "; for a unit with /h, give 'h' too")
            )
        return value * lengths[plain]
    raise InputError(
        f"{path}: no size of the box; expected an attribute 'box_comoving_Mpc' of the file"
    )


def _factor(path: Path, name: str, attributes: Mapping[str, Any], field: str) -> float:
    """Return the factor from the unit of a dataset to that of its field."""
    from astropy import units

    given = {_plain(key): value for key, value in attributes.items()}
    text = _text(given.get("units", given.get("unit")))
    wanted = UNITS[field]
    if text is None and wanted:
        raise InputError(
            f"{path}: dataset {name} has no attribute 'units'; expected for example {wanted!r}"
        )
    text = str(text or "").strip()
    try:
        unit = units.Unit(OTHER_UNITS.get(text.lower(), text))
        return float(unit.to(units.Unit(wanted)))
    except (ValueError, TypeError, units.UnitConversionError):
        raise InputError(
            f"{path}: dataset {name} is in {text!r}, which is not a unit of {field}; expected "
            f"{wanted or 'no unit'!r} or one like it (proper, without h)"
        ) from None
