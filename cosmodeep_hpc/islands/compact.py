"""Compact sources in and beside islands: found and fitted as the beam shows a point.

A source is where the image, filtered by a beam whose sum is zero, stands out: smooth emission
around it does not count. Its flux is that of a beam fitted above the level around it. The finder is
photutils'.

Source: Stetson (1987), PASP 99, 191 (DAOFIND).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, find_objects, label

from cosmodeep_hpc.images.quiet import quiet
from cosmodeep_hpc.islands import beamfit, growth
from cosmodeep_hpc.islands.beamfit import AROUND, MOVED
from cosmodeep_hpc.islands.blanksky import at_pixels
from cosmodeep_hpc.islands.labels import EIGHT, Labels
from cosmodeep_hpc.islands.measuredplane import MeasuredPlane
from cosmodeep_hpc.islands.pixelbeam import PixelBeam

LIMIT = 5.0
"""Times the noise that a source stands out."""
INSIDE = 0.6
"""Distance from a peak within which it is looked at how it is curved [beam]."""
PIXELS = 1.9
"""The same in pixels, at least: fewer of them do not tell."""
UNEVEN = 0.5
"""Unevenness of its curvature in units of the beam's, from 0 for a beam to 1, up to which a peak is
no ridge of a relic or filament."""
CURVED = 0.3
"""Share of a fitted beam's curvature that a peak has, at least: what is wider is no compact source,
though it stands out far above the noise."""
ERROR = 1.1
"""Error of a fitted peak in units of the noise: that of the level around is in it."""
UNLIKE = 0.1
"""The same in units of the peak: real sources differ from a beam."""
PIXELS_AT_ONCE = 2**21
"""Pixels that are looked at together, about."""
FEWEST = 128
"""Rows of them, at least: each part is read with what is around it."""


@dataclass(frozen=True, kw_only=True)
class CompactSources:
    """Compact sources of a plane, (n,) each, lowest first.

    Attributes:
        x, y: [pixel], from 0.
        peak: brightness above the level around [Jy/arcsec^2]: that of a beam's centre.
        rms: local noise [Jy/arcsec^2].
        given: whether it is of a user's list, and was fitted without being looked for.
        beam: that they are seen through [pixel], its angle from rows towards columns [deg].
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    peak: NDArray[np.float64]
    rms: NDArray[np.float64]
    given: NDArray[np.bool_]
    beam: PixelBeam | None

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.x)

    @classmethod
    def none(cls, beam: PixelBeam | None = None) -> CompactSources:
        """Return no source."""
        nothing = np.zeros(0)
        return cls(x=nothing, y=nothing, peak=nothing, rms=nothing, given=nothing > 0, beam=beam)

    @classmethod
    def joined(cls, parts: list[CompactSources], beam: PixelBeam | None) -> CompactSources:
        """Return the sources of all parts."""
        names = [f.name for f in fields(cls) if f.name != "beam"]
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in names
        }
        return cls(beam=beam, **columns)

    def some(self, which: NDArray[Any]) -> CompactSources:
        """Return some of them: a mask, or places."""
        names = [f.name for f in fields(self) if f.name != "beam"]
        columns: dict[str, Any] = {name: getattr(self, name)[which] for name in names}
        return CompactSources(beam=self.beam, **columns)

    @property
    def error(self) -> NDArray[np.float64]:
        """Errors of `peak` [Jy/arcsec^2]."""
        return np.hypot(ERROR * self.rms, UNLIKE * self.peak)

    def pixels(self, rows: range, columns: range) -> NDArray[np.float64]:
        """Return what they add to pixels: float64 (rows, columns) [Jy/arcsec^2]."""
        found = np.zeros((len(rows), len(columns)))
        if not len(self) or self.beam is None:
            return found
        reach = self.beam.reach
        near = (self.y > rows.start - 1 - reach) & (self.y < rows.stop + reach)
        near &= (self.x > columns.start - 1 - reach) & (self.x < columns.stop + reach)
        for n in np.flatnonzero(near):
            box, seen = self.seen(int(n), rows, columns)
            found[box] += self.peak[n] * seen
        return found

    def seen(
        self, number: int, rows: range, columns: range
    ) -> tuple[tuple[slice, slice], NDArray[np.float64]]:
        """Return where in a box of pixels a source is seen, and the beam there, 1 in its centre."""
        assert self.beam is not None
        x, y, reach = self.x[number], self.y[number], self.beam.reach
        low, high = max(rows.start, math.ceil(y - reach)), min(rows.stop, int(y + reach) + 1)
        left, right = (
            max(columns.start, math.ceil(x - reach)),
            min(columns.stop, int(x + reach) + 1),
        )
        high, right = max(high, low), max(right, left)
        dy, dx = np.arange(low, high) - y, np.arange(left, right) - x
        box = (
            slice(low - rows.start, high - rows.start),
            slice(left - columns.start, right - columns.start),
        )
        return box, self.beam.profile(dx[None, :], dy[:, None])


