"""What each subcommand of `cosmodeep` calls, and what it prints at the end: no logic."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cosmodeep_hpc.cli import startup
from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io import messages
from cosmodeep_hpc.io.progress import Progress, ProgressBar
from cosmodeep_hpc.parallel.world import World, collective

if TYPE_CHECKING:
    from cosmodeep_hpc.survey.plan import SweepRequest


def mock(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Make Sky and Noise images from simulated boxes, or from another simulation's output."""
    from cosmodeep_hpc.sky import mock as stage

    if args.summary:
        from cosmodeep_hpc.sky import summary

        pairs = _progress("pairs", args, world)
        say(world, summary.run(settings, args.out, world, pairs))
        return 0
    boxes_alone = args.calibrate or not args.images
    progress = _progress("boxes" if boxes_alone else "images", args, world)
    if args.calibrate:
        from cosmodeep_hpc.sky import calibrate

        stage.run(settings, args.out, 0, world, progress=progress)
        trials = _progress("trials", args, world)
        calibrate.run(settings, args.out, max(args.images, 2), world, trials)
        say(world, (args.out / "calibration.txt").read_text())
        return 0
    stage.run(
        settings,
        args.out,
        args.images,
        world,
        first=args.first,
        progress=progress,
        test=args.test,
        simulation=args.simulation,
        part=args.part,
    )
    made = f"{args.images} Sky/Noise pairs" if args.images else "boxes"
    if args.part[1] > 1:
        made = f"part {args.part[0]}/{args.part[1]} of {made}"
    say(world, f"{made} in {args.out}")
    return 0


