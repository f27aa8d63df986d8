"""Islands: connected signal cells, numbered, and what they measure on the image and on the sky."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.ndimage
from astropy import units as u
from astropy.coordinates import ICRS
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame
from numpy.typing import ArrayLike, NDArray

from cosmodeep_hpc.images import distortion
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.images.unit import unit_of
from cosmodeep_hpc.survey.grid import pixels_inside
from cosmodeep_hpc.survey.result import MosaicResult, PlaneResult

EIGHT = np.ones((3, 3), dtype=np.int8)  # cells that touch at a corner are connected
PIXELS_AT_ONCE = 2**23  # read at most: 32 MiB


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
        labels: a plane each, int32 (rows, cols): the number of the cell's island, 0 where none.
        islands: in the order of their numbers.
    """

    labels: tuple[NDArray[np.int32], ...]
    islands: tuple[Island, ...]


def find(swept: MosaicResult) -> Islands:
    """Label and measure the islands of all planes, each plane for itself.

    Numbers go up with the lowest row of an island, then with its first column there.

    Raises:
        InputError: the image cannot be read.
    """
    labels: list[NDArray[np.int32]] = []
    islands: list[Island] = []
    for index, plane in enumerate(swept.planes):
        local, _ = label(plane.signal(swept.threshold))
        first = len(islands)
        islands += measure(plane, local, swept.cell, index, first)
        labels.append(np.where(local > 0, local + first, 0).astype(np.int32))
    return Islands(tuple(labels), tuple(islands))


