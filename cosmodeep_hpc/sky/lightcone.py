"""The light cone: boxes of shock elements stacked along the line of sight, seen as an image.

The observer sits at the origin and looks along z. A slab is a piece of the cone filled by one box
and its periodic replicas, turned and shifted at random.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cosmodeep_hpc.sky.beam import FWHM
from cosmodeep_hpc.sky.cosmology import comoving_distance, redshift_at
from cosmodeep_hpc.sky.draws import Purpose, draws
from cosmodeep_hpc.sky.emission import flux
from cosmodeep_hpc.sky.nbody import Field
from cosmodeep_hpc.sky.shocks import Elements

ARCSEC = np.pi / 180 / 3600
"""One arcsec [rad]."""
SAMPLE_SPACING = 2.0
"""Samples of an element lie no further apart than this [pixel], as far as SAMPLE_GRIDS goes."""
SAMPLE_GRIDS = (1, 2, 3, 4, 6, 8, 12, 16)
"""Numbers of samples along the side of an element."""
_LARGEST_ELEMENT = 64  # an element whose centre is further outside the image is not looked at
_CHUNK = 1 << 18  # samples placed at once


@dataclass(frozen=True)
class Slab:
    """A piece of the light cone.

    Attributes:
        number: of the slab, part of the address of its random numbers.
        centre: comoving distance of its middle [Mpc].
        depth: comoving [Mpc], at most `side`.
        side: comoving side of the box that fills it [Mpc].
    """

    number: int
    centre: float
    depth: float
    side: float

    @property
    def redshift(self) -> float:
        """Redshift of the middle."""
        return float(redshift_at(self.centre))


def stack(low: float, high: float, side: float) -> list[Slab]:
    """Slabs that fill the redshifts from `low` to `high` with boxes of a `side` [Mpc].

    All have the same depth, the largest that fits a whole number of times and is no more than the
    side: no part of a box is seen twice along a line of sight through a slab.
    """
    near, far = float(comoving_distance(low)), float(comoving_distance(high))
    count = max(1, int(np.ceil((far - near) / side - 1e-9)))
    depth = (far - near) / count
    return [Slab(i, near + (i + 0.5) * depth, depth, side) for i in range(count)]


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
        """Vectors (n, 3) of the box in the axes of the slab."""
        signs = np.where(self.flips, -1, 1).astype(np.float32)
        return vectors[:, list(self.axes)] * signs

    def place(self, positions: Field, side: float) -> Field:
        """Positions (n, 3) of the box in the slab's axes, in [0, side) [Mpc]."""
        whole = np.float32(side)
        start = (np.asarray(self.shift) + np.asarray(self.flips)) * side  # a reflection's -x + side
        placed = self.turn(positions) + start.astype(np.float32)
        placed[placed >= whole] -= whole
        placed[placed >= whole] -= whole  # of shift and reflection, both over the edge
        return np.asarray(np.minimum(placed, np.nextafter(whole, np.float32(0))))


def orientation(seed: int, index: int, slab: int, boxes: int) -> Orientation:
    """The orientation of slab `slab` of image `index`: a pure function of its arguments."""
    stream = draws(seed, Purpose.ORIENTATION, index, slab)
    box = int(stream.integers(boxes))
    axes = tuple(int(axis) for axis in stream.permutation(3))
    flips = tuple(bool(flip) for flip in stream.integers(2, size=3))
    shift = tuple(float(part) for part in stream.random(3))
    return Orientation(box, axes, flips, shift)  # type: ignore[arg-type]


@dataclass(frozen=True)
class View:
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
        """Position in the full image [pixel, centres at whole numbers] of a direction cosine."""
        return sine * (1 / (self.scale * ARCSEC)) + 0.5 * (self.full - 1)


