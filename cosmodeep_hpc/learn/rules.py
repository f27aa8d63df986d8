"""Labelling rules: how a counts network answers each of them, and how each is calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn import calibration
from cosmodeep_hpc.learn.calibration import Calibration, log_odds
from cosmodeep_hpc.learn.metrics import curve, expected_best_threshold
from cosmodeep_hpc.tiles.labels import place

SHARE = 0.99
"""The completeness (Ws), or the purity, of the operating points of these names."""


@dataclass(frozen=True, kw_only=True)
class OperatingPoints:
    """Calibration and thresholds that validation tiles give a trained network."""

    calibration: Calibration = Calibration()
    threshold: float = 0.5
    completeness: float | None = None
    purity: float | None = None

    @classmethod
    def fitted(cls, signal: NDArray[np.bool_], probability: NDArray[np.float32]) -> OperatingPoints:
        """Calibrate probabilities (n,) of tiles that are `signal` (n,), and choose thresholds."""
        fitted = calibration.fitted(signal, probability)
        calibrated = fitted(probability)
        found = curve(signal, calibrated)
        return cls(
            calibration=fitted,
            threshold=expected_best_threshold(calibrated) if signal.any() else 0.5,
            completeness=found.threshold_of(completeness=SHARE),
            purity=found.threshold_of(purity=SHARE),
        )

    def towards(self, other: OperatingPoints, share: float) -> OperatingPoints:
        """Interpolate thresholds in log-odds from these (share 0) to the other's (share 1).

        The thresholds apply to calibrated probabilities: see `RuleCalibrations.probability`.
        """

        def mixed(one: float | None, two: float | None) -> float | None:
            return None if one is None or two is None else float(_mixed(one, two, share))

        return OperatingPoints(
            threshold=float(_mixed(self.threshold, other.threshold, share)),
            completeness=mixed(self.completeness, other.completeness),
            purity=mixed(self.purity, other.purity),
        )


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The labelling rules that a counts network knows: these, and every N_pix between them.

    Attributes:
        thresholds: F_th [Jy/arcsec^2], T of them.
        levels: N_pix, ascending, L of them.
    """

    thresholds: tuple[float, ...]
    levels: tuple[int, ...]

    def column(self, f_th: float, n_pix: int, source: Path) -> int:
        """Return the number of a rule's threshold among `thresholds`.

        Raises:
            InputError: the model, of the file `source`, does not know the rule.
        """
        found = place(self.thresholds, f_th)
        if found is None or not self.levels[0] <= n_pix <= self.levels[-1]:
            raise InputError(
                f"{source}: was not trained for label.f_th = {f_th:g}, label.n_pix = {n_pix}; "
                f"expected F_th of {', '.join(f'{t:g}' for t in self.thresholds)} Jy/arcsec^2 and "
                f"N_pix from {self.levels[0]} to {self.levels[-1]}"
            )
        return found

    def between(self, n_pix: int) -> tuple[int, int, float]:
        """Return the indices of the levels around N_pix, and the share of the way between them."""
        above = int(np.searchsorted(self.levels, n_pix))
        below = above if self.levels[above] == n_pix else above - 1
        span = max(self.levels[above] - self.levels[below], 1)
        return below, above, (n_pix - self.levels[below]) / span

    def read(self, given: NDArray[np.float32], column: int, n_pix: int) -> NDArray[np.float32]:
        """Return the probability that the network gives for a rule, before calibration.

        Args:
            given: the network's probabilities, float32 (n, T, L).
            column: the index of F_th.
            n_pix: between two levels the log-odds are interpolated linearly.

        Returns:
            float32 (n,); NaN stays NaN.
        """
        below, above, share = self.between(n_pix)
        if share == 0:
            return np.ascontiguousarray(given[:, column, below])
        pair = given[:, column, below], given[:, column, above]
        return _mixed(*pair, share).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class RuleCalibrations(Rules):
    """Rules with the operating points of each; part of a model's card.

    Attributes:
        points: of each threshold and level (T, L); None if no validation tile was signal.
    """

    points: tuple[tuple[OperatingPoints | None, ...], ...]

    def __post_init__(self) -> None:
        """Refuse points and levels that do not fit together, as a damaged file may hold."""
        shape = {len(row) for row in self.points}
        if len(self.points) != len(self.thresholds) or shape != {len(self.levels)}:
            raise ValueError(
                f"readings of {len(self.points)} thresholds and {sorted(shape)} levels; expected "
                f"{len(self.thresholds)} and {len(self.levels)}"
            )
        if list(self.levels) != sorted(set(self.levels)):
            raise ValueError(f"readings at levels {self.levels}; expected them to rise")

    @classmethod
    def fitted(
        cls, rules: Rules, counts: NDArray[np.uint16], given: NDArray[np.float32]
    ) -> RuleCalibrations:
        """Fit every rule on validation tiles.

        Args:
            counts: their bright pixels, uint16 (n, T).
            given: the network's probabilities, float32 (n, T, L).
        """

        def point(column: int, number: int) -> OperatingPoints | None:
            signal = counts[:, column] > rules.levels[number]
            if not signal.any():
                return None
            return OperatingPoints.fitted(signal, given[:, column, number])

        columns, numbers = range(len(rules.thresholds)), range(len(rules.levels))
        points = tuple(tuple(point(c, n) for n in numbers) for c in columns)
        return cls(thresholds=rules.thresholds, levels=rules.levels, points=points)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> RuleCalibrations:
        """Return the calibrations in plain values.

        Raises:
            KeyError, TypeError, ValueError: the values are damaged.
        """

        def point(values: dict[str, Any] | None) -> OperatingPoints | None:
            if values is None:
                return None
            return OperatingPoints(
                **{**values, "calibration": Calibration(**values["calibration"])}
            )

        return cls(
            thresholds=tuple(content["thresholds"]),
            levels=tuple(content["levels"]),
            points=tuple(tuple(map(point, row)) for row in content["points"]),
        )

    def at(self, f_th: float, n_pix: int, source: Path) -> OperatingPoints:
        """Return the operating points of a rule; between levels, interpolate thresholds in N_pix.

        Raises:
            InputError: the model, of the file `source`, does not know the rule, or had no
                validation tile for it.
        """
        one, two = self._pair(f_th, n_pix, source)
        share = self.between(n_pix)[2]
        return one.towards(two, share) if share else one

    def probability(
        self, given: NDArray[np.float32], f_th: float, n_pix: int, source: Path
    ) -> NDArray[np.float32]:
        """Return the calibrated probability of signal by a rule.

        Args:
            given: the network's probabilities, float32 (n, T, L).
            n_pix: between two levels the calibrated log-odds are interpolated linearly.

        Returns:
            float32 (n,); NaN stays NaN.

        Raises:
            InputError: as `at` does.
        """
        points = self._pair(f_th, n_pix, source)
        column = self.column(f_th, n_pix, source)
        below, above, share = self.between(n_pix)
        one, two = (
            point.calibration(np.ascontiguousarray(given[:, column, level]))
            for point, level in zip(points, (below, above), strict=True)
        )
        return _mixed(one, two, share).astype(np.float32) if share else one

    def _pair(self, f_th: float, n_pix: int, source: Path) -> tuple[OperatingPoints, ...]:
        """Return the operating points of the levels below and above."""
        column = self.column(f_th, n_pix, source)
        below, above, _ = self.between(n_pix)
        one, two = self.points[column][below], self.points[column][above]
        if one is None or two is None:
            last = [n for n, p in zip(self.levels, self.points[column], strict=True) if p]
            known = f"calibrated up to N_pix = {last[-1]}" if last else "calibrated for none"
            raise InputError(
                f"{source}: not calibrated for label.f_th = {f_th:g}, label.n_pix = {n_pix}, since "
                f"no validation tile had so many bright pixels ({known}); choose another rule, or "
                "train with more validation images"
            )
        return one, two


def _mixed(one: Any, two: Any, share: float) -> NDArray[np.float64]:
    """Interpolate two probabilities linearly in log-odds."""
    low, high = (log_odds(np.asarray(p, dtype=np.float64)) for p in (one, two))
    return np.asarray(expit(low + share * (high - low)))


def mean_as(rules: Rules, counts: NDArray[np.uint16], given: NDArray[np.float32]) -> float:
    """Return the mean over all rules of the largest As; rules without a signal tile do not count.

    Args:
        counts: bright pixels, uint16 (n, T).
        given: the network's probabilities, float32 (n, T, L).
    """
    scores: list[float] = []
    for column in range(len(rules.thresholds)):
        for number, level in enumerate(rules.levels):
            signal = counts[:, column] > level
            if signal.any():
                found = curve(signal, given[:, column, number])
                scores.append(found.at(found.best_threshold()).As)
    return float(np.mean(scores)) if scores else float("nan")
