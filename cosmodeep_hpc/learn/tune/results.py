"""What the runs of a search gave: one file a run, whole or not there, and their ranking."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmodeep_hpc import __version__
from cosmodeep_hpc.config.tune import Tune
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.io.files import read_json, write_json
from cosmodeep_hpc.learn.runlog import METRICS
from cosmodeep_hpc.learn.tune.grid import TuneRun, count, tune_run

RESULTS = "results"
RUNS = "runs"
TILES = "tiles.json"  # which tile set a search is made on


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended.

    Attributes:
        run: its parameters.
        error: why it failed; None where it did not.
        points: one dictionary a number of epochs that was reached, see `measured`.
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
            "cosmodeep_hpc": __version__,
            "run": self.run.number,
            "learning_rate": self.run.learning_rate,
            "batch": self.run.batch,
            "epochs": self.run.epochs,
            "state": "done" if self.error is None else "failed",
            "error": self.error,
            "ranks": self.ranks,
            "points": self.points,
            "validation": self.validation,
        }
        write_json(path_of(out, self.run), content)


def tiles_of(out: Path) -> dict[str, str]:
    """Which tile set a search is made on: `tiles`, its folder, and `index_sha256`.

    Raises:
        InputError: the file that says so is not there, or damaged.
    """
    found = read_json(out / TILES)
    try:
        return {name: str(found[name]) for name in ("tiles", "index_sha256")}
    except (KeyError, TypeError) as error:
        text = "expected what `cosmodeep tune` wrote: choose another --out"
        raise InputError(f"{out / TILES}: damaged ({error!r}); {text}") from error


def path_of(out: Path, run: TuneRun) -> Path:
    """The file of a run's result."""
    return out / RESULTS / f"{run.name}.json"


def folder_of(out: Path, run: TuneRun) -> Path:
    """The run folder that it is trained in."""
    return out / RUNS / run.name


def read(out: Path, run: TuneRun) -> Result | None:
    """The result of a run; None where there is none yet.

    Raises:
        InputError: it cannot be read, or is that of other parameters.
    """
    path = path_of(out, run)
    if not path.exists():
        return None
    content = read_json(path)
    try:
        for name in ("learning_rate", "batch", "epochs"):
            asked = getattr(run, name)
            found = tuple(content[name]) if name == "epochs" else content[name]
            if found != asked:
                raise InputError(
                    f"{path}: {name} {found}, expected {asked}: the result of another search; "
                    "choose another --out"
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


def read_all(out: Path, tune: Tune) -> tuple[list[Result], list[TuneRun]]:
    """The results there are, and the runs that have none."""
    runs = [tune_run(tune, number) for number in range(count(tune))]
    found = [(run, read(out, run)) for run in runs]
    return [r for _, r in found if r is not None], [run for run, r in found if r is None]


def measured(
    out: Path, run: TuneRun, *, keep: str = "last", ended: bool = True
) -> tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]]:
    """What the record of a run says: its points, and all its validations.

    A point is what training for one of the run's numbers of epochs gives: `test`, `epochs`;
    `of_epoch`, the epochs that the judged model was trained for, fewer where training stopped
    early or keeps the best model; accuracy and threshold of that model's validation; the
    `seconds` of training, by the pace recorded every few steps (so that a run that was killed and
    went on is counted as if it had not been), and the mean `tiles_per_second`.

    Args:
        keep: `last` or `best`, the option `train.keep`.
        ended: whether the run came to its end, which may be before the largest number of epochs.
    """
    path = folder_of(out, run) / METRICS
    if not path.exists():
        return (), ()
    with naming(path):
        lines = path.read_text(errors="replace").splitlines()
    seconds, last = [(0, 0.0)], 0
    validations: dict[int, tuple[int, dict[str, Any]]] = {}
    for line in lines:
        try:
            values = json.loads(line)
        except ValueError:  # cut short by a crash; what it recorded is done again, or was the end
            continue
        if values["kind"] == "train":
            took = (values["step"] - last) * run.batch / values["tiles_per_second"]
            last = values["step"]
            seconds.append((last, seconds[-1][1] + took))
        elif values["kind"] == "validation":
            accuracy = {k: v for k, v in values.items() if k not in {"kind", "step", "epoch"}}
            done = int(values["epoch"]) + 1
            validations[done] = values["step"], {"epochs": done, **accuracy}
    points = []
    for test, epochs in zip(run.tests, run.epochs, strict=True):
        until = [done for done in sorted(validations) if done <= epochs]
        if not until or (until[-1] < epochs and not ended):
            continue
        judged = until[-1]
        if keep == "best":  # the earliest of equal ones, as the trainer keeps it
            judged = max(until, key=lambda done: (_score(validations[done][1]), -done))
        step = validations[until[-1]][0]
        took = _at(step, seconds)
        point = {"test": test, **validations[judged][1], "epochs": epochs, "of_epoch": judged}
        pace = step * run.batch / took if took else None
        points.append({**point, "seconds": took, "tiles_per_second": pace})
    return tuple(points), tuple(validations[done][1] for done in sorted(validations))


def _score(values: dict[str, Any]) -> float:
    """As, to compare by; less than any where it is not defined."""
    return -1.0 if values["As"] is None else float(values["As"])


def _at(step: int, seconds: Sequence[tuple[int, float]]) -> float:
    """The seconds of training until a step, of those recorded at some steps."""
    earlier = [(s, t) for s, t in seconds if s <= step][-1]
    later = next(((s, t) for s, t in seconds if s >= step), earlier)
    span = later[0] - earlier[0]
    return earlier[1] + ((later[1] - earlier[1]) * (step - earlier[0]) / span if span else 0.0)


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """A combination and its place; those that are equal share one.

    Attributes:
        place: 1 is the best.
        run: that it is part of.
        point: see `measured`.
    """

    place: int
    run: TuneRun
    point: dict[str, Any]


def ranking(results: Sequence[Result]) -> list[Ranked]:
    """All points of all runs by As, then Ws, the best first; then by TestID, in one place.

    An accuracy that is not defined comes last.
    """

    def score(point: dict[str, Any]) -> tuple[float, float]:
        return -_score(point), 1.0 if point["Ws"] is None else -float(point["Ws"])

    points = [(result.run, point) for result in results for point in result.points]
    points.sort(key=lambda pair: (score(pair[1]), pair[1]["test"]))
    ranked: list[Ranked] = []
    for number, (run, point) in enumerate(points, start=1):
        same = ranked and score(ranked[-1].point) == score(point)
        ranked.append(Ranked(place=ranked[-1].place if same else number, run=run, point=point))
    return ranked


def array_of(numbers: Sequence[int]) -> str:
    """Numbers as `sbatch --array=` takes them: three or more in a row as `first-last`."""
    groups: list[list[int]] = []
    for number in sorted(set(numbers)):
        if groups and number == groups[-1][-1] + 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    words = [
        f"{group[0]}-{group[-1]}" if len(group) > 2 else ",".join(map(str, group))
        for group in groups
    ]
    return ",".join(words)
