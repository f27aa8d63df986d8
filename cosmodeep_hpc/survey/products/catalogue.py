"""The catalogue of islands as VOTable, FITS table and text."""

from __future__ import annotations

import csv
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from cosmodeep_hpc import __version__
from cosmodeep_hpc.survey.products.columns import Column

if TYPE_CHECKING:
    from astropy.io.votable.tree import VOTableFile

FITS_TYPES = {"int": ("J", np.int32), "double": ("D", np.float64), "boolean": ("L", np.bool_)}


def write_votable(columns: list[Column], about: dict[str, str], path: Path) -> None:
    """Write a VOTable 1.3, its data as text, which every reader knows.

    Args:
        about: INFO elements, by name.
    """
    from astropy.io.votable.exceptions import W50

    with warnings.catch_warnings():
        # "beam" is in the standard for units that later versions refer to, not in this version's
        warnings.simplefilter("ignore", W50)
        _votable(columns, about).to_xml(str(path))


def _votable(columns: list[Column], about: dict[str, str]) -> VOTableFile:
    from astropy.io.votable.tree import CooSys, Field, Info, Resource, TableElement, VOTableFile

    votable = VOTableFile(version="1.3")
    votable.coordinate_systems.append(CooSys(ID="ICRS", system="ICRS"))
    votable.infos.append(Info(name="creator", value=f"cosmodeep_hpc {__version__}"))
    for key, value in about.items():
        votable.infos.append(Info(name=key, value=value))
    resource = Resource()
    votable.resources.append(resource)
    table = TableElement(votable, name="islands")
    resource.tables.append(table)
    for column in columns:
        field = Field(
            votable,
            ID=f"col_{column.name}",
            name=column.name,
            datatype=column.kind,
            arraysize="*" if column.kind == "char" else None,
            unit=column.unit or None,
            ucd=column.ucd,
            ref="ICRS" if column.ucd.startswith("pos.eq") else None,
        )
        field.description = column.meaning
        table.fields.append(field)
    table.create_arrays(len(columns[0].values))
    for field, column in zip(table.fields, columns, strict=True):
        table.array[field.ID] = column.values
        table.array.mask[field.ID] = [_missing(value) for value in column.values]
    return votable


def write_fits(columns: list[Column], header: fits.Header, path: Path) -> None:
    """Write a FITS binary table, with UCDs in TUCDn and meanings in TCOMMn."""
    made = []
    for column in columns:
        if column.kind == "char":
            width = max((len(value) for value in column.values), default=1)
            array: Any = np.array(column.values, dtype=f"S{width}")
            letter = f"{width}A"
        else:
            letter, kind = FITS_TYPES[column.kind]
            array = np.array(column.values, dtype=kind)
        made.append(fits.Column(column.name, letter, column.unit or None, array=array))
    table = fits.BinTableHDU.from_columns(made, name="ISLANDS")
    for number, column in enumerate(columns, 1):
        table.header[f"TUCD{number}"] = column.ucd
        table.header[f"TCOMM{number}"] = column.meaning
    table.header.update(header)
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)


def write_csv(columns: list[Column], path: Path) -> None:
    """Write comma-separated text: names of columns, then rows; empty where there is no value."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(column.name for column in columns)
        for row in zip(*(column.values for column in columns), strict=True):
            writer.writerow("" if _missing(value) else _plain(value) for value in row)


def _missing(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _plain(value: Any) -> Any:
    """Values as text that reads back as what they are, whatever numpy calls its numbers."""
    return repr(float(value)) if isinstance(value, float) else value
