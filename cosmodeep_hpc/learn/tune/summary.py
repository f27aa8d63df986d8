"""The summary of a search: ranking, failed and missing runs, figures 5 and 6 of the paper."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.tune import Tune
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io.files import replacing, write_json
from cosmodeep_hpc.learn.tune import results
from cosmodeep_hpc.learn.tune.grid import TuneRun, count
from cosmodeep_hpc.learn.tune.results import TILES, Ranked, Result

COLUMNS = (
    "place", "test", "run", "learning_rate", "batch", "epochs", "of_epoch",
    "As", "Ws", "Wv", "Ns", "Nv", "Nsc", "Nsw", "Nvc", "Nvw",
    "threshold", "seconds", "tiles_per_second",
)  # fmt: skip
"""Of `summary.csv`."""
SHOWN = 20
"""Combinations that the text shows."""
AT_ONCE = 8
"""Jobs of an array that run at the same time, as in slurm/tune.sh."""
FIGURE_5, FIGURE_6 = "figure-5.png", "figure-6.png"
STYLES = ("solid", "dashed", "dashdot", "dotted", (0, (1, 4)))
COLOURS = "turbo"


def run(config: Config, out: Path, tiles: Path | None = None) -> str:
    """Sum up the search in `out`: summary.csv, summary.json and two figures there.

    Args:
        config: of the search.
        out: its folder.
        tiles: where its tile set is now; by default where it was.

    Returns:
        the summary as text.

    Raises:
        InputError: `out` holds no search, or a result is damaged or of another search.
    """
    if not (out / TILES).exists():
        raise InputError(f"{out}: no search in it; expected a folder that `cosmodeep tune` made")
    found, missing = results.read_all(out, config.tune)
    ranked = results.ranking(found)
    failed = [result for result in found if result.error is not None]
    again = sorted([r.run.number for r in failed] + [r.number for r in missing])
    command = command_for(again, out, tiles) if again else None
    rows = [row(one) for one in ranked]
    with replacing(out / "summary.csv") as temporary, temporary.open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
    content = {
        "runs": count(config.tune),
        "done": len(found) - len(failed),
        "failed": {str(result.run.number): result.error for result in failed},
        "missing": [run.number for run in missing],
        "again": command,
        "ranking": rows,
    }
    write_json(out / "summary.json", content)
    pictures = []
    if ranked:
        draw_accuracy(config.tune, ranked, out / FIGURE_5)
        draw_convergence(found, out / FIGURE_6)
        pictures = [FIGURE_5, FIGURE_6]
    return text(config.tune, ranked, failed, missing, command, pictures, out)


def command_for(numbers: Sequence[int], out: Path, tiles: Path | None = None) -> str:
    """The command that does these runs (again) as a job array.

    It reads the options that the search was begun with from its folder. Where the tile set was a
    copy on a node's disk that is gone, its place is left to fill in.
    """
    where = tiles or Path(results.tiles_of(out)["tiles"])
    there = str(where.resolve()) if where.exists() else "DIR"
    array = results.array_of(numbers) + (f"%{AT_ONCE}" if len(numbers) > AT_ONCE else "")
    folder = out.resolve()
    words = ["--config", str(folder / "config.json"), "--tiles", there, "--out", str(folder)]
    return shlex.join(["sbatch", f"--array={array}", "slurm/tune.sh", *words])


def row(one: Ranked) -> dict[str, Any]:
    """A combination as a row of the table."""
    parameters = {"learning_rate": one.run.learning_rate, "batch": one.run.batch}
    return {"place": one.place, "run": one.run.number, **parameters, **one.point}


def text(
    tune: Tune,
    ranked: Sequence[Ranked],
    failed: Sequence[Result],
    missing: Sequence[TuneRun],
    command: str | None,
    pictures: Sequence[str],
    out: Path,
) -> str:
    """The summary to read."""
    runs, per_run = count(tune), len(tune.epochs)
    done = runs - len(failed) - len(missing)
    lines = [
        f"{done} of {runs} runs done, {len(failed)} failed, {len(missing)} missing; "
        f"{len(ranked)} of {runs * per_run} combinations, by As, then Ws, on the validation images:"
    ]
    head = ("place", "test", "run", "learning rate", "batch", "epochs", "As", "Ws", "Wv")
    form = "{:>5} {:>5} {:>5} {:>13} {:>6} {:>6} {:>7} {:>7} {:>7} {:>9} {:>8} {:>8}"
    lines.append(form.format(*head, "threshold", "seconds", "tiles/s"))
    for one in ranked[:SHOWN]:
        values = row(one)
        ratios = [_number(values[name], ".4f") for name in ("As", "Ws", "Wv")]
        speed = [_number(values[n], ".0f") for n in ("seconds", "tiles_per_second")]
        lines.append(
            form.format(
                *(values[name] for name in ("place", "test", "run")),
                f"{one.run.learning_rate:g}",
                *(values[name] for name in ("batch", "epochs")),
                *ratios, _number(values["threshold"], ".4f"), *speed,
            )
        )  # fmt: skip
    if len(ranked) > SHOWN:
        lines.append(f"... {len(ranked) - SHOWN} more in {out / 'summary.csv'}")
    for result in failed:
        lines.append(f"failed: run {result.run.number}: {' '.join(str(result.error).split())}")
    if missing:
        lines.append(f"missing: {results.array_of([run.number for run in missing])}")
    if command is not None:
        lines.append(f"do them (again): {command}")
    if pictures:
        lines.append(f"figures 5 and 6 of the paper: {', '.join(pictures)} in {out}")
    return "\n".join(lines)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def draw_accuracy(tune: Tune, ranked: Sequence[Ranked], picture: Path) -> None:
    """Draw As (top), Ws and Wv (bottom) of each combination over its TestID, as in figure 5.

    Colours are the learning rate; in a grid, lines part the batches.
    """
    figure, colours, norm = _canvas((10, 8), [one.run.learning_rate for one in ranked])
    upper, lower = figure.subplots(2, 1, sharex=True)
    tests = [one.point["test"] for one in ranked]
    rates = [one.run.learning_rate for one in ranked]
    for axes, name, marker, face in (
        (upper, "As", "o", True), (lower, "Ws", "D", True), (lower, "Wv", "^", False),
    ):  # fmt: skip
        values = [one.point[name] for one in ranked]
        drawn = [(t, v, r) for t, v, r in zip(tests, values, rates, strict=True) if v is not None]
        if drawn:
            t, v, r = zip(*drawn, strict=True)
            edges = colours(norm(r))
            axes.scatter(
                t, v, s=22, marker=marker, facecolors=edges if face else "none", edgecolors=edges,
                linewidths=0.8, zorder=2,
            )  # fmt: skip
    across = len(tune.learning_rates) * len(tune.epochs)
    if tune.search == "grid":
        _part_batches(upper, lower, tune, across)
    upper.set_ylabel("As = Nsc / (Ns + Nvw)")
    lower.set_ylabel("Ws = Nsc / Ns, Wv = Nvc / Nv")
    order = "batch N$_b$, then epochs N$_e$, then learning rate η"
    lower.set_xlabel(f"TestID: {order if tune.search == 'grid' else 'run, then epochs N$_e$'}")
    marks = [("D", "0.3", "Ws, tiles with signal"), ("^", "none", "Wv, tiles without")]
    for marker, inside, label in marks:
        lower.scatter([], [], marker=marker, facecolors=inside, edgecolors="0.3", label=label)
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    # no point under it
    lower.legend(fontsize=9, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    for axes in (upper, lower):
        axes.grid(axis="y", color="0.9", zorder=0)
    _colour_bar(figure, [upper, lower], colours, norm)
    _save(figure, picture)


def _part_batches(upper: Axes, lower: Axes, tune: Tune, across: int) -> None:
    """Name the batches above the upper panel, and draw lines between them in both."""
    for number, batch in enumerate(tune.batches):
        for axes in (upper, lower):
            if number:
                axes.axvline(number * across + 0.5, color="0.8", linewidth=0.8, zorder=1)
        place = (number + 0.5) * across + 0.5
        where = upper.get_xaxis_transform()
        upper.text(place, 1.02, f"N$_b$ {batch}", transform=where, ha="center", fontsize=9)
    lower.set_xlim(0.5 - 0.01 * across, len(tune.batches) * across + 0.5 + 0.01 * across)


def draw_convergence(results: Sequence[Result], picture: Path) -> None:
    """Draw the share of tiles classified correctly over the epochs, as in figure 6.

    The paper's test tiles are one half signal, where guessing gives 0.5; validation images have
    their natural mix. The share for one half of each is (Ws + Wv) / 2.
    """
    results = [result for result in results if result.validation]
    figure, colours, norm = _canvas((9, 6), [result.run.learning_rate for result in results])
    axes = figure.subplots()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    batches = sorted({result.run.batch for result in results})
    told = len(batches) <= len(STYLES)  # more cannot be told apart
    for result in results:
        points = [
            (v["epochs"], (v["Ws"] + v["Wv"]) / 2)
            for v in result.validation
            if v["Ws"] is not None and v["Wv"] is not None
        ]
        if points:
            style: Any = STYLES[batches.index(result.run.batch)] if told else "solid"
            axes.plot(
                *zip(*points, strict=True),
                color=colours(norm(result.run.learning_rate)),
                linestyle=style, linewidth=1, marker="." if len(points) < 3 else None,
            )  # fmt: skip
    axes.axhline(0.5, color="0.6", linewidth=0.8, label="guessing")
    if told:
        for batch, style in zip(batches, STYLES, strict=False):
            axes.plot([], [], color="0.3", linestyle=style, linewidth=1, label=f"N$_b$ {batch}")
    axes.legend(fontsize=9, loc="lower right")
    axes.set_xlabel("epochs of training")
    axes.set_ylabel("Accuracy on as many tiles with as without signal, (Ws + Wv) / 2")
    axes.grid(color="0.9")
    _colour_bar(figure, [axes], colours, norm)
    _save(figure, picture)


def _canvas(size: tuple[float, float], rates: Sequence[float]) -> tuple[Figure, Colormap, LogNorm]:
    """A figure, and the colours of learning rates on a logarithmic scale."""
    from matplotlib import colormaps

    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    low, high = min(rates), max(rates)
    wider = 3.0 if low == high else 1.0  # a scale must have a length
    return figure, colormaps[COLOURS], LogNorm(low / wider, high * wider)


def _colour_bar(figure: Figure, axes: list[Axes], colours: Colormap, norm: LogNorm) -> None:
    drawn = ScalarMappable(norm=norm, cmap=colours)
    figure.colorbar(drawn, ax=axes, label="learning rate η", pad=0.02)


def _save(figure: Figure, picture: Path) -> None:
    """Write a figure, whole or not at all, with nothing in it that changes from run to run."""
    with replacing(picture) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
