"""The times of a training step on the ranks of a job, and their prediction for more ranks."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc import __version__
from cosmodeep_hpc.bench import costmodel
from cosmodeep_hpc.bench.costmodel import Costs, Interconnect

RANKS = tuple(2**k for k in range(13))  # of the prediction
NAMES = {"horovod": "Horovod", "mpi": "MPI"}


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of a repeated action."""

    median: float
    best: float
    times: int

    @classmethod
    def of(cls, seconds: Sequence[float] | NDArray[np.float64]) -> Timing:
        """Return the median and the best of the seconds of each repetition."""
        values = [float(x) for x in seconds]
        return cls(median=statistics.median(values), best=min(values), times=len(values))


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Where a job runs.

    Attributes:
        ranks, nodes, per_node: in the job; ranks of the fullest node.
        cores: of each rank, the smallest number where they differ.
        gpus: ranks that have a GPU. device: what rank 0 computes on.
    """

    ranks: int
    nodes: int
    per_node: int
    cores: int
    gpus: int
    device: str


@dataclass(frozen=True, kw_only=True)
class StepTimings:
    """The times of a step; with several ranks, the slowest rank's time of each repetition.

    Attributes:
        place: the ranks. batch: tiles of `train.batch`. gradient: bytes summed in a step.
        inference: tiles given to the network at once.
        alone: a step of one rank by its tiles.
        weak, strong: seconds of a step of all ranks with `batch` tiles each, and with `batch`
            tiles over all: "step", and its parts "compute" and "allreduce" with waiting.
        crowding: computation of `batch` tiles with all ranks at work, in ratio to one alone.
        scatter: of a rank's computation, relative: 1.48 median deviations from the median.
        sums: the way that gradients are summed, "horovod" or "mpi"; empty for one rank.
        messages: seconds of sums and barriers, as a step sums and by MPI itself. Empty for one
            rank.
        beside: seconds of a step with `batch` tiles each ("weak"), over all ("strong"), and of the
            sum alone ("gradient"), summed in the other way; empty where there is none.
        input: seconds of drawing a rank's tiles from memory, and of making its dropout masks.
        classify: seconds of the network's forward pass of `inference` tiles on every rank at once.
    """

    place: Hardware
    batch: int
    gradient: int
    inference: int
    alone: dict[int, Timing]
    weak: dict[str, Timing]
    strong: dict[str, Timing]
    crowding: float
    scatter: float
    sums: str
    messages: dict[str, Timing]
    beside: dict[str, Timing]
    input: dict[str, Timing]
    classify: Timing

    @property
    def weak_efficiency(self) -> float:
        """Speed of a rank among all with the same batch, in ratio to one rank alone."""
        return self.alone[self.batch].median / self.weak["step"].median

    @property
    def strong_efficiency(self) -> float:
        """Speed of all ranks with the same global batch, in ratio to ideal."""
        return self.alone[self.batch].median / self.strong["step"].median / self.place.ranks

    @property
    def bus_bandwidth(self) -> float:
        """Bytes a second that a rank would send in the sum of the gradient if it were a ring's."""
        ranks = self.place.ranks
        return 2 * (ranks - 1) / ranks * self.gradient / self.messages["gradient"].median

    def costs(self) -> Costs:
        """Return the inputs of the model; with one rank on a GPU, Horovod costs its cycle.

        MPI's own messages count by their best times: what the network is capable of. Delays in a
        real step are in the median of the step's sum.
        """
        software = 0.0
        if self.place.gpus:
            software = 1e-3 * float(os.environ.get("HOROVOD_CYCLE_TIME", "1"))
        if self.messages:
            of_mpi = self.messages["gradient, MPI"].best
            software = max(0.0, self.messages["gradient"].median - of_mpi)
        return Costs(
            compute={tiles: timing.median for tiles, timing in self.alone.items()},
            gradient=self.gradient,
            crowding=self.crowding,
            scatter=self.scatter,
            software=software,
            per_node=self.place.per_node,
            local=self._local(),
        )

    def _local(self) -> Interconnect:
        """Return the network between the ranks of a node, from their own sums."""
        ranks = self.place.per_node
        if ranks == 1:
            return Interconnect(latency=0.0, bandwidth=math.inf)
        latency = self.messages["8 bytes, MPI, a node"].best / (2 * math.ceil(math.log2(ranks)))
        long = self.messages["gradient, MPI, a node"].best
        moving = max(long - 2 * (ranks - 1) * latency, 0.1 * long)
        bandwidth = 2 * (ranks - 1) / ranks * self.gradient / moving
        return Interconnect(latency=latency, bandwidth=bandwidth, source="measured here, by MPI")

    def as_dict(self, between: Interconnect) -> dict[str, Any]:
        """Return all times, derived numbers and predictions as plain values."""
        costs = self.costs()
        return {
            "cosmodeep_hpc": __version__,
            **asdict(self),
            "weak_efficiency": self.weak_efficiency,
            "strong_efficiency": self.strong_efficiency,
            "network": asdict(between),
            "predicted": {
                kind: [
                    {**asdict(p), "step": p.step, "tiles_per_second": p.tiles_per_second}
                    for p in predictions
                ]
                for kind, predictions in predict(costs, between, self.batch).items()
            },
        }


