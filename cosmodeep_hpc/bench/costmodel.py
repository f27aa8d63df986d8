"""The cost of a training step on N ranks: a small model from measurements on a few ranks.

A step is the slowest rank's computation, then one sum over ranks:

    step(N) = compute(b) c (1 + s E(N)) + software + agree(N) + sum(S, N)

b is the number of tiles a rank, c the factor by which a node full of ranks slows each of them down,
s the relative scatter of a rank's computing time, E(N) the expected largest of N draws of a
standard normal distribution, and S the bytes of the gradient. Ranks of a node first sum among
themselves, and then one sum goes over the network for all of them. Nothing overlaps: the gradient
is summed in one piece when it is complete.

Source: Hockney (1994), a message of S bytes takes latency + S / bandwidth; Patarasuk & Yuan (2009),
the ring; Sanders, Speck & Traff (2009), two trees at full bandwidth (NCCL's double binary tree).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.parallel.world import collective


@dataclass(frozen=True, kw_only=True)
class Interconnect:
    """A network between nodes, or between the ranks of one.

    Attributes:
        latency: of a short message [s].
        bandwidth: of a long one, in one direction [B/s].
        source: of these figures.
    """

    latency: float
    bandwidth: float
    source: str = ""


NETWORKS = {
    "hdr": Interconnect(
        latency=1.2e-6,
        bandwidth=24e9,
        source="HDR InfiniBand (1.2 us, 192 Gbit/s: performance of Azure's HBv3 nodes, Microsoft)",
    ),
    "aries": Interconnect(
        latency=1.3e-6,
        bandwidth=9.6e9,
        source="Cray Aries (1.3 us, 9607 MB/s: CSCS' own checks of Piz Daint's GPU nodes, in "
        "ReFrame, cscs-checks/microbenchmarks/mpi/osu/osu_tests.py)",
    ),
}


def chosen(name: str, latency: float | None, bandwidth: float | None) -> Interconnect:
    """Return a known network, with other figures where they are given.

    Args:
        latency: in microseconds.
        bandwidth: in GB/s.

    Raises:
        InputError: one of them is not positive.
    """
    given = {"latency": (latency, 1e-6), "bandwidth": (bandwidth, 1e9)}
    changes = {}
    for what, (value, unit) in given.items():
        if value is not None:
            if not 0 < value < math.inf:
                raise collective(InputError(f"--{what} {value:g}: expected a positive number"))
            changes[what] = value * unit
    if not changes:
        return NETWORKS[name]
    source = f"as given; else {NETWORKS[name].source}" if len(changes) < 2 else "as given"
    return replace(NETWORKS[name], **changes, source=source)


def ring(size: float, ranks: int, network: Interconnect) -> float:
    """Return the seconds of a ring's sum of `size` bytes: least traffic, 2 (N - 1) messages."""
    steps = 2 * (ranks - 1)
    return steps * network.latency + steps / ranks * size / network.bandwidth


def tree(size: float, ranks: int, network: Interconnect) -> float:
    """Return the seconds of a pipelined sum up and down two trees: 2 log2 N messages in a row."""
    if ranks == 1:
        return 0.0
    return 2 * math.ceil(math.log2(ranks)) * network.latency + 2 * size / network.bandwidth


def allreduce(
    size: float, ranks: int, per_node: int, network: Interconnect, local: Interconnect
) -> float:
    """Return the seconds of a sum of `size` bytes over ranks, `per_node` of them on a node.

    The ranks of a node sum first, by a ring in its memory, then one rank of each node by a ring or
    by trees, whichever is faster, as libraries do.
    """
    within = min(per_node, ranks)
    nodes = math.ceil(ranks / per_node)
    between = min(ring(size, nodes, network), tree(size, nodes, network))
    return ring(size, within, local) + between


