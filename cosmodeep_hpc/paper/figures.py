"""The stage `report`: figures and tables of the paper from the results of the other stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.engine import network
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.evaluation import reliability
from cosmodeep_hpc.evaluation.evaluate import evaluate_pair
from cosmodeep_hpc.evaluation.evaluated import Evaluated
from cosmodeep_hpc.evaluation.overlay import on_grid
from cosmodeep_hpc.io.files import make_folder
from cosmodeep_hpc.io.progress import Progress, silent
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.paper import (
    architecture,
    classifiedimage,
    clustermask,
    evaluations,
    fluxdistribution,
    regions,
    table2,
    tilegallery,
    tilelabels,
)
from cosmodeep_hpc.paper.classifiedimage import Classified
from cosmodeep_hpc.paper.evaluations import Evaluation
from cosmodeep_hpc.parallel.world import World
from cosmodeep_hpc.sky.pictures import evenly
from cosmodeep_hpc.tiles.pairs import Pair, find_pairs
from cosmodeep_hpc.tiles.tiling import grid_shape

SAMPLE = 8
"""Most images that single tiles are taken from: most images have one missed tile or none."""


@dataclass(frozen=True, kw_only=True)
class FigureRequest:
    """What to draw from.

    Attributes:
        models: names of models; the network of the first is drawn.
        sky: a folder of `mock` with its boxes.
        sky_config: of those boxes; by default the configuration in the folder.
        images: a folder of pairs that no model was trained on.
        image: name of the pair to draw; by default the first.
        evaluations: a folder of results of `evaluate`.
        cluster_mass: from which a halo counts as a cluster [Msun].
    """

    models: tuple[str, ...]
    sky: Path | None = None
    sky_config: Config | None = None
    images: Path | None = None
    image: str | None = None
    evaluations: Path | None = None
    cluster_mass: float = 1e14


@dataclass(frozen=True)
class FigureFile:
    """A file to make: `draw` writes and describes it; without it, `missing` says what to give."""

    what: str
    name: str
    draw: Callable[[], str] | None
    missing: str = ""


@dataclass(frozen=True)
class FieldData:
    """The pairs to draw, and the models' classifications of them.

    Attributes:
        pairs: the pair to draw, then others that single tiles are taken from.
        evaluated: for each model, its classification of each pair.
    """

    pairs: Sequence[Pair]
    evaluated: Sequence[Sequence[Evaluated]]


def run(
    config: Config,
    request: FigureRequest,
    out: Path,
    world: World,
    *,
    progress: Progress = silent,
) -> str:
    """Draw all figures that the given results allow; a collective call.

    Returns:
        a line for each figure, and table 2.

    Raises:
        InputError: bad input, an image that a model was trained on, or a folder that cannot be
            written.
    """
    pairs, found = world.on_root(lambda: _inputs(request))
    models = _loaded(config, request.models, world)
    world.on_root(lambda: make_folder(out))
    field = FieldData(pairs, classify_pairs(config, models, pairs, world, progress))
    jobs = [
        *_of_models(models, out),
        *_of_sky(request, out, progress),
        *_of_images(config, request, models, field, out),
        *_of_evaluations(request, found, out),
    ]
    wide = max(len(job.name) for job in jobs if job.draw)

    def draw(number: int) -> str:
        job = jobs[number]
        said = job.draw() if job.draw else f"skipped: {job.missing}"
        return f"{job.what:22}  {job.name if job.draw else '-':{wide}}  {said}"

    text = "\n".join(
        world.map(draw, len(jobs), lambda done, total: progress(done, total, "drawing"))
    )
    if not found:
        return text
    return f"{text}\n\n{table2.text(table2.rows(found))}"


def _architecture(model: TrainedModel, path: Path) -> str:
    return architecture.draw(network.read(model.path), title_of(model), path)


def _loaded(config: Config, names: Sequence[str], world: World) -> list[TrainedModel]:
    """Load the models on every rank; an error of one is reported once."""
    point, rule = config.classify.point, config.rule
    return [modelfile.load_on_ranks(name, point, rule, world=world) for name in names]


def _inputs(request: FigureRequest) -> tuple[list[Pair], list[Evaluation]]:
    if request.image is not None and request.images is None:
        raise InputError(f"report: --image {request.image}: expected --images DIR with it")
    pairs = sample(request.images, request.image) if request.images is not None else []
    if request.evaluations is None:
        return pairs, []
    return pairs, evaluations.read_all(request.evaluations)


def sample(images: Path, name: str | None) -> list[Pair]:
    """Return the pair of this name (by default the first) of a folder, and up to SAMPLE in all.

    Raises:
        InputError: no pair of that name, or no pairs.
    """
    pairs = find_pairs(images)
    names = [pair.name for pair in pairs]
    if name is not None and name not in names:
        raise InputError(f"{images}: no pair {name!r}; expected one of {', '.join(names[:10])}")
    first = pairs[names.index(name)] if name is not None else pairs[0]
    others = [pair for pair in pairs if pair is not first]
    return [first, *(others[i] for i in evenly(len(others), SAMPLE - 1))]


def classify_pairs(
    config: Config,
    models: Sequence[TrainedModel],
    pairs: Sequence[Pair],
    world: World,
    progress: Progress,
) -> list[list[Evaluated]]:
    """Return each model's classification of each pair, on all ranks; a collective call.

    Raises:
        InputError: an image cannot be read, or a model was trained on it.
    """

    def work(number: int) -> Evaluated:
        model, pair = divmod(number, len(pairs))
        return evaluate_pair(models[model], pairs[pair], config)

    every = world.map(
        work,
        len(models) * len(pairs),
        lambda done, total: progress(min(done, total - 1), total, "classifying"),
    )
    return [[every[m * len(pairs) + p] for p in range(len(pairs))] for m in range(len(models))]


def title_of(model: TrainedModel) -> str:
    """Return a model's name: its file, or its run folder and the parent (many are called `run`)."""
    path = model.path
    if path.name != modelfile.MODEL:
        return path.stem
    folder = path.parent if path.parent.name else path.resolve().parent
    return "/".join(part for part in folder.parts[-2:] if part != folder.anchor)