def slab_fluxes(
    elements: Elements, power: Field, slab: Slab, turned: Orientation, view: View
) -> Iterator[tuple[Field, Field, Field, Field]]:
    """The elements of one slab seen in the view, replica by replica.

    Args:
        elements: of the box.
        power: float (n,), at the observed frequency [erg/s/Hz].
        slab: where the box is put.
        turned: how.
        view: the image plane.

    Yields:
        Positions (n, 2) [pixel: column, row], the two sides (n, 2), (n, 2) [pixel] and fluxes (n,)
        [Jy].
    """
    placed = turned.place(elements.position, slab.side)
    inside = np.flatnonzero(placed[:, 2] < slab.depth)
    start = slab.centre - 0.5 * slab.depth
    far = start + slab.depth
    edge = 0.5 * view.full + _LARGEST_ELEMENT
    sine = min(edge * view.scale * ARCSEC, 0.99)  # of the edge's angle from the line of sight
    wide = far * sine / np.sqrt(1 - sine**2)
    reach = max(0, int(np.ceil(wide / slab.side - 0.5)))
    for i in range(-reach, reach + 1):
        for j in range(-reach, reach + 1):
            shift = np.array([(i - 0.5) * slab.side, (j - 0.5) * slab.side, start])
            x, y, z = (placed[inside, axis] + shift[axis] for axis in range(3))
            near = np.flatnonzero((np.abs(x) < wide) & (np.abs(y) < wide))
            x, y, z = x[near], y[near], z[near]
            distance = np.sqrt(x * x + y * y + z * z)
            column, row = view.pixel(x / distance), view.pixel(y / distance)
            middle = 0.5 * (view.full - 1)
            seen = np.flatnonzero((np.abs(column - middle) < edge) & (np.abs(row - middle) < edge))
            if not len(seen):
                continue
            rows = inside[near[seen]]
            ray = np.stack([x[seen], y[seen], z[seen]], 1) / distance[seen, None]
            to_pixel = 1 / (distance[seen, None] * view.scale * ARCSEC)
            sides = []
            for tangents in (elements.first, elements.second):
                across = turned.turn(tangents[rows])
                along = np.sum(across * ray, axis=1, keepdims=True)
                sides.append((across[:, :2] - along * ray[:, :2]) * to_pixel)
            light = flux(
                power[rows], elements.mach[rows], redshift_at(distance[seen]), distance[seen]
            )
            yield np.stack([column[seen], row[seen]], 1), sides[0], sides[1], light


def spread(
    image: NDArray[np.float64],
    position: Field,
    first: Field,
    second: Field,
    light: Field,
    stream: np.random.Generator,
) -> None:
    """Add elements to an image, each spread evenly over its parallelogram.

    An element is sampled on a jittered grid over its two sides, fine enough for the pixels.

    Args:
        image: float64 (rows, columns), contiguous, added to; light outside of it is lost.
        position: (n, 2), centres [pixel: column, row].
        first, second: (n, 2), sides of the parallelograms [pixel].
        light: (n,), what each adds in all.
        stream: random numbers for the jitter.
    """
    height, width = image.shape
    flat = image.reshape(-1)
    grids = [
        np.searchsorted(SAMPLE_GRIDS[:-1], np.hypot(*side.T) / SAMPLE_SPACING).astype(np.int8)
        for side in (first, second)
    ]
    kind = grids[0] * np.int8(len(SAMPLE_GRIDS)) + grids[1]
    order = np.argsort(kind, kind="stable")
    ends = np.cumsum(np.bincount(kind, minlength=len(SAMPLE_GRIDS) ** 2))
    waiting: list[tuple[NDArray[Any], NDArray[Any]]] = []
    for number, end in enumerate(ends):
        one, two = (SAMPLE_GRIDS[i] for i in divmod(number, len(SAMPLE_GRIDS)))
        begin = ends[number - 1] if number else 0
        step = max(1, _CHUNK // (one * two))
        for start in range(begin, end, step):
            rows = order[start : min(start + step, end)]
            jitter = stream.random((2, len(rows), one, two), dtype=np.float32)
            u = (jitter[0] + np.arange(one, dtype=np.float32)[:, None]) / one - np.float32(0.5)
            v = (jitter[1] + np.arange(two, dtype=np.float32)) / two - np.float32(0.5)
            column, row = (
                (
                    (position[rows, x] + np.float32(0.5))[:, None, None]
                    + u * first[rows, x, None, None]
                    + v * second[rows, x, None, None]
                )
                for x in (0, 1)
            )
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            share = np.broadcast_to((light[rows] / (one * two))[:, None, None], inside.shape)
            pixel = row.astype(np.int32) * np.int32(width) + column.astype(np.int32)
            waiting.append((pixel[inside], share[inside]))
            if sum(len(pixels) for pixels, _ in waiting) > 2 * _CHUNK:
                _add(flat, waiting)
    _add(flat, waiting)


def _add(flat: NDArray[np.float64], waiting: list[tuple[NDArray[Any], NDArray[Any]]]) -> None:
    """Add what waits to the pixels, and forget it."""
    if waiting:
        pixels, shares = (np.concatenate(part) for part in zip(*waiting, strict=True))
        flat += np.bincount(pixels, shares, minlength=len(flat))
        waiting.clear()


def blurred(image: NDArray[np.float64], view: View, fwhm: float) -> Field:
    """The image of fluxes [Jy] with its margin, as surface brightness seen through a Gaussian.

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
