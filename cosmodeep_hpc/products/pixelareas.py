"""What pixels cover on the sky."""

from __future__ import annotations

import numpy as np
from astropy import units as u
from numpy.typing import NDArray

from cosmodeep_hpc.images import distortion
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.images.unit import unit_of


def pixel_areas(
    image: Image, where: NDArray[np.bool_], cell: int, first: int = 0
) -> NDArray[np.float64]:
    """Return the solid angle of a pixel in each cell's middle [arcsec^2]; 0 outside `where`.

    What a pixel covers on the sky changes over a wide field.

    Args:
        first: row of the plane that `where` begins with.
    """
    row, col = np.nonzero(where)
    at = row + first
    y = np.minimum((at + 0.5) * cell, (at * cell + image.shape[0]) / 2) - 0.5
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