def tiles(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Cut Sky/Noise pairs into labelled tiles in HDF5 shards, or draw a sheet of a shard."""
    if args.show is not None:
        from cosmodeep_hpc.tiles import sheet

        picture = args.out or Path(f"{args.show.stem}.png")
        count, signal = world.on_root(lambda: sheet.draw(args.show, picture, settings.label))
        say(world, f"{args.show}: {count} tiles, {signal} signal; drawn in {picture}")
        return 0
    if args.images is None or args.out is None:
        raise collective(InputError("tiles: expected --images DIR and --out DIR, or --show SHARD"))
    from cosmodeep_hpc.tiles import make

    progress = _progress("shards", args, world)
    made = make.run(
        settings, args.images, args.out, world, overwrite=args.overwrite, progress=progress
    )
    left_out = sum(image.left_out for image in made.images)
    say(
        world,
        f"{made.n_rows} tiles of {len(made.images)} images in {len(made.shards)} shards in "
        f"{args.out} ({left_out} partial or blank tiles left out)",
    )
    return 0


def train(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Train the network, data-parallel over ranks; a run folder with checkpoints is continued."""
    from cosmodeep_hpc.learn import trainer
    from cosmodeep_hpc.parallel.signals import STOPPED

    progress = _progress("steps", args, world)
    model = trainer.run(
        settings,
        args.tiles,
        args.out,
        world,
        restart=args.restart,
        accept_changes=args.accept_changes,
        progress=progress,
    )
    if model is None:
        say(world, f"stopped by USR1, all saved in {args.out}; the same command goes on from there")
        return STOPPED
    say(world, f"model in {model}")
    return 0


def tune(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Search the best learning rate, batch and epochs, run by run, or sum a search up."""
    if args.summary:
        from cosmodeep_hpc.learn.tune import summary

        say(world, world.on_root(lambda: summary.run(settings, args.out, args.tiles)))
        return 0
    if args.tiles is None:
        raise collective(InputError("tune: expected --tiles DIR, or --summary"))
    from cosmodeep_hpc.learn.tune import grid, runs
    from cosmodeep_hpc.parallel.signals import STOPPED

    first, step = args.task or (0, 1)
    numbers = [first] if step is None else range(first, grid.count(settings.tune), step)
    outcome = runs.run(
        settings,
        args.tiles,
        args.out,
        world,
        numbers,
        progress=lambda label: _progress(label, args, world),
    )
    done, kept, failed = (len(group) for group in (outcome.done, outcome.kept, outcome.failed))
    elsewhere = f", {len(outcome.elsewhere)} left to other jobs" if outcome.elsewhere else ""
    counts = f"{done} runs done, {kept} there already, {failed} failed{elsewhere}"
    say(world, f"{counts}; results in {args.out}")
    if outcome.stopped:
        say(world, f"stopped by USR1, all saved in {args.out}; the same command goes on from there")
        return STOPPED
    say(world, f"ranking and figures: cosmodeep tune --summary --out {args.out}")
    return 1 if outcome.failed else 0


def evaluate(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Accuracy of a model on Sky/Noise pairs it was not trained on, with pictures."""
    from cosmodeep_hpc.evaluation import evaluate as stage

    progress = _progress("images", args, world)
    result = stage.run(settings, args.model, args.images, args.out, world, progress=progress)
    say(world, stage.table(result))
    return 0


def compare(args: argparse.Namespace, settings: Config, world: World) -> int:
    """A model beside PyBDSF, Aegean, plain detectors and the ideal limit, on the same tiles."""
    from cosmodeep_hpc.comparison import compare as stage
    from cosmodeep_hpc.comparison import table

    result = stage.run(
        settings,
        args.model,
        args.images,
        args.out,
        world,
        choose=args.choose,
        progress=_progress("images", args, world),
    )
    say(world, table.text(result))
    return 0


def classify(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Sweep mosaics: masks, islands, regions and pictures of the signal in each."""
    with startup.importing():
        from cosmodeep_hpc.parallel.signals import STOPPED, StopRequest
        from cosmodeep_hpc.products import summary
        from cosmodeep_hpc.products.folder import ProductFolder, classify_into
        from cosmodeep_hpc.survey.imagelist import distinct, read_list
        from cosmodeep_hpc.survey.scheduler import SweepOptions

    listed = world.on_root(lambda: read_list(args.list)) if args.list else []
    images = distinct([*args.image, *listed])
    progress = _progress("stripes" if len(images) == 1 else "mosaics", args, world)
    folder = ProductFolder(args.out, settings, args.refine, args.restart)
    with StopRequest() as notice:
        options = SweepOptions(
            strict=args.strict, is_stopped=lambda: notice.given, progress=progress
        )
        outcomes = classify_into(folder, images, request_of(args), world, options)
    if world.on_root(lambda: outcomes is None):
        say(world, f"stopped by USR1, all saved in {args.out}; the same command goes on from there")
        return STOPPED
    say(world, summary.table(outcomes or []))
    return 2 if world.on_root(lambda: any(o.state == "failed" for o in outcomes or [])) else 0


def request_of(args: argparse.Namespace) -> SweepRequest:
    """What the command line of `classify` says of model and images.

    Raises:
        InputError: a beam that is none.
    """
    from cosmodeep_hpc.images.beam import Beam
    from cosmodeep_hpc.survey.plan import SweepRequest

    rms = args.rms
    with suppress(TypeError, ValueError):  # not given, or the name of a map
        rms = float(rms)
    return SweepRequest(
        model=args.model,
        hdu=int(args.hdu) if args.hdu and args.hdu.isdecimal() else args.hdu,
        planes=None if args.plane is None else tuple(sorted(set(args.plane))),
        beam=None if args.beam is None else Beam(*args.beam),
        rms=Path(rms) if isinstance(rms, str) else rms,
        threshold=args.threshold,
        refine=args.refine,
    )


def bench(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Time the training step on this job's ranks, and predict it on 1 to 4096."""
    from cosmodeep_hpc.bench import costmodel, timings
    from cosmodeep_hpc.bench import measurement as stage
    from cosmodeep_hpc.io.files import write_json

    between = costmodel.chosen(args.network, args.latency, args.bandwidth)
    progress = _progress("measurements", args, world)
    found = stage.run(settings, world, steps=args.steps, out=args.out, progress=progress)
    say(world, timings.table(found, between))
    if args.out is not None:
        world.on_root(lambda: write_json(args.out, found.as_dict(between)))
    return 0


def models(args: argparse.Namespace, settings: Config, world: World) -> int:
    """List the models that ship with the package, or print the card of one."""
    from cosmodeep_hpc.learn import shipped

    say(world, world.on_root(lambda: shipped.describe(args.name) if args.name else shipped.table()))
    return 0


def report(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Draw the figures and tables of the paper from what the other stages made."""
    from cosmodeep_hpc.cli.arguments import PAPERS_MODEL
    from cosmodeep_hpc.paper import figures

    request = figures.FigureRequest(
        models=tuple(args.model or [PAPERS_MODEL]),
        sky=args.sky,
        sky_config=settings if args.config else None,
        images=args.images,
        image=args.image,
        evaluations=args.evaluations,
        cluster_mass=args.cluster_mass,
    )
    progress = _progress("figures", args, world)
    say(world, figures.run(settings, request, args.out, world, progress=progress))
    return 0


def show_config(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Print every option with its value, unit and meaning, as TOML."""
    for name, section in configuration.sections().items():
        # `python -OO` has no docstrings, and dataclasses give themselves another
        meaning = "" if sys.flags.optimize > 1 else f"# {(section.__doc__ or '').splitlines()[0]}\n"
        say(world, f"\n{meaning}[{name}]")
        for field in dataclasses.fields(section):
            value = getattr(getattr(settings, name), field.name)
            unit = field.metadata["unit"]
            help_text = f"{field.metadata['help']}{f' [{unit}]' if unit else ''}"
            say(world, f"{field.name} = {json.dumps(value)}  # {help_text}")
    return 0


def say(world: World, text: str) -> None:
    """Print a result on rank 0."""
    if world.is_root:
        messages.print_result(text)


def _progress(label: str, args: argparse.Namespace, world: World) -> Progress:
    """The progress of a stage, shown by rank 0 unless the user wants it quiet."""
    return ProgressBar(label, speaks=world.is_root and not args.quiet)