def find(plane: MeasuredPlane, labels: Labels, rows: int | None = None) -> CompactSources:
    """Find and fit the compact sources of a plane in and beside its islands.

    Args:
        rows: of pixels that are looked at together; None: as the width of the plane says.

    Raises:
        InputError: the image cannot be read.
    """
    beam = PixelBeam.of(plane)
    if beam is None or not len(labels):
        return CompactSources.none(beam)
    wide = growth.reach(plane.beam_cells)  # the whole flux is measured without them
    margin = wide * plane.cell + math.ceil(max(beam.reach, (AROUND[1] + MOVED) * beam.major))
    tall = rows or max(PIXELS_AT_ONCE // plane.image.shape[1], FEWEST)
    height = max(tall // plane.cell, 1)
    parts = []
    for start in range(0, labels.shape[0], height):
        cells = range(start, min(start + height, labels.shape[0]))
        more = math.ceil(margin / plane.cell)
        around = range(max(cells.start - more, 0), min(cells.stop + more, labels.shape[0]))
        near = labels.rows(around.start, around.stop) > 0
        if near.any():
            near = binary_dilation(near, EIGHT, iterations=wide)
            part = _find_near(plane, beam, near, around)
            own = plane.cells_inside(cells, range(1))[0]
            parts.append(part.some((part.y >= own.start - 0.5) & (part.y < own.stop - 0.5)))
    return CompactSources.joined(parts, beam) if parts else CompactSources.none(beam)


def _find_near(
    plane: MeasuredPlane, beam: PixelBeam, near: NDArray[np.bool_], around: range
) -> CompactSources:
    """Find and fit the sources in cells `near` of the rows `around`."""
    cols = np.flatnonzero(near.any(axis=0))
    more = math.ceil(AROUND[1] * beam.major / plane.cell) + 1
    wanted = range(max(int(cols[0]) - more, 0), min(int(cols[-1]) + 1 + more, near.shape[1]))
    rows, columns = plane.cells_inside(around, wanted)
    pixels = plane.read(rows, columns).astype(np.float64)
    y, x = np.asarray(rows), np.asarray(columns)
    rms = at_pixels(plane.noise, plane.tile, y, x)
    with np.errstate(invalid="ignore"):
        pixels /= rms
    missing = ~np.isfinite(pixels)
    pixels[missing] = 0.0
    where = near[np.ix_(y // plane.cell - around.start, x // plane.cell)]
    places, curved = _peaks(pixels, where, missing, beam)
    given = np.zeros(len(places), np.bool_)
    if plane.excluded is not None:
        own = np.stack([plane.excluded.x - x[0], plane.excluded.y - y[0]], axis=-1)
        inside = (own > -0.5).all(axis=1) & (own < [len(x) - 0.5, len(y) - 0.5]).all(axis=1)
        own = own[inside]
        at = np.rint(own).astype(np.int64)
        own = own[where[at[:, 1], at[:, 0]]]
        alone = _apart(places, own, MOVED * beam.major)
        places = np.concatenate([own, places[alone]])
        curved = np.concatenate([np.zeros(len(own)), curved[alone]])
        given = np.arange(len(places)) < len(own)
    if not len(places):
        return CompactSources.none(beam)
    pixels[missing] = np.nan
    fitted = beamfit.fit(pixels, places, beam)
    for _ in range(2):  # a fainter one may have held what belongs to its neighbours
        kept = given | ((fitted[:, 2] >= LIMIT) & (curved >= CURVED * fitted[:, 2]))
        if kept.all():
            break
        given, curved = given[kept], curved[kept]
        fitted = beamfit.fit(pixels, fitted[kept, :2], beam)
    kept = given | ((fitted[:, 2] >= LIMIT) & (curved >= CURVED * fitted[:, 2]))
    fitted, given = fitted[kept], given[kept]
    at = np.clip(np.rint(fitted[:, :2]).astype(np.int64), 0, [len(x) - 1, len(y) - 1])
    local = rms[at[:, 1], at[:, 0]]
    order = np.lexsort((fitted[:, 0], fitted[:, 1]))
    return CompactSources(
        x=fitted[:, 0] + x[0],
        y=fitted[:, 1] + y[0],
        peak=fitted[:, 2] * local,
        rms=local,
        given=given,
        beam=beam,
    ).some(order)


def _apart(
    places: NDArray[np.float64], others: NDArray[np.float64], reach: float
) -> NDArray[np.bool_]:
    """Return which places (n, 2) lie farther than `reach` from all others."""
    if not len(others):
        return np.ones(len(places), np.bool_)
    away = np.linalg.norm(places[:, None] - others[None], axis=-1)
    return np.asarray(away.min(axis=1) > reach)


def _peaks(
    pixels: NDArray[np.float64],
    where: NDArray[np.bool_],
    missing: NDArray[np.bool_],
    beam: PixelBeam,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where sources stand out of pixels in units of the noise: (n, 2) of x and y.

    And the peak of the beam that is curved as each of them is (n,).

    Args:
        where: which pixels are looked at. missing: which have no data.
    """
    from photutils.detection import DAOStarFinder

    finder = DAOStarFinder(
        LIMIT,
        beam.major,
        ratio=beam.minor / beam.major,
        theta=beam.turn,
        sharpness_range=None,
        roundness_range=None,  # it is that of columns and rows, and not of the beam
        min_separation=beam.major,
        scale_threshold=False,
    )
    found = [np.zeros((0, 2))]
    more = math.ceil(2 * beam.major)
    groups, _ = label(where, EIGHT)
    for box in find_objects(groups):
        low, left = max(box[0].start - more, 0), max(box[1].start - more, 0)
        part = slice(low, box[0].stop + more), slice(left, box[1].stop + more)
        with quiet(Warning):  # that nothing was found
            table = finder(pixels[part], mask=(missing | ~where)[part])
        if table is not None:
            found.append(np.stack([table["x_centroid"] + left, table["y_centroid"] + low], axis=-1))
    places = np.unique(np.concatenate(found), axis=0)  # boxes overlap
    curved = [_curvature(pixels, missing, place, beam) for place in places]
    peak, uneven = np.array(curved).reshape(-1, 2).T
    return places[uneven <= UNEVEN], peak[uneven <= UNEVEN]


def _curvature(
    pixels: NDArray[np.float64],
    missing: NDArray[np.bool_],
    place: NDArray[np.float64],
    beam: PixelBeam,
) -> tuple[float, float]:
    """Return the peak of a beam that is curved as a peak is, and how unevenly that is curved.

    Paraboloids are fitted to both, in units of the beam's widths. Unevenness: of the curvatures
    along its axes, the difference over the sum, less that of the beam on the same pixels; infinity
    where it is no peak.
    """
    reach = max(INSIDE, PIXELS / beam.minor)
    row, col = beamfit.box(pixels, place, reach * beam.major)
    dx, dy = col - place[0], row - place[1]
    along, across = beam.along_axes(dx, dy)
    inside = (np.hypot(along, across) <= reach) & ~missing[row, col]
    u, v = along[inside], across[inside]
    terms = np.stack([np.ones(len(u)), u, v, u * u, u * v, v * v], axis=-1)
    both = np.stack([pixels[row, col][inside], beam.profile(dx, dy)[inside]], axis=-1)
    _, _, _, uu, uv, vv = np.linalg.lstsq(terms, both, rcond=1e-6)[0]
    total = uu + vv
    if not (total < 0).all():
        return 0.0, math.inf
    (along_axes, beams), (between, its) = (uu - vv) / total, uv / total
    return float(total[0] / total[1]), math.hypot(along_axes - beams, between - its)
