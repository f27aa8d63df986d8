"""Regions of a field that are worth a closer look, chosen by its tiles with signal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from cosmodeep_hpc.paper.skypanel import ImagePart

SIDE = 10
"""Side of a region [tile]."""
COUNT = 3
"""Regions of a field."""
SMALL = (2, 3)
"""Most tiles of a small object."""
LONG = (4, 1.6)
"""Least tiles, and least ratio of the axes, of an elongated object."""


@dataclass(frozen=True)
class FieldRegion:
    """A square part of a field.

    Attributes:
        what: the reason for the choice.
        row, col: its first tile.
        side: number of its tiles along a side, less if the field is smaller.
    """

    what: str
    row: int
    col: int
    side: int

    def window(self, size: int, shape: tuple[int, int]) -> ImagePart:
        """Return its pixels in an image of `shape` (ny, nx) with tiles of side `size` [pixel]."""
        low, left = self.row * size, self.col * size
        high, right = low + self.side * size, left + self.side * size
        return ImagePart((low, min(high, shape[0])), (left, min(right, shape[1])))


TileIndices = NDArray[np.int64]
"""Row and column of some tiles, (n, 2)."""


def groups(signal: NDArray[np.bool_]) -> list[TileIndices]:
    """Return the groups of tiles with signal that touch, also at a corner; the largest first.

    Args:
        signal: tiles with signal, bool (rows, cols).
    """
    labels, count = ndimage.label(signal, np.ones((3, 3)))
    tiles = np.argwhere(labels)
    number = labels[tiles[:, 0], tiles[:, 1]]
    order = np.argsort(number, kind="stable")
    ends = np.cumsum(np.bincount(number, minlength=count + 1)[1:])[:-1]
    parts = np.split(tiles[order], ends) if count else []
    return sorted(parts, key=lambda part: -len(part))


def elongation(group: TileIndices) -> float:
    """Return the ratio of the long to the short axis of a group, 1 for a single tile."""
    spread = np.cov(group.T, bias=True) if len(group) > 1 else np.zeros((2, 2))
    short, long = np.linalg.eigvalsh(spread + np.eye(2) / 12)  # 1/12: variance of one tile's extent
    return float(np.sqrt(long / short))


def distance(group: TileIndices, tree: KDTree) -> float:
    """Return the distance of a group to the nearest tile of another one [tile]; infinite if alone.

    Args:
        tree: of the tiles of all groups.
    """
    near, place = tree.query(group, k=len(group) + 1)
    own = {tuple(tile) for tile in group.tolist()}
    pairs = zip(near.ravel(), place.ravel(), strict=True)
    others = [d for d, p in pairs if np.isfinite(d) and tuple(tree.data[p]) not in own]
    return float(min(others, default=np.inf))


def chosen(signal: NDArray[np.bool_], side: int = SIDE) -> list[FieldRegion]:
    """Return up to three regions: the largest group, the most elongated, the loneliest small one.

    The paper's figures 8 and 9 show a prominent cluster, a small object, and a filament. If a
    region overlaps an earlier one, the next best group is taken. If there is no elongated or no
    small one, the next largest is shown.

    Args:
        signal: tiles with signal, bool (rows, cols).
        side: of a region [tile].
    """
    every = groups(signal)
    if not every:
        return []
    tree = KDTree(np.concatenate(every))
    long = [group for group in every if len(group) >= LONG[0] and elongation(group) >= LONG[1]]
    small = [group for group in every if SMALL[0] <= len(group) <= SMALL[1]]
    wanted = {
        "largest object": every,
        "elongated object": sorted(long, key=lambda group: -elongation(group)),
        "small object": sorted(small, key=lambda group: -distance(group, tree)),
        "next largest object": every,
    }
    taken: list[FieldRegion] = []
    for what, candidates in wanted.items():
        for group in candidates:
            region = _around(what, group, signal.shape, side)
            if not any(_overlap(region, other) for other in taken):
                taken.append(region)
                break
    return taken[:COUNT]


def _around(what: str, group: TileIndices, shape: tuple[int, ...], side: int) -> FieldRegion:
    middle = (group.min(axis=0) + group.max(axis=0) + 1) / 2
    first = [
        int(np.clip(np.floor(m - side / 2), 0, max(n - side, 0)))
        for m, n in zip(middle, shape, strict=True)
    ]
    return FieldRegion(what, first[0], first[1], side)


def _overlap(a: FieldRegion, b: FieldRegion) -> bool:
    return abs(a.row - b.row) < a.side and abs(a.col - b.col) < a.side
