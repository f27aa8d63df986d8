"""The figure of the objects found: completeness over surface brightness, by detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmodeep_hpc.comparison.figure import COLOURS, MARKS
from cosmodeep_hpc.comparison.scoredmasks import MAPS, MASKED
from cosmodeep_hpc.comparison.scoredtiles import MODEL
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.evaluation.maptable import range_of, ratio
from cosmodeep_hpc.io.files import read_json, replacing
from cosmodeep_hpc.products.picture import save

RECORD = "compare.json"
MORE = {MASKED: ("#56B4E9", "P"), "wavelets": ("#999933", "<"), "continunet": ("#882255", "*")}
"""Colour and mark of the detectors that score no tiles."""
STYLES = {name: MORE[name] if name in MORE else (COLOURS[name], MARKS[name]) for name in MAPS}


@dataclass(frozen=True)
class ComparedObjects:
    """The objects of a comparison.

    Attributes:
        folder: name of the folder of their images.
        images: how many.
        f_th: flux threshold F_th [Jy/arcsec^2].
        detectors: the part `detectors` of `maps` in `compare.json`.
    """

    folder: str
    images: int
    f_th: float
    detectors: dict[str, Any]

    @classmethod
    def of(cls, result: dict[str, Any]) -> ComparedObjects:
        """Return the objects in the content of a `compare.json`."""
        maps = result["maps"]
        return cls(maps["folder"], result["images"], maps["f_th"], maps["detectors"])


def read(folder: Path) -> ComparedObjects:
    """Return the objects of an earlier comparison.

    Raises:
        InputError: its record cannot be read, or is of an older version, or of another command.
    """
    path = folder / RECORD
    content = read_json(path)
    try:
        return ComparedObjects.of(content)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not a comparison by objects ({type(error).__name__}: {error}); expected the "
            "folder of another `cosmodeep compare`: run it again"
        ) from error


def draw(compared: Sequence[ComparedObjects], path: Path) -> None:
    """Draw the completeness of objects over their surface brightness, a panel a comparison.

    Error bars are standard errors over the images; the legend gives the purity of objects.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5 * len(compared), 5.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, one in zip(
        figure.subplots(1, len(compared), squeeze=False)[0], compared, strict=True
    ):
        _panel(axes, one)
    with replacing(path) as temporary:
        save(figure, temporary)


def _panel(axes: Any, one: ComparedObjects) -> None:
    shown = [name for name in MAPS if name in one.detectors]
    tables = {name: one.detectors[name]["objects"]["bins"]["brightness"] for name in shown}
    edges = tables[shown[0]]["edges"]
    counts = [
        max(table["completeness"][number]["count"] for table in tables.values())
        for number in range(len(edges))
    ]
    filled = [number for number, count in enumerate(counts) if count]
    for place, name in enumerate(shown):
        colour, mark = STYLES[name]
        rows = [(n, tables[name]["completeness"][n]) for n in filled]
        # side by side within a bin, so that no detector hides another
        offset = 0.5 * (place / max(len(shown) - 1, 1) - 0.5)
        known = [(n + offset, row) for n, row in rows if row["share"] is not None]
        purity = ratio(one.detectors[name]["objects"]["purity"]["share"])
        axes.errorbar(
            [x for x, _ in known],
            [row["share"] for _, row in known],
            yerr=[row["standard_error"] or 0 for _, row in known],
            color=colour,
            marker=mark,
            markersize=6,
            linewidth=2 if name == MODEL else 1,
            capsize=2,
            label=f"{name}: {purity}",
        )
    for number in filled:
        axes.text(number, 1.03, str(counts[number]), ha="center", fontsize=7, color="grey")
    axes.set_xticks(filled, [range_of(edges, number) for number in filled], fontsize=8)
    axes.set_ylim(-0.02, 1.09)
    axes.set_xlabel("mean surface brightness of an object [noise]; grey: objects")
    axes.set_ylabel("completeness of objects")
    images = f"{one.images} image{'s' * (one.images > 1)}"
    axes.set_title(f"{one.folder}: {images}, F_th {one.f_th:g} Jy/arcsec²", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(
        fontsize=8,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
        ncols=4,
        title="purity of objects",
        title_fontsize=8,
    )
