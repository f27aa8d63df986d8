"""The islands of a mosaic, and what they measure on the image and on the sky."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.islands import blanksky, compact, extent, growth
from cosmodeep_hpc.islands.cellsums import CellSums
from cosmodeep_hpc.islands.compact import ERROR, CompactSources
from cosmodeep_hpc.islands.compacttable import CompactTable
from cosmodeep_hpc.islands.excluded import Excluded
from cosmodeep_hpc.islands.fluxnoise import FluxNoise
from cosmodeep_hpc.islands.growth import GrownFlux, Surroundings
from cosmodeep_hpc.islands.islandlabels import IslandLabels
from cosmodeep_hpc.islands.islandsums import IslandSums
from cosmodeep_hpc.islands.islandtable import IslandTable
from cosmodeep_hpc.islands.labels import Labels
from cosmodeep_hpc.islands.levels import Levels
from cosmodeep_hpc.islands.measuredplane import MeasuredPlane
from cosmodeep_hpc.islands.pixelareas import flux_areas, solid_angles
from cosmodeep_hpc.islands.positions import icrs, steps
from cosmodeep_hpc.survey.result import MosaicResult

SIGNIFICANT = 10.0
"""Ratio of an island's flux to its error from which the whole flux of a source is measured."""
SURE = 3.0
"""The same from which its position is weighted by brightness."""
LARGEST = 2**20
"""Cells around an island up to which the whole flux is measured: more do not fit into memory."""
PIXELS_AT_ONCE = 2**21  # read at most

T = TypeVar("T", IslandTable, CompactTable)


@dataclass(frozen=True)
class Islands:
    """The islands of a mosaic, measured.

    Attributes:
        table: their measures, in the order of their numbers.
        compact: sources in and beside them.
    """

    table: IslandTable
    compact: CompactTable

    @classmethod
    def of(
        cls, swept: MosaicResult, labels: IslandLabels, excluded: Excluded | None = None
    ) -> Islands:
        """Measure the islands of all planes, each plane for itself.

        Args:
            excluded: what is left out of their measures.

        Raises:
            InputError: the image cannot be read, or what is left out has no place in it.
        """
        tables: list[IslandTable] = []
        sources: list[CompactTable] = []
        for index, of_plane in enumerate(labels.planes):
            before = sum(map(len, sources))
            table, compacts = measure(swept, index, of_plane, labels.first[index], before, excluded)
            tables.append(table)
            sources.append(compacts)
        return cls(_joined(tables), _joined(sources))

    def __len__(self) -> int:
        """Return how many islands there are."""
        return len(self.table)


def _joined(tables: list[T]) -> T:
    """Return one table of those of all planes."""
    columns: dict[str, Any] = {
        f.name: np.concatenate([getattr(table, f.name) for table in tables])
        for f in fields(tables[0])
    }
    return type(tables[0])(**columns)


