"""`cosmodeep classify`."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cosmodeep_hpc.cli import startup, words
from cosmodeep_hpc.cli.output import progress_of, say, say_stopped
from cosmodeep_hpc.cli.words import FILE, FOLDER
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.survey import DEFAULT_MODEL
from cosmodeep_hpc.parallel.world import World

if TYPE_CHECKING:
    from cosmodeep_hpc.survey.plan import SweepRequest

HELP = "Sweep mosaics: masks, islands, regions and pictures of the signal in each."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("image", nargs="*", help="FITS mosaic", **FILE | {"metavar": "IMAGE"})
    parser.add_argument("--list", help="a text file of images, one a line", **FILE)
    parser.add_argument("--out", required=True, help="folder of products", **FOLDER)
    add_sweep_arguments(parser)
    parser.add_argument(
        "--exclude", help="what is left out of islands' measures: regions (DS9, CRTF), or a "
        "VOTable of compact sources", **FILE,
    )  # fmt: skip
    parser.add_argument(
        "--strict", action="store_true", help="end with the first image that cannot be swept"
    )
    parser.add_argument(
        "--restart", action="store_true", help="do anew what an earlier sweep has left in --out"
    )


def add_sweep_arguments(
    parser: argparse.ArgumentParser, planes: str = "may be given again (default: all)"
) -> None:
    """Add the arguments that say how an image is swept; `planes` says how many may be given."""
    parser.add_argument(
        "--model",
        type=words.text,
        help=f"run folder, .keras file or shipped name (default: {DEFAULT_MODEL} of the package)",
    )
    parser.add_argument(
        "--threshold", type=float, metavar="P", help="probability of signal (default: the model's)"
    )
    parser.add_argument(
        "--hdu", type=words.text, metavar="N",
        help="number or name of the HDU (default: the first image)",
    )  # fmt: skip
    parser.add_argument(
        "--plane", type=words.at_least(0), action="append", metavar="K",
        help="a plane of a cube, from 0; " + planes,
    )  # fmt: skip
    parser.add_argument(
        "--beam", type=float, nargs=3, metavar=("BMAJ", "BMIN", "BPA"),
        help="in place of the header's [arcsec, arcsec, deg]",
    )  # fmt: skip
    parser.add_argument(
        "--rms", type=words.text, metavar="RMS",
        help="noise in the image's unit, or a FITS map of it (default: measured)",
    )  # fmt: skip


def run(args: argparse.Namespace, settings: Config, world: World) -> int:
    """Sweep mosaics: masks, islands, regions and pictures of the signal in each."""
    with startup.importing():
        from cosmodeep_hpc.islands.excluded import Excluded
        from cosmodeep_hpc.parallel.signals import StopRequest
        from cosmodeep_hpc.products import summary
        from cosmodeep_hpc.products.folder import ProductFolder, classify_into
        from cosmodeep_hpc.survey.imagelist import distinct, read_list
        from cosmodeep_hpc.survey.scheduler import SweepOptions

    listed = world.on_root(lambda: read_list(args.list)) if args.list else []
    images = distinct([*args.image, *listed])
    progress = progress_of("stripes" if len(images) == 1 else "mosaics", args, world)
    excluded = world.on_root(lambda: Excluded.read(args.exclude)) if args.exclude else None
    folder = ProductFolder(args.out, settings, excluded, args.restart)
    with StopRequest() as stop:
        options = SweepOptions(
            strict=args.strict, is_stopped=lambda: stop.given, did=stop.did, progress=progress
        )
        outcomes = classify_into(folder, images, request_of(args), world, options)
    if world.on_root(lambda: outcomes is None):
        return say_stopped(world, args.out, stop)
    say(world, summary.table(outcomes or []))
    return 2 if world.on_root(lambda: any(o.state == "failed" for o in outcomes or [])) else 0


def request_of(args: argparse.Namespace) -> SweepRequest:
    """Return what the command line of `classify` says about model and images.

    Raises:
        InputError: the beam is not valid.
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
        exclude=getattr(args, "exclude", None),
    )
