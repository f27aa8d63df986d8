"""The level around each island: what the image has there beside emission that was found.

The background of the sweep is smooth, and an island itself raises it a little. What is left of it
is the mean of the blank sky around, weighted by its distance from the island. What is near lies in
the faint outskirts of the source, and does not count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cosmodeep_hpc.islands.blanksky import BlockMeans, block_means, block_side
from cosmodeep_hpc.islands.fluxnoise import FluxNoise
from cosmodeep_hpc.islands.labels import Labels
from cosmodeep_hpc.islands.measuredplane import MeasuredPlane

BLOCKS = 8
"""Blocks of the blank sky along the side of one that the level is taken from."""
LEAST = 0.25
"""Share of it that must be left."""
BESIDE = 4.0
"""Beams around an island that do not count, at least."""
RADII = 1.0
"""The same in radii of a disc of its area."""
WIDTH = 2.0
"""Standard deviation of the weights beyond, in radii."""
WIDEST = 12.0
"""The same in beams, at least."""
FAR = 3.0
"""Standard deviations at which the weights end."""


@dataclass(frozen=True)
class Level:
    """The level around an island.

    Attributes:
        mean: in units of the local noise; 0: not known.
        error: of it, likewise.
    """

    mean: float
    error: float


class Levels:
    """The blank sky of a plane, in coarse blocks."""

    def __init__(self, plane: MeasuredPlane, labels: Labels, sky: list[BlockMeans]) -> None:
        """Take the blank sky, or read it where `sky` is only parts of it.

        Raises:
            InputError: the image cannot be read.
        """
        self._plane, self._labels = plane, labels
        self._unit = math.sqrt(plane.patch) / plane.image.pixel_scale
        side = block_side(plane)
        whole = tuple(length // side for length in plane.image.shape)
        if len(sky) == 1 and sky[0].mean.shape == whole:
            self._blocks = sky[0].coarser(BLOCKS)
            return
        side *= BLOCKS
        shape = [length // side for length in plane.image.shape]
        mean, share = np.full(shape, np.nan), np.zeros(shape)
        for rows in self._rows(shape[0], side):
            pixels = range(rows.start * side, rows.stop * side)
            part = block_means(plane, labels, pixels, range(shape[1] * side), side)
            mean[rows.start : rows.stop], share[rows.start : rows.stop] = part.mean, part.share
        area = (side * plane.image.pixel_scale) ** 2
        self._blocks = BlockMeans(mean, share, side, area)

    def _rows(self, count: int, side: int) -> list[range]:
        """Return the rows of blocks around islands."""
        wanted = np.zeros(count, np.bool_)
        for rows, cols in self._labels.boxes:
            radius = max(rows.stop - rows.start, cols.stop - cols.start) * self._plane.cell / 2
            reach = FAR * self._width(radius)
            low = (rows.start * self._plane.cell - reach) // side
            high = (rows.stop * self._plane.cell + reach) // side + 1
            wanted[max(int(low), 0) : max(int(high), 0)] = True
        found = np.flatnonzero(wanted)
        groups = np.split(found, np.flatnonzero(np.diff(found) > 1) + 1) if len(found) else []
        return [range(int(group[0]), int(group[-1]) + 1) for group in groups]

    def _width(self, radius: float) -> float:
        """Return the standard deviation of the weights around an island [pixel]."""
        return max(WIDTH * radius, WIDEST * self._unit)

    def around(self, number: int, cells: int, noise: FluxNoise) -> Level:
        """Return the level around an island.

        Args:
            number: of it, from 1. cells: that it has.
        """
        plane, blocks = self._plane, self._blocks
        box = self._labels.boxes[number - 1]
        radius = math.sqrt(cells / math.pi) * plane.cell
        beside = max(RADII * radius, BESIDE * self._unit)
        width = self._width(radius)
        ends = [(part.start * plane.cell, part.stop * plane.cell) for part in box]
        parts = [
            range(
                max(0, int((low - FAR * width) // blocks.side)),
                min(length, int((high + FAR * width) // blocks.side) + 1),
            )
            for (low, high), length in zip(ends, blocks.mean.shape, strict=True)
        ]
        if not all(map(len, parts)):
            return Level(0.0, 0.0)
        rows, cols = (slice(part.start, part.stop) for part in parts)
        share, mean = blocks.share[rows, cols], blocks.mean[rows, cols]
        away = [
            np.maximum(np.maximum(low - at, at - high), 0.0)
            for part, (low, high) in zip(parts, ends, strict=True)
            for at in [(np.asarray(part) + 0.5) * blocks.side]
        ]
        distance = np.hypot(away[0][:, None], away[1][None, :])
        beyond = distance - beside
        weight = share * np.exp(-0.5 * (beyond / width) ** 2)
        weight[(beyond < 0) | (share < LEAST) | (beyond > FAR * width)] = 0.0
        total = float(weight.sum())
        if total <= 0:
            return Level(0.0, 0.0)
        level = float(np.where(weight > 0, mean, 0.0).ravel() @ weight.ravel()) / total
        area = total**2 / float((weight**2 / np.maximum(share, LEAST)).sum()) * blocks.area
        return Level(level, noise.error(1.0, area) / area)
