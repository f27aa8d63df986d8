"""The stage `inject`: sources put into an image at many places, and which of them are found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.inject import Inject
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.injection import places as where
from cosmodeep_hpc.injection.completeness import SizeCurve, curves
from cosmodeep_hpc.injection.injected import injected
from cosmodeep_hpc.injection.places import KnownSky
from cosmodeep_hpc.injection.sources import Picture, source_of
from cosmodeep_hpc.injection.trial import Injection, Trial, TrialSky, trials
from cosmodeep_hpc.io.progress import Progress, silent
from cosmodeep_hpc.parallel.world import World
from cosmodeep_hpc.products.classify import Memory, swept_into
from cosmodeep_hpc.products.findings import Findings
from cosmodeep_hpc.survey.plan import Source as ImageSource
from cosmodeep_hpc.survey.plan import SweepPlan, SweepRequest

BEAMS = (2.0, 4.0, 8.0)
"""Sizes of halos that are tried where none are given [beam]."""
LENGTHS = 4.0
"""Lengths of arcs and bridges over the sizes of halos."""
PEAKS = (0.5, 16.0)
"""Peaks of the faintest and the brightest source, where no fluxes are given [noise]."""
WIDEST = 2.0
"""Distance at which a source ends over the longer side of an image, at most."""
STEPS = 8
"""Fluxes between them, these included."""


@dataclass(frozen=True)
class InjectRequest:
    """What is put into which image.

    Attributes:
        image: a file, or an image in memory.
        sweep: how it is swept.
        picture: an image of the source; None: the shape of `inject.source`.
        positions: where it is put; None: at random.
    """

    image: ImageSource
    sweep: SweepRequest
    picture: Path | None = None
    positions: SkyCoord | None = None


@dataclass(frozen=True)
class Injections:
    """What became of the sources that were put into an image.

    Attributes:
        found: what the image has without them.
        trials: of all sources. curves: their completeness, a size each.
        options: the section `inject`. shape: what was put in, in words.
    """

    found: Findings
    trials: tuple[Trial, ...]
    curves: tuple[SizeCurve, ...]
    options: Inject
    shape: str


def inject(
    request: InjectRequest, config: Config, world: World, progress: Progress = silent
) -> Injections | None:
    """Put sources into an image, sweep it and look for them; a collective call.

    The same result for any number of ranks.

    Returns:
        what became of them, on rank 0; None on the others.

    Raises:
        InputError: bad usage, a bad model or image, or no room in it for a source.
    """
    _check(request)
    plan = SweepPlan.of([request.image], config, request.sweep, world)
    memory = Memory()
    known = world.on_root(lambda: _known(memory, plan))
    planes = request.sweep.planes
    image = open_image(
        request.image,
        hdu=request.sweep.hdu,
        plane=None if planes is None else planes[0],
        beam=request.sweep.beam,
    )
    work = world.on_root(lambda: _planned(request, config.inject, image, known))
    sky = TrialSky(
        plan=plan,
        image=image,
        known=known,
        around=config.inject.reach,
        overlap=config.inject.overlap,
    )

    def tried(part: int) -> list[Trial]:
        return trials(sky, work[part])

    every = world.map(tried, len(work), progress)
    if not world.is_root:
        return None
    done = tuple(trial for some in every for trial in some)
    shape = config.inject.source if request.picture is None else request.picture.name
    assert memory.swept is not None  # rank 0 has swept it
    before = Findings(memory.swept, config)
    return Injections(before, done, tuple(curves(done)), config.inject, shape)


def _planned(
    request: InjectRequest,
    options: Inject,
    image: Image,
    known: KnownSky,
) -> list[Injection]:
    """Return which source is put where.

    Raises:
        InputError: a place lies outside the image, or there is no room.
    """
    picture = None if request.picture is None else Picture.read(request.picture)
    work: list[Injection] = []
    for number, size in enumerate(_sizes(options, image, known, picture)):
        source = source_of(options, size, picture)
        if source.reach > WIDEST * max(image.shape) * image.pixel_scale:
            raise InputError(
                f"{image.path}: a source of {size:g} arcsec is wider than it; give smaller "
                "inject.sizes"
            )
        made = injected(source, image, *_middle(image), 0.0)
        row, col = np.nonzero(made.half)
        spread = float(np.hypot(row - row.mean(), col - col.mean()).max())
        fluxes = _fluxes(options, known.rms / float(made.seen.max()))
        if request.positions is None:
            found = where.drawn(image, known, spread, options.count, options.seed, number)
        else:
            found = where.given(image, known, request.positions, options.seed)
        if not found:
            raise InputError(
                f"{image.path}: no room without islands and gaps for a source of {size:g} arcsec; "
                "give smaller inject.sizes, or places (--at)"
            )
        work += [Injection(source, size, place, fluxes) for place in found]
    return work


def _check(request: InjectRequest) -> None:
    """Refuse what cannot be done for parts of an image."""
    if request.sweep.has_map:
        raise InputError(
            "inject: a map of the noise (--rms FILE) is not taken; give a number, or leave it out"
        )


def _known(memory: Memory, plan: SweepPlan) -> KnownSky:
    """Sweep the image as it is.

    Raises:
        InputError: it has several planes.
    """
    swept = swept_into(memory, plan)
    if len(swept.planes) > 1:
        raise InputError(
            f"{swept.path}: {len(swept.planes)} planes; expected one: choose it with --plane"
        )
    found = Findings(swept, plan.config)
    plane = swept.planes[0]
    rows = plane.shape[0]
    return KnownSky(
        taken=found.labels.rows(0, 0, rows) > 0,
        blank=plane.blank(0, rows),
        cell=swept.cell,
        tile=swept.tile_cell,
        rebin=swept.rebin,
        rms=float(np.nanmedian(plane.tiles.noise)),
    )


def _middle(image: Image) -> tuple[float, float]:
    """Return the column and row of the middle of an image [pixel]."""
    return (image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2


def _sizes(options: Inject, image: Image, known: KnownSky, picture: Picture | None) -> list[float]:
    """Return the sizes of the sources [arcsec]."""
    if options.sizes:
        return sorted(set(options.sizes))
    if picture is not None:
        return [picture.own]
    unit = image.pixel_scale * known.rebin
    if image.beam is not None:
        unit = max(unit, image.beam.width)
    factor = 1.0 if options.source == "halo" else LENGTHS
    return [factor * beams * unit for beams in BEAMS]


def _fluxes(options: Inject, unit: float) -> NDArray[np.float64]:
    """Return the fluxes of sources of a size [Jy].

    Args:
        unit: flux of one whose peak is the noise [Jy].
    """
    if options.fluxes:
        return np.array(sorted(set(options.fluxes))) / 1e3
    return np.asarray(unit * np.geomspace(*PEAKS, STEPS))
