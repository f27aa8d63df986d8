"""Options of sources that are put into an image, to learn what is found there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from cosmodeep_hpc.config.section import SEEDS, Section, option

Shape = Literal["halo", "arc", "bridge"]
SHAPES: tuple[Shape, ...] = get_args(Shape)


@dataclass(frozen=True, kw_only=True)
class Inject(Section):
    """Injections: completeness and upper limits of an image."""

    source: Shape = option(
        "halo",
        "what is put into the image: an exponential halo, an arc with a sharp outer edge (a "
        "relic), or a bridge; an image of your own with --source",
    )
    fluxes: tuple[float, ...] = option(
        (),
        "integrated fluxes; none: those whose peak, seen through the beam, is 0.5 to 16 times the "
        "noise",
        unit="mJy",
        above=0,
    )
    sizes: tuple[float, ...] = option(
        (),
        "e-folding radii of halos, lengths of arcs and bridges; none: 2, 4 and 8 beams, and four "
        "times as much for lengths",
        unit="arcsec",
        above=0,
    )
    count: int = option(20, "places of each size, where none are given", low=1)
    ratio: float = option(1.0, "short over long axis of a halo", above=0, high=1)
    width: float = option(
        0.125, "e-folding width of an arc, or sigma of a bridge, over its length", above=0, high=1
    )
    overlap: float = option(
        0.3,
        "share of the area within half of its maximum that islands must cover, which were none "
        "before, for a source to be found",
        above=0,
        high=1,
    )
    reach: float = option(
        256.0,
        "pixels that the network sees around a source: each is swept in an image of its own, so "
        "wide",
        unit="pixel",
        low=64,
    )
    seed: int = option(1, "of places and angles", low=0, high=SEEDS)
