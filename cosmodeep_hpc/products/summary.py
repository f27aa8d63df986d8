"""The summary of a sweep of many mosaics: what became of each, as a table and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.survey.task import MosaicOutcome

NAME = "summary.csv"
COLUMNS = ("image", "state", "cells", "signal", "no_data", "islands", "mask", "notes")


def as_csv(outcomes: Sequence[MosaicOutcome]) -> str:
    """Return the outcomes as CSV, a line an image."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(
        (o.path, o.state, o.cells, o.signal, o.no_data, o.islands, o.mask or "", "; ".join(o.notes))
        for o in outcomes
    )
    return text.getvalue()


def table(outcomes: Sequence[MosaicOutcome]) -> str:
    """Return the outcomes as a text table, with the path of each mask and the notes."""
    lines = [
        f"{'image':32} {'state':6} {'cells':>7} {'signal':>7} {'no data':>7} {'islands':>7}  mask"
    ]
    for o in outcomes:
        lines.append(
            f"{o.path.name:32} {o.state:6} {o.cells:7d} {o.signal:7d} {o.no_data:7d} "
            f"{o.islands:7d}  {o.mask or ''}"
        )
        lines += [f"  {'error' if o.state == 'failed' else 'note'}: {note}" for note in o.notes]
    return "\n".join(lines)


def spare_other(path: Path) -> None:
    """Refuse to write over a table that is no sweep's.

    Raises:
        InputError: there is one.
    """
    if not path.exists():
        return
    begin = ",".join(COLUMNS[:2])
    with naming(path), path.open("rb") as file:
        if not file.read(len(begin)) == begin.encode():
            raise InputError(
                f"{path}: already exists and was not written by a sweep; choose another --out, or "
                "add --restart to overwrite it"
            )
