"""The light cone: boxes of shock elements stacked along the line of sight, seen as an image.

The observer sits at the origin and looks along z. A slab is a piece of the cone filled by one box
and its periodic replicas, turned and shifted at random.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cosmodeep_hpc.images.beam import FWHM
from cosmodeep_hpc.sky.cosmology import comoving_distance, redshift_at
from cosmodeep_hpc.sky.draws import Purpose, draws
from cosmodeep_hpc.sky.nbody import Field

ARCSEC = np.pi / 180 / 3600
"""One arcsec [rad]."""


@dataclass(frozen=True)
class Slab:
    """A piece of the light cone.

    Attributes:
        number: of the slab, part of the address of its random numbers.
        turn: its number among the slabs of its side.
        centre: comoving distance of its middle [Mpc].
        depth: comoving [Mpc], at most `side`.
        side: comoving side of the box that fills it [Mpc].
    """

    number: int
    turn: int
    centre: float
    depth: float
    side: float

    @property
    def redshift(self) -> float:
        """Redshift of the slab's middle."""
        return float(redshift_at(self.centre))


def stack(low: float, high: float, sides: Sequence[float], reach: float) -> list[Slab]:
    """Return slabs that fill the redshifts from `low` to `high`, the finest boxes nearest.

    A box serves up to `reach` times its side, the largest to the end. Slabs of one side have the
    same depth: the largest one, no more than the side, that fits a whole number of times. So no
    part of a box is seen twice along a line of sight through a slab.

    Args:
        low, high: redshifts.
        sides: of the boxes [comoving Mpc].
        reach: comoving distance at which the next larger box takes over, in sides.
    """
    near, end = float(comoving_distance(low)), float(comoving_distance(high))
    slabs: list[Slab] = []
    for side in sorted(sides):
        far = end if side == max(sides) else min(end, reach * side)
        if far <= near:
            continue
        count = max(1, int(np.ceil((far - near) / side - 1e-9)))
        depth = (far - near) / count
        for i in range(count):
            slabs.append(Slab(len(slabs), i, near + (i + 0.5) * depth, depth, side))
        near = far
    return slabs


@dataclass(frozen=True)
class Orientation:
    """How a box is turned and shifted before it is put into a slab.

    Attributes:
        box: which of the boxes it is.
        axes: the box's axes that become x, y and z.
        flips: whether x, y and z are reflected.
        shift: added to x, y and z, periodically, in units of the box's side.
    """

    box: int
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    shift: tuple[float, float, float]

    def turn(self, vectors: Field) -> Field:
        """Turn vectors (n, 3) of the box into the axes of the slab."""
        signs = np.where(self.flips, -1, 1).astype(np.float32)
        return vectors[:, list(self.axes)] * signs

    def place(self, positions: Field, side: float) -> Field:
        """Return positions (n, 3) of the box in the slab's axes, in [0, side) [Mpc]."""
        whole = np.float32(side)
        # a reflection is -x + side
        start = (np.asarray(self.shift) + np.asarray(self.flips)) * side
        placed = self.turn(positions) + start.astype(np.float32)
        placed[placed >= whole] -= whole
        placed[placed >= whole] -= whole  # shift and reflection may each pass the edge
        return np.asarray(np.minimum(placed, np.nextafter(whole, np.float32(0))))


def orientation(seed: int, index: int, slab: Slab, boxes: int) -> Orientation:
    """Return the orientation of a slab of image `index`: a pure function of its arguments.

    The slabs of one side take its boxes in turn, beginning with a random one: if there are two
    boxes or more, neighbours differ.
    """
    first = draws(seed, Purpose.FIRST_BOX, index, round(slab.side)).integers(boxes)
    stream = draws(seed, Purpose.ORIENTATION, index, slab.number)
    axes = tuple(int(axis) for axis in stream.permutation(3))
    flips = tuple(bool(flip) for flip in stream.integers(2, size=3))
    shift = tuple(float(part) for part in stream.random(3))
    return Orientation(int(first + slab.turn) % boxes, axes, flips, shift)  # type: ignore[arg-type]


@dataclass(frozen=True)
class ImagePlane:
    """The image plane: orthographic (SIN) about the line of sight.

    Attributes:
        pixels: side of the image [pixel].
        scale: side of a pixel [arcsec].
        margin: pixels around the image in which light is kept until the image has been blurred.
    """

    pixels: int
    scale: float
    margin: int = 0

    @property
    def full(self) -> int:
        """Side of the image with its margin [pixel]."""
        return self.pixels + 2 * self.margin

    def pixel(self, sine: NDArray[Any]) -> NDArray[Any]:
        """Return a direction cosine's position in the full image [pixel, centres at integers]."""
        return sine * (1 / (self.scale * ARCSEC)) + 0.5 * (self.full - 1)


def replicas(slab: Slab, view: ImagePlane, beyond: float) -> Iterator[NDArray[np.float64]]:
    """Yield where the copies of a slab's box begin that can be seen in a view.

    Args:
        slab: the slab.
        view: the image plane.
        beyond: distance outside the view within which things still count [pixel].

    Yields:
        float64 (3,): what to add to positions in [0, side) to get places from the observer [Mpc].
    """
    start = slab.centre - 0.5 * slab.depth
    sine = min((0.5 * view.full + beyond) * view.scale * ARCSEC, 0.99)
    wide = (start + slab.depth) * sine / np.sqrt(1 - sine**2)
    reach = max(0, int(np.ceil(wide / slab.side - 0.5)))
    for i in range(-reach, reach + 1):
        for j in range(-reach, reach + 1):
            yield np.array([(i - 0.5) * slab.side, (j - 0.5) * slab.side, start])


def blurred(image: NDArray[np.float64], view: ImagePlane, fwhm: float) -> Field:
    """Return an image of fluxes [Jy] with its margin as surface brightness through a Gaussian.

    Args:
        image: float64 (full, full) [Jy in a pixel].
        view: the image plane.
        fwhm: of the Gaussian [arcsec].

    Returns:
        float32 (pixels, pixels) [Jy/arcsec^2], the margin cut off.
    """
    brightness = (image / view.scale**2).astype(np.float32)
    sigma = fwhm / FWHM / view.scale
    brightness = gaussian_filter(brightness, sigma, mode="constant", truncate=5.0)
    inner = slice(view.margin, view.margin + view.pixels)
    return np.ascontiguousarray(brightness[inner, inner])
