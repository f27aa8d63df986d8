"""The catalogue of islands as a table in memory, FITS table and comma-separated text."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable

from cosmodeep_hpc.products.columns import Column, texts
from cosmodeep_hpc.products.fitsfile import Card, image_header, write_data, write_header

DTYPES = {"char": np.str_, "int": np.int32, "double": np.float64, "boolean": np.bool_}
FITS_TYPES = {"int": ("J", ">i4"), "double": ("D", ">f8"), "boolean": ("L", "S1")}


def write_fits(columns: list[Column], header: fits.Header, path: Path) -> None:
    """Write a FITS binary table, with UCDs in TUCDn and meanings in TCOMMn.

    Its bytes are laid out here, as the standard has them: astropy's columns take ten times as long.

    Source: FITS standard 4.0, section 7.3.
    """
    arrays: list[np.ndarray] = []
    cards: list[Card] = []
    for number, column in enumerate(columns, 1):
        array, form = _stored(column)
        arrays.append(array)
        cards += [
            (f"TTYPE{number}", column.name),
            (f"TFORM{number}", form),
            *([(f"TUNIT{number}", column.unit)] if column.unit else []),
            (f"TUCD{number}", column.ucd),
            (f"TCOMM{number}", column.meaning),
        ]
    rows = np.empty(
        len(arrays[0]), [(column.name, a.dtype) for column, a in zip(columns, arrays, strict=True)]
    )
    for column, array in zip(columns, arrays, strict=True):
        rows[column.name] = array
    head: list[Card] = [
        ("XTENSION", "BINTABLE"),
        ("BITPIX", 8),
        ("NAXIS", 2),
        ("NAXIS1", rows.dtype.itemsize),
        ("NAXIS2", len(rows)),
        ("PCOUNT", 0),
        ("GCOUNT", 1),
        ("TFIELDS", len(columns)),
        *cards,
        ("EXTNAME", "ISLANDS"),
    ]
    with path.open("wb") as file:
        write_header(file, image_header(()))
        write_header(file, head, header)
        write_data(file, rows)


def _stored(column: Column) -> tuple[np.ndarray, str]:
    """The values of a column as they are stored, and the TFORM that says so."""
    if column.kind == "char":
        words = [value.encode("ascii", "replace") for value in column.values]
        width = max(map(len, words), default=1) or 1
        return np.array(words, f"S{width}"), f"{width}A"
    letter, kind = FITS_TYPES[column.kind]
    if column.kind == "boolean":
        return np.array([b"T" if value else b"F" for value in column.values], kind), letter
    return np.array(column.values, kind), letter


def table(columns: list[Column], about: dict[str, Any]) -> QTable:
    """The catalogue as a table with units: numbers with a unit are Quantities.

    Args:
        about: what the table as a whole is of, for its `meta`.
    """
    made = QTable(meta=about)
    for column in columns:
        values: Any = np.array(column.values, DTYPES[column.kind])
        if column.unit:
            values = u.Quantity(values, column.unit, dtype=values.dtype)
        made[column.name] = values
        made[column.name].info.description = column.meaning
        made[column.name].info.meta = {"ucd": column.ucd}
    return made


def write_csv(columns: list[Column], path: Path) -> None:
    """Write comma-separated text: names of columns, then rows; empty where there is no value."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(column.name for column in columns)
        writer.writerows(zip(*map(texts, columns), strict=True))
