"""The map of pixels of a model: how its scales become one probability, and what thresholds mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosmodeep_hpc.learn.viewfusion import Fusion, ScaleLogits

LEVELS = 2**16
"""A packed probability is a whole number of 1 / LEVELS."""
LOWEST = -(2**15) + 1
"""The packed number of probability 0."""
BLANK = -(2**15)
"""The packed number of no data."""
SHARE = 0.95
"""The completeness, or the purity, of pixels at the operating points of these names."""


def packed(probability: ArrayLike) -> NDArray[np.int16]:
    """Return probabilities as whole numbers of 1 / `LEVELS`, from `LOWEST` on; NaN is `BLANK`."""
    given = np.asarray(probability, dtype=np.float32)
    known = np.isfinite(given)
    steps = np.rint(np.where(known, given, 0) * np.float32(LEVELS)) + LOWEST
    return np.where(known, np.minimum(steps, 2**15 - 1), BLANK).astype(np.int16)


def unpacked(numbers: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return the probabilities of packed numbers: float32; NaN: no data."""
    found = (numbers.astype(np.float32) - LOWEST) / np.float32(LEVELS)
    found[numbers == BLANK] = np.nan
    return found


@dataclass(frozen=True, kw_only=True)
class MapPoints:
    """What is known of the map of one F_th from validation fields.

    Attributes:
        threshold: of the best intersection over union of pixels.
        completeness, purity: of a completeness, or a purity, of `SHARE`; None: not reached.
        reliability: rows of (mean probability, share of pixels brighter than F_th, how many), by
            classes of probability.
    """

    threshold: float = 0.5
    completeness: float | None = None
    purity: float | None = None
    reliability: tuple[tuple[float, float, int], ...] = ()

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> MapPoints:
        """Return the points in plain values.

        Raises:
            TypeError, ValueError: they are damaged.
        """
        rows = tuple((float(a), float(b), int(c)) for a, b, c in content.pop("reliability", ()))
        return cls(reliability=rows, **content)


@dataclass(frozen=True, kw_only=True)
class PixelMap:
    """How the map of a model is made and read; part of its card.

    Attributes:
        thresholds: F_th of its columns [Jy/arcsec^2].
        fusions: for one, two and three scales: small images have no coarse ones.
        points: of each F_th.
    """

    thresholds: tuple[float, ...]
    fusions: tuple[Fusion, ...]
    points: tuple[MapPoints, ...]

    @classmethod
    def plain(cls, thresholds: tuple[float, ...], scales: int = 1) -> PixelMap:
        """Return the map that the finest of some scales alone gives, without calibration."""
        fusions = tuple(Fusion.none(len(thresholds), n) for n in range(1, scales + 1))
        points = tuple(MapPoints() for _ in thresholds)
        return cls(thresholds=thresholds, fusions=fusions, points=points)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> PixelMap:
        """Return the map in plain values.

        Raises:
            KeyError, TypeError, ValueError: they are damaged.
        """
        thresholds = tuple(map(float, content["thresholds"]))
        fusions = tuple(Fusion.from_dict(each) for each in content["fusions"])
        points = tuple(MapPoints.from_dict(each) for each in content["points"])
        if [each.scales for each in fusions] != list(range(1, len(fusions) + 1)):
            raise ValueError("fusions of a map are not of 1, 2, ... scales")
        if {len(points), *(len(each.offset) for each in fusions)} != {len(thresholds)}:
            raise ValueError(f"a map does not have {len(thresholds)} thresholds throughout")
        return cls(thresholds=thresholds, fusions=fusions, points=points)

    def probability(self, scales: Sequence[ScaleLogits], f_th: float) -> NDArray[np.float32]:
        """Return the probability that cells are brighter than F_th: float32 (rows, cols).

        Args:
            scales: see `Fusion.probability`; fewer than there are fusions, for a small image.
        """
        column = self.thresholds.index(f_th)
        return self.fusions[len(scales) - 1].probability(scales, column)

    def at(self, f_th: float) -> MapPoints:
        """Return what is known of the map of an F_th."""
        return self.points[self.thresholds.index(f_th)]
