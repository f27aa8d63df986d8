"""The stage `compare`: the network beside source finders, plain detectors and the ideal limit."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cosmodeep_hpc import __version__
from cosmodeep_hpc.comparison import (
    accuracies,
    closeup,
    figure,
    finders,
    maskaccuracies,
    objectfigure,
)
from cosmodeep_hpc.comparison.scoredmasks import MAPS, ScoredMasks
from cosmodeep_hpc.comparison.scoredtiles import FAMILIES, PAPERS_RULES, LabelRule, ScoredTiles
from cosmodeep_hpc.comparison.scoring import ScoredImage, ScoringRequest, score_image
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io.files import make_folder, sha256, write_json
from cosmodeep_hpc.io.progress import Progress, silent
from cosmodeep_hpc.io.results import ResultFiles
from cosmodeep_hpc.learn import card, modelfile
from cosmodeep_hpc.learn.card import Card, Point
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.parallel.world import World
from cosmodeep_hpc.tiles.make import fingerprint_of
from cosmodeep_hpc.tiles.pairs import Pair, find_pairs

FORMAT = 2
"""Raise it when an entry of the comparison changes its name or its meaning."""

logger = logging.getLogger(__name__)

FIGURE, OBJECTS = "compare.png", "compare-objects.png"
FILES = ResultFiles(
    stage="compare",
    record="compare.json",
    entries=("rules", "chosen_on"),
    later=(FIGURE, OBJECTS, "config.json"),
    pictures=("closeup-*.png",),
)


def run(
    config: Config,
    model: str,
    images: Path,
    out: Path,
    world: World,
    *,
    choose: Path | None = None,
    beside: Path | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Score every detector on the tiles, pixels and objects of every pair; a collective call.

    Args:
        config: its sections `compare` and `classify`; labels and preprocessing are the model's.
        model: run folder, file or name.
        images: folder of pairs that the model has never seen.
        out: folder of `compare.json`, `compare.png` and close-ups; earlier ones are replaced.
        choose: folder of other pairs, on which settings and thresholds of all detectors except the
            model are chosen (the model has its operating point's); None: on `images`.
        beside: folder of an earlier comparison, on other images, whose objects are drawn beside
            these; None: these alone.
        progress: called with (images done, images in all).

    Returns:
        the content of `compare.json`.

    Raises:
        InputError: bad input, an image that the model has seen, one in both folders, or files in
            `out` that are not those of a comparison.
    """
    world.on_root(lambda: FILES.spare_others(out))
    earlier = world.on_root(lambda: [] if beside is None else [objectfigure.read(beside)])
    pairs = world.on_root(lambda: find_pairs(images))
    others = world.on_root(lambda: find_pairs(choose)) if choose is not None else []
    absent = world.on_root(lambda: finders.missing(config.compare.finders))
    if world.is_root:
        for line in absent.values():
            logger.warning("%s", line)
    trained = modelfile.load_on_ranks(model, config.classify.point, config.rule, world=world)
    own = LabelRule(trained.card.n_pix, trained.card.f_th)
    rules = tuple(dict.fromkeys((own, *(PAPERS_RULES if config.compare.rules == "paper" else ()))))
    there = tuple(name for name in config.compare.finders if name not in absent)
    request = ScoringRequest(
        config, trained, rules, there, _cards(trained, rules, config.classify.point)
    )

    world.on_root(lambda: _refuse(pairs, others, trained))
    world.on_root(lambda: FILES.renew(make_folder(out)))
    work = [*pairs, *others]

    def score(number: int) -> ScoredImage:
        one = score_image(request, work[number])
        if number < min(config.compare.closeups, len(pairs)):
            closeup.draw(request, work[number], one.tiles, one.islands, out)
        return replace(one, islands=None)  # no other rank needs them

    ordered = world.map(score, len(work), progress)

    def finish() -> dict[str, Any]:
        scored, chosen_on = ordered[: len(pairs)], ordered[len(pairs) :]
        if not any(len(one.tiles.row) for one in scored):
            size = trained.card.preprocessing.tile_size
            raise InputError(
                f"{images}: no tile of {size} x {size} pixels that all have data; expected larger "
                "images"
            )
        result = {
            **summary(
                request,
                [one.tiles for one in scored],
                [one.tiles for one in chosen_on],
                tuple(absent),
            ),
            "maps": maps(
                images,
                request,
                [one.masks for one in scored],
                [one.masks for one in chosen_on],
                {**_reasons(one.tiles for one in scored), **absent},
            ),
        }
        for line in result["failures"]:
            logger.error("%s", line)
        write_json(out / FILES.record, result)
        figure.draw(result, out / FIGURE)
        mine = objectfigure.ComparedObjects.of(result)
        objectfigure.draw([mine, *earlier], out / OBJECTS)
        config.write(out / "config.json")
        return result

    return world.on_root(finish)


