"""Figures 5 and 6 of the paper, of a search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cosmodeep_hpc.config.tune import Tune
from cosmodeep_hpc.io.files import replacing
from cosmodeep_hpc.learn.tune.results import Result

STYLES = ("solid", "dashed", "dashdot", "dotted", (0, (1, 4)))


def accuracy(tune: Tune, ranked: Sequence[dict[str, Any]]) -> Figure:
    """Draw As (top), Ws and Wv (bottom) of each combination over its TestID, as in figure 5.

    Colours are the learning rate; in a grid, lines part the batches.
    """
    figure, colours = _canvas((10, 8), [row["learning_rate"] for row in ranked])
    upper, lower = figure.subplots(2, 1, sharex=True)
    tests, rates = ([row[name] for row in ranked] for name in ("test", "learning_rate"))
    for axes, name, marker, label in (
        (upper, "As", "o", None),
        (lower, "Ws", "D", "Ws, tiles with signal"),
        (lower, "Wv", "^", "Wv, tiles without"),
    ):
        shares = np.array([row[name] for row in ranked], dtype=float)  # nan: not defined
        axes.scatter(
            tests, shares, s=22, c=rates, cmap=colours.cmap, norm=colours.norm, marker=marker,
            edgecolors="0.3" if name == "Wv" else None, linewidths=0.6, label=label, zorder=2,
        )  # fmt: skip
    if tune.search == "grid":
        _part_batches((upper, lower), tune)
    upper.set_ylabel("As = Nsc / (Ns + Nvw)")
    lower.set_ylabel("Ws = Nsc / Ns, Wv = Nvc / Nv")
    order = "batch N$_b$, then epochs N$_e$, then learning rate η"
    lower.set_xlabel(f"TestID: {order if tune.search == 'grid' else 'run, then epochs N$_e$'}")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    # no point under it
    lower.legend(fontsize=9, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    for axes in (upper, lower):
        axes.grid(axis="y", color="0.9", zorder=0)
    figure.colorbar(colours, ax=[upper, lower], label="learning rate η", pad=0.02)
    return figure


def _part_batches(panels: tuple[Axes, Axes], tune: Tune) -> None:
    """Name the batches above the upper panel, and draw lines between them in both."""
    across = len(tune.learning_rates) * len(tune.epochs)
    for number, batch in enumerate(tune.batches):
        for axes in panels if number else ():
            axes.axvline(number * across + 0.5, color="0.8", linewidth=0.8, zorder=1)
        place, where = (number + 0.5) * across + 0.5, panels[0].get_xaxis_transform()
        panels[0].text(place, 1.02, f"N$_b$ {batch}", transform=where, ha="center", fontsize=9)
    panels[1].set_xlim(0.5 - 0.01 * across, len(tune.batches) * across + 0.5 + 0.01 * across)


def convergence(results: Sequence[Result]) -> Figure:
    """Draw the share of tiles classified correctly over the epochs, as in figure 6.

    The paper's test tiles are one half signal, where guessing gives 0.5; validation images have
    their natural mix. The share for one half of each is (Ws + Wv) / 2.
    """
    results = [result for result in results if result.validation]
    figure, colours = _canvas((9, 6), [result.run.learning_rate for result in results])
    axes = figure.subplots()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    batches = sorted({result.run.batch for result in results})
    told = len(batches) <= len(STYLES)  # more cannot be told apart
    for result in results:
        epochs, *both = zip(
            *((v["epochs"], v["Ws"], v["Wv"]) for v in result.validation), strict=True
        )
        style: Any = STYLES[batches.index(result.run.batch)] if told else "solid"
        axes.plot(
            epochs, np.array(both, dtype=float).mean(axis=0),
            color=colours.to_rgba(np.array([result.run.learning_rate]))[0],
            linestyle=style, linewidth=1, marker="." if len(epochs) < 3 else None,
        )  # fmt: skip
    axes.axhline(0.5, color="0.6", linewidth=0.8, label="guessing")
    for batch, style in zip(batches, STYLES, strict=False) if told else ():
        axes.plot([], [], color="0.3", linestyle=style, linewidth=1, label=f"N$_b$ {batch}")
    axes.legend(fontsize=9, loc="lower right")
    axes.set_xlabel("epochs of training")
    axes.set_ylabel("Accuracy on as many tiles with as without signal, (Ws + Wv) / 2")
    axes.grid(color="0.9")
    figure.colorbar(colours, ax=axes, label="learning rate η", pad=0.02)
    return figure


def _canvas(size: tuple[float, float], rates: Sequence[float]) -> tuple[Figure, ScalarMappable]:
    """Return an empty figure, and the colours of learning rates on a logarithmic scale."""
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    low, high = min(rates), max(rates)
    wider = 3.0 if low == high else 1.0  # a scale must have a length
    return figure, ScalarMappable(LogNorm(low / wider, high * wider), "turbo")


def save(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all, with nothing in it that changes from run to run."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
