"""Sums over the cells of islands, strip by strip: probabilities, local noise and edges."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from cosmodeep_hpc.islands.labels import EIGHT, LabelStrip
from cosmodeep_hpc.survey.grid import pixels_inside
from cosmodeep_hpc.survey.result import MosaicResult, PlaneGrids, PlaneResult


@dataclass(frozen=True)
class CellSums:
    """Sums over the cells of islands of a plane, (n,) each.

    Attributes:
        count: cells. inside: pixels of them inside the image.
        probability: sum of their probabilities. highest: the largest.
        edge: whether one lies at the edge of the image. gap: beside cells without data.
        tiles: rows of (island, row, column): the tiles that islands lie in.
        rows: rows of (island, row, first column, last column): where islands end along rows.
    """

    count: NDArray[np.int64]
    inside: NDArray[np.int64]
    probability: NDArray[np.float64]
    highest: NDArray[np.float32]
    edge: NDArray[np.bool_]
    gap: NDArray[np.bool_]
    tiles: list[NDArray[np.int64]] = field(default_factory=list)
    rows: list[NDArray[np.int64]] = field(default_factory=list)

    @classmethod
    def nothing(cls, count: int) -> CellSums:
        """Return the sums before the first cell."""
        zero = np.zeros(count, np.int64)
        return cls(
            zero,
            zero.copy(),
            np.zeros(count),
            np.full(count, -np.inf, np.float32),
            np.zeros(count, np.bool_),
            np.zeros(count, np.bool_),
        )

    def add(self, swept: MosaicResult, plane: PlaneResult, strip: LabelStrip) -> None:
        """Add the cells of a strip."""
        row, col = np.nonzero(strip.labels)
        if not len(row):
            return
        owner, count = strip.labels[row, col] - 1, len(self.count)
        first, last = strip.first, strip.first + len(strip.labels)
        probability = plane.rows(first, last)[row, col]
        inside = pixels_inside(plane.image.shape, swept.cell, slice(first, last))
        self.count[:] += np.bincount(owner, minlength=count)
        self.inside[:] += np.bincount(owner, inside[row, col], count).astype(np.int64)
        self.probability[:] += np.bincount(owner, probability, count)
        np.maximum.at(self.highest, owner, probability)
        beyond = ~_in_grid(plane.shape, first, last)
        self.edge[owner[_touched(beyond)[row, col]]] = True
        nothing = _blank_around(plane, first, last)
        self.gap[owner[_touched(nothing)[row, col]]] = True
        order = np.lexsort((col, row, owner))
        owner, row, col = owner[order], row[order], col[order]
        starts = np.flatnonzero((np.diff(owner, prepend=-1) != 0) | (np.diff(row, prepend=-1) != 0))
        ends = np.append(starts[1:], len(owner)) - 1
        self.rows.append(
            np.stack([owner[starts], row[starts] + first, col[starts], col[ends]], axis=1)
        )
        tiles = swept.tiles_of(row + first, col)
        self.tiles.append(np.unique(np.stack([owner, *tiles], axis=1), axis=0))

    def rms(self, noise: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the median of the noise in the tiles of each island; NaN: none is known.

        Args:
            noise: of tiles (rows, cols) [Jy/arcsec^2].
        """
        found = np.full(len(self.count), np.nan)
        every = np.unique(np.concatenate([*self.tiles, np.zeros((0, 3), np.int64)]), axis=0)
        noise = noise[every[:, 1], every[:, 2]]
        known = np.isfinite(noise)
        owner, noise = every[known, 0], noise[known]
        starts = np.flatnonzero(np.append(True, owner[1:] != owner[:-1]))
        for part in np.split(np.arange(len(owner)), starts[1:]) if len(owner) else ():
            found[owner[part[0]]] = np.median(noise[part])
        return found


def _in_grid(shape: tuple[int, int], first: int, last: int) -> NDArray[np.bool_]:
    """Return which cells of rows, and of one around them, lie in a grid: (rows + 2, cols + 2)."""
    rows, cols = np.arange(first - 1, last + 1), np.arange(-1, shape[1] + 1)
    inside = (rows >= 0) & (rows < shape[0])
    return inside[:, None] & ((cols >= 0) & (cols < shape[1]))[None, :]


def _blank_around(plane: PlaneGrids, first: int, last: int) -> NDArray[np.bool_]:
    """Return which of the same cells have no data; false beyond the grid."""
    rows, cols = plane.shape
    blank = np.zeros((last - first + 2, cols + 2), np.bool_)
    below, above = max(first - 1, 0), min(last + 1, rows)
    blank[below - first + 1 : above - first + 1, 1:-1] = plane.blank(below, above)
    return blank


def _touched(where: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which cells touch (8 ways) one of `where`, less its outermost rows and columns."""
    touched: NDArray[np.bool_] = scipy.ndimage.binary_dilation(where, structure=EIGHT)
    return touched[1:-1, 1:-1]
