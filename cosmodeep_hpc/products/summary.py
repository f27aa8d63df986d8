"""The summary of a sweep of many mosaics: what became of each, as a table and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.io.files import replacing
from cosmodeep_hpc.parallel.locks import in_turn
from cosmodeep_hpc.products.names import stem
from cosmodeep_hpc.survey.task import MosaicOutcome

NAME = "summary.csv"
COLUMNS = ("image", "state", "cells", "signal", "no_data", "islands", "mask", "notes")


def write(folder: Path, outcomes: Sequence[MosaicOutcome], waiting: Callable[[str], None]) -> None:
    """Write the outcomes to `summary.csv` of a folder of products, a line an image.

    Lines of images that other sweeps into this folder had stay as they are.

    Args:
        waiting: called with a note while another job writes the file.

    Raises:
        InputError: the folder cannot be written.
    """
    path = folder / NAME
    with in_turn(path, waiting):
        lines = {stem(Path(line[0])): line for line in _lines(path)}
        for o in outcomes:
            what = (o.path, o.state, o.cells, o.signal, o.no_data, o.islands, o.mask or "")
            lines[stem(o.path)] = [*map(str, what), "; ".join(o.notes)]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([COLUMNS, *lines.values()])
        with replacing(path) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8", errors="surrogateescape")


def _lines(path: Path) -> list[list[str]]:
    """Return the lines of an earlier table; none where there is none, or it is no sweep's."""
    if not path.exists():
        return []
    with naming(path):
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    columns, *lines = csv.reader(io.StringIO(text, newline="")) if text else [()]
    return [line for line in lines if line] if tuple(columns) == COLUMNS else []


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
