"""The labels of a plane's cells, strip by strip: which island each one belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from cosmodeep_hpc.learn.metrics import is_found
from cosmodeep_hpc.survey.result import PlaneGrids

EIGHT = np.ones((3, 3), dtype=np.int8)  # cells that touch at a corner are connected
CELLS_AT_ONCE = 2**22
Box = tuple[slice, slice]


def label(signal: NDArray[np.bool_], least: float = 1) -> NDArray[np.int32]:
    """Label the 8-connected groups of at least some cells of a whole grid, from 1: int32."""
    labels, count = scipy.ndimage.label(signal, structure=EIGHT, output=np.int32)
    if least > 1 and count:
        kept = np.bincount(labels.ravel(), minlength=count + 1) >= least
        kept[0] = False
        labels = np.where(kept, np.cumsum(kept), 0).astype(np.int32)[labels]
    return np.asarray(labels)


@dataclass(frozen=True)
class LabelStrip:
    """Neighbouring rows of cells.

    Attributes:
        first: the first row.
        labels: int32 (rows, cols): numbers of islands in the plane, from 1; 0 where none.
    """

    first: int
    labels: NDArray[np.int32]


class Labels:
    """The 8-connected groups of signal cells of a plane, numbered from 1.

    Numbers go up with the lowest row of a group, then with its first column there. Strips are
    labelled one after the other and joined at their borders, and labelled again when they are
    needed: memory does not grow with the plane.

    Attributes:
        shape: rows and columns of cells.
        boxes: rows and columns that each group lies in.
    """

    def __init__(
        self,
        plane: PlaneGrids,
        threshold: float,
        least: float = 1,
        high: float = 0.0,
        at_once: int = CELLS_AT_ONCE,
    ) -> None:
        """Find the groups of at least `least` cells above a threshold.

        Args:
            high: probability that one of a group's cells reaches, at least.
            at_once: cells of a strip, about.
        """
        self.shape = plane.shape
        self._plane, self._threshold = plane, threshold
        self._height = max(2, at_once // max(self.shape[1], 1))
        self._kept: LabelStrip | None = None
        parents = _Parents()
        sizes, boxes, self._begin = list[NDArray[np.int64]](), list[Box](), list[int]()
        peaks = [np.zeros(1, np.float32)]
        above = np.zeros(self.shape[1], dtype=np.int64)
        for start in range(0, self.shape[0], self._height):
            local, count = self._labelled(start)
            begin = parents.add(count)
            self._begin.append(begin)
            sizes.append(np.bincount(local.ravel(), minlength=count + 1)[1:])
            boxes += [_moved(box, start) for box in scipy.ndimage.find_objects(local)]
            peaks.append(self._peaks(start, local, count))
            numbers = np.where(local > 0, local + begin, 0).astype(np.int64)
            parents.join(above, numbers[0])
            above = numbers[-1]
        roots = parents.roots()
        whole = np.bincount(roots, np.concatenate([[0], *sizes]), len(roots)).astype(np.int64)
        highest = np.zeros(len(roots), np.float32)
        np.maximum.at(highest, roots, np.concatenate(peaks))
        is_kept = (np.arange(len(roots)) == roots) & (whole >= least) & is_found(highest, high)
        is_kept[0] = False
        self._number = np.where(is_kept, np.cumsum(is_kept), 0)[roots].astype(np.int32)
        self.boxes = _joined(self._number[1:], boxes, int(is_kept.sum()))

    def __len__(self) -> int:
        """Return the number of groups."""
        return len(self.boxes)

    def _labelled(self, start: int) -> tuple[NDArray[np.int32], int]:
        """Label the strip that begins with a row by itself."""
        rows = min(start + self._height, self.shape[0])
        signal = self._plane.signal(self._threshold, start, rows)
        labels, count = scipy.ndimage.label(signal, structure=EIGHT, output=np.int32)
        return labels, int(count)

    def _peaks(self, start: int, labels: NDArray[np.int32], count: int) -> NDArray[np.float32]:
        """Return the largest probability of each group of a strip."""
        found = np.zeros(count + 1, np.float32)
        inside = labels > 0
        probability = self._plane.rows(start, start + len(labels))
        np.maximum.at(found, labels[inside], probability[inside])
        return found[1:]

    def strips(self) -> Iterator[LabelStrip]:
        """Yield all strips, lowest first."""
        for start in range(0, self.shape[0], self._height):
            yield self._strip(start)

    def _strip(self, start: int) -> LabelStrip:
        if self._kept is None or self._kept.first != start:
            local, _ = self._labelled(start)
            begin = self._begin[start // self._height]
            numbers = np.append(np.int32(0), self._number[begin + 1 :])  # 0 stays 0
            self._kept = LabelStrip(start, numbers[local])
        return self._kept

    def rows(self, start: int, stop: int) -> NDArray[np.int32]:
        """Return the labels of rows `start` to `stop`: int32 (rows, cols)."""
        parts = []
        for first in range(start // self._height * self._height, stop, self._height):
            strip = self._strip(first)
            parts.append(strip.labels[max(start - first, 0) : stop - first])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def whole(self) -> NDArray[np.int32]:
        """Return the labels of all cells: int32 (rows, cols)."""
        return self.rows(0, self.shape[0])

    def group(self, number: int) -> NDArray[np.bool_]:
        """Return which cells of its box belong to a group: bool (rows, cols)."""
        rows, cols = self.boxes[number - 1]
        found = np.empty((rows.stop - rows.start, cols.stop - cols.start), dtype=np.bool_)
        for start in range(rows.start, rows.stop, self._height):
            stop = min(start + self._height, rows.stop)
            some = self.rows(start, stop)[:, cols]
            found[start - rows.start : stop - rows.start] = some == number
        return found


class _Parents:
    """Groups of provisional numbers that belong together; 0 is none of them."""

    def __init__(self) -> None:
        self._parent = [0]

    def add(self, count: int) -> int:
        """Add numbers, each by itself; return the one before the first."""
        begin = len(self._parent) - 1
        self._parent.extend(range(begin + 1, begin + 1 + count))
        return begin

    def join(self, above: NDArray[np.int64], below: NDArray[np.int64]) -> None:
        """Join the groups of two neighbouring rows that touch, also at corners."""
        pairs = [np.stack([above, below])]
        pairs += [np.stack([above[1:], below[:-1]]), np.stack([above[:-1], below[1:]])]
        every = np.concatenate(pairs, axis=1)
        for one, other in np.unique(every[:, (every > 0).all(axis=0)], axis=1).T.tolist():
            self._join(one, other)

    def _join(self, one: int, other: int) -> None:
        first, second = self._root(one), self._root(other)
        self._parent[max(first, second)] = min(first, second)

    def _root(self, number: int) -> int:
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number

    def roots(self) -> NDArray[np.int64]:
        """Return the lowest number of each number's group."""
        found = np.array(self._parent, dtype=np.int64)
        while (found[found] != found).any():
            found = found[found]
        return found


def _moved(box: Any, rows: int) -> Box:
    return slice(box[0].start + rows, box[0].stop + rows), box[1]


def _joined(numbers: NDArray[np.int32], boxes: list[Box], count: int) -> list[Box]:
    """Return the boxes of groups from those of their parts."""
    ends = np.array([[r.start, r.stop, c.start, c.stop] for r, c in boxes], dtype=np.int64)
    ends = ends.reshape(-1, 4)
    low = np.full((count + 1, 4), np.iinfo(np.int64).max)
    high = np.zeros((count + 1, 4), dtype=np.int64)
    np.minimum.at(low, numbers, ends)
    np.maximum.at(high, numbers, ends)
    return [
        (slice(int(low[n, 0]), int(high[n, 1])), slice(int(low[n, 2]), int(high[n, 3])))
        for n in range(1, count + 1)
    ]
