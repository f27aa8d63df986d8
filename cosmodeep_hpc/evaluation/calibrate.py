"""The stage `calibrate`: a network's map, calibrations and thresholds, from known fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.evaluation.fields import FieldOutputs, outputs_of
from cosmodeep_hpc.io.progress import Progress, silent
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.learn.card import Card
from cosmodeep_hpc.learn.fusionfit import fitted, points_of
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.learn.pixelmap import PixelMap
from cosmodeep_hpc.learn.rules import RuleCalibrations
from cosmodeep_hpc.parallel.world import World
from cosmodeep_hpc.survey.plan import SweepPlan, SweepRequest
from cosmodeep_hpc.survey.scales import FACTORS
from cosmodeep_hpc.tiles.make import fingerprint_of
from cosmodeep_hpc.tiles.pairs import Pair, find_pairs

CELLS = 1_000_000
"""Cells, picked at random, that the fusion is fitted on: the same share of each field."""


@dataclass(frozen=True)
class KnownField:
    """A field with what it is known by."""

    outputs: FieldOutputs
    fingerprint: str


def run(
    config: Config,
    model: str,
    folders: Sequence[Path],
    out: Path,
    world: World,
    *,
    progress: Progress = silent,
) -> Card:
    """Fit a counts network's map and rules on Sky/Noise pairs, and write it with its new card.

    A collective call. The network itself stays as it is. The fields should be such as it will be
    used on, and none that it was trained on; it counts as trained on them afterwards.

    Returns:
        the new card.

    Raises:
        InputError: bad input; a network that knows tiles alone; an image that it was trained on;
            or `out` cannot be written, or is a file that is no model.
    """
    trained = modelfile.load_on_ranks(model, world=world)
    pairs = world.on_root(lambda: _pairs(trained, folders, out))
    card = trained.card
    assert card.readings is not None
    every = PixelMap.plain(card.readings.thresholds, len(FACTORS))
    seeing = replace(trained, card=replace(card, pixels=every))
    fields = world.map(lambda number: _field(config, seeing, pairs[number]), len(pairs), progress)

    def finish() -> Card:
        new = calibrated(card, fields, seed=config.train.seed)
        modelfile.save_with_card(trained.path, new, out)
        return new

    return world.on_root(finish)


def _pairs(trained: TrainedModel, folders: Sequence[Path], out: Path) -> list[Pair]:
    if trained.blocks is None:
        raise InputError(
            f"{trained.path}: knows tiles alone, and was calibrated as it was trained; expected a "
            "network of counts that sees beyond its tiles (model.network = counts, tiles.margin)"
        )
    if out.is_dir() or not out.resolve().parent.is_dir():
        raise InputError(
            f"{out}: cannot be written; expected the name of a file, in a folder that there is"
        )
    if out.suffix != modelfile.ENDING:
        raise InputError(f"{out}: expected the name of a {modelfile.ENDING} file")
    if out.exists():
        modelfile.read_card(out)  # what is no model of ours stays
    pairs = [pair for folder in folders for pair in find_pairs(folder)]
    seen: set[Path] = set()
    for pair in pairs:
        if pair.noise.resolve() in seen:
            raise InputError(f"{pair.noise}: given twice; expected each image once")
        seen.add(pair.noise.resolve())
    return pairs


def _field(config: Config, model: TrainedModel, pair: Pair) -> KnownField:
    fingerprint = fingerprint_of(pair.open()[1].pixels())
    if fingerprint in model.card.trained_on:
        raise InputError(
            f"{pair.noise}: the model was trained or calibrated on this image; expected images it "
            "has never seen"
        )
    assert model.card.pixels is not None
    plan = SweepPlan(
        images=(pair.noise,), model=model, model_sha256="", config=config, request=SweepRequest()
    )
    return KnownField(outputs_of(plan, pair, model.card.pixels.thresholds), fingerprint)


def calibrated(card: Card, fields: Sequence[KnownField], *, seed: int) -> Card:
    """Return the card with the map and the rules fitted on fields."""
    assert card.readings is not None
    rules = card.readings
    tiles = np.concatenate([field.outputs.tiles for field in fields])
    counts = np.concatenate([field.outputs.counts for field in fields])
    readings = RuleCalibrations.fitted(rules, counts, tiles)
    label = readings.at(card.f_th, card.n_pix, Path())
    return replace(
        card,
        readings=readings,
        pixels=map_of(rules.thresholds, [field.outputs for field in fields], seed),
        trained_on=(*card.trained_on, *(field.fingerprint for field in fields)),
        **vars(label),
    )


def map_of(thresholds: tuple[float, ...], fields: Sequence[FieldOutputs], seed: int) -> PixelMap:
    """Fit the fusions of one scale, of two, and of all, and the thresholds of the last."""
    random = np.random.default_rng(seed)
    share = min(1.0, CELLS / max(sum(len(field.logits) for field in fields), 1))
    each = [round(share * len(field.logits)) for field in fields]
    some = [random.permutation(len(f.logits))[:n] for f, n in zip(fields, each, strict=True)]
    logits = np.concatenate([f.logits[rows] for f, rows in zip(fields, some, strict=True)])
    bright = np.concatenate([f.bright[rows] for f, rows in zip(fields, some, strict=True)])
    count = len(thresholds)
    fusions = tuple(
        fitted(logits[:, : count * scales], bright, seed) for scales in range(1, len(FACTORS) + 1)
    )
    points = []
    for column in range(count):
        given = [fusions[-1].of_logits(field.logits, column) for field in fields]
        truth = np.concatenate([field.bright[:, column] for field in fields])
        points.append(points_of(truth, np.concatenate(given)))
    return PixelMap(thresholds=thresholds, fusions=fusions, points=tuple(points))


def table(card: Card) -> str:
    """Return the thresholds of the map as a text table."""
    assert card.pixels is not None
    head = f"{'F_th [Jy/arcsec^2]':20}{'best IoU':>12}{'complete':>12}{'pure':>12}"
    lines = [head]
    for f_th, points in zip(card.pixels.thresholds, card.pixels.points, strict=True):
        each = (points.threshold, points.completeness, points.purity)
        numbers = "".join("           -" if value is None else f"{value:12.4f}" for value in each)
        lines.append(f"{f_th:<20g}{numbers}")
    return "\n".join(lines)
