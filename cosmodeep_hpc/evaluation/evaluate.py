"""The stage `evaluate`: accuracy of a model on Sky/Noise pairs that it has never seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cosmodeep_hpc import __version__
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.evaluation import mapscore, maptable, overlay
from cosmodeep_hpc.evaluation.evaluated import Evaluated
from cosmodeep_hpc.evaluation.fieldspread import mean_and_error
from cosmodeep_hpc.evaluation.fieldtruth import FieldTruth, noise_of
from cosmodeep_hpc.evaluation.mappedfield import MappedField
from cosmodeep_hpc.evaluation.mapscore import MapScore, precision_of
from cosmodeep_hpc.evaluation.reliability import Reliability
from cosmodeep_hpc.io.files import make_folder, sha256, write_json
from cosmodeep_hpc.io.progress import Progress, silent
from cosmodeep_hpc.io.results import ResultFiles
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.learn.card import Point
from cosmodeep_hpc.learn.classifier import probabilities
from cosmodeep_hpc.learn.metrics import Accuracy, accuracy, curve, is_found
from cosmodeep_hpc.learn.modelfile import TrainedModel, map_threshold
from cosmodeep_hpc.parallel.world import World
from cosmodeep_hpc.tiles.labels import is_signal
from cosmodeep_hpc.tiles.make import tile_pair
from cosmodeep_hpc.tiles.pairs import Pair, find_pairs

FORMAT = 2
"""Raise it when an entry of the metrics changes its name or its meaning."""

OVERLAYS = 4  # images drawn
FILES = ResultFiles(
    stage="evaluate",
    record="metrics.json",
    entries=("an_image", "total"),
    later=("config.json",),
    pictures=tuple(f"overlay-*-{kind}.png" for kind in overlay.SHOWN),
)
CURVE_POINTS = 200  # of the precision-recall curve in the JSON


def run(
    config: Config,
    model: str,
    images: Path,
    out: Path,
    world: World,
    *,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Classify the tiles of every pair and compare with their labels; a collective call.

    Models that know pixels are judged by pixels and by objects, too.

    The threshold is that of the model's operating point `classify.point`, chosen on validation
    images: nothing is chosen here. The same tiles count as in training: whole ones, with data in
    every pixel.

    Earlier results in `out` are replaced, all of them, once the images are classified.

    Returns:
        the content of `metrics.json`.

    Raises:
        InputError: bad input, no whole tile, an image that the model was trained or validated on,
            or files in `out` that are not those of an evaluation.
    """
    world.on_root(lambda: FILES.spare_others(out))
    pairs = world.on_root(lambda: find_pairs(images))
    trained = modelfile.load_on_ranks(model, config.classify.point, config.rule, world=world)
    world.on_root(lambda: make_folder(out))  # before the work: one that cannot be made is told
    evaluated = world.map(
        lambda number: evaluate_pair(trained, pairs[number], config),
        len(pairs),
        progress,
    )

    def begin() -> None:
        if not any(len(image.row) for image in evaluated):
            size = trained.card.preprocessing.tile_size
            raise InputError(
                f"{images}: no tile of {size} x {size} pixels that all have data; expected larger "
                "images"
            )
        FILES.renew(out)

    world.on_root(begin)
    world.map(
        lambda number: overlay.draw(pairs[number], evaluated[number], trained, out),
        min(OVERLAYS, len(pairs)),
    )

    def finish() -> dict[str, Any]:
        result = summary(trained, evaluated, config.classify.point)
        write_json(out / FILES.record, result)
        config.write(out / "config.json")
        return result

    return world.on_root(finish)


