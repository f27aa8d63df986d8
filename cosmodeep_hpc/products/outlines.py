"""Outlines of islands: closed polygons along the sides of their cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.islands.labels import Labels

CELLS_AT_ONCE = 2**20
Vertex = tuple[int, int]  # column and row of a corner of the grid


@dataclass(frozen=True)
class Outline:
    """The outline of an island.

    Attributes:
        number: of the island.
        corners: float64 (n, 2), x and y on the image [pixel, counted from 0]; the last corner is
            joined to the first. A hole is reached by a cut that is walked in both directions, for
            no region format has polygons with holes.
    """

    number: int
    corners: NDArray[np.float64]


def outlines(labels: Labels, cell: int, shape: tuple[int, int], first: int = 0) -> list[Outline]:
    """Return the outlines of the islands of a plane, in the order of their numbers.

    Args:
        cell: side of a cell [pixel]. shape: (ny, nx) of the image, which cuts the last cells.
        first: islands numbered before.
    """
    found = []
    for number, box in enumerate(labels.boxes, 1):
        loop = polygon(labels.group(number))
        corners = np.array(loop, float) + (box[1].start, box[0].start)
        corners = np.minimum(corners * cell, (shape[1], shape[0])) - 0.5
        found.append(Outline(first + number, corners))
    return found


def polygon(cells: NDArray[np.bool_], at_once: int = CELLS_AT_ONCE) -> list[Vertex]:
    """Draw a closed loop around 8-connected cells (rows, cols), holes and all: (x, y) of corners.

    A point is in a cell where a ray from it crosses the loop an odd number of times.

    Args:
        at_once: cells looked at together, about.
    """
    outer, *holes = sorted(_loops(cells, at_once), key=min)
    for hole in holes:
        outer = _joined(outer, hole)
    return _corners(outer)


def _loops(cells: NDArray[np.bool_], at_once: int) -> list[list[Vertex]]:
    """Find closed loops of unit sides with the cells on their left, 8-connected cells in one."""
    following: dict[Vertex, list[Vertex]] = {}
    height = max(1, at_once // cells.shape[1])
    for first in range(0, len(cells), height):
        for start, end in _sides(cells, first, min(first + height, len(cells))):
            following.setdefault(start, []).append(end)
    loops = []
    for start in sorted(following):  # so that two cells never touch at a start
        while following[start]:
            loop, at = [start], following[start].pop()
            while at != start:
                loop.append(at)
                at = _turn(following[at], loop[-2], at)
            loops.append(loop)
    return loops


def _sides(cells: NDArray[np.bool_], first: int, last: int) -> Iterator[tuple[Vertex, Vertex]]:
    """Yield the open sides of some rows of cells, which lie on their left: from where to where."""
    padded = np.zeros((last - first + 2, cells.shape[1] + 2), np.bool_)
    below, above = max(first - 1, 0), min(last + 1, len(cells))
    padded[below - first + 1 : above - first + 1, 1:-1] = cells[below:above]
    here = padded[1:-1, 1:-1]
    for open_side, begin, step in (
        (~padded[:-2, 1:-1], (0, 0), (1, 0)),  # below: eastward
        (~padded[1:-1, 2:], (1, 0), (0, 1)),  # right: upward
        (~padded[2:, 1:-1], (1, 1), (-1, 0)),  # above: westward
        (~padded[1:-1, :-2], (0, 1), (0, -1)),  # left: downward
    ):
        rows, columns = np.nonzero(here & open_side)
        for row, col in zip((rows + first).tolist(), columns.tolist(), strict=True):
            start = (col + begin[0], row + begin[1])
            yield start, (start[0] + step[0], start[1] + step[1])


def _turn(ends: list[Vertex], before: Vertex, at: Vertex) -> Vertex:
    """Go to the next corner; where two cells touch at one, over to the other cell: right."""
    if len(ends) == 1:
        return ends.pop()
    right = (at[0] + at[1] - before[1], at[1] - at[0] + before[0])
    ends.remove(right)
    return right


def _joined(outer: list[Vertex], hole: list[Vertex]) -> list[Vertex]:
    """Join outer loop and hole to one loop: a cut leads left from the hole's leftmost corner."""
    first = hole.index(min(hole))
    x, y = hole[first]
    on_line = {vertex[0]: at for at, vertex in enumerate(outer) if vertex[1] == y and vertex[0] < x}
    at = on_line[max(on_line)]
    return outer[: at + 1] + hole[first:] + hole[: first + 1] + outer[at:]


def _corners(loop: list[Vertex]) -> list[Vertex]:
    """Leave out the corners at which a loop goes straight on."""
    before, after = loop[-1:] + loop[:-1], loop[1:] + loop[:1]
    return [
        at
        for b, at, a in zip(before, loop, after, strict=True)
        if (at[0] - b[0]) * (a[1] - at[1]) != (at[1] - b[1]) * (a[0] - at[0])
        or (at[0] - b[0]) * (a[0] - at[0]) + (at[1] - b[1]) * (a[1] - at[1]) < 0
    ]
