"""The pixels of an image inside a cluster: within R100 of a halo's centre on the sky."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.images.image import Image

COLUMNS = ("RA", "DEC", "M100", "THETA100")
"""Columns read of a catalogue that `mock` wrote; see `sky.halocatalog`."""


@dataclass(frozen=True)
class HaloCircles:
    """Halos of a field, as circles on an image.

    Attributes:
        row, column: float64 (n,), centres [pixel, the first has its centre at 0].
        radius: float64 (n,), R100 on the sky [pixel].
        mass: float64 (n,), M100 [Msun].
    """

    row: NDArray[np.float64]
    column: NDArray[np.float64]
    radius: NDArray[np.float64]
    mass: NDArray[np.float64]

    def above(self, mass: float) -> HaloCircles:
        """Return the halos of at least this mass [Msun]."""
        keep = self.mass >= mass
        return HaloCircles(self.row[keep], self.column[keep], self.radius[keep], self.mass[keep])


def catalogue_of(noise: Path) -> Path:
    """Return the path of the halo catalogue beside a Noise image, which need not exist."""
    return noise.with_name(noise.name.replace("noise-", "halos-", 1))


def read(path: Path, image: Image) -> HaloCircles:
    """Return the halos of a catalogue, on the pixels of an image.

    Raises:
        InputError: no such catalogue, or one without the columns.
    """
    with naming(path):
        try:
            table = fits.getdata(path, 1)
            ra, dec, mass, angle = (np.asarray(table[name], np.float64) for name in COLUMNS)
        except (KeyError, TypeError, IndexError) as error:
            raise InputError(
                f"{path}: no halo catalogue ({error}); expected a table with columns "
                f"{', '.join(COLUMNS)}, as `cosmodeep mock` writes"
            ) from error
    column, row = image.wcs.world_to_pixel_values(ra, dec)
    return HaloCircles(np.asarray(row), np.asarray(column), angle / image.pixel_scale, mass)


def inside(halos: HaloCircles, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which pixels have their centres within R100 of a halo: bool (ny, nx).

    Circles on the sky count as circles on the image: over a field of some degrees the projection is
    uniform to a part in a thousand.
    """
    mask = np.zeros(shape, np.bool_)
    for y, x, radius in zip(halos.row, halos.column, halos.radius, strict=True):
        if not np.isfinite(y + x):
            continue  # a halo on the other side of the sky
        low, high = max(int(np.ceil(y - radius)), 0), min(int(y + radius) + 1, shape[0])
        left, right = max(int(np.ceil(x - radius)), 0), min(int(x + radius) + 1, shape[1])
        if low >= high or left >= right:
            continue
        dy, dx = np.arange(low, high)[:, None] - y, np.arange(left, right)[None] - x
        mask[low:high, left:right] |= dy**2 + dx**2 <= radius**2
    return mask
