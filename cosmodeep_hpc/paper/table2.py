"""Table 2 of the paper: accuracy by N_pix and F_th, over several runs, beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cosmodeep_hpc.io.files import replacing, write_json
from cosmodeep_hpc.paper.evaluations import Evaluation, by_rule
from cosmodeep_hpc.paper.published import RATIOS, SOURCE, TABLE_2, Published, PublishedRule
from cosmodeep_hpc.sky.occupancy import PAPER
from cosmodeep_hpc.sky.summary import Spread

NAME = "table2"
"""Name of the three files, without their endings."""


@dataclass(frozen=True)
class Cell:
    """One accuracy of one rule, and the paper's.

    Attributes:
        ours: mean over the runs, and standard error of that mean; for a single run the standard
            error over its images. None if it is not defined.
        paper: None if the paper has no such rule.
    """

    ours: Published | None
    paper: Published | None

    @property
    def difference(self) -> float | None:
        """Our value less the paper's."""
        if self.ours is None or self.paper is None:
            return None
        return self.ours.value - self.paper.value

    @property
    def in_errors(self) -> float | None:
        """The difference in units of the two errors, added in quadrature."""
        if self.ours is None or self.paper is None or self.difference is None:
            return None
        if self.ours.error is None or self.paper.error is None:
            return None
        combined = float((self.ours.error**2 + self.paper.error**2) ** 0.5)
        return self.difference / combined if combined > 0 else None


@dataclass(frozen=True)
class Row:
    """One rule: its runs, and their accuracies.

    Attributes:
        signal_tiles: tiles with signal an image, mean and standard error over the runs.
        paper_signal_tiles: the number that the paper's accuracies imply.
    """

    rule: PublishedRule
    runs: tuple[Evaluation, ...]
    cells: dict[str, Cell]
    signal_tiles: Published
    paper_signal_tiles: int | None

    @property
    def same_images(self) -> bool:
        """Whether all runs were judged on images of the same names."""
        return len({run.images for run in self.runs}) == 1

    @property
    def same_seed(self) -> bool:
        """Whether two runs share a seed, and so differ in their networks or training."""
        seeds = [run.seed for run in self.runs if run.seed is not None]
        return len(set(seeds)) < len(seeds)

    @property
    def over_images(self) -> float | None:
        """Largest error of As over the images of a run, which several runs share."""
        ratios = [run.ratios["As"] for run in self.runs] if len(self.runs) > 1 else []
        errors = [ratio.error for ratio in ratios if ratio is not None and ratio.error is not None]
        return max(errors, default=None)

    @property
    def points(self) -> list[str]:
        """Operating points of its runs, as far as they are recorded."""
        return sorted({run.point for run in self.runs if run.point is not None})


def rows(evaluations: Sequence[Evaluation]) -> list[Row]:
    """Return the rows of the table, in the paper's order.

    Args:
        evaluations: one a run.
    """
    made = []
    for rule, runs in by_rule(evaluations).items():
        paper = TABLE_2.get(rule, {})
        cells = {name: Cell(_over_runs(runs, name), paper.get(name)) for name in RATIOS}
        spread = Spread.of([run.signal_tiles for run in runs])
        tiles = Published(spread.mean, spread.standard_error)
        made.append(Row(rule, tuple(runs), cells, tiles, PAPER.get(rule)))
    return made


def _over_runs(runs: Sequence[Evaluation], name: str) -> Published | None:
    values = [ratio for run in runs if (ratio := run.ratios[name]) is not None]
    if len(values) <= 1:
        return values[0] if values else None
    spread = Spread.of([value.value for value in values])
    return Published(spread.mean, spread.standard_error)


def write(evaluations: Sequence[Evaluation], folder: Path, out: Path) -> str:
    """Write `table2.txt`, `table2.md` and `table2.json` to `out`.

    Args:
        evaluations: one a run.
        folder: that they were read from: the JSON names them by their paths in it.
        out: folder to write to.

    Returns:
        the table as text.

    Raises:
        InputError: the folder cannot be written.
    """
    made = rows(evaluations)
    words = text(made)
    write_json(out / f"{NAME}.json", as_dict(made, folder))
    for ending, content in (("txt", words), ("md", markdown(made))):
        with replacing(out / f"{NAME}.{ending}") as temporary:
            temporary.write_text(content + "\n", encoding="utf-8")
    return words