def endings(models: Sequence[TrainedModel]) -> list[str]:
    """Return endings that distinguish the pictures of several models; one model needs none."""
    if len(models) == 1:
        return [""]
    named: list[str] = []
    for model in models:
        rule = f"-npix{model.card.n_pix}-fth{model.card.f_th:g}"
        again = sum(name == rule or name.startswith(f"{rule}-run") for name in named)
        named.append(f"{rule}-run{again + 1}" if again else rule)
    return named


def _of_models(models: Sequence[TrainedModel], out: Path) -> list[FigureFile]:
    path = out / "network.png"
    draw = partial(_architecture, models[0], path)
    return [FigureFile("figure 1", path.name, draw)]


def _of_sky(request: FigureRequest, out: Path, progress: Progress) -> list[FigureFile]:
    path = out / "cosmic-web.jpg"
    if request.sky is None:
        return [FigureFile("figure 2", path.name, None, "give --sky, a folder that mock made")]
    sky = request.sky

    def draw() -> str:
        from cosmodeep_hpc.paper import cosmicweb

        config = request.sky_config or configuration.load(sky / "config.json")
        cosmicweb.draw(config, sky, path, lambda done, total: progress(done, total, path.name))
        return "gas and emission down to three redshifts"

    return [FigureFile("figure 2", path.name, draw)]


def _of_images(
    config: Config,
    request: FigureRequest,
    models: Sequence[TrainedModel],
    field: FieldData,
    out: Path,
) -> list[FigureFile]:
    if not field.pairs:
        missing = "give --images, pairs that no --model was trained on"
        what = "figures 3, 4, 7-9, 11"
        return [FigureFile(what, "", None, missing)]
    pair = field.pairs[0]

    def labels(path: Path, *, zoom: bool) -> str:
        sky, _ = pair.open()
        tiles = tilelabels.Labelled.of(sky, config.tiles.size, config.label)
        return tilelabels.draw(sky, tiles, config.label, path, zoom=zoom)

    whole, part = out / "tile-labels.png", out / "tile-labels-zoom.png"
    jobs = [
        FigureFile("figure 3", whole.name, partial(labels, whole, zoom=False)),
        FigureFile("figure 4", part.name, partial(labels, part, zoom=True)),
    ]
    seen = []
    catalogue = clustermask.catalogue_of(pair.noise)
    for model, each, ending in zip(models, field.evaluated, endings(models), strict=True):
        one = Classified(title_of(model), model.card, each[0])
        seen.append(one)
        name = f"classified{ending}.png"
        jobs.append(
            FigureFile("figure 7", name, partial(classifiedimage.draw, pair, one, out / name))
        )
        name = f"tiles-by-kind{ending}.png"
        gallery = partial(tilegallery.draw, field.pairs, each, model.card, one.title, out / name)
        jobs.append(FigureFile("figure 8, single tiles", name, gallery))
        name = f"flux-distribution{ending}.png"
        jobs.append(
            FigureFile("figure 11", name, partial(_flux, pair, one, catalogue, request, out / name))
            if catalogue.exists()
            else FigureFile("figure 11", name, None, f"no halos of the field in {catalogue}")
        )
    name = "regions.png"
    size = models[0].card.preprocessing.tile_size
    first = field.evaluated[0][0]
    grid = grid_shape(pair.open()[1].shape, size)
    chosen = regions.chosen(on_grid(first, first.signal, grid))
    draw = partial(classifiedimage.draw_regions, pair, seen, chosen, out / name)
    nothing = f"no tile with signal in {pair.sky}"
    jobs.append(FigureFile("figures 8 and 9", name, draw if chosen else None, nothing))
    return jobs


def _flux(pair: Pair, one: Classified, catalogue: Path, request: FigureRequest, path: Path) -> str:
    halos = clustermask.read(catalogue, pair.open()[1])
    return fluxdistribution.draw(pair, one, halos, request.cluster_mass, path)


def _of_evaluations(
    request: FigureRequest, found: Sequence[Evaluation], out: Path
) -> list[FigureFile]:
    if not found or request.evaluations is None:
        missing = "give --evaluations, a folder of results of evaluate"
        return [FigureFile("table 2, reliability", "", None, missing)]
    folder = request.evaluations

    def table() -> str:
        table2.write(found, folder, out)
        return f"accuracy of {len(found)} model{'s' * (len(found) != 1)} beside the paper's"

    names = ", ".join(f"{table2.NAME}.{ending}" for ending in ("txt", "md", "json"))
    counted: dict[str, Any] = {}
    for (n_pix, f_th), runs in evaluations.by_rule(found).items():
        title = f"N_pix {n_pix}, F_th {f_th:g} Jy/arcsec²"
        for run in runs:
            if run.reliability is not None:
                binned = run.reliability
                counted[title] = counted[title] + binned if title in counted else binned
    path = out / "reliability.png"

    def diagram() -> str:
        reliability.draw(counted, path)
        return "predicted probability and share of signal"

    missing = f"results in {folder} are of an older version: evaluate again"
    return [
        FigureFile("table 2", names, table),
        FigureFile("reliability", path.name, diagram if counted else None, missing),
    ]
