"""Accuracy as the paper defines it, and the choice of a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Counts of tiles, and the ratios made of them (nan where there is nothing to divide by).

    Attributes:
        Nsc: signal tiles classified as signal (1C). Nsw: as noise (1F).
        Nvc: noise tiles classified as noise (0C). Nvw: as signal (0F).

    Source: Gheller, Vazza & Bonafede (2018), equation 2.
    """

    Nsc: int
    Nsw: int
    Nvc: int
    Nvw: int

    @property
    def Ns(self) -> int:  # noqa: N802 - the paper's name
        """Number of signal tiles."""
        return self.Nsc + self.Nsw

    @property
    def Nv(self) -> int:  # noqa: N802
        """Number of noise tiles."""
        return self.Nvc + self.Nvw

    @property
    def As(self) -> float:  # noqa: N802
        """Nsc / (Ns + Nvw)."""
        return _ratio(self.Nsc, self.Ns + self.Nvw)

    @property
    def Ws(self) -> float:  # noqa: N802
        """Nsc / Ns, the completeness."""
        return _ratio(self.Nsc, self.Ns)

    @property
    def Wv(self) -> float:  # noqa: N802
        """Nvc / Nv."""
        return _ratio(self.Nvc, self.Nv)

    def __add__(self, other: Accuracy) -> Accuracy:
        """Return the accuracy of both sets of tiles together."""
        return Accuracy(
            Nsc=self.Nsc + other.Nsc,
            Nsw=self.Nsw + other.Nsw,
            Nvc=self.Nvc + other.Nvc,
            Nvw=self.Nvw + other.Nvw,
        )

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the paper's nine numbers by name; a ratio that is not defined is None."""
        ratios = {"As": self.As, "Ws": self.Ws, "Wv": self.Wv}
        return {
            **{name: None if np.isnan(value) else value for name, value in ratios.items()},
            **{n: getattr(self, n) for n in ("Ns", "Nv", "Nsc", "Nsw", "Nvc", "Nvw")},
        }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def accuracy(signal: NDArray[np.bool_], found: NDArray[np.bool_]) -> Accuracy:
    """Compare what tiles are (`signal`) with what they were classified as (`found`)."""
    return Accuracy(
        Nsc=int(np.sum(signal & found)),
        Nsw=int(np.sum(signal & ~found)),
        Nvc=int(np.sum(~signal & ~found)),
        Nvw=int(np.sum(~signal & found)),
    )


def is_found(probability: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """Return which tiles are classified as signal: probability >= threshold, in float64.

    A tile without data (NaN) is not signal.
    """
    return probability.astype(np.float64) >= threshold


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Accuracy at every threshold that makes a difference; a tile is found at p >= threshold.

    Attributes:
        threshold: float64 (k,), descending: the distinct probabilities.
        Nsc, Nvw: int64 (k,), found tiles with and without signal.
        Ns, Nv: tiles with and without signal.
    """

    threshold: NDArray[np.float64]
    Nsc: NDArray[np.int64]
    Nvw: NDArray[np.int64]
    Ns: int
    Nv: int

    @property
    def precision(self) -> NDArray[np.float64]:
        """Purity: signal tiles among the tiles found, at each threshold."""
        return self.Nsc / (self.Nsc + self.Nvw)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Completeness: Ws at each threshold."""
        return self.Nsc / max(self.Ns, 1)

    def at(self, threshold: float) -> Accuracy:
        """Return the accuracy if tiles of probability >= threshold are signal."""
        k = int(np.sum(self.threshold >= threshold))
        found, false = (int(self.Nsc[k - 1]), int(self.Nvw[k - 1])) if k else (0, 0)
        return Accuracy(Nsc=found, Nsw=self.Ns - found, Nvc=self.Nv - false, Nvw=false)

    def best_threshold(self) -> float:
        """Return the threshold of the largest As, and the lowest of equal ones, which has most Ws.

        Return 0.5 if there is no signal tile.
        """
        if self.Ns == 0 or len(self.threshold) == 0:
            return 0.5
        score = self.Nsc / (self.Ns + self.Nvw)
        return _below(self.threshold, int(np.flatnonzero(score == score.max())[-1]))

    def threshold_of(
        self, *, completeness: float | None = None, purity: float | None = None
    ) -> float:
        """Return the threshold that reaches a completeness (Ws) or a purity with most of the other.

        That is the highest threshold with this completeness, or the lowest with this purity. If no
        threshold reaches it, return the threshold of the largest value.
        """
        if self.Ns == 0 or len(self.threshold) == 0:
            return 0.5
        if completeness is not None:
            return _below(
                self.threshold, int(np.argmax(self.recall >= min(completeness, self.recall[-1])))
            )
        assert purity is not None
        enough = self.precision >= min(purity, self.precision.max())
        return _below(self.threshold, int(np.flatnonzero(enough)[-1]))


def expected_best_threshold(probability: NDArray[np.float32]) -> float:
    """Return the threshold of the largest As that calibrated probabilities (n,) lead to expect.

    Among the tiles found, the expected number of signal tiles is the sum of p and of noise tiles
    the sum of 1 - p; Ns is the sum of p over all tiles. The largest As *found* on n tiles depends
    on accidents of the few tiles near the threshold; the expected one depends on all tiles, and
    lies at As / (1 + As). NaN does not count; return 0.5 if there are no tiles.

    Source: Koyejo et al. (2014), theorem 2 and table 1: As is the Jaccard index of signal tiles.
    """
    ranked = np.sort(probability[~np.isnan(probability)].astype(np.float64))[::-1]
    if len(ranked) == 0:
        return 0.5
    last = np.flatnonzero(np.diff(ranked, append=np.nan))  # the last of equal probabilities
    score = np.cumsum(ranked)[last] / (ranked.sum() + np.cumsum(1 - ranked)[last])
    return _below(ranked[last], int(np.flatnonzero(score == score.max())[-1]))


def _below(thresholds: NDArray[np.float64], k: int) -> float:
    """Return the probability halfway between threshold `k` and the next lower one."""
    below = thresholds[k + 1] if k + 1 < len(thresholds) else 0.0
    return float((thresholds[k] + below) / 2)


def curve(signal: NDArray[np.bool_], probability: NDArray[np.float32]) -> Curve:
    """Return the accuracy curve of tiles with these probabilities of signal; NaN is never found."""
    order = np.argsort(-probability, kind="stable")  # NaN comes last
    order = order[: np.count_nonzero(~np.isnan(probability))]
    ranked, truth = probability[order].astype(np.float64), signal[order]
    last = np.flatnonzero(np.diff(ranked, append=np.nan))  # the last one differs from NaN
    return Curve(
        threshold=ranked[last],
        Nsc=np.cumsum(truth, dtype=np.int64)[last],
        Nvw=np.cumsum(~truth, dtype=np.int64)[last],
        Ns=int(signal.sum()),
        Nv=int((~signal).sum()),
    )
