"""Accuracy by pixels: a mask, or a map that ranks cells, beside the cells of the sky."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.evaluation.fieldspread import mean_and_error
from cosmodeep_hpc.learn.metrics import curve

RATIOS = ("iou", "completeness", "purity")


@dataclass(frozen=True, kw_only=True)
class PixelAccuracy:
    """Cells counted, and the ratios made of them (nan where there is nothing to divide by).

    Attributes:
        hit: bright by the sky, and found. missed: bright, not found. false: found, not bright.
    """

    hit: int
    missed: int
    false: int

    @classmethod
    def of(cls, bright: NDArray[np.bool_], found: NDArray[np.bool_]) -> PixelAccuracy:
        """Compare which cells are bright with which are found; both of one shape."""
        hit = int(np.count_nonzero(bright & found))
        return cls(
            hit=hit,
            missed=int(np.count_nonzero(bright)) - hit,
            false=int(np.count_nonzero(found)) - hit,
        )

    @classmethod
    def total(cls, each: Iterable[PixelAccuracy]) -> PixelAccuracy:
        """Return the counts of all fields together."""
        return sum(each, cls(hit=0, missed=0, false=0))

    def __add__(self, other: PixelAccuracy) -> PixelAccuracy:
        """Return the counts of both."""
        return PixelAccuracy(
            hit=self.hit + other.hit,
            missed=self.missed + other.missed,
            false=self.false + other.false,
        )

    @property
    def iou(self) -> float:
        """Intersection over union: hit / (hit + missed + false)."""
        return _ratio(self.hit, self.hit + self.missed + self.false)

    @property
    def completeness(self) -> float:
        """Share of the bright cells that is found."""
        return _ratio(self.hit, self.hit + self.missed)

    @property
    def purity(self) -> float:
        """Share of the found cells that is bright."""
        return _ratio(self.hit, self.hit + self.false)

    def as_dict(self) -> dict[str, float | int | None]:
        """Return ratios and counts by name; a ratio that is not defined is None."""
        ratios = {name: getattr(self, name) for name in RATIOS}
        return {
            **{name: None if np.isnan(value) else value for name, value in ratios.items()},
            **{name: getattr(self, name) for name in ("hit", "missed", "false")},
        }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def average_precision(bright: NDArray[np.bool_], ranking: NDArray[np.float32]) -> float:
    """Return the purity averaged over the completeness, as the threshold goes down.

    That is the sum over thresholds of the completeness gained times the purity there; cells of one
    value come together. Cells without a value (NaN) are never found. It is nan where no cell is
    bright.

    Args:
        bright: bool, cells brighter than F_th.
        ranking: of the same shape: the higher, the likelier.
    """
    if not bright.any():
        return float("nan")
    line = curve(bright.ravel(), ranking.ravel())
    gained = np.diff(line.recall, prepend=0.0)
    return float((gained * line.precision).sum())


def over_fields(each: Sequence[PixelAccuracy], precisions: Sequence[float]) -> dict[str, Any]:
    """Return all fields together (`total`), and their means and standard errors (`mean`).

    Args:
        precisions: average precision of each field; empty: nothing ranks the cells.
    """
    means = {name: mean_and_error([getattr(one, name) for one in each]) for name in RATIOS}
    if precisions:
        means["average_precision"] = mean_and_error(precisions)
    return {"total": PixelAccuracy.total(each).as_dict(), "mean": means}
