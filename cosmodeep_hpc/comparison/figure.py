"""The figure of the comparison: purity against completeness, and completeness by flux."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cosmodeep_hpc.comparison.scoredtiles import FAMILIES, ISLANDS, MODEL
from cosmodeep_hpc.io.files import replacing
from cosmodeep_hpc.products.picture import save

COLOURS = dict(
    zip(FAMILIES, ("black", "#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7"), strict=True)
)
"""The colour-blind can tell them apart; in grey the marks differ."""
MARKS = dict(zip(FAMILIES, "oX^sDv", strict=True))
LIMIT_STYLES = ("dashed", "dotted")
ROOM = 0.15
"""Margin of the left panel below and left of the range that holds half of the marks."""


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw the content of `compare.json`: all detectors by the labels of the model.

    Left: purity and completeness over each detector's thresholds, with a mark at the one that is
    used. The legend gives the marks' numbers; the panel shows the range where most of them are.
    Right: completeness by flux at these thresholds.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    table, reached = result["rules"][0], []
    for name, points in result["curves"].items():
        style = {"color": COLOURS[name], "linewidth": 2 if name == MODEL else 1.2}
        marker = "." if name in ISLANDS else None
        left.plot(points["completeness"], points["purity"], marker=marker, **style)
        row, label = table["detectors"][name], name
        if row["Ws"] is not None and row["Nsc"] + row["Nvw"]:
            purity = row["Nsc"] / (row["Nsc"] + row["Nvw"])
            left.plot(row["Ws"], purity, marker=MARKS[name], markersize=9, color=COLOURS[name])
            label += f": {row['Ws']:.3f}, {purity:.3f}"
            reached.append(min(row["Ws"], purity))
        left.plot([], [], marker=MARKS[name], label=label, **style)
    for (name, limit), dashes in zip(table["limits"].items(), LIMIT_STYLES, strict=True):
        points = limit["curve"]
        shown = [
            (c, p)
            for c, p in zip(points["completeness"], points["purity"], strict=True)
            if c is not None and p is not None
        ]
        label = f"ideal limit, {name}"
        left.plot(*zip(*shown, strict=True), color="grey", linestyle=dashes, label=label)
    left.set_xlabel("completeness of tiles (Ws)")
    left.set_ylabel("purity of tiles")
    half = float(np.median(reached)) if reached else 1.0
    low = max(0.0, round(half - ROOM, 1))  # show the used thresholds, not all that could be used
    left.set_xlim(low, 1.005)
    left.set_ylim(low, 1.01)
    left.set_title(
        f"signal: more than {table['n_pix']} Sky pixels above {table['f_th']:g} Jy/arcsec²",
        fontsize=10,
    )
    left.grid(alpha=0.3)
    title = "as used: completeness, purity"
    left.legend(fontsize=8, loc="lower left", title=title, title_fontsize=8)

    edges = result["by_flux"]["edges_jy"]
    middle = [1e3 * (low * high) ** 0.5 for low, high in zip(edges, edges[1:], strict=False)]
    for name, shares in result["by_flux"]["completeness"].items():
        there = [(x, y) for x, y in zip(middle, shares, strict=True) if y is not None]
        if there:
            width = 2 if name == MODEL else 1.2
            style = {"color": COLOURS[name], "marker": MARKS[name], "linewidth": width}
            right.plot(*zip(*there, strict=True), **style)
    for x, count in zip(middle, result["by_flux"]["signal_tiles"], strict=True):
        if count:
            right.text(x, 1.03, str(count), ha="center", fontsize=7, color="grey")
    right.set_xscale("log")
    right.set_ylim(0, 1.08)
    right.set_xlabel("flux of the Sky in the tile [mJy]; grey: signal tiles")
    right.set_ylabel("completeness of tiles")
    right.set_title(
        f"at the thresholds marked on the left, chosen on {result['chosen_on']}", fontsize=10
    )
    right.grid(alpha=0.3)
    with replacing(path) as temporary:
        save(figure, temporary)
