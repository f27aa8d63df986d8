"""Reliability: the share of signal among tiles that a model gives probability p of signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.io.files import replacing
from cosmodeep_hpc.products import picture

EDGES = (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
"""Edges of the bins of probability, finer at the ends, where nearly all tiles are."""
ACROSS = 4
"""Most panels side by side."""
COLOUR, SHADE = "#0072B2", "0.75"


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Tiles counted in bins of their probability; a bin includes its lower edge, the last both.

    Attributes:
        edges: of the bins.
        tiles: tiles in each bin.
        signal: tiles with signal in each bin.
        probability: sum of the tiles' probabilities in each bin.
    """

    edges: tuple[float, ...]
    tiles: tuple[int, ...]
    signal: tuple[int, ...]
    probability: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check that the counts fit the bins and each other."""
        bins = len(self.edges) - 1
        if not len(self.tiles) == len(self.signal) == len(self.probability) == bins:
            raise ValueError(f"reliability: expected {bins} counts of each kind")
        if any(not 0 <= s <= n for s, n in zip(self.signal, self.tiles, strict=True)):
            raise ValueError("reliability: more tiles with signal than tiles")

    @classmethod
    def of(cls, signal: NDArray[np.bool_], probability: NDArray[np.float32]) -> Reliability:
        """Count tiles (n,); those without data (NaN) count nowhere."""
        known = ~np.isnan(probability)
        value, truth = probability[known].astype(np.float64), signal[known]
        bins = len(EDGES) - 1
        place = np.clip(np.searchsorted(EDGES, value, side="right") - 1, 0, bins - 1)
        return cls(
            edges=EDGES,
            tiles=tuple(np.bincount(place, minlength=bins).tolist()),
            signal=tuple(np.bincount(place[truth], minlength=bins).tolist()),
            probability=tuple(np.bincount(place, value, minlength=bins).tolist()),
        )

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Reliability:
        """Return the counts that `as_dict` wrote.

        Raises:
            TypeError, ValueError: the content is something else.
        """
        return cls(**{name: tuple(values) for name, values in content.items()})

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as `metrics.json` holds them."""
        return {name: list(values) for name, values in asdict(self).items()}

    def __add__(self, other: Reliability) -> Reliability:
        """Return the counts of both sets of tiles.

        Raises:
            ValueError: they were counted in other bins.
        """
        if self.edges != other.edges:
            raise ValueError("reliability: counted in other bins")
        return Reliability(
            edges=self.edges,
            tiles=_sum(self.tiles, other.tiles),
            signal=_sum(self.signal, other.signal),
            probability=_sum(self.probability, other.probability),
        )

    @property
    def odds(self) -> float:
        """Tiles with signal over tiles without; nan if there are none without."""
        noise = sum(self.tiles) - sum(self.signal)
        return sum(self.signal) / noise if noise else float("nan")

    @property
    def error(self) -> float:
        """Expected calibration error: mean over tiles of |share of signal - probability|."""
        gaps = (abs(s - p) for s, p in zip(self.signal, self.probability, strict=True))
        return sum(gaps) / max(sum(self.tiles), 1)


def _sum(a: Sequence[Any], b: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def prior_shifted(probability: NDArray[np.float64], odds: float) -> NDArray[np.float64]:
    """Convert a probability for equally many signal and noise tiles to other odds.

    Args:
        probability: (n,), for as many signal as noise tiles.
        odds: of signal to noise tiles where it is used.

    Returns:
        p odds / (p odds + 1 - p), by Bayes' theorem.
    """
    weighted = probability * odds
    return np.asarray(weighted / (weighted + 1 - probability))


def draw(models: dict[str, Reliability], path: Path) -> None:
    """Draw a reliability diagram, a panel for each model, with the tiles in each bin below.

    Error bars are Wilson intervals of 68 %. A second line beside the diagonal shows a network that
    is right on as many signal as noise tiles, as it was trained, but not calibrated for images
    where signal is rare.

    Args:
        models: by the title of their panel, at least one.
        path: the PNG file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across = min(ACROSS, len(models))
    down = -(-len(models) // across)
    figure = Figure(figsize=(4.4 * across + 0.6, 5.2 * down), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grids = figure.subfigures(down, across, squeeze=False).ravel()
    for grid, (title, one) in zip(grids, models.items(), strict=False):
        upper, lower = grid.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        _reliability(upper, one)
        _counts(lower, one)
        upper.set_title(
            f"{title}\nmean miss {one.error:.4f}, {sum(one.tiles):,} tiles", fontsize=10
        )
    with replacing(path) as temporary:
        picture.save(figure, temporary)


def _reliability(axes: Any, one: Reliability) -> None:
    from astropy.stats import binom_conf_interval

    filled = np.array(one.tiles) > 0
    tiles, signal = np.array(one.tiles)[filled], np.array(one.signal)[filled]
    mean, share = np.array(one.probability)[filled] / tiles, signal / tiles
    low, high = binom_conf_interval(signal, tiles, interval="wilson")
    bars = np.abs(np.stack([share - low, high - share]))  # rounding gives -1e-17 at a share of 0
    axes.plot([0, 1], [0, 1], color="0.5", linewidth=1, label="right")
    if one.odds > 0:  # neither 0 nor nan
        line = np.linspace(0, 1, 201)
        label = "right at 1 : 1, not calibrated"
        axes.plot(line, prior_shifted(line, one.odds), color="0.5", linestyle=":", label=label)
    axes.errorbar(
        mean, share, yerr=bars, fmt="o", color=COLOUR, markersize=4, capsize=2, label="tiles"
    )
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("share of tiles with signal")
    axes.legend(fontsize=9, loc="upper left")
    axes.grid(color="0.92")


def _counts(axes: Any, one: Reliability) -> None:
    axes.stairs(one.tiles, one.edges, fill=True, color=SHADE, label="all")
    axes.stairs(one.signal, one.edges, color=COLOUR, label="with signal")
    axes.set_yscale("log")
    axes.set_ylim(0.5, 100 * max(*one.tiles, 1))  # room for the legend
    axes.set_xlim(-0.03, 1.03)
    axes.set_xlabel("predicted probability of signal")
    axes.set_ylabel("tiles")
    axes.legend(fontsize=9, loc="upper center", ncols=2)
