"""Islands: connected signal cells, numbered, and what they measure on the image and on the sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.coordinates import ICRS
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame
from numpy.typing import ArrayLike, NDArray

from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.products.cellsums import CellSums
from cosmodeep_hpc.products.islandsums import IslandSums
from cosmodeep_hpc.products.labels import Labels
from cosmodeep_hpc.survey.result import MosaicResult


@dataclass(frozen=True, kw_only=True)
class Island:
    """An island and its measures. Pixels are counted from 0.

    Attributes:
        number: from 1, through all planes.
        plane: index of its plane in the list of those swept.
        ra, dec: brightness-weighted centroid (pixels below 0 count as 0), ICRS [deg]; NaN beyond
            the edge of the projection.
        x, y: the same [pixel]. x_min, x_max, y_min, y_max: its outermost pixels.
        x_peak, y_peak, ra_peak, dec_peak: the brightest pixel, and its centre, as above.
        n_tiles: cells. n_pix: pixels with data in them.
        solid_angle: of those pixels [arcsec^2].
        flux: their sum [Jy]; flux_error: what noise of `rms` makes of it.
        peak: brightness of the brightest pixel [Jy/arcsec^2].
        rms: median noise of the image's pixels in its cells [Jy/arcsec^2].
        coverage: share of its pixels that have data.
        edge: it lies at the edge of the image or beside cells without data, and may go on there.
        partial: a cell of it is cut by the edge of the image or has pixels without data.
    """

    number: int
    plane: int
    ra: float
    dec: float
    x: float
    y: float
    x_min: int
    x_max: int
    y_min: int
    y_max: int
    x_peak: int
    y_peak: int
    ra_peak: float
    dec_peak: float
    n_tiles: int
    n_pix: int
    solid_angle: float
    flux: float
    flux_error: float
    peak: float
    rms: float
    mean_probability: float
    max_probability: float
    coverage: float
    edge: bool
    partial: bool


@dataclass(frozen=True)
class Islands:
    """The islands of a mosaic.

    Attributes:
        labels: a plane each: which cells belong to islands, by numbers in the plane from 1.
        first: a plane each: how many islands the planes before it have.
        islands: in the order of their numbers.
    """

    labels: tuple[Labels, ...]
    first: tuple[int, ...]
    islands: tuple[Island, ...]

    def rows(self, plane: int, start: int, stop: int) -> NDArray[np.int32]:
        """Return the numbers of islands of rows of a plane: int32 (rows, cols); 0 where none."""
        labels = self.labels[plane].rows(start, stop)
        return np.where(labels > 0, labels + self.first[plane], 0).astype(np.int32)

    def whole(self, plane: int) -> NDArray[np.int32]:
        """Return the same of all rows of a plane."""
        return self.rows(plane, 0, self.labels[plane].shape[0])


def find(swept: MosaicResult, min_beams: float, high: float) -> Islands:
    """Label and measure the islands of all planes, each plane for itself.

    Numbers go up with the lowest row of an island, then with its first column there.

    Args:
        min_beams: area from which islands of pixels are kept [beam]; those of tiles all are.
        high: probability that one of their pixels reaches, likewise.

    Raises:
        InputError: the image cannot be read.
    """
    labels: list[Labels] = []
    first: list[int] = []
    islands: list[Island] = []
    for index, plane in enumerate(swept.planes):
        if swept.has_map:
            least = min_beams * _beam_cells(plane.image, swept.cell)
            labels.append(Labels(plane, swept.threshold, least, high))
        else:
            labels.append(Labels(plane, swept.threshold))
        first.append(len(islands))
        islands += measure(swept, index, labels[-1], first[-1])
    return Islands(tuple(labels), tuple(first), tuple(islands))


def _beam_cells(image: Image, cell: int) -> float:
    """Return the area of the beam, or of a pixel where it is not known [cell]."""
    area = image.pixel_scale**2 if image.beam is None else image.beam.area
    return area / (cell * image.pixel_scale) ** 2


def measure(swept: MosaicResult, index: int, labels: Labels, first: int = 0) -> list[Island]:
    """Measure the islands of a plane; its pixels are read only in rows of cells with islands.

    Args:
        index: of the plane.
        first: islands numbered before.
    """
    if not len(labels):
        return []
    plane, cell = swept.planes[index], swept.cell
    image = plane.image
    sums, cells = IslandSums.nothing(len(labels)), CellSums.nothing(len(labels))
    for strip in labels.strips():
        sums.add(image, strip, cell)
        cells.add(swept, plane, strip)
    x, y = sums.centre()
    centre, peak = icrs(image.wcs, x, y), icrs(image.wcs, sums.peak_x, sums.peak_y)
    rms = cells.rms(plane)
    ny, nx = image.shape
    islands = []
    for i, (rows, cols) in enumerate(labels.boxes):
        pixels, inside = int(sums.pixels[i]), int(cells.inside[i])
        partial = pixels < inside
        if not swept.has_map:  # a tile that reaches beyond the image is
            partial |= rows.stop * cell > ny or cols.stop * cell > nx
        area = float(sums.area[i])
        islands.append(
            Island(
                number=first + i + 1,
                plane=index,
                ra=float(centre[i, 0]),
                dec=float(centre[i, 1]),
                x=float(x[i]),
                y=float(y[i]),
                x_min=cols.start * cell,
                x_max=min(cols.stop * cell, nx) - 1,
                y_min=rows.start * cell,
                y_max=min(rows.stop * cell, ny) - 1,
                x_peak=int(sums.peak_x[i]),
                y_peak=int(sums.peak_y[i]),
                ra_peak=float(peak[i, 0]),
                dec_peak=float(peak[i, 1]),
                n_tiles=int(cells.count[i]),
                n_pix=pixels,
                solid_angle=area,
                flux=float(sums.flux[i]),
                flux_error=float(rms[i]) * _independent(image, area, pixels),
                peak=float(sums.peak[i]) if np.isfinite(sums.peak[i]) else np.nan,
                rms=float(rms[i]),
                mean_probability=float(cells.probability[i] / cells.count[i]),
                max_probability=float(cells.highest[i]),
                coverage=pixels / inside,
                edge=bool(cells.edge[i]),
                partial=bool(partial),
            )
        )
    return islands


def _independent(image: Image, area: float, pixels: int) -> float:
    """Return what multiplies the noise of a pixel to give that of the flux in `area` [arcsec^2].

    The square root of the number of beams, times a beam; of pixels where there is no beam, or
    one smaller than a pixel.
    """
    patch = area / pixels if pixels else 0.0
    if image.beam is not None:
        patch = max(patch, image.beam.area)
    return float(np.sqrt(area * patch))


def icrs(wcs: WCS, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Return ICRS right ascension and declination [deg] of pixels (from 0), float64 (n, 2).

    NaN beyond the edge of the projection.
    """
    x, y = np.atleast_1d(np.asarray(x, float)), np.asarray(y, float)
    if type(wcs_to_celestial_frame(wcs)) is ICRS:  # as below, in a tenth of the time
        world = wcs.pixel_to_world_values(x, y)
        ra, dec = world[wcs.wcs.lng], world[wcs.wcs.lat]
        if not ((ra < 0) | (ra >= 360)).any():
            return np.stack([ra, dec], axis=-1)
    sky = wcs.pixel_to_world(x, y).icrs
    return np.stack([sky.ra.deg, sky.dec.deg], axis=-1)


def name(ra: float, dec: float) -> str:
    """Return an island's name, Jhhmmss-ddmmss: ICRS, truncated, not rounded; empty where none.

    Source: IAU specifications for nomenclature, section 3.2.2.
    """
    if not np.isfinite([ra, dec]).all():
        return ""  # beyond the edge of the projection
    # a position on the very second must not fall below it by the last bit of its number
    seconds = int(round(ra / 15 * 3600, 6)) % 86400
    north = int(round(abs(dec) * 3600, 6))
    return f"J{_sexagesimal(seconds)}{'-' if dec < 0 else '+'}{_sexagesimal(north)}"


def _sexagesimal(seconds: int) -> str:
    return f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