def evaluate_pair(model: TrainedModel, pair: Pair, config: Config) -> Evaluated:
    """Label the tiles of one pair by the rule of a model, and classify them.

    A model that knows pixels sees the image as `classify` shows it, in one pass for tiles and map,
    and is judged by pixels and objects too.

    Raises:
        InputError: the model has seen the image in training or validation, or it cannot be swept.
    """
    card = model.card
    sky, noise = pair.open()
    tiled = tile_pair(sky, noise, card.preprocessing, (card.f_th,))
    if tiled.fingerprint in card.trained_on:
        raise InputError(
            f"{pair.noise}: the model was trained on this image; expected images it has never seen"
        )
    score = None
    if model.blocks is None:
        probability = probabilities(model, tiled.tiles, config.classify.batch)
    else:
        field = MappedField.of(config, model, pair)
        probability = field.tiles[tiled.row, tiled.col]
        truth = FieldTruth.of(sky, noise, card.f_th, field.side, noise_of(noise))
        score = MapScore.of(truth, field.islands, precision_of(truth, field.probability))
    return Evaluated(
        name=pair.name,
        row=tiled.row,
        col=tiled.col,
        signal=is_signal(tiled.counts[:, 0], card.n_pix),
        probability=probability,
        score=score,
    )


def summary(
    model: TrainedModel, images: Sequence[Evaluated], point: Point = "accuracy"
) -> dict[str, Any]:
    """Return the content of `metrics.json`: totals, mean and error, images, curve, reliability.

    The scores by pixels and objects are None for a model that knows tiles alone. The
    precision-recall curve shows what other thresholds would have given; none is chosen on it.

    Args:
        point: the operating point that the card's threshold belongs to.
    """
    card = model.card
    signal = np.concatenate([i.signal for i in images])
    probability = np.concatenate([i.probability for i in images])
    each = [accuracy(i.signal, is_found(i.probability, card.threshold)) for i in images]
    total = sum(each, Accuracy(Nsc=0, Nsw=0, Nvc=0, Nvw=0))
    whole = curve(signal, probability)
    points = np.unique(np.linspace(0, len(whole.threshold) - 1, CURVE_POINTS).astype(int))
    scores = {image.name: image.score for image in images if image.score is not None}
    return {
        "format": FORMAT,
        "cosmodeep_hpc": __version__,
        "model": {
            "name": model.path.name,
            "sha256": sha256(model.path),
            "seed": card.seed,
            "images_seen": len(card.trained_on),
        },
        "f_th": card.f_th,
        "n_pix": card.n_pix,
        "threshold": card.threshold,
        "point": point,
        "images": len(images),
        "total": total.as_dict(),
        "mean": {
            name: mean_and_error([getattr(one, name) for one in each])
            for name in ("As", "Ws", "Wv")
        },
        "an_image": {i.name: a.as_dict() for i, a in zip(images, each, strict=True)},
        "curve": {
            "threshold": whole.threshold[points].tolist(),
            "precision": whole.precision[points].tolist(),
            "recall": whole.recall[points].tolist(),
        },
        "reliability": Reliability.of(signal, probability).as_dict(),
        "pixels": by_pixels(model, scores, point) if scores else None,
        "objects": mapscore.by_objects(scores) if scores else None,
    }


def by_pixels(model: TrainedModel, scores: Mapping[str, MapScore], point: Point) -> dict[str, Any]:
    """Return the accuracy by pixels, with the threshold of the map that it belongs to."""
    return {"threshold": map_threshold(model, point), **mapscore.by_pixels(scores)}


def table(result: dict[str, Any]) -> str:
    """Return the accuracy as text tables."""
    names = ["As", "Ws", "Wv", "Ns", "Nv", "Nsc", "Nsw", "Nvc", "Nvw"]

    def line(title: str, values: dict[str, Any]) -> str:
        ratios = [f"{values[n]:8.4f}" if values[n] is not None else "       -" for n in names[:3]]
        return f"{title:20}" + "".join(ratios + [f"{values[n]:8d}" for n in names[3:]])

    head = f"{'image':20}" + "".join(f"{n:>8}" for n in names)
    lines = [line(name, values) for name, values in result["an_image"].items()]
    rule = (
        f"signal: more than {result['n_pix']} Sky pixels above {result['f_th']:g} Jy/arcsec^2; "
        f"found: probability >= {result['threshold']:.3f}, chosen on validation images"
    )
    tiles = [rule, head, *lines, line("total", result["total"])]
    return "\n".join([*tiles, "", maptable.text(result)])