def measure(
    swept: MosaicResult,
    index: int,
    labels: Labels,
    first: int = 0,
    before: int = 0,
    excluded: Excluded | None = None,
) -> tuple[IslandTable, CompactTable]:
    """Measure the islands of a plane; its pixels are read only in rows of cells with islands.

    Args:
        index: of the plane.
        first, before: islands and compact sources numbered before.
        excluded: what is left out.
    """
    image = swept.planes[index].image
    plane = MeasuredPlane.of(swept, index, None if excluded is None else excluded.on(image))
    sources = compact.find(plane, labels)
    boxes = np.array([[r.start, r.stop, c.start, c.stop] for r, c in labels.boxes], np.int64)
    boxes = boxes.reshape(-1, 4) * swept.cell
    sums = IslandSums.nothing((boxes[:, [0, 2]] + boxes[:, [1, 3]]) // 2)
    cells = CellSums.nothing(len(labels))
    for strip in labels.strips():
        sums.add(plane, strip, sources)
        cells.add(swept, swept.planes[index], strip)
    measures = _Measures(plane, labels, sums, cells, sources, mapped=swept.has_map)
    owners = measures.owners()
    table = measures.table(index, first, boxes, owners)
    return table, _compact_table(plane, sources, index, before, np.where(owners, owners + first, 0))


class _Measures:
    """What follows from the sums of a plane's islands."""

    def __init__(
        self,
        plane: MeasuredPlane,
        labels: Labels,
        sums: IslandSums,
        cells: CellSums,
        sources: CompactSources,
        *,
        mapped: bool,
    ) -> None:
        self.mapped = mapped
        self.plane, self.labels, self.sums, self.cells = plane, labels, sums, cells
        self.sources = sources
        self.rms = cells.rms(plane.noise)
        self.noise = FluxNoise.of_beam(plane.image.beam, plane.image.pixel_scale)
        self.level, self.level_error = np.zeros((2, len(labels)))
        if len(labels):
            sky = blanksky.sampled(plane, labels)
            self.noise = FluxNoise.measured(sky, self.noise)
            levels = Levels(plane, labels, sky)
            found = [
                levels.around(n + 1, int(cells.count[n]), self.noise) for n in range(len(labels))
            ]
            self.level = np.nan_to_num(self.rms * np.array([level.mean for level in found]))
            self.level_error = self.rms * np.array([level.error for level in found])
        self.flux_areas = flux_areas(plane.image, solid_angles(plane.image, *sums.middle()))
        self.flux = sums.flux - self.level * sums.flux_area
        self.diffuse = self.flux - sums.compact

    def owners(self) -> NDArray[np.int64]:
        """Return the number of the island that each compact source lies in; 0: in none."""
        cell, shape = self.plane.cell, self.labels.shape
        row = np.clip(np.rint(self.sources.y).astype(np.int64) // cell, 0, shape[0] - 1)
        col = np.clip(np.rint(self.sources.x).astype(np.int64) // cell, 0, shape[1] - 1)
        found = np.zeros(len(row), np.int64)
        for place in np.unique(row):
            here = row == place
            found[here] = self.labels.rows(int(place), int(place) + 1)[0, col[here]]
        return found

    def table(
        self,
        index: int,
        first: int,
        boxes: NDArray[np.int64],
        owners: NDArray[np.int64],
    ) -> IslandTable:
        """Return the measures, a column each.

        Args:
            boxes: rows and columns of pixels that each island lies in.
            owners: of compact sources.
        """
        plane, sums, cells, count = self.plane, self.sums, self.cells, len(self.labels)
        image, wcs, (ny, nx) = plane.image, plane.image.wcs, plane.image.shape
        own = [self.noise.error(*pair) for pair in zip(self.rms, sums.area, strict=True)]
        error = np.hypot(own, self.level_error * sums.flux_area)
        of_compact = self._compact_errors()
        diffuse, of_diffuse = self.diffuse.copy(), np.hypot(error, of_compact)
        x, y, spread = self._positions(of_diffuse)
        middle_x, middle_y = sums.middle()
        turn = steps(wcs, middle_x, middle_y)
        moments = sums.spread_about(middle_x, middle_y)
        moments /= np.maximum(sums.pixels, 1)[:, None, None]
        major, minor, angle = extent.ellipses(moments, turn)
        on_sky = np.sqrt(np.maximum(np.einsum("nij,njk,nik->ni", turn, spread, turn), 0.0))
        whole = [self._whole(n, diffuse[n], of_diffuse[n]) for n in range(count)]
        centre, peak = icrs(wcs, x, y), icrs(wcs, sums.peak_x, sums.peak_y)
        pixels = sums.pixels.astype(np.int64)
        nothing = pixels == 0  # all of them are left out
        unknown = nothing | (self.sources.beam is None)  # compact sources were not looked for
        for column in (x, y, centre, peak, error, diffuse, of_diffuse, major, minor, angle):
            column[nothing] = np.nan
        on_sky[nothing] = np.nan
        partial = pixels < cells.inside
        if not self.mapped:  # a tile that reaches beyond the image is
            partial |= (boxes[:, 1] > ny) | (boxes[:, 3] > nx)
        beam = image.beam
        ends = np.concatenate([*cells.rows, np.zeros((0, 4), np.int64)])
        return IslandTable(
            number=first + 1 + np.arange(count),
            plane=np.full(count, index),
            ra=centre[:, 0],
            dec=centre[:, 1],
            ra_error=on_sky[:, 0],
            dec_error=on_sky[:, 1],
            x=x,
            y=y,
            x_min=boxes[:, 2],
            x_max=np.minimum(boxes[:, 3], nx) - 1,
            y_min=boxes[:, 0],
            y_max=np.minimum(boxes[:, 1], ny) - 1,
            x_peak=sums.peak_x,
            y_peak=sums.peak_y,
            ra_peak=peak[:, 0],
            dec_peak=peak[:, 1],
            cells=cells.count,
            pixels=pixels,
            area=sums.area,
            beams=sums.area / (math.nan if beam is None else beam.area),
            flux=np.where(nothing, np.nan, self.flux),
            flux_error=error,
            compact=np.where(unknown, np.nan, sums.compact),
            compact_error=np.where(unknown, np.nan, of_compact),
            diffuse=diffuse,
            diffuse_error=of_diffuse,
            total=np.array([one.flux for one in whole]),
            total_error=np.hypot([one.error for one in whole], of_compact),
            scale=np.array([one.scale for one in whole]),
            peak=np.where(np.isfinite(sums.peak), sums.peak - self.level, np.nan),
            background=sums.background / np.maximum(sums.pixels, 1) + self.level,
            rms=self.rms,
            largest=extent.largest_sizes(wcs, ends, count, plane.cell, image.shape),
            major=major,
            minor=minor,
            angle=angle,
            sources=np.bincount(owners, minlength=count + 1)[1:],
            mean_probability=cells.probability / cells.count,
            max_probability=cells.highest.astype(np.float64),
            coverage=pixels / cells.inside,
            edge=cells.edge,
            gap=cells.gap,
            partial=partial,
        )

    def _positions(
        self, error: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return columns and rows of middles weighted by brightness, and their covariances.

        Negative brightness counts as such: that of noise cancels. Where little stands out, the
        middle of the pixels stands in.

        Source: the variance of a weighted mean of correlated values, to first order.
        """
        sums, pixel = self.sums, self.plane.image.pixel_scale
        x, y = sums.middle()
        total = sums.diffuse - self.level * sums.pixels
        sure = (self.diffuse > SURE * error) & (total > 0)
        weight = np.where(sure, total, 1.0)
        east, north = sums.diffuse_x - self.level * sums.x, sums.diffuse_y - self.level * sums.y
        x = np.where(sure, east / weight + sums.origin[:, 1], x)
        y = np.where(sure, north / weight + sums.origin[:, 0], y)
        alike = np.array([self.noise.patch(area) for area in sums.area]) / pixel**2
        variance = np.where(sure, self.rms**2 * alike / weight**2, 1 / np.maximum(sums.pixels, 1))
        return x, y, sums.spread_about(x, y) * variance[:, None, None]

    def _compact_errors(self) -> NDArray[np.float64]:
        """Return the error of the flux in compact sources of each island [Jy]."""
        variance = np.zeros(len(self.labels))
        image, sources, cell = self.plane.image, self.sources, self.plane.cell
        for n in range(len(sources)):
            rows, columns = range(image.shape[0]), range(image.shape[1])
            (down, across), seen = sources.seen(n, rows, columns)
            cells = slice(down.start // cell, (down.stop - 1) // cell + 1)
            labels = self.labels.rows(cells.start, cells.stop)
            y, x = np.arange(down.start, down.stop), np.arange(across.start, across.stop)
            owner = labels[np.ix_(y // cell - cells.start, x // cell)]
            share = np.bincount(owner.ravel(), seen.ravel(), len(variance) + 1)[1:]
            variance += (share * sources.error[n] * image.pixel_scale**2) ** 2
        return np.asarray(np.sqrt(variance))

    def _whole(self, number: int, flux: float, error: float) -> GrownFlux:
        """Return the whole flux of an island's source, where it can be measured."""
        plane, labels = self.plane, self.labels
        if not self.mapped or not flux > SIGNIFICANT * error:
            return GrownFlux.unknown()
        around = growth.reach(plane.beam_cells)
        rows, cols = (
            range(max(part.start - around, 0), min(part.stop + around, side))
            for part, side in zip(labels.boxes[number], labels.shape, strict=True)
        )
        if len(rows) * len(cols) > LARGEST:
            return GrownFlux.unknown()
        here = labels.rows(rows.start, rows.stop)[:, cols.start : cols.stop]
        return growth.grown(
            Surroundings(
                brightness=self._means(rows, cols) - self.level[number],
                labels=here,
                number=number + 1,
                area=plane.cell**2 * float(self.flux_areas[number]),
                rms=float(self.rms[number]),
                level_error=float(self.level_error[number]),
                beam=plane.beam_cells,
            ),
            self.noise,
        )

    def _means(self, rows: range, cols: range) -> NDArray[np.float64]:
        """Return the mean diffuse brightness of cells: float64 (rows, cols); NaN: no data."""
        plane, cell = self.plane, self.plane.cell
        found = np.full((len(rows), len(cols)), np.nan)
        height = max(1, PIXELS_AT_ONCE // (len(cols) * cell**2))
        for start in range(0, len(rows), height):
            some = rows[start : start + height]
            lines, columns = plane.cells_inside(some, cols)
            pixels = plane.read(lines, columns) - self.sources.pixels(lines, columns)
            whole = np.full((len(some) * cell, len(cols) * cell), np.nan)
            whole[: len(lines), : len(columns)] = pixels
            blocks = whole.reshape(len(some), cell, len(cols), cell)
            known = np.isfinite(blocks).sum(axis=(1, 3))
            total = np.nansum(blocks, axis=(1, 3))
            found[start : start + len(some)] = np.where(
                known > 0, total / np.maximum(known, 1), np.nan
            )
        return found


def _compact_table(
    plane: MeasuredPlane,
    sources: CompactSources,
    index: int,
    before: int,
    owners: NDArray[np.int64],
) -> CompactTable:
    """Return the measures of compact sources, a column each.

    Errors of positions are those of a beam's own width and its ratio to the noise.

    Source: Condon (1997), PASP 109, 166, for a source as wide as the beam.
    """
    wcs, beam = plane.image.wcs, plane.image.beam
    count = len(sources)
    sky = icrs(wcs, sources.x, sources.y)
    areas = flux_areas(plane.image, solid_angles(plane.image, sources.x, sources.y))
    area = 0.0 if beam is None else beam.area / plane.image.pixel_scale**2  # pixels
    ratio = np.abs(sources.peak) / (ERROR * sources.rms)
    error = np.zeros((count, 2))
    if beam is not None:
        angle = math.radians(beam.angle)
        along = np.array([math.sin(angle), math.cos(angle)]) * beam.major
        across = np.array([math.cos(angle), -math.sin(angle)]) * beam.minor
        error = np.hypot(along, across) / (2 * math.sqrt(math.log(2))) / ratio[:, None]
    return CompactTable(
        number=before + 1 + np.arange(count),
        plane=np.full(count, index),
        island=owners,
        x=sources.x,
        y=sources.y,
        ra=sky[:, 0],
        dec=sky[:, 1],
        ra_error=error[:, 0],
        dec_error=error[:, 1],
        flux=sources.peak * area * areas,
        flux_error=sources.error * area * areas,
        peak=sources.peak,
        rms=sources.rms,
        given=sources.given,
    )