def agree(ranks: int, per_node: int, network: Interconnect, local: Interconnect) -> float:
    """Return the seconds until all ranks know that all are ready: a sum of no bytes, by a tree."""
    nodes = math.ceil(ranks / per_node)
    return tree(0, min(per_node, ranks), local) + tree(0, nodes, network)


def expected_largest(ranks: int) -> float:
    """Return the expected largest of N draws of a standard normal distribution, within 5 %.

    Source: Blom (1958), the approximation of normal order statistics.
    """
    return NormalDist().inv_cdf((ranks - 0.375) / (ranks + 0.25))


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Measurements on an allocation; the model adds the network.

    Attributes:
        compute: seconds of a rank's computation by the tiles of its part of the batch.
        crowding: that time if all ranks of the node compute, in ratio to alone on the node.
        scatter: standard deviation of that time from step to step, relative to it.
        gradient: bytes that are summed over ranks in a step.
        software: seconds of a sum of a few bytes, without the network: Horovod's cycle.
        per_node: ranks of a node.
        local: messages between the ranks of a node.
    """

    compute: Mapping[int, float]
    gradient: int
    crowding: float = 1.0
    scatter: float = 0.0
    software: float = 0.0
    per_node: int = 1
    local: Interconnect = Interconnect(latency=0.0, bandwidth=math.inf)

    def seconds(self, tiles: float) -> float:
        """Return the seconds of a rank's computation of so many tiles.

        They are linear between two measured numbers of tiles, proportional above the largest, and
        constant below the smallest.
        """
        measured = sorted(self.compute)
        if tiles > measured[-1]:
            return self.compute[measured[-1]] * tiles / measured[-1]
        return float(np.interp(tiles, measured, [self.compute[n] for n in measured]))


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A step on N ranks.

    Attributes:
        ranks, nodes: that take part.
        tiles: of the global batch.
        compute, straggling, summing: seconds of the parts of a step.
        efficiency: tiles a second a rank, in ratio to one rank alone with the batch it has then.
    """

    ranks: int
    nodes: int
    tiles: int
    compute: float
    straggling: float
    summing: float
    efficiency: float

    @property
    def step(self) -> float:
        """Seconds of a step."""
        return self.compute + self.straggling + self.summing

    @property
    def tiles_per_second(self) -> float:
        """Tiles a second of all ranks."""
        return self.tiles / self.step


def weak(costs: Costs, network: Interconnect, ranks: int, tiles: int) -> Prediction:
    """Predict a step with `tiles` tiles on each rank: the global batch grows with the ranks."""
    return _predict(costs, network, ranks, ranks * tiles, alone=tiles)


def strong(costs: Costs, network: Interconnect, ranks: int, tiles: int) -> Prediction:
    """Predict a step with `tiles` tiles over all ranks; the largest part of a batch decides.

    Raises:
        ValueError: there are more ranks than tiles.
    """
    if ranks > tiles:
        raise ValueError(f"{ranks} ranks: expected at most one for each of {tiles} tiles")
    return _predict(costs, network, ranks, tiles, alone=tiles)


def _predict(
    costs: Costs, network: Interconnect, ranks: int, tiles: int, *, alone: int
) -> Prediction:
    per_node, local = costs.per_node, costs.local
    crowded = (min(ranks, per_node) - 1) / max(per_node - 1, 1)
    slowed = 1 + (costs.crowding - 1) * crowded
    compute = costs.seconds(math.ceil(tiles / ranks)) * slowed
    straggling = compute * costs.scatter * expected_largest(ranks)
    summing = 0.0
    if ranks > 1:
        summing = costs.software + agree(ranks, per_node, network, local)
        summing += allreduce(costs.gradient, ranks, per_node, network, local)
    rate = tiles / (compute + straggling + summing) / ranks
    return Prediction(
        ranks=ranks,
        nodes=math.ceil(ranks / per_node),
        tiles=tiles,
        compute=compute,
        straggling=straggling,
        summing=summing,
        efficiency=rate / (alone / costs.seconds(alone)),
    )
