"""The cost of a step on N ranks, in cases that can be worked out by hand."""

import math

import pytest

from cosmodeep_hpc.bench.costmodel import (
    NETWORKS,
    Costs,
    Interconnect,
    agree,
    allreduce,
    chosen,
    expected_largest,
    ring,
    strong,
    tree,
    weak,
)
from cosmodeep_hpc.errors import InputError

WIRE = Interconnect(latency=1e-6, bandwidth=1e9)
MEMORY = Interconnect(latency=1e-7, bandwidth=1e10)
FREE = Interconnect(latency=0.0, bandwidth=math.inf)


@pytest.mark.parametrize(
    "ranks, by_ring, by_tree",
    [
        (1, 0.0, 0.0),  # nobody to tell
        (2, 2e-6 + 1e-3, 2e-6 + 2e-3),  # a ring of two swaps halves, twice
        (4, 6e-6 + 1.5e-3, 4e-6 + 2e-3),
        (5, 8e-6 + 1.6e-3, 6e-6 + 2e-3),  # a tree of five is as deep as one of eight
        (1000, 1998e-6 + 1.998e-3, 20e-6 + 2e-3),
    ],
)
def test_a_megabyte(ranks, by_ring, by_tree):
    assert ring(1e6, ranks, WIRE) == pytest.approx(by_ring, rel=1e-12)
    assert tree(1e6, ranks, WIRE) == pytest.approx(by_tree, rel=1e-12)


def test_a_ring_is_for_long_messages_and_a_tree_for_many_ranks():
    """In between, whatever is less: rings up to 2 S / N a part = their further messages."""
    for ranks in (2, 16, 64, 1024):
        either = min(ring(1e6, ranks, WIRE), tree(1e6, ranks, WIRE))
        assert allreduce(1e6, ranks, 1, WIRE, MEMORY) == either
    assert ring(1e6, 16, WIRE) < tree(1e6, 16, WIRE)
    assert tree(1e6, 64, WIRE) < ring(1e6, 64, WIRE)


@pytest.mark.parametrize(
    "ranks, nodes, within",
    [(1, 1, 1), (2, 1, 2), (4, 1, 4), (8, 2, 4), (10, 3, 4)],
)
def test_ranks_of_a_node_share_its_link(ranks, nodes, within):
    """Four ranks a node: their sum in memory, then one message a node over the network."""
    expected = ring(1e6, within, MEMORY) + min(ring(1e6, nodes, WIRE), tree(1e6, nodes, WIRE))
    assert allreduce(1e6, ranks, 4, WIRE, MEMORY) == pytest.approx(expected, rel=1e-12)


def test_agreeing_is_latency_alone():
    """2 log2 of 8 ranks in memory, and of 4 nodes over the network."""
    assert agree(32, 8, WIRE, MEMORY) == pytest.approx(6 * 1e-7 + 4 * 1e-6, rel=1e-12)


@pytest.mark.parametrize(
    "ranks, expected",
    # the exact means of normal order statistics: Harter (1961), table 1
    [(1, 0.0), (2, 0.56419), (3, 0.84628), (10, 1.53875), (100, 2.50759), (400, 2.96818)],
)
def test_the_slowest_of_many(ranks, expected):
    assert expected_largest(ranks) == pytest.approx(expected, rel=0.05, abs=1e-12)


COSTS = Costs(compute={1: 0.002, 10: 0.010, 100: 0.100}, gradient=0)


@pytest.mark.parametrize(
    "tiles, seconds",
    [(1, 0.002), (10, 0.010), (55, 0.055), (100, 0.1), (400, 0.4), (0.5, 0.002)],
)
def test_computing_between_what_was_measured(tiles, seconds):
    assert COSTS.seconds(tiles) == pytest.approx(seconds, rel=1e-12)


def test_without_a_gradient_weak_scaling_is_perfect():
    for ranks in (1, 2, 3, 4096):
        found = weak(COSTS, FREE, ranks, 100)
        assert found.efficiency == pytest.approx(1.0)
        assert found.tiles == 100 * ranks
        assert found.tiles_per_second == pytest.approx(1000 * ranks)


def test_strong_scaling_ends_with_the_batch():
    """With all else free: parts that do not divide, and tiles that do not get cheaper."""
    assert strong(COSTS, FREE, 10, 100).efficiency == pytest.approx(1.0)
    assert strong(COSTS, FREE, 8, 100).step == pytest.approx(0.010 + 3 / 90 * 0.090)  # 13 tiles
    last = strong(COSTS, FREE, 100, 100)
    assert (last.step, last.efficiency) == (pytest.approx(0.002), pytest.approx(0.5))
    with pytest.raises(ValueError, match="101 ranks: expected at most one for each of 100 tiles"):
        strong(COSTS, FREE, 101, 100)


def test_a_step_is_the_sum_of_its_parts():
    costs = Costs(
        compute={100: 0.1}, gradient=10**6, scatter=0.02, software=1e-3, per_node=2, local=MEMORY
    )
    found = weak(costs, WIRE, 4, 100)
    assert found.nodes == 2
    assert found.compute == 0.1
    assert found.straggling == pytest.approx(0.1 * 0.02 * 1.0294, rel=0.05)  # Harter, of four
    summing = 1e-3 + (2e-7 + 2e-6) + (2e-7 + 1e-4) + (2e-6 + 1e-3)
    assert found.summing == pytest.approx(summing, rel=1e-12)
    assert found.step == pytest.approx(0.1 + found.straggling + summing)
    assert found.efficiency == pytest.approx(0.1 / found.step)
    alone = weak(costs, WIRE, 1, 100)
    assert (alone.step, alone.efficiency, alone.summing) == (0.1, 1.0, 0.0)  # nobody to wait for


@pytest.mark.parametrize("ranks, slowed", [(1, 1.0), (2, 1.1), (3, 1.2), (4, 1.3), (64, 1.3)])
def test_a_node_full_of_ranks_is_slower(ranks, slowed):
    """Four ranks a node are slowed down by 0.3 when all are there, each further one by 0.1."""
    costs = Costs(compute={100: 0.1}, gradient=0, crowding=1.3, per_node=4)
    found = weak(costs, FREE, ranks, 100)
    assert found.step == pytest.approx(0.1 * slowed)
    assert found.efficiency == pytest.approx(1 / slowed)


def test_a_network_of_the_users_own():
    assert chosen("aries", None, None) == NETWORKS["aries"]
    assert chosen("hdr", 2.0, 12.5) == Interconnect(
        latency=2e-6, bandwidth=12.5e9, source="as given"
    )
    mixed = chosen("hdr", 2.0, None)
    assert (mixed.latency, mixed.bandwidth) == (2e-6, NETWORKS["hdr"].bandwidth)
    assert mixed.source.startswith("as given; else HDR InfiniBand")
    for bad in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(InputError, match="--bandwidth .*: expected a positive number"):
            chosen("hdr", None, bad)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_its_source(name):
    network = NETWORKS[name]
    assert 1e-7 < network.latency < 1e-4 and 1e9 < network.bandwidth < 1e12
    assert len(network.source) > 20
