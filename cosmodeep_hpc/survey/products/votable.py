"""The catalogue of islands as a VOTable."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from cosmodeep_hpc import __version__
from cosmodeep_hpc.survey.products.columns import Column, is_missing, plain

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
            datatype=column.kind,
            arraysize="*" if column.kind == "char" else "",
            unit=column.unit,
            ucd=column.ucd,
            ref="ICRS" if column.ucd.startswith("pos.eq") else "",
        )
        meaning = escape(column.meaning)
        lines.append(f"   <FIELD{attributes}><DESCRIPTION>{meaning}</DESCRIPTION></FIELD>")
    lines += ["   <DATA>", "    <TABLEDATA>"]
    for row in zip(*(column.values for column in columns), strict=True):
        cells = "".join(
            f"<TD>{_cell(value, column.kind)}</TD>"  # empty: no value
            for value, column in zip(row, columns, strict=True)
        )
        lines.append(f"     <TR>{cells}</TR>")
    lines += ["    </TABLEDATA>", "   </DATA>", "  </TABLE>", " </RESOURCE>", "</VOTABLE>"]
    path.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


def _cell(value: Any, kind: str) -> str:
    if is_missing(value):
        return ""
    if kind == "boolean":
        return "T" if value else "F"
    return escape(value) if kind == "char" else str(plain(value))


def _attributes(**values: str) -> str:
    return "".join(f" {name}={quoteattr(value)}" for name, value in values.items() if value)
