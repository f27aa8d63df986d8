"""The sweep: every tile of a mosaic classified, stripe by stripe, by all ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc import runtime
from cosmodeep_hpc.config import Classify, Config
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.files import make_folder, sha256
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.learn.classifier import probabilities
from cosmodeep_hpc.learn.metrics import is_found
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.survey import products
from cosmodeep_hpc.survey.products import Swept
from cosmodeep_hpc.tiles.fits.image import Image, open_image
from cosmodeep_hpc.tiles.preprocessing import Level
from cosmodeep_hpc.tiles.tiling import coverage, cut, grid_shape, inside
from cosmodeep_hpc.world import World

# A pixel this much larger or smaller than those the model was trained on is worth a note.
PIXEL_SCALE_TOLERANCE = 1.25


@dataclass(frozen=True)
class Stripe:
    """Neighbouring rows of tiles: rows `start` to `stop` of the tile grid."""

    start: int
    stop: int


def run(
    config: Config,
    model: str,
    images: Sequence[Path],
    out: Path,
    world: World,
    *,
    threshold: float | None = None,
    progress: Callable[..., None] = lambda done, total, note="": None,
) -> list[Swept]:
    """Classify mosaics and write their products; a collective call.

    The same bytes for any number of ranks. A tile with data in less than `classify.min_coverage`
    of its pixels inside the image is no data. What partial tiles at the right and top edges lack,
    and pixels without data, are filled up with what an empty sky becomes.

    Args:
        model: run folder, `.keras` file or the name of a model of the package.
        threshold: probability from which a tile is signal; the model's own where None.

    Returns:
        one result an image, on rank 0; none on the others.

    Raises:
        InputError: bad input, before any image is swept; or an image that cannot be read.
    """
    world.on_root(lambda: _check(images, out, threshold))
    runtime.start_tensorflow(world)
    trained = modelfile.load(model)
    model_sha256 = world.on_root(lambda: sha256(trained.path))
    limit = trained.card.threshold if threshold is None else threshold
    opened = [open_image(path) for path in images]
    plans = [stripes(image, trained, config.classify.batch) for image in opened]
    in_all, before = sum(len(plan) for plan in plans), 0
    results = []
    for image, plan in zip(opened, plans, strict=True):
        level = world.on_root(partial(trained.card.preprocessing.measure, image))

        def tell(done: int, before: int = before, name: str = image.path.name) -> None:
            progress(before + done, in_all, name)

        grids = sweep(trained, image, level, plan, config.classify, world, tell)
        before += len(plan)
        if grids is not None:
            probability, covered = grids
            results.append(
                Swept(
                    image=image,
                    probability=probability,
                    coverage=covered,
                    signal=is_found(probability, limit),
                    threshold=limit,
                    level=level,
                    model=trained,
                    model_sha256=model_sha256,
                    notes=_notes(image, trained),
                )
            )
        world.on_root(lambda: products.write(results[-1], config, out))
    return results


def _check(images: Sequence[Path], out: Path, threshold: float | None) -> None:
    """Refuse bad input before any work is done."""
    names: dict[str, Path] = {}
    for path in images:
        open_image(path)
        other = names.setdefault(products.stem(path), path)
        if other is not path:
            raise InputError(
                f"{path}: its products would be named as those of {other}; rename one, or give "
                "them different --out folders"
            )
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"--threshold {threshold:g}: expected a probability between 0 and 1")
    make_folder(out)


def stripes(image: Image, model: TrainedModel, batch: int) -> list[Stripe]:
    """The tile grid in stripes of about one batch: a function of image and options alone."""
    rows, cols = grid_shape(image.shape, model.card.preprocessing.tile_size)
    height = max(1, batch // cols)
    return [Stripe(start, min(start + height, rows)) for start in range(0, rows, height)]


def sweep(
    model: TrainedModel,
    image: Image,
    level: Level,
    plan: Sequence[Stripe],
    options: Classify,
    world: World,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Classify every tile of an image, its stripes drawn by the ranks; a collective call.

    Returns:
        on rank 0 probability (NaN where a tile has no data) and coverage, float32 (rows, cols).

    Raises:
        InputError: the image cannot be read.
    """
    done: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
    failure: InputError | None = None
    for number in world.queue(len(plan)):
        if failure is None:
            try:
                done[number] = classify_stripe(model, image, level, options, plan[number])
            except InputError as error:
                failure = error  # the others hear of it below, when the queue is empty
        progress(number + 1)
    world.agree(failure)
    gathered = world.comm.gather(done, root=0)
    if gathered is None:
        return None
    everything = {number: grids for part in gathered for number, grids in part.items()}
    ordered = [everything[number] for number in range(len(plan))]
    return np.concatenate([p for p, _ in ordered]), np.concatenate([c for _, c in ordered])


def classify_stripe(
    model: TrainedModel, image: Image, level: Level, options: Classify, stripe: Stripe
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probability and coverage of the tiles of one stripe, float32 (tile rows, cols)."""
    preprocessing = model.card.preprocessing
    size = preprocessing.tile_size
    pixels = image.rows(stripe.start * size, min(stripe.stop * size, image.shape[0]))
    tiles = cut(pixels, size)
    covered = coverage(tiles)
    # a partial tile at the edge is judged by the pixels it has
    with_data = covered >= options.min_coverage * inside(pixels.shape, size)
    probability = np.full(covered.shape, np.nan, dtype=np.float32)
    ready = preprocessing.apply(tiles[with_data], level)
    probability[with_data] = probabilities(model, ready, options.batch)
    return probability, covered


def _notes(image: Image, model: TrainedModel) -> list[str]:
    """What a user should know before believing the result."""
    notes = []
    ratio = image.pixel_scale / model.card.pixel_scale
    if not 1 / PIXEL_SCALE_TOLERANCE < ratio < PIXEL_SCALE_TOLERANCE:
        notes.append(
            f"pixels of {image.pixel_scale:.3g} arcsec, the model was trained on "
            f"{model.card.pixel_scale:.3g} arcsec: its accuracy does not carry over"
        )
    return notes


def table(results: Sequence[Swept]) -> str:
    """The results as a text table with the products' paths."""
    lines = [f"{'image':32} {'tiles':>7} {'signal':>7} {'no data':>7}  mask"]
    for swept in results:
        lines.append(
            f"{swept.image.path.name:32} {swept.probability.size:7d} {int(swept.signal.sum()):7d} "
            f"{int(np.isnan(swept.probability).sum()):7d}  {swept.files.get('mask', '')}"
        )
        lines += [f"  note: {note}" for note in swept.notes]
    return "\n".join(lines)
