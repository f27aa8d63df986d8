"""The summary of a search: ranking, failed and missing runs, figures 5 and 6 of the paper."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io.files import replacing, write_json
from cosmodeep_hpc.learn.runfolder import SEARCH
from cosmodeep_hpc.learn.tune import figures, results
from cosmodeep_hpc.learn.tune.grid import count
from cosmodeep_hpc.learn.tune.results import shown

COLUMNS = (
    "place", "test", "run", "learning_rate", "batch", "epochs", "of_epoch",
    "As", "Ws", "Wv", "Ns", "Nv", "Nsc", "Nsw", "Nvc", "Nvw",
    "threshold", "seconds", "tiles_per_second",
)  # fmt: skip
"""Of `summary.csv`."""
SHOWN = 20
"""Combinations that the text shows."""
TEXT = (
    ("place", 5, ""), ("test", 5, ""), ("run", 5, ""), ("learning_rate", 13, "g"), ("batch", 6, ""),
    ("epochs", 6, ""), ("As", 7, ".4f"), ("Ws", 7, ".4f"), ("Wv", 7, ".4f"),
    ("threshold", 9, ".4f"), ("seconds", 8, ".0f"), ("tiles_per_second", 16, ".0f"),
)  # fmt: skip
"""Its columns: name, width and format."""
AT_ONCE = 8
"""Jobs of an array that run at the same time, as in slurm/tune.sh."""
FIGURE_5, FIGURE_6 = "figure-5.png", "figure-6.png"


def run(config: Config, out: Path, tiles: Path | None = None) -> str:
    """Sum up the search in `out`: summary.csv, summary.json and two figures there.

    Args:
        config: of the search.
        out: its folder.
        tiles: where its tile set is now; by default where it was.

    Returns:
        the summary as text.

    Raises:
        InputError: `out` holds no search, or a result is damaged or of another search.
    """
    if not (out / SEARCH).exists():
        raise InputError(f"{out}: no search in it; expected a folder that `cosmodeep tune` made")
    found, missing = results.read_all(out, config.tune)
    ranked = results.ranking(found)
    failed = {r.run.number: r.error for r in found if r.error is not None}
    again = sorted([*failed, *missing])
    command = command_for(again, out, tiles) if again else None
    with replacing(out / "summary.csv") as temporary, temporary.open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        table.writeheader()
        table.writerows(ranked)
    runs = count(config.tune)
    content = {
        "runs": runs,
        "done": len(found) - len(failed),
        "failed": failed,
        "missing": missing,
        "again": command,
        "ranking": ranked,
    }
    write_json(out / "summary.json", content)
    lines = [
        f"{len(found) - len(failed)} of {runs} runs done, {len(failed)} failed, "
        f"{len(missing)} missing; {len(ranked)} of {runs * len(config.tune.epochs)} combinations, "
        "by As, then Ws, on the validation images:",
        *table_of(ranked[:SHOWN]),
    ]
    if len(ranked) > SHOWN:
        lines.append(f"... {len(ranked) - SHOWN} more in {out / 'summary.csv'}")
    lines += [f"failed: run {k}: {' '.join(str(error).split())}" for k, error in failed.items()]
    if missing:
        lines.append(f"missing: {array_of(missing)}")
    if command is not None:
        lines.append(f"do them (again): {command}")
    if ranked:
        figures.save(figures.accuracy(config.tune, ranked), out / FIGURE_5)
        figures.save(figures.convergence(found), out / FIGURE_6)
        lines.append(f"figures 5 and 6 of the paper: {FIGURE_5}, {FIGURE_6} in {out}")
    return "\n".join(lines)


def table_of(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return rows of the ranking as lines of text, below a line of heads."""
    head = " ".join(f"{name:>{width}}" for name, width, _ in TEXT)
    return [
        head,
        *(" ".join(f"{shown(row[n], form):>{width}}" for n, width, form in TEXT) for row in rows),
    ]


def command_for(numbers: Sequence[int], out: Path, tiles: Path | None = None) -> str:
    """Return the command that does these runs (again) as a job array.

    It reads the options that the search was begun with from its folder. Where the tile set was a
    copy on a node's disk that is gone, its place is left to fill in.
    """
    where = tiles or Path(results.tiles_of(out)["tiles"])
    there = str(where.resolve()) if where.exists() else "DIR"
    array = array_of(numbers) + (f"%{AT_ONCE}" if len(numbers) > AT_ONCE else "")
    folder = out.resolve()
    words = ["--config", str(folder / "config.json"), "--tiles", there, "--out", str(folder)]
    return shlex.join(["sbatch", f"--array={array}", "slurm/tune.sh", *words])


def array_of(numbers: Sequence[int]) -> str:
    """Return numbers as `sbatch --array=` takes them: three or more in a row as `first-last`."""
    groups = groupby(enumerate(sorted(set(numbers))), key=lambda pair: pair[1] - pair[0])
    rows = [[number for _, number in group] for _, group in groups]
    return ",".join(
        f"{row[0]}-{row[-1]}" if len(row) > 2 else ",".join(map(str, row)) for row in rows
    )
