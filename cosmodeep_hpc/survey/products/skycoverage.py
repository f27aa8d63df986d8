"""The sky that islands cover, as a MOC (multi-order coverage map)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from astropy.coordinates import Latitude, Longitude

from cosmodeep_hpc.survey.islands import icrs
from cosmodeep_hpc.survey.swept import Swept
from cosmodeep_hpc.tiles.fits.image import Image

if TYPE_CHECKING:
    from mocpy import MOC

HEALPIX_SIDE = math.sqrt(math.pi / 3) * 180 / math.pi * 3600
"""Side of a HEALPix pixel of order 0 [arcsec]: 12 of them cover the sky."""

FINER = 8  # sides of the MOC's pixels in that of a cell, at least
SAMPLES = 4  # points along the side of such a pixel: none that a cell overlaps is missed by much
MAX_ORDER = 29
CELLS_AT_ONCE = 512


def order(image: Image, cell: int) -> int:
    """The order of the MOC: its pixels are at least `FINER` times smaller than a cell."""
    wanted = image.pixel_scale * cell / FINER
    return min(MAX_ORDER, max(0, math.ceil(math.log2(HEALPIX_SIDE / wanted))))


def moc(swept: Swept) -> MOC:
    """The MOC of the signal cells of all planes; empty where there are none.

    A pixel of the MOC is in it where a point of a cell is: cells are sampled so finely that the
    MOC reaches beyond their outlines by less than its own pixel.
    """
    from mocpy import MOC

    image = swept.planes[0].image
    depth = order(image, swept.cell)
    whole = MOC.new_empty(depth)
    signal = np.any([plane.signal(swept.threshold) for plane in swept.planes], axis=0)
    # sizes of HEALPix pixels at this order and of the cell decide how many points are needed
    side = HEALPIX_SIDE / 2**depth
    points = math.ceil(image.pixel_scale * swept.cell / side * SAMPLES)
    inside = (np.arange(points) + 0.5) / points
    row, col = np.nonzero(signal)
    ny, nx = image.shape
    for start in range(0, len(row), CELLS_AT_ONCE):
        some = slice(start, start + CELLS_AT_ONCE)
        y = np.minimum((row[some, None] + inside) * swept.cell, ny) - 0.5
        x = np.minimum((col[some, None] + inside) * swept.cell, nx) - 0.5
        shape = (*y.shape, points)
        sky = icrs(
            image.wcs,
            np.broadcast_to(x[:, None, :], shape).ravel(),
            np.broadcast_to(y[:, :, None], shape).ravel(),
        )
        sky = sky[np.isfinite(sky).all(axis=1)]
        if len(sky):
            lon, lat = Longitude(sky[:, 0], u.deg), Latitude(sky[:, 1], u.deg)
            whole = whole.union(MOC.from_lonlat(lon, lat, max_norder=depth))
    return whole


def write(swept: Swept, path: Path) -> None:
    """Write the MOC as FITS."""
    moc(swept).save(path, format="fits", overwrite=True)