def as_dict(made: Sequence[Row], folder: Path) -> dict[str, Any]:
    """Return the content of `table2.json`."""

    def of_run(run: Evaluation) -> dict[str, Any]:
        return {
            "path": str(run.path.relative_to(folder)),
            "model": run.model,
            "sha256": run.sha256,
            "seed": run.seed,
            "images_seen": run.images_seen,
            "point": run.point,
            "images": len(run.images),
            **{name: ratio and ratio.value for name, ratio in run.ratios.items()},
        }

    def of_cell(cell: Cell) -> dict[str, Any]:
        return {
            "ours": cell.ours and asdict(cell.ours),
            "paper": cell.paper and asdict(cell.paper),
            "difference": cell.difference,
            "in_errors": cell.in_errors,
        }

    def of_row(row: Row) -> dict[str, Any]:
        return {
            "n_pix": row.rule[0],
            "f_th": row.rule[1],
            "error_over": "runs" if len(row.runs) > 1 else "images",
            "runs": [of_run(run) for run in row.runs],
            "same_images": row.same_images,
            "signal_tiles": {"ours": asdict(row.signal_tiles), "paper": row.paper_signal_tiles},
            **{name: of_cell(cell) for name, cell in row.cells.items()},
        }

    return {"paper": SOURCE, "f_th_unit": "Jy/arcsec^2", "rows": [of_row(row) for row in made]}


def text(made: Sequence[Row]) -> str:
    """Return the content of `table2.txt`."""
    lines = [
        f"{_runs_of(made)}, beside {SOURCE}",
        "",
        "N_pix  F_th [Jy/arcsec^2]  runs  images  ratio      ours +- error     paper +- error  "
        "difference  in errors",
    ]
    for row in made:
        n_pix, f_th = row.rule
        head = f"{n_pix:5d}  {f_th:18g}  {len(row.runs):4d}  {_images(row):>6}"
        for name, cell in row.cells.items():
            ours, paper = _value(cell.ours, _mark(row)), _value(cell.paper)
            lines.append(
                f"{head:41}{name:>5}  {ours:>17} {paper:>18}  "
                f"{_number(cell.difference, '+.4f'):>10}  {_number(cell.in_errors, '+.1f'):>9}"
            )
            head = ""
        derived = "-" if row.paper_signal_tiles is None else str(row.paper_signal_tiles)
        tiles = f"{row.signal_tiles.value:.1f}"
        lines.append(f"{'':25}signal tiles an image  {tiles:>17} {derived:>18}")
    return "\n".join([*lines, "", *_remarks(made)])


def markdown(made: Sequence[Row]) -> str:
    """Return the content of `table2.md`: the paper's numbers in brackets, then the distance."""
    lines = [
        f"{_runs_of(made)}. In brackets {SOURCE}, and after it the difference in units of both "
        "errors together.",
        "",
        "| N_pix | F_th [Jy/arcsec²] | runs | images | As | Ws | Wv | signal tiles an image |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in made:
        cells = []
        for cell in row.cells.values():
            ours, paper = _value(cell.ours, _mark(row)), _value(cell.paper)
            content = f"{ours} ({paper}) {_number(cell.in_errors, '+.1f')}"
            cells.append(content.replace("+-", "±"))
        paper_tiles = "-" if row.paper_signal_tiles is None else str(row.paper_signal_tiles)
        columns = [
            str(row.rule[0]), f"{row.rule[1]:g}", str(len(row.runs)), _images(row), *cells,
            f"{row.signal_tiles.value:.1f} ({paper_tiles})",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(columns)} |")
    return "\n".join([*lines, "", *_remarks(made)])


def _runs_of(made: Sequence[Row]) -> str:
    n = sum(len(row.runs) for row in made)
    return f"Accuracy of {n} model{'s' * (n != 1)} on images never trained on"


def _remarks(made: Sequence[Row]) -> list[str]:
    """Explain the numbers, and warn of what is missing or may mislead."""
    lines = ["ours: mean over runs and its standard error; the paper's as they stand there."]
    if any(len(row.runs) == 1 for row in made):
        lines.append("*: a single run, the error is the one over its images.")
    over_images = [error for row in made if (error := row.over_images) is not None]
    if over_images:
        lines.append(
            "the error over runs leaves out that of the images, which they share: of As, up to "
            f"{max(over_images):.4f}."
        )
    lines.append("The skies are not the paper's: the tiles with signal say how alike they are.")
    for row in made:
        if not row.same_images:
            lines.append(f"CAREFUL: the runs of {_name(row.rule)} were judged on different images.")
        if row.same_seed:
            lines.append(
                f"CAREFUL: runs of {_name(row.rule)} have one seed: a mean over different networks?"
            )
        if len(row.points) > 1:
            points = " and ".join(row.points)
            lines.append(f"CAREFUL: the runs of {_name(row.rule)} are of the points {points}.")
    missing = [_name(rule) for rule in TABLE_2 if rule not in {row.rule for row in made}]
    if missing:
        lines.append(f"not evaluated: {'; '.join(missing)}")
    return lines


def _name(rule: PublishedRule) -> str:
    return f"N_pix {rule[0]}, F_th {rule[1]:g}"


def _mark(row: Row) -> str:
    return "*" if len(row.runs) == 1 else ""


def _images(row: Row) -> str:
    """Return how many images the runs were judged on."""
    counts = sorted({len(run.images) for run in row.runs})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"


def _value(measured: Published | None, mark: str = "") -> str:
    if measured is None:
        return "-"
    error = "-" if measured.error is None else f"{measured.error:.4f}"
    return f"{measured.value:.4f} +- {error}{mark}"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
