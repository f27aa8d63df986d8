"""The sky that islands cover, as a MOC (multi-order coverage map)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.io.files import fits_content
from cosmodeep_hpc.islands.positions import icrs
from cosmodeep_hpc.products.findings import Findings

if TYPE_CHECKING:
    from mocpy import MOC

HEALPIX_SIDE = math.sqrt(math.pi / 3) * 180 / math.pi * 3600
"""Side of a HEALPix pixel of order 0 [arcsec]: 12 of them cover the sky."""

FINER, FINER_OF_MAP = 8, 2  # sides of the MOC's pixels in that of a tile, of a map's cell, at least
RUN = 20  # neighbouring cells of a row of a map that are taken together, at most
ALONG_SIDE = 4  # corners along a side of a cell: on the sky its sides may be curved
MAX_ORDER = 29
CELLS_AT_ONCE = 1024
MASKED_AT_ONCE = 2**22  # cells


def order(image: Image, cell: int, finer: int = FINER) -> int:
    """Return the MOC's order: its pixels are at least `finer` times smaller than a cell."""
    wanted = image.pixel_scale * cell / finer
    return min(MAX_ORDER, max(0, math.ceil(math.log2(HEALPIX_SIDE / wanted))))


def moc(found: Findings) -> MOC:
    """Return the MOC of the islands' cells of all planes; empty where there are none.

    All of its pixels that a cell overlaps are in it: it reaches beyond the outlines by less than
    one of them. Cells that reach beyond the edge of the projection are left out.
    """
    from mocpy import MOC

    swept = found.swept
    image = swept.planes[0].image
    depth = order(image, swept.cell, FINER_OF_MAP if swept.has_map else FINER)
    whole = MOC.new_empty(depth)
    row, col = _cells(found)
    row, col, wide = _runs(row, col, RUN if swept.has_map else 1)
    ny, nx = image.shape
    x_side, y_side = _perimeter()
    for start in range(0, len(row), CELLS_AT_ONCE):
        some = slice(start, start + CELLS_AT_ONCE)
        x = np.minimum((col[some, None] + x_side * wide[some, None]) * swept.cell, nx) - 0.5
        y = np.minimum((row[some, None] + y_side) * swept.cell, ny) - 0.5
        sky = icrs(image.wcs, x.ravel(), y.ravel()).reshape(*x.shape, 2)
        sky = sky[np.isfinite(sky).all(axis=(1, 2))]
        if len(sky):
            # longitudes of a polygon, its latitudes, those of the next
            corners = np.ascontiguousarray(sky.transpose(0, 2, 1)).reshape(-1, x.shape[1])
            cells = MOC.from_polygons(corners, max_depth=depth, n_threads=1)
            whole = whole.union(*cells)
    return whole


def _cells(found: Findings) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows and columns of all cells in islands of any plane."""
    swept, rows, cols = found.swept, [], []
    height = max(1, MASKED_AT_ONCE // swept.planes[0].shape[1])
    for start in range(0, swept.planes[0].shape[0], height):
        stop = min(start + height, swept.planes[0].shape[0])
        masks = [found.mask(number, start, stop) == 1 for number in range(len(swept.planes))]
        row, col = np.nonzero(np.any(masks, axis=0))
        rows.append(row + start)
        cols.append(col)
    return np.concatenate(rows), np.concatenate(cols)


def _runs(
    row: NDArray[np.int64], col: NDArray[np.int64], most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Join neighbouring cells of a row, at most `most` of them: row, first column and cells."""
    follows = (np.diff(row, prepend=-1) == 0) & (np.diff(col, prepend=-1) == 1)
    number = np.arange(len(row))
    first = np.maximum.accumulate(np.where(follows, 0, number)) if len(row) else number
    begins = np.flatnonzero((number - first) % most == 0)
    return row[begins], col[begins], np.diff(begins, append=len(row))


def _perimeter() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points along the sides of a cell of side 1, once around: x and y."""
    there = np.arange(ALONG_SIDE) / ALONG_SIDE
    none, one = np.zeros(ALONG_SIDE), np.ones(ALONG_SIDE)
    return (
        np.concatenate([there, one, 1 - there, none]),
        np.concatenate([none, there, one, 1 - there]),
    )


def write(found: Findings, path: Path) -> None:
    """Write the MOC as FITS.

    mocpy makes the bytes and does not write them: where a disk is full, it may lose the last ones
    without an error.
    """
    path.write_bytes(fits_content(*moc(found).serialize("fits")))
