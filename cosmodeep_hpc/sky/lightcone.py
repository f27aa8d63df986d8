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

from cosmodeep_hpc.sky.cosmology import comoving_distance, redshift_at
from cosmodeep_hpc.sky.draws import Purpose, draws
from cosmodeep_hpc.sky.emission import flux
from cosmodeep_hpc.sky.nbody import Field
from cosmodeep_hpc.sky.shocks import FWHM, Elements

ARCSEC = np.pi / 180 / 3600
"""One arcsec [rad]."""
SAMPLE_SPACING = 1.5
"""Samples of an element lie no further apart than this [pixel], up to SAMPLE_LIMIT a side."""
SAMPLE_LIMIT = 16
_CHUNK = 1 << 20  # samples placed at once


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
        placed = self.turn(positions) + np.asarray(self.shift, np.float32) * np.float32(side)
        placed %= np.float32(side)
        placed[placed >= side] = 0  # a rounded remainder
        return placed


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
        Positions (n, 2) [pixel: column, row], the two sides (n, 2), (n, 2) [pixel], fluxes (n,) [Jy].
    """
    placed = turned.place(elements.position, slab.side)
    inside = np.flatnonzero(placed[:, 2] < slab.depth)
    start = slab.centre - 0.5 * slab.depth
    far = start + slab.depth
    tangent = np.tan((0.5 * view.full + SAMPLE_LIMIT) * view.scale * ARCSEC)
    reach = int(np.ceil(far * tangent / slab.side - 0.5)) if far * tangent > slab.side / 2 else 0
    half = np.float32(0.5 * view.full + 4 * SAMPLE_LIMIT)
    for i in range(-reach, reach + 1):
        for j in range(-reach, reach + 1):
            shift = np.array([(i - 0.5) * slab.side, (j - 0.5) * slab.side, start])
            x, y, z = (placed[inside, axis] + shift[axis] for axis in range(3))
            wide = far * tangent * 1.05
            near = np.flatnonzero((np.abs(x) < wide) & (np.abs(y) < wide))
            x, y, z = x[near], y[near], z[near]
            distance = np.sqrt(x * x + y * y + z * z)
            column, row = view.pixel(x / distance), view.pixel(y / distance)
            middle = 0.5 * (view.full - 1)
            seen = np.flatnonzero((np.abs(column - middle) < half) & (np.abs(row - middle) < half))
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
        image: float64 (rows, columns), added to; light outside of it is lost.
        position: (n, 2), centres [pixel: column, row].
        first, second: (n, 2), sides of the parallelograms [pixel].
        light: (n,), what each adds in all.
        stream: random numbers for the jitter.
    """
    counts = [
        np.clip(np.ceil(np.hypot(*side.T) / SAMPLE_SPACING), 1, SAMPLE_LIMIT).astype(np.int32)
        for side in (first, second)
    ]
    samples = counts[0] * counts[1]
    ends = np.cumsum(samples, dtype=np.int64)
    height, width = image.shape
    begin = 0
    while begin < len(light):
        done = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, done + _CHUNK, "right")))
        number = samples[begin:end]
        owner = np.repeat(np.arange(begin, end, dtype=np.int32), number)
        starts = np.repeat((ends[begin:end] - number - done).astype(np.int32), number)
        order = np.arange(len(owner), dtype=np.int32) - starts
        jitter = stream.random((2, len(owner)), dtype=np.float32)
        one, two = counts[0][owner], counts[1][owner]
        u = (order % one + jitter[0]) / one - 0.5
        v = (order // one + jitter[1]) / two - 0.5
        place = position[owner] + u[:, None] * first[owner] + v[:, None] * second[owner]
        column = np.floor(place[:, 0] + 0.5).astype(np.int32)
        row = np.floor(place[:, 1] + 0.5).astype(np.int32)
        inside = np.flatnonzero((column >= 0) & (column < width) & (row >= 0) & (row < height))
        weight = (light / samples)[owner[inside]] if False else (light[begin:end] / number)
        image += np.bincount(
            row[inside] * width + column[inside],
            weight[owner[inside] - begin],
            minlength=height * width,
        ).reshape(image.shape)
        begin = end


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
