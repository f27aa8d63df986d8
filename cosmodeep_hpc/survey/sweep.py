"""The sweep: every tile of many mosaics classified by all ranks, and their products written."""

from __future__ import annotations

import argparse
import csv
import io
import math
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from cosmodeep_hpc import runtime, workpool
from cosmodeep_hpc.claim import on_sigterm
from cosmodeep_hpc.config import Config
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.files import make_folder, replacing, sha256
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.products.writing import product_names, stem
from cosmodeep_hpc.sky.beam import Beam
from cosmodeep_hpc.survey.foreman import Sweep
from cosmodeep_hpc.survey.task import Outcome, Request
from cosmodeep_hpc.survey.worker import Worker
from cosmodeep_hpc.world import World

SUMMARY = "summary.csv"


def run(
    config: Config,
    model: str,
    images: Sequence[Path],
    out: Path,
    world: World,
    request: Request,
    *,
    strict: bool = False,
    restart: bool = False,
    is_stopped: Callable[[], bool] = lambda: False,
    progress: Callable[..., None] = lambda done, total, note="": None,
    note: Callable[[str], None] = lambda line: None,
) -> list[Outcome] | None:
    """Classify mosaics and write their products; a collective call.

    The same bytes for any number of ranks, and for a sweep that was ended at any moment and goes
    on. A tile with data in less than `classify.min_coverage` of its pixels inside the image is no
    data. What partial tiles at the upper and right edges lack, and pixels without data, are filled
    up with what an empty sky becomes.

    Args:
        model: run folder, `.keras` file or the name of a model of the package.
        strict: whether an image that cannot be swept ends the job.
        restart: whether what an earlier sweep has left in `out` is done anew.
        is_stopped: of rank 0; whether the job is about to end.
        note: told of an image that cannot be swept, at once.

    Returns:
        on rank 0 what became of each image, or None where the job was stopped before all were
        done; an empty list on the others.

    Raises:
        InputError: bad usage or a bad model; with `strict`, an image that cannot be swept.
    """
    world.on_root(lambda: _check(config, model, images, out, request, restart=restart))
    runtime.start_backend(world)
    trained = modelfile.load(model, config.classify.point, config.rule)
    model_sha256 = world.on_root(lambda: sha256(trained.path))
    worker = Worker(config, request, images, out, trained, model_sha256)
    foreman = None
    if world.is_root:
        foreman = Sweep(
            config,
            request,
            images,
            out,
            trained.card,
            model_sha256,
            at_once=world.size,
            strict=strict,
            restart=restart,
            is_stopped=is_stopped,
            progress=progress,
            note=note,
        )
    if foreman is None:
        workpool.work(world, None, worker.prepare, worker.finish)
        return []
    try:
        with on_sigterm(foreman.give_back):
            workpool.work(world, foreman, worker.prepare, worker.finish)
    finally:
        foreman.give_back()
    if len(foreman.outcomes) < len(images):
        return None
    outcomes = [foreman.outcomes[number] for number in range(len(images))]
    with replacing(out / SUMMARY) as temporary:
        temporary.write_text(as_csv(outcomes), encoding="utf-8", errors="surrogateescape")
    return outcomes


def request_of(args: argparse.Namespace) -> Request:
    """What the command line says of the images.

    Raises:
        InputError: a beam that is none.
    """
    rms = args.rms
    with suppress(TypeError, ValueError):  # not given, or the name of a map
        rms = float(rms)
    return Request(
        hdu=int(args.hdu) if args.hdu and args.hdu.isdecimal() else args.hdu,
        planes=None if args.plane is None else tuple(sorted(set(args.plane))),
        beam=None if args.beam is None else Beam(*args.beam),
        rms=Path(rms) if isinstance(rms, str) else rms,
        threshold=args.threshold,
        refine=args.refine,
    )


def _check(
    config: Config,
    model: str,
    images: Sequence[Path],
    out: Path,
    request: Request,
    *,
    restart: bool,
) -> None:
    """Refuse bad usage before any work is done."""
    products = {name: path for path in images for name in product_names(path)}
    names: dict[str, Path] = {}
    for path in images:
        if path.parent.resolve() == out.resolve() and path.name in products:
            raise InputError(
                f"{path}: a product of {products[path.name]} would be written over it; give "
                "another --out folder"
            )
        other = names.setdefault(stem(path), path)
        if other is not path:
            raise InputError(
                f"{path}: its products would be named as those of {other}; rename one, or give "
                "them different --out folders"
            )
    if not images:
        raise InputError("classify: no image; expected IMAGE..., or --list FILE")
    if request.threshold is not None and not 0 <= request.threshold <= 1:
        raise InputError(
            f"--threshold {request.threshold:g}: expected a probability between 0 and 1"
        )
    if isinstance(request.rms, float) and not 0 < request.rms < math.inf:
        raise InputError(f"--rms {request.rms:g}: expected a noise above 0, or a map of it")
    size = modelfile.read_card(
        modelfile.find(model), config.classify.point, config.rule
    ).preprocessing.tile_size
    if config.classify.stride and size % config.classify.stride:
        raise InputError(
            f"classify.stride = {config.classify.stride}: expected a divisor of the tiles' side, "
            f"{size} pixels"
        )
    make_folder(out)
    if not restart:
        _spare_table(out / SUMMARY)


def _spare_table(path: Path) -> None:
    """Refuse to write over a table that is no sweep's."""
    if not path.exists():
        return
    begin = ",".join(COLUMNS[:2])
    with naming(path), path.open("rb") as file:
        if not file.read(len(begin)) == begin.encode():
            raise InputError(
                f"{path}: there already, and not of a sweep; give another --out folder, or "
                "--restart to write over it"
            )


def read_list(path: Path) -> list[Path]:
    """The images that a text file names, one a line; empty lines and those after # do not count.

    Raises:
        InputError: the file cannot be read, or is no text.
    """
    with naming(path):
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    if "\0" in text:  # in no path either
        raise InputError(f"{path}: not a text file; expected paths of images, one a line")
    lines = [line.strip() for line in text.splitlines()]
    return [Path(line) for line in lines if line and line[0] != "#"]


def distinct(paths: Iterable[Path]) -> list[Path]:
    """The paths, each file once, however it is spelled; links of other names are other files."""
    spelled: dict[str, Path] = {}
    for path in paths:
        spelled.setdefault(os.path.abspath(path), path)
    return list(spelled.values())


COLUMNS = ("image", "state", "cells", "signal", "no_data", "islands", "mask", "notes")


def _rows(outcomes: Sequence[Outcome]) -> list[tuple[object, ...]]:
    return [
        (o.path, o.state, o.cells, o.signal, o.no_data, o.islands, o.mask or "", "; ".join(o.notes))
        for o in outcomes
    ]


def as_csv(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as CSV, a line an image."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(outcomes))
    return text.getvalue()


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as a text table, with the path of each mask and the notes."""
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
