"""What the runs of a search gave: one file a run, whole or not there, and their ranking."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cosmodeep_hpc import __version__
from cosmodeep_hpc.config.tune import Tune
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.io.files import read_json, write_json
from cosmodeep_hpc.learn.runfolder import SEARCH
from cosmodeep_hpc.learn.runlog import METRICS
from cosmodeep_hpc.learn.tune.grid import TuneRun, count, tune_run

FORMAT = 1
"""Raise it when an entry of the result changes its name or its meaning."""

RESULTS = "results"
RUNS = "runs"


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended.

    Attributes:
        run: its parameters.
        error: why it failed; None where it did not.
        points: one dictionary a number of epochs that was reached, see `read_record`.
        validation: one dictionary a validation: `epochs` done, and the accuracy of `metrics.jsonl`.
        ranks: how many ranks it was trained on, in the end.
    """

    run: TuneRun
    error: str | None
    points: tuple[dict[str, Any], ...]
    validation: tuple[dict[str, Any], ...]
    ranks: int

    def write(self, out: Path) -> None:
        """Write it among the results of the search in `out`."""
        content = {
            "format": FORMAT,
            "cosmodeep_hpc": __version__,
            "run": self.run.number,
            **_parameters(self.run),
            "state": "done" if self.error is None else "failed",
            "error": self.error,
            "ranks": self.ranks,
            "points": self.points,
            "validation": self.validation,
        }
        write_json(path_of(out, self.run), content)


def _parameters(run: TuneRun) -> dict[str, Any]:
    return {
        "learning_rate": run.learning_rate,
        "batch": run.batch,
        "epochs": list(run.epochs),
    }


def path_of(out: Path, run: TuneRun) -> Path:
    """Return the file of a run's result."""
    return out / RESULTS / f"{run.name}.json"


def folder_of(out: Path, run: TuneRun) -> Path:
    """Return the run folder that a run is trained in."""
    return out / RUNS / run.name


def read(out: Path, run: TuneRun) -> Result | None:
    """Read the result of a run; return None where there is none yet.

    Raises:
        InputError: it cannot be read, or is that of other parameters.
    """
    path = path_of(out, run)
    if not path.exists():
        return None
    content = read_json(path)
    try:
        for name, asked in _parameters(run).items():
            if content[name] != asked:
                raise InputError(
                    f"{path}: {name} {content[name]}, expected {asked}: the result of another "
                    "search; choose another --out"
                )
        return Result(
            run=run,
            error=content["error"],
            points=tuple({**p, "test": int(p["test"])} for p in content["points"]),
            validation=tuple({**v, "epochs": int(v["epochs"])} for v in content["validation"]),
            ranks=content["ranks"],
        )
    except (KeyError, TypeError, ValueError) as error:
        text = "remove it to have the run's result written anew"
        raise InputError(f"{path}: not the result of a run ({error!r}); {text}") from error


def read_all(out: Path, tune: Tune) -> tuple[list[Result], list[int]]:
    """Read the results there are; return them, and the numbers of the runs that have none."""
    found = {k: read(out, tune_run(tune, k)) for k in range(count(tune))}
    return [r for r in found.values() if r is not None], [k for k, r in found.items() if r is None]


def tiles_of(out: Path) -> dict[str, str]:
    """Return which tile set a search is made on: `tiles`, its folder, and `index_sha256`.

    Raises:
        InputError: the file that says so is not there, or damaged.
    """
    found = read_json(out / SEARCH)
    try:
        return {name: str(found[name]) for name in ("tiles", "index_sha256")}
    except (KeyError, TypeError) as error:
        text = "expected what `cosmodeep tune` wrote: choose another --out"
        raise InputError(f"{out / SEARCH}: damaged ({error!r}); {text}") from error


def read_record(
    folder: Path, run: TuneRun, *, keep: str = "last", ended: bool = True
) -> tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]]:
    """Return what the record of a run says: its points, and all its validations.

    A point is what training for one of the run's numbers of epochs gives: `test`, `epochs`;
    `of_epoch`, the epochs that the judged model was trained for, fewer where training stopped
    early or keeps the best model; accuracy and threshold of that model's validation; the
    `seconds` of training, by the pace recorded every few steps (so that a run that was killed and
    went on is counted as if it had not been), and the mean `tiles_per_second`.

    Args:
        folder: the run folder.
        keep: `last` or `best`, the option `train.keep`.
        ended: whether the run came to its end, which may be before the largest number of epochs.
    """
    path = folder / METRICS
    if not path.exists():
        return (), ()
    with naming(path):
        lines = path.read_text(errors="replace").splitlines()
    clock, last = {0: 0.0}, 0
    steps: dict[int, int] = {}  # by epochs done
    accuracies: dict[int, dict[str, Any]] = {}
    for line in lines:
        try:
            values = json.loads(line)
        except ValueError:  # cut short by a crash; what it recorded is done again, or was the end
            continue
        step = values["step"]
        if values["kind"] == "train":  # a step done again after a crash sets the clock back first
            clock[step] = clock[last] + (step - last) * run.batch / values["tiles_per_second"]
            last = step
        elif values["kind"] == "validation":
            done = int(values["epoch"]) + 1
            said = {k: v for k, v in values.items() if k not in {"kind", "step", "epoch"}}
            steps[done], accuracies[done] = step, {"epochs": done, **said}
    times = np.array(sorted(clock.items())).T
    points = []
    for test, epochs in zip(run.tests, run.epochs, strict=True):
        until = [done for done in sorted(steps) if done <= epochs]
        if not until or (until[-1] < epochs and not ended):
            continue
        judged = until[-1]
        if keep == "best":  # the earliest of equal ones, as the trainer keeps it
            judged = max(until, key=lambda done: (-_order(accuracies[done])[0], -done))
        tiles, took = steps[until[-1]] * run.batch, float(np.interp(steps[until[-1]], *times))
        point = {"test": test, **accuracies[judged], "epochs": epochs, "of_epoch": judged}
        pace = tiles / took if took else None
        points.append({**point, "seconds": took, "tiles_per_second": pace})
    return tuple(points), tuple(accuracies[done] for done in sorted(accuracies))


def shown(value: float | None, form: str) -> str:
    """Return a number as text; `-` where it is not defined."""
    return "-" if value is None else format(value, form)


def _order(accuracy: dict[str, Any]) -> tuple[float, float]:
    """Return what to sort accuracies by, the best first: As, then Ws; not defined comes last."""
    ratios = (accuracy["As"], accuracy["Ws"])
    first, second = (1.0 if ratio is None else -float(ratio) for ratio in ratios)
    return first, second


def ranking(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return the points of all runs, the best first, with `run`, parameters and `place`.

    Points that are equal share a place, in the order of their `test`.
    """
    rows = [
        {"place": 0, "run": result.run.number, **_parameters(result.run), **point}
        for result in results
        for point in result.points
    ]
    rows.sort(key=lambda row: (_order(row), row["test"]))
    for place, row in enumerate(rows, start=1):
        above = rows[place - 2]
        row["place"] = above["place"] if place > 1 and _order(above) == _order(row) else place
    return rows
