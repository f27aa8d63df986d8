"""Tables as files: FITS binary table, VOTable and CSV, with units, UCDs and meanings of columns."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import ascii as text
from astropy.io import fits
from astropy.io.votable import tree
from astropy.table import QTable, Table

from cosmodeep_hpc import __version__
from cosmodeep_hpc.io.files import fits_content
from cosmodeep_hpc.parallel.warningfilters import ONE_AT_A_TIME

DTYPES = {"char": np.str_, "int": np.int32, "double": np.float64, "boolean": np.bool_}
VOTABLE_TYPES = {"U": "char", "i": "int", "f": "double", "b": "boolean"}  # `char` is ASCII


def described(about: str, values: dict[str, Any]) -> QTable:
    """Return a table of the columns that a text describes.

    Args:
        about: a line a column: name | data type | unit | UCD | meaning.
        values: of the columns, by name.

    Returns:
        numbers with a unit are Quantities; UCDs are in the columns' `meta`, the table's own is
        empty.
    """
    table = QTable()
    for line in about.strip().splitlines():
        column, kind, unit, ucd, meaning = (part.strip() for part in line.split("|"))
        made: Any = np.asarray(values[column], DTYPES[kind])
        if unit:
            made = u.Quantity(made, _unit(unit), dtype=made.dtype)
        table[column] = made
        table[column].info.description = meaning
        table[column].info.meta = {"ucd": ucd}
    return table


@cache
def _unit(text: str) -> u.UnitBase:
    with ONE_AT_A_TIME:  # astropy sets warning filters while it reads a unit of several
        return u.Unit(text)


def write_fits(table: QTable, name: str, header: fits.Header, path: Path) -> None:
    """Write a FITS binary table, with UCDs in TUCDn and meanings in TCOMMn; it is ASCII.

    Args:
        name: of the table. header: cards that are added to its own.
    """
    plain = Table(table)
    for column in plain.itercols():
        if column.dtype.kind == "U":
            plain[column.name] = np.strings.encode(column.data, "ascii", "replace")
    plain.meta = {}
    hdu = fits.table_to_hdu(plain)
    hdu.name = name.upper()
    for number, column in enumerate(table.itercols(), 1):
        hdu.header[f"TUCD{number}"] = column.info.meta["ucd"]
        hdu.header[f"TCOMM{number}"] = column.info.description
    hdu.header.extend(header)
    path.write_bytes(fits_content(fits.PrimaryHDU(), hdu))


def write_csv(table: QTable, path: Path) -> None:
    """Write comma-separated text: names of columns, then rows; empty where there is no value."""
    plain = Table(table, masked=True)
    for column in plain.itercols():
        if column.dtype.kind == "f":
            column.mask = np.isnan(column)
    with path.open("w", newline="", encoding="utf-8") as file:
        text.write(plain, file, format="csv", strip_whitespace=False)


def write_votable(table: QTable, name: str, path: Path) -> None:
    """Write a VOTable 1.4; what its `meta` says is in INFO elements."""
    file = tree.VOTableFile(version="1.4")
    file.coordinate_systems.append(tree.CooSys(ID="ICRS", system="ICRS"))
    about = {"creator": f"cosmodeep_hpc {__version__}", **table.meta}
    about["notes"] = "; ".join(about["notes"])
    file.infos.extend(tree.Info(name=what, value=value) for what, value in about.items())
    element = tree.TableElement(file, name=name)
    for column in table.itercols():
        element.fields.append(_field(file, column))
    element.create_arrays(len(table))
    for field, column in zip(element.fields, table.itercols(), strict=True):
        element.array[field.ID] = getattr(column, "value", column)
    resource = tree.Resource(type="results")
    resource.tables.append(element)
    file.resources.append(resource)
    with path.open("wb") as written:
        file.to_xml(written)


def _field(file: tree.VOTableFile, column: Any) -> tree.Field:
    """Return what a VOTable says of a column."""
    info, ucd, kind = column.info, column.info.meta["ucd"], np.dtype(column.dtype).kind
    is_text = kind == "U"
    is_ascii = is_text and all(value.isascii() for value in column)
    field = tree.Field(
        file,
        ID=info.name,
        name=info.name,
        datatype=VOTABLE_TYPES[kind] if is_ascii or not is_text else "unicodeChar",
        arraysize="*" if is_text else None,
        unit=info.unit,
        ucd=ucd,
        ref="ICRS" if ucd.startswith("pos.eq") else None,
    )
    field.description = info.description
    return field
