"""`python -m benchmarks.large_batch`: which batch and learning-rate rule keep the accuracy.

    python -m benchmarks.large_batch --tiles tiles --out large-batch --epochs 10
    mpirun -np 2 --bind-to none python -m mpi4py -m benchmarks.large_batch ...    # on two ranks

Trains on one tile set for the same number of epochs with global batches of 100, 400 and 1600 tiles,
the larger ones with each rule for the learning rate (that of the configuration is for 100), all
but `none` with a warm-up. After each epoch As is measured on the validation images. Given are As
after the last epoch and the best, and what it took to reach the target: epochs, and seconds from
the first step on, with the validations before. A run that is in --out already is not done again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from cosmodeep_hpc.config.configuration import load
from cosmodeep_hpc.io.files import read_json, write_json
from cosmodeep_hpc.learn import trainer
from cosmodeep_hpc.parallel.world import World, open_world

BASE = 100  # the batch that the learning rate of the configuration is for
RULES = ("none", "square_root", "linear")
OF_BASE = 0.98  # of the As that BASE ends with: the target, where none is given


@dataclass(frozen=True)
class Run:
    """A batch and a rule for its learning rate."""

    batch: int
    rule: str

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"batch-{self.batch}-{self.rule}"


def runs(batches: list[int]) -> list[Run]:
    """Return the base first, then each larger batch with each rule."""
    larger = [batch for batch in batches if batch != BASE]
    return [Run(BASE, "none"), *(Run(*pair) for pair in product(larger, RULES))]


def trained(run: Run, words: argparse.Namespace, world: World) -> dict[str, Any]:
    """Train, or read an earlier result; a collective call."""
    row_file = words.out / f"{run.name}.json"
    if world.on_root(row_file.exists):
        found: dict[str, Any] = world.on_root(lambda: read_json(row_file))
        return found
    changes = {
        "train.batch": run.batch,
        "train.base_batch": BASE,
        "train.learning_rate_rule": run.rule,
        "train.warmup_epochs": 0 if run.rule == "none" else words.warmup,
        "train.epochs": words.epochs,
        "train.validate_epochs": 1,
        "train.log_steps": 5,
    }
    config = load(words.config, [(name, str(value)) for name, value in changes.items()])
    folder = words.out / run.name
    # what an interrupted run left has no times
    world.on_root(lambda: shutil.rmtree(folder, ignore_errors=True))
    ends: list[float] = []
    # a validation of an epoch is over when the next step begins: its time is in the next one's
    trainer.run(
        config,
        words.tiles,
        folder,
        world,
        progress=lambda done, total, note="": ends.append(time.monotonic()),
    )
    row = world.on_root(lambda: summed(folder, run, ends))
    world.on_root(lambda: write_json(row_file, row))
    return row


def summed(folder: Path, run: Run, ends: list[float]) -> dict[str, Any]:
    """Return the results of a run, from its record and the times at which its steps ended."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    rates = [line["tiles_per_second"] for line in lines if line["kind"] == "train"]
    judged = [line for line in lines if line["kind"] == "validation"]
    return {
        "batch": run.batch,
        "rule": run.rule,
        "steps": len(ends),
        "tiles_per_second": max(rates),
        "As": [line["As"] for line in judged],
        "seconds": [ends[line["step"] - 1] - ends[0] for line in judged],
    }


def table(rows: list[dict[str, Any]], target: float | None) -> str:
    """Return the rows as Markdown, beside the target As."""
    if target is None:
        target = OF_BASE * rows[0]["As"][-1]
    lines = [
        f"target: As = {target:.4f}",
        "",
        "| batch | rule | steps | As, last epoch | best As | epochs to target | s to target | "
        "tiles/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        reached = next((k for k, score in enumerate(row["As"]) if score >= target), None)
        to_target = "never | -"
        if reached is not None:
            to_target = f"{reached + 1} | {row['seconds'][reached]:.0f}"
        lines.append(
            f"| {row['batch']} | {row['rule']} | {row['steps']} | {row['As'][-1]:.4f} | "
            f"{max(row['As']):.4f} | {to_target} | {row['tiles_per_second']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Train all runs, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiles", type=Path, required=True, help="a tile set with validation")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--config", type=Path, help="TOML file; its learning rate is for 100")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--warmup", type=float, default=1.0, help="epochs of the warm-up")
    parser.add_argument("--batches", type=int, nargs="+", default=[100, 400, 1600])
    parser.add_argument("--target", type=float, help="As; default: 0.98 of what batch 100 ends at")
    words = parser.parse_args()
    world = open_world()
    world.on_root(lambda: words.out.mkdir(parents=True, exist_ok=True))
    rows = []
    for run in runs(words.batches):
        rows.append(trained(run, words, world))
        if world.is_root:
            print(f"{run.name}: As {rows[-1]['As'][-1]:.4f}", flush=True)
    if world.is_root:
        print(table(rows, words.target))


if __name__ == "__main__":
    main()