def predict(
    costs: Costs, between: Interconnect, batch: int
) -> dict[str, list[costmodel.Prediction]]:
    """Predict steps on 1 to 4096 ranks, "weak" and, with a tile a rank or more, "strong"."""
    return {
        "weak": [costmodel.weak(costs, between, n, batch) for n in RANKS],
        "strong": [costmodel.strong(costs, between, n, batch) for n in RANKS if n <= batch],
    }


def table(found: StepTimings, between: Interconnect) -> str:
    """Return all times as text for a reader."""
    place = found.place
    each = "a GPU" if place.gpus else _count(place.cores, "core")
    return "\n".join(
        [
            f"{_count(place.ranks, 'rank')} on {_count(place.nodes, 'node')}, up to "
            f"{place.per_node} on a node, each with {each} ({place.device})",
            f"a step sums {found.gradient / 4:.0f} numbers over ranks, "
            f"{found.gradient / 1e6:.2f} MB",
            "",
            f"{'':42}{'median':>12}{'best':>12}",
            *_steps(found),
            *_messages(found),
            *_others(found),
            "",
            *_predicted(found, between),
        ]
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _line(what: str, timing: Timing, note: str = "") -> str:
    return f"{what:42}{_span(timing.median):>12}{_span(timing.best):>12}   {note}".rstrip()


def _span(seconds: float) -> str:
    """Return seconds as text in a unit that fits."""
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} us"


def _steps(found: StepTimings) -> list[str]:
    """Return the lines of the steps: alone, weak, strong."""
    lines = []
    for tiles, timing in found.alone.items():
        note = f"{tiles / timing.median:.0f} tiles/s"
        lines.append(_line(f"one rank alone, {_count(tiles, 'tile')}", timing, note))
    ranks = found.place.ranks
    kinds = (
        (f"each of {ranks} ranks {found.batch} tiles", found.weak, found.weak_efficiency, ranks),
        (f"{found.batch} tiles over {ranks} ranks", found.strong, found.strong_efficiency, 1),
    )
    for what, parts, efficiency, share in kinds:
        rate = share * found.batch / parts["step"].median
        note = f"{rate:.0f} tiles/s, efficiency {100 * efficiency:.0f} %"
        lines.append(_line(what, parts["step"], note))
        lines.append(_line("  computing, the slowest rank", parts["compute"]))
        lines.append(_line("  sum over ranks, waiting included", parts["allreduce"]))
    lines.append(f"{'computation among all, in ratio to alone':42}{found.crowding:>12.2f}")
    lines.append(f"{'its scatter':42}{100 * found.scatter:>10.1f} %")
    return lines


def _messages(found: StepTimings) -> list[str]:
    """Return the lines of the sums; there are none for one rank."""
    by = NAMES.get(found.sums, "")
    notes = {"gradient": f"step's sum alone, by {by}", "8 bytes": f"8 bytes, as a step, by {by}"}
    lines = []
    for name, timing in found.messages.items():
        note = f"{found.bus_bandwidth / 1e9:.2f} GB/s a rank" if name == "gradient" else ""
        lines.append(_line(notes.get(name, name), timing, note))
    other = {"horovod": "MPI", "mpi": "Horovod"}.get(found.sums, "")
    ranks, batch = found.place.ranks, found.batch
    kinds = {
        "weak": f"by {other}: each of {ranks} ranks {batch} tiles",
        "strong": f"by {other}: {batch} tiles over {ranks} ranks",
        "gradient": f"by {other}: step's sum alone",
    }
    return lines + [_line(kinds[name], timing) for name, timing in found.beside.items()]


def _others(found: StepTimings) -> list[str]:
    """Return the lines of the input and of the classification."""
    rate = found.place.ranks * found.inference / found.classify.median
    return [
        _line("drawing a rank's tiles from memory", found.input["tiles"]),
        _line("making its dropout masks", found.input["masks"]),
        _line(f"classifying {found.inference} tiles a rank", found.classify, f"{rate:.0f} tiles/s"),
    ]


def _predicted(found: StepTimings, between: Interconnect) -> list[str]:
    """Return the lines of the prediction."""
    predictions = predict(found.costs(), between, found.batch)
    strong = {p.ranks: p for p in predictions["strong"]}
    lines = [
        f"by the model, {found.place.per_node} ranks a node, between nodes "
        f"{between.latency * 1e6:.3g} us and {between.bandwidth / 1e9:.3g} GB/s",
        f"  ({between.source})",
        f"{'':14}{f'{found.batch} tiles a rank':^38}  {f'{found.batch} tiles in all':^38}",
        f"{'ranks':>6}{'nodes':>7} " + f"{'step':>10}{'sum':>9}{'effic.':>8}{'tiles/s':>11} " * 2,
    ]
    for p in predictions["weak"]:
        other = _cells(strong[p.ranks]) if p.ranks in strong else "   more ranks than tiles"
        lines.append(f"{p.ranks:>6}{p.nodes:>7} {_cells(p)} {other}")
    return [line.rstrip() for line in lines]


def _cells(p: costmodel.Prediction) -> str:
    sums, rate = f"{p.summing * 1e3:.2f} ms", f"{p.tiles_per_second:.0f}"
    return f"{p.step * 1e3:>7.2f} ms{sums:>9}{100 * p.efficiency:>6.0f} %{rate:>11}"