def _cards(model: TrainedModel, rules: Sequence[LabelRule], point: Point) -> dict[LabelRule, Card]:
    """Return the card for each rule that the model serves; a counts network serves several."""
    served = {rules[0]: model.card}
    for rule in rules[1:] if model.card.readings is not None else ():
        with suppress(InputError):  # the network does not know this rule
            one = card.for_rule(model.card, (rule.f_th, rule.n_pix), model.path)
            served[rule] = card.at(one, point, model.path)
    return served


def _refuse(images: Sequence[Pair], others: Sequence[Pair], model: TrainedModel) -> None:
    """Check, before hours of work, that all images can be read and may be used."""
    known: dict[str, Path] = {}
    for pair in images:
        fingerprint = fingerprint_of(pair.open()[1].pixels())
        if fingerprint in model.card.trained_on:
            raise InputError(
                f"{pair.noise}: the model was trained on this image; expected images it has never "
                "seen"
            )
        known[fingerprint] = pair.noise
    for pair in others:
        same = known.get(fingerprint_of(pair.open()[1].pixels()))
        if same is not None:
            raise InputError(
                f"{pair.noise}: the same image as {same} of --images; expected other images to "
                "choose by"
            )


def summary(
    request: ScoringRequest,
    images: Sequence[ScoredTiles],
    others: Sequence[ScoredTiles],
    absent: Sequence[str],
) -> dict[str, Any]:
    """Return the content of `compare.json` on tiles.

    Args:
        images: scored by the detectors and used for all numbers.
        others: images to choose thresholds on; empty: `images`.
        absent: finders that are not installed.
    """
    own = {rule: one.threshold for rule, one in request.cards.items()}
    tables: list[dict[str, Any]] = []
    first: dict[str, accuracies.Choice] = {}
    for rule in request.rules:
        chosen = accuracies.choices(others or images, images, rule, own)
        first = first or chosen
        tables.append(
            {
                **dataclasses.asdict(rule),
                "signal_tiles": int(sum(image.is_signal(rule).sum() for image in images)),
                "detectors": accuracies.detector_rows(images, rule, chosen),
                "limits": accuracies.limit_rows(images, rule),
            }
        )
    rule = request.rules[0]
    return {
        "format": FORMAT,
        "cosmodeep_hpc": __version__,
        "model": {"name": request.model.path.name, "sha256": sha256(request.model.path)},
        "images": len(images),
        "tiles": sum(len(image.row) for image in images),
        "chosen_on": f"{len(others)} other images" if others else "the same images",
        "finders": _merged([image.versions for image in (*images, *others)]),
        "missing": list(absent),
        "failures": [
            f"{image.name}: {reason}"
            for image in (*images, *others)
            for reason in image.failures.values()
        ],
        "rules": tables,
        "curves": accuracies.curves(images, rule, first),
        "by_flux": accuracies.by_flux(images, rule, first),
        "faint_signal_tiles": accuracies.faint_tiles(images, rule),
        "at_equal_purity": accuracies.at_equal_purity(images, rule, first),
        "islands": accuracies.island_rows(images, rule),
        "seconds_an_image": {
            name: float(np.mean([i.seconds[name] for i in images if name in i.seconds]))
            for name in {**FAMILIES, **MAPS}
            if any(name in image.seconds for image in images)
        },
    }


def maps(
    folder: Path,
    request: ScoringRequest,
    images: Sequence[ScoredMasks],
    others: Sequence[ScoredMasks],
    left_out: Mapping[str, str],
) -> dict[str, Any]:
    """Return the content of `compare.json` on pixels and objects.

    Args:
        folder: of the images.
        others: images to choose thresholds on; empty: `images`.
        left_out: finders without a score, and why.
    """
    chosen = maskaccuracies.choose(others or images, images)
    return {
        "folder": folder.resolve().name,
        "f_th": request.rules[0].f_th,
        "detectors": maskaccuracies.detector_rows(images, chosen),
        "left_out": {name: line for name, line in left_out.items() if name not in chosen},
    }


def _reasons(images: Iterable[ScoredTiles]) -> dict[str, str]:
    """Return why finders failed, each by one of its reasons."""
    return {name: line for image in images for name, line in image.failures.items()}


def _merged(parts: Sequence[dict[str, str]]) -> dict[str, str]:
    return {name: part[name] for part in parts for name in part}
