"""A folder of results of `cosmodeep evaluate`, read and grouped by labelling rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.evaluation.reliability import EDGES, Reliability
from cosmodeep_hpc.io.files import read_json
from cosmodeep_hpc.paper.published import RATIOS, Published, PublishedRule

METRICS = "metrics.json"
"""The file of a result of `cosmodeep evaluate`."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The evaluation of one model.

    Attributes:
        path: the file.
        rule: the labels of the tiles.
        model: name of the model's file.
        sha256: of the model's file.
        seed: of its training; None if an older version did not record it.
        images_seen: images it was trained and validated on; None likewise.
        point: operating point of the evaluation; None likewise.
        images: names of the images.
        ratios: As, Ws and Wv of all tiles together, with the standard error over the images; None
            if there is nothing to divide by.
        signal_tiles: tiles with signal an image.
        reliability: signal tiles by probability; None in results of an older version.
    """

    path: Path
    rule: PublishedRule
    model: str
    sha256: str
    seed: int | None
    images_seen: int | None
    point: str | None
    images: tuple[str, ...]
    ratios: dict[str, Published | None]
    signal_tiles: float
    reliability: Reliability | None


def read(path: Path) -> Evaluation:
    """Return the evaluation in a `metrics.json`.

    Raises:
        InputError: it cannot be read, or is something else.
    """
    content = read_json(path)
    try:
        return _parsed(path, content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: not a result of `cosmodeep evaluate` ({type(error).__name__}: {error}); "
            "move it elsewhere, or evaluate the model again"
        ) from error


def _parsed(path: Path, content: dict[str, Any]) -> Evaluation:
    total, mean, model = content["total"], content["mean"], content["model"]
    ratios = {
        name: None
        if total[name] is None
        else Published(float(total[name]), mean[name]["standard_error"])
        for name in RATIOS
    }
    images = tuple(content["an_image"])
    if not images:
        raise ValueError("it names no image")
    binned = content.get("reliability")
    reliability = None if binned is None else Reliability.from_dict(binned)
    if reliability is not None and reliability.edges != EDGES:
        raise ValueError("reliability: counted in other bins")
    return Evaluation(
        path=path,
        # 1e-7 may have been 1.0000000000000001e-07 once
        rule=(int(content["n_pix"]), float(f"{content['f_th']:.6g}")),
        model=str(model["name"]),
        sha256=str(model["sha256"]),
        seed=model.get("seed"),
        images_seen=model.get("images_seen"),
        point=content.get("point"),
        images=images,
        ratios=ratios,
        signal_tiles=total["Ns"] / len(images),
        reliability=reliability,
    )


def read_all(folder: Path) -> list[Evaluation]:
    """Return the evaluations in a folder and its sub-folders, in the order of their paths.

    Raises:
        InputError: there are none, one is damaged, or two are of the same model and rule.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected results of `cosmodeep evaluate`")
    found = [read(path) for path in sorted(folder.rglob(METRICS))]
    if not found:
        raise InputError(
            f"{folder}: no {METRICS} in it or in its sub-folders; expected what `cosmodeep "
            "evaluate --out` wrote, a sub-folder for each model"
        )
    models: dict[tuple[str, PublishedRule], Evaluation] = {}
    for one in found:
        # a counts network is judged by many rules
        if (other := models.setdefault((one.sha256, one.rule), one)) is not one:
            raise InputError(
                f"{one.path}: of the same model as {other.path}; expected one result a model and "
                "rule, runs that count twice would make errors too small: move one elsewhere"
            )
    return found


def by_rule(evaluations: Sequence[Evaluation]) -> dict[PublishedRule, list[Evaluation]]:
    """Group evaluations by N_pix and F_th, the largest of each first, as in the paper."""
    rules = sorted({one.rule for one in evaluations}, reverse=True)
    return {rule: [one for one in evaluations if one.rule == rule] for rule in rules}
