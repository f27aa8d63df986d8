"""A trial: a source put into a part of an image, which is swept and looked through for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.images.array import ImageArray
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.injection.injected import InjectedSource, injected
from cosmodeep_hpc.injection.places import KnownSky, Place
from cosmodeep_hpc.injection.sources import Source
from cosmodeep_hpc.products.classify import Memory, swept_into
from cosmodeep_hpc.products.findings import Findings
from cosmodeep_hpc.survey.plan import SweepPlan


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What became of a source.

    Attributes:
        size: of the source [arcsec], number: of its place.
        x, y: its middle, weighted by brightness [pixel]. angle: position angle [deg].
        flux: that it has [Jy]. peak: its maximum, seen through the beam [Jy/arcsec^2].
        rms: local noise [Jy/arcsec^2].
        covered: share of the area within half of its maximum that islands cover which were none
            before.
        found: whether that is enough.
        diffuse, diffuse_error, total, total_error: fluxes of the largest such island [Jy]; NaN:
            there is none, or it is joined with one that was there before.
        beams: area of that [beam].
    """

    size: float
    number: int
    x: float
    y: float
    angle: float
    flux: float
    peak: float
    rms: float
    covered: float
    found: bool
    diffuse: float
    diffuse_error: float
    total: float
    total_error: float
    beams: float


@dataclass(frozen=True, kw_only=True)
class TrialSky:
    """An image that sources are put into.

    Attributes:
        plan: how it is swept. image: it. known: what it has without them.
        around: pixels that the network sees around a source.
        overlap: share that islands must cover for a source to be found.
    """

    plan: SweepPlan
    image: Image
    known: KnownSky
    around: float
    overlap: float

    def window(self, source: InjectedSource) -> tuple[range, range]:
        """Return the part of the image that is swept: of whole tiles, so cells are the image's."""
        around, tile = math.ceil(self.around * self.known.rebin), self.known.tile
        return tuple(  # type: ignore[return-value]
            range(
                max((part.start - around) // tile * tile, 0),
                min(-(-(part.stop + around) // tile) * tile, length),
            )
            for part, length in zip((source.rows, source.columns), self.image.shape, strict=True)
        )


@dataclass(frozen=True)
class Injection:
    """A source that is put at a place, with one flux after the other.

    Attributes:
        size: of the source [arcsec]. fluxes: [Jy], (n,).
    """

    source: Source
    size: float
    place: Place
    fluxes: NDArray[np.float64]


def trials(sky: TrialSky, injection: Injection) -> list[Trial]:
    """Put a source at its place with each of its fluxes, and see with which it is found.

    Raises:
        InputError: the image cannot be read.
    """
    place = injection.place
    made = injected(injection.source, sky.image, place.x, place.y, place.angle)
    rows, columns = sky.window(made)
    image = sky.image
    pixels = image.data(rows.start, rows.stop, slice(columns.start, columns.stop))
    here = (
        slice(made.rows.start - rows.start, made.rows.stop - rows.start),
        slice(made.columns.start - columns.start, made.columns.stop - columns.start),
    )
    wcs = image.wcs.deepcopy()
    wcs.wcs.crpix -= [columns.start, rows.start]
    done = []
    for flux in injection.fluxes:
        own = pixels.copy()
        own[here] += np.float32(flux) * made.seen
        array = ImageArray.of(
            own / np.float32(image.to_surface_brightness), wcs, image.unit, image.path.name
        )
        request = replace(sky.plan.request, beam=image.beam, hdu=None, planes=None)
        swept = swept_into(Memory(), replace(sky.plan, images=(array,), request=request))
        found = Findings(swept, sky.plan.config)
        done.append(_trial(sky, found, made, rows, columns, float(flux), injection))
    return done


def _is_joined(known: KnownSky, found: Findings, number: int, rows: range, columns: range) -> bool:
    """Return whether an island of a window has cells of one that was there before."""
    part = found.labels.planes[0].boxes[number - 1]
    own = found.labels.planes[0].group(number)
    first, left = rows.start // known.cell, columns.start // known.cell
    before = known.taken[
        first + part[0].start : first + part[0].stop, left + part[1].start : left + part[1].stop
    ]
    return bool((own[: before.shape[0], : before.shape[1]] & before).any())


def _trial(
    sky: TrialSky,
    found: Findings,
    made: InjectedSource,
    rows: range,
    columns: range,
    flux: float,
    injection: Injection,
) -> Trial:
    """Look for a source among the islands of the window that it lies in."""
    cell = sky.known.cell
    y, x = np.asarray(made.rows), np.asarray(made.columns)
    before = sky.known.at(sky.known.taken, y, x)
    cells_y, cells_x = (y - rows.start) // cell, (x - columns.start) // cell
    labels = found.labels.rows(0, int(cells_y[0]), int(cells_y[-1]) + 1)
    labels = labels[np.ix_(cells_y - cells_y[0], cells_x)]
    half = made.half
    new = np.where(half & ~before, labels, 0)
    covered = float((new > 0).sum() / max(half.sum(), 1))
    is_found = covered >= sky.overlap
    diffuse = diffuse_error = total = total_error = beams = math.nan
    largest = int(np.bincount(new[new > 0]).argmax()) - 1 if is_found else -1
    if is_found and not _is_joined(sky.known, found, largest + 1, rows, columns):
        table = found.islands.table
        diffuse, diffuse_error = float(table.diffuse[largest]), float(table.diffuse_error[largest])
        total, total_error = float(table.total[largest]), float(table.total_error[largest])
        beams = float(table.beams[largest])
    noise = found.swept.planes[0].tiles.noise
    tile = found.swept.tile_cell
    at = (round(made.y) - rows.start) // tile, (round(made.x) - columns.start) // tile
    rms = float(noise[min(max(at[0], 0), len(noise) - 1), min(max(at[1], 0), noise.shape[1] - 1)])
    return Trial(
        size=injection.size,
        number=injection.place.number,
        x=made.x,
        y=made.y,
        angle=injection.place.angle,
        flux=flux,
        peak=flux * float(made.seen.max()),
        rms=rms,
        covered=covered,
        found=is_found,
        diffuse=diffuse,
        diffuse_error=diffuse_error,
        total=total,
        total_error=total_error,
        beams=beams,
    )
