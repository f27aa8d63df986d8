"""Sources that are put into an image: what each looks like on the sky, before the beam."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from cosmodeep_hpc.config.inject import Inject
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.islands.positions import steps

HALO_ENDS = 8.0
"""e-folding radii at which a halo ends; beyond are 0.3 % of its flux."""
OPENING = math.radians(60)
"""Angle that an arc spans on its circle."""
SIDES_END = 4.0
"""Widths at which the sides of arcs and bridges end."""


class Source(ABC):
    """A source of some size, at rest in the middle of its own coordinates.

    Brightness has any scale: what is injected has the flux that is asked for.
    """

    @abstractmethod
    def brightness(
        self, along: NDArray[np.float64], across: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return its brightness at offsets along and across its long axis [arcsec]."""

    @property
    @abstractmethod
    def reach(self) -> float:
        """Distance from its middle at which it ends [arcsec]."""


@dataclass(frozen=True)
class Halo(Source):
    """A radio halo: I = exp(-r / radius), as observed halos have it.

    Attributes:
        radius: e-folding radius along the long axis [arcsec]. ratio: short over long axis.

    Source: Murgia et al. (2009), A&A 499, 679.
    """

    radius: float
    ratio: float = 1.0

    def brightness(
        self, along: NDArray[np.float64], across: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return its brightness, 1 in the middle."""
        away = np.hypot(along, across / self.ratio) / self.radius
        return np.where(away < HALO_ENDS, np.exp(-away), 0.0)

    @property
    def reach(self) -> float:
        """Distance at which it ends [arcsec]."""
        return HALO_ENDS * self.radius


@dataclass(frozen=True)
class Arc(Source):
    """A relic: part of a ring, with a sharp edge outside, from which it fades exponentially inside.

    Attributes:
        length: along the edge [arcsec]. width: e-folding width [arcsec].
    """

    length: float
    width: float

    def brightness(
        self, along: NDArray[np.float64], across: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return its brightness, 1 in the middle of its edge; it fades towards its ends."""
        radius = self.length / OPENING
        away, angle = np.hypot(along, across + radius), np.arctan2(along, across + radius)
        inside = radius - away
        side = np.where((inside >= 0) & (inside < SIDES_END * self.width), 1.0, 0.0)
        side = side * np.exp(-np.maximum(inside, 0.0) / self.width)
        return np.asarray(side * _ends(radius * angle, self.length))

    @property
    def reach(self) -> float:
        """Distance at which it ends [arcsec]."""
        return self.length / 2 + SIDES_END * self.width


@dataclass(frozen=True)
class Bridge(Source):
    """A bridge between two clusters: a bar with Gaussian sides.

    Attributes:
        length: [arcsec]. sigma: of its sides [arcsec].
    """

    length: float
    sigma: float

    def brightness(
        self, along: NDArray[np.float64], across: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return its brightness, 1 in the middle; it fades towards its ends."""
        side = np.exp(-((across / self.sigma) ** 2) / 2)
        return np.where(np.abs(across) < SIDES_END * self.sigma, side, 0) * _ends(
            along, self.length
        )

    @property
    def reach(self) -> float:
        """Distance at which it ends [arcsec]."""
        return math.hypot(self.length / 2, SIDES_END * self.sigma)


def _ends(along: NDArray[np.float64], length: float) -> NDArray[np.float64]:
    """Return how something of a length fades towards its ends: 1 - (2 s / length)^4."""
    return np.asarray(np.maximum(1 - (2 * along / length) ** 4, 0.0))


@dataclass(frozen=True, eq=False)
class Picture(Source):
    """A user's own image of a source.

    Attributes:
        pixels: brightness, 0 where there is no data, float64 (ny, nx).
        middle: column and row of its brightness-weighted middle [pixel].
        matrix: from pixels to east and north [arcsec], (2, 2).
        size: that it is given [arcsec]; own: that it has, the square root of its area brighter
            than half of its maximum [arcsec].
    """

    pixels: NDArray[np.float64]
    middle: tuple[float, float]
    matrix: NDArray[np.float64]
    size: float
    own: float

    @classmethod
    def read(cls, path: Path) -> Picture:
        """Read an image of a source on an empty sky.

        Raises:
            InputError: it is no image of the sky, or has no brightness.
        """
        image: Image = open_image(path)
        pixels = np.nan_to_num(image.pixels()).astype(np.float64)
        total = pixels.sum()
        if not total > 0:
            raise InputError(f"{path}: no brightness in it; expected an image of a source")
        y, x = np.indices(pixels.shape)
        middle = float((x * pixels).sum() / total), float((y * pixels).sum() / total)
        matrix = steps(image.wcs, middle[0], middle[1])[0]
        own = math.sqrt(float((pixels > pixels.max() / 2).sum())) * image.pixel_scale
        return cls(pixels, middle, matrix, own, own)

    def of_size(self, size: float) -> Picture:
        """Return it enlarged or reduced to a size [arcsec]."""
        return Picture(self.pixels, self.middle, self.matrix, size, self.own)

    def brightness(
        self, along: NDArray[np.float64], across: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return its brightness; it is turned as `along` and `across` are from north and west."""
        # unturned, along is north, across is west
        east, north = -across * self.own / self.size, along * self.own / self.size
        turned = np.linalg.inv(self.matrix)
        x = turned[0, 0] * east + turned[0, 1] * north + self.middle[0]
        y = turned[1, 0] * east + turned[1, 1] * north + self.middle[1]
        return np.asarray(map_coordinates(self.pixels, [y, x], order=1, mode="constant"))

    @property
    def reach(self) -> float:
        """Distance of its farthest pixel with brightness [arcsec]."""
        y, x = np.nonzero(self.pixels)
        away = self.matrix @ np.stack([x - self.middle[0], y - self.middle[1]])
        return float(np.hypot(*away).max()) * self.size / self.own


def source_of(options: Inject, size: float, picture: Picture | None) -> Source:
    """Return the source of a size [arcsec] that a configuration, or a picture, asks for."""
    if picture is not None:
        return picture.of_size(size)
    if options.source == "halo":
        return Halo(size, options.ratio)
    if options.source == "arc":
        return Arc(size, options.width * size)
    return Bridge(size, options.width * size)
