"""The catalogue of islands as a VOTable."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from cosmodeep_hpc import __version__
from cosmodeep_hpc.products.columns import Column, texts

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <COOSYS ID="ICRS" system="ICRS"/>
"""


def write_votable(columns: list[Column], about: dict[str, str], path: Path) -> None:
    """Write a VOTable 1.3, its data as text, which every reader knows.

    Written here: astropy's writer, which the tests read it with, takes ten times as long.

    Args:
        about: INFO elements, by name.

    Source: Ochsenbein et al. (2013), VOTable Format Definition, version 1.3.
    """
    lines = [
        f" <INFO{_attributes(name=name, value=value)}/>"
        for name, value in {"creator": f"cosmodeep_hpc {__version__}", **about}.items()
    ]
    lines += [' <RESOURCE type="results">', '  <TABLE name="islands">']
    for column in columns:
        attributes = _attributes(
            ID=f"col_{column.name}",
            name=column.name,
            datatype=_datatype(column),
            arraysize="*" if column.kind == "char" else "",
            unit=column.unit,
            ucd=column.ucd,
            ref="ICRS" if column.ucd.startswith("pos.eq") else "",
        )
        meaning = escape(column.meaning)
        lines.append(f"   <FIELD{attributes}><DESCRIPTION>{meaning}</DESCRIPTION></FIELD>")
    lines += ["   <DATA>", "    <TABLEDATA>"]
    for row in zip(*(_cells(column) for column in columns), strict=True):
        cells = "</TD><TD>".join(row)  # empty: no value
        lines.append(f"     <TR><TD>{cells}</TD></TR>")
    lines += ["    </TABLEDATA>", "   </DATA>", "  </TABLE>", " </RESOURCE>", "</VOTABLE>"]
    path.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


def _datatype(column: Column) -> str:
    """What the format calls the column's values: `char` is ASCII there, and names may not be."""
    if column.kind != "char" or all(value.isascii() for value in column.values):
        return column.kind
    return "unicodeChar"


def _cells(column: Column) -> list[str]:
    if column.kind == "boolean":
        return ["T" if value else "F" for value in column.values]
    found = texts(column)
    return [escape(text) for text in found] if column.kind == "char" else found


def _attributes(**values: str) -> str:
    return "".join(f" {name}={quoteattr(value)}" for name, value in values.items() if value)