def label(signal: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Label the 8-connected groups of signal cells from 1: int32 (rows, cols), and how many."""
    labels, count = scipy.ndimage.label(signal, structure=EIGHT, output=np.int32)
    return labels, int(count)


def measure(
    plane: PlaneResult, labels: NDArray[np.int32], cell: int, index: int = 0, first: int = 0
) -> list[Island]:
    """Measure the islands of a plane; its pixels are read only in rows of cells with islands.

    Args:
        labels: as `label` gives them. cell: side of a cell [pixel].
        index: of the plane. first: islands numbered before.
    """
    boxes: list[Any] = scipy.ndimage.find_objects(labels)
    if not boxes:
        return []
    image, count = plane.image, len(boxes)
    sums = _sum(image, labels, pixel_areas(image, labels > 0, cell), cell, count)
    with_flux = sums.weight > 0
    weight = np.where(with_flux, sums.weight, np.maximum(sums.pixels, 1))
    x = np.where(with_flux, sums.weight_x, sums.x) / weight
    y = np.where(with_flux, sums.weight_y, sums.y) / weight
    centre, peak = icrs(image.wcs, x, y), icrs(image.wcs, sums.peak_x, sums.peak_y)
    at_edge = beside_nothing(np.isnan(plane.probability))
    ny, nx = image.shape
    islands = []
    for i, box in enumerate(boxes):
        own = labels[box] == i + 1
        probability, covered = plane.probability[box][own], plane.coverage[box][own]
        noise = plane.noise[box][own]
        rms = float(np.median(noise[np.isfinite(noise)])) if np.isfinite(noise).any() else np.nan
        rows, cols = box
        inside = int(pixels_inside(image.shape, cell, rows, cols)[own].sum())
        cut = rows.stop * cell > ny or cols.stop * cell > nx
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
                n_tiles=int(own.sum()),
                n_pix=int(sums.pixels[i]),
                solid_angle=float(sums.area[i]),
                flux=float(sums.flux[i]),
                flux_error=rms * _independent(image, float(sums.area[i]), int(sums.pixels[i])),
                peak=float(sums.peak[i]),
                rms=rms,
                mean_probability=float(probability.mean(dtype=np.float64)),
                max_probability=float(probability.max()),
                coverage=int(sums.pixels[i]) / inside,
                edge=bool(at_edge[box][own].any()),
                partial=bool(cut or (covered < 1).any()),
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


def beside_nothing(blank: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find cells at the grid's edge or beside (8 ways) one without data: bool (rows, cols)."""
    beyond = np.pad(blank, 1, constant_values=True)
    touched: NDArray[np.bool_] = scipy.ndimage.binary_dilation(beyond, structure=EIGHT)
    return touched[1:-1, 1:-1]


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


def pixel_areas(image: Image, where: NDArray[np.bool_], cell: int) -> NDArray[np.float64]:
    """Return the solid angle of a pixel in each cell's middle [arcsec^2]; 0 outside `where`.

    What a pixel covers on the sky changes over a wide field.
    """
    row, col = np.nonzero(where)
    y = np.minimum((row + 0.5) * cell, (row * cell + image.shape[0]) / 2) - 0.5
    x = np.minimum((col + 0.5) * cell, (col * cell + image.shape[1]) / 2) - 0.5
    area = distortion.pixel_areas(image.wcs, x, y)
    areas = np.zeros(where.shape)
    areas[row, col] = np.where(np.isfinite(area), area, image.pixel_scale**2)
    return areas


def flux_areas(image: Image, areas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what makes a pixel's flux of its surface brightness [arcsec^2].

    In Jy/pixel a pixel is its flux, whatever it covers: there the area is the one that made a
    surface brightness of it.
    """
    unit = unit_of(image.unit)
    if unit is not None and u.pix in unit.bases:
        return np.where(areas > 0, image.pixel_scale**2, 0.0)
    return areas


@dataclass(frozen=True)
class _Sums:
    """Sums over the pixels of islands, (n,) each."""

    pixels: NDArray[np.float64]
    area: NDArray[np.float64]
    flux: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    weight: NDArray[np.float64]
    weight_x: NDArray[np.float64]
    weight_y: NDArray[np.float64]
    peak: NDArray[np.float64]
    peak_x: NDArray[np.int64]
    peak_y: NDArray[np.int64]

    @classmethod
    def nothing(cls, count: int) -> _Sums:
        """Return the sums before the first pixel."""
        zero = {name: np.zeros(count) for name in cls.__dataclass_fields__}
        whole = {name: np.zeros(count, np.int64) for name in ("peak_x", "peak_y")}
        made: dict[str, Any] = {**zero, **whole, "peak": np.full(count, -np.inf)}
        return cls(**made)


def _sum(
    image: Image,
    labels: NDArray[np.int32],
    areas: NDArray[np.float64],
    cell: int,
    count: int,
) -> _Sums:
    """Add up the pixels of each island."""
    sums = _Sums.nothing(count)
    per_flux = flux_areas(image, areas)
    for row, start, columns, pixels in _read(image, labels > 0, cell):
        every = np.arange(columns.start, columns.stop)
        own = labels[row, every // cell] > 0
        col, pixels = every[own], pixels[:, own]
        owner = labels[row, col // cell]
        y = np.arange(start, start + len(pixels), dtype=float)
        finite = np.isfinite(pixels)
        value = np.where(finite, pixels, 0).astype(np.float64)
        positive = np.maximum(value, 0)
        a_column = {
            "pixels": finite.sum(axis=0),
            "area": finite.sum(axis=0) * areas[row, col // cell],
            "flux": value.sum(axis=0) * per_flux[row, col // cell],
            "x": finite.sum(axis=0) * col,
            "y": y @ finite,
            "weight": positive.sum(axis=0),
            "weight_x": positive.sum(axis=0) * col,
            "weight_y": y @ positive,
        }
        for what, values in a_column.items():
            getattr(sums, what)[:] += np.bincount(owner, values, count + 1)[1:]
        filled = np.where(finite, pixels, -np.inf)
        brightest = filled.max(axis=0)
        for number in np.unique(owner):
            i = int(number) - 1
            best = int(np.argmax(np.where(owner == number, brightest, -np.inf)))
            if brightest[best] > sums.peak[i]:
                sums.peak[i] = brightest[best]
                sums.peak_x[i] = col[best]
                sums.peak_y[i] = start + int(np.argmax(filled[:, best]))
    sums.peak[np.isinf(sums.peak)] = np.nan
    return sums


def _read(
    image: Image, where: NDArray[np.bool_], cell: int
) -> Iterator[tuple[int, int, slice, NDArray[np.float32]]]:
    """Read the rows of cells with any of `where`, from the first to the last such column.

    Yields:
        row of the grid, first row of pixels, columns, and pixels [Jy/arcsec^2].
    """
    ny, nx = image.shape
    for row in np.flatnonzero(where.any(axis=1)):
        cols = np.flatnonzero(where[row])
        columns = slice(int(cols[0]) * cell, min((int(cols[-1]) + 1) * cell, nx))
        height = max(1, PIXELS_AT_ONCE // (columns.stop - columns.start))
        last = min((int(row) + 1) * cell, ny)
        for start in range(int(row) * cell, last, height):
            yield int(row), start, columns, image.data(start, min(start + height, last), columns)
