"""What pixels cover on the sky, and what makes a flux of their brightness."""

from __future__ import annotations

import numpy as np
from astropy import units as u
from numpy.typing import NDArray

from cosmodeep_hpc.images import distortion
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.images.unit import unit_of

ORTHOGRAPHIC = ("SIN", "NCP")
"""Projections in which an interferometer's beam is the same all over the image, in pixels: its
baselines are projected as the sky is."""


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
    areas = np.zeros(where.shape)
    areas[row, col] = solid_angles(image, x, y)
    return areas


def solid_angles(
    image: Image, x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the solid angles of pixels (from 0) [arcsec^2].

    That of the middle of the image beyond the edge of the projection.
    """
    area = distortion.pixel_areas(image.wcs, x, y)
    return np.where(np.isfinite(area), area, image.pixel_scale**2)


def flux_areas(image: Image, areas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what makes a pixel's flux of its surface brightness [arcsec^2].

    In Jy/pixel a pixel is its flux, whatever it covers. In Jy/beam and a projection in which the
    beam covers as many pixels everywhere, a source's flux is the sum of its pixels over that
    number. In both, surface brightness was made with the pixels in the middle, and so is flux.
    """
    unit = unit_of(image.unit)
    bases = () if unit is None else unit.bases
    is_orthographic = str(image.wcs.wcs.ctype[0]).endswith(ORTHOGRAPHIC)
    if u.pix in bases or (u.beam in bases and is_orthographic):
        return np.where(areas > 0, image.pixel_scale**2, 0.0)
    return areas
