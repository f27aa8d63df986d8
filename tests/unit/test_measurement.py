"""`cosmodeep bench`: what it derives from timings, and that it runs, and refuses, on one rank."""

import json
import math
import statistics
from dataclasses import replace

import numpy as np
import pytest

from cosmodeep_hpc.bench import costmodel, measurement, timings
from cosmodeep_hpc.bench.costmodel import Interconnect, agree, ring
from cosmodeep_hpc.bench.timings import Hardware, StepTimings, Timing
from cosmodeep_hpc.cli.main import main
from cosmodeep_hpc.learn import network

SMALL = ["--steps", "2", "--train.batch", "6", "--classify.batch", "8", "--tiles.size", "9"]
MEMORY = Interconnect(latency=4e-7, bandwidth=5e9)
WIRE = Interconnect(latency=1e-6, bandwidth=1e10, source="a test")


def exactly(seconds):
    return Timing(median=seconds, best=seconds, times=5)


def on(ranks, per_node):
    """A job whose timings follow the model without any noise, with 2 ms of Horovod."""
    size = 4 * 10**6
    within = ring(size, per_node, MEMORY)
    return StepTimings(
        place=Hardware(
            ranks=ranks,
            nodes=math.ceil(ranks / per_node),
            per_node=per_node,
            cores=3,
            gpus=0,
            device="abacus",
        ),
        batch=120,
        gradient=size,
        inference=500,
        alone={1: exactly(0.004), 60: exactly(0.05), 120: exactly(0.1)},
        weak={"step": exactly(0.125), "compute": exactly(0.11), "allreduce": exactly(0.015)},
        strong={"step": exactly(0.08), "compute": exactly(0.06), "allreduce": exactly(0.02)},
        crowding=1.1,
        scatter=0.05,
        sums="horovod",
        beside={},
        messages={
            "gradient": exactly(within + 0.002),
            "8 bytes": exactly(0.001),
            "gradient, MPI": exactly(within),
            "8 bytes, MPI": exactly(agree(ranks, per_node, WIRE, MEMORY)),
            "gradient, MPI, a node": exactly(within),
            "8 bytes, MPI, a node": exactly(agree(per_node, per_node, WIRE, MEMORY)),
            "barrier, MPI": exactly(1e-6),
        },
        input={"tiles": exactly(1e-5), "masks": exactly(1e-4)},
        classify=exactly(0.25),
    )


@pytest.mark.parametrize("ranks", [2, 4, 6])
def test_the_model_finds_what_made_the_timings(ranks):
    costs = on(ranks, ranks).costs()
    assert costs.local.latency == pytest.approx(MEMORY.latency, rel=1e-9)
    assert costs.local.bandwidth == pytest.approx(MEMORY.bandwidth, rel=1e-9)
    assert costs.software == pytest.approx(0.002, rel=1e-9)
    assert (costs.crowding, costs.scatter, costs.per_node) == (1.1, 0.05, ranks)
    assert [costs.seconds(n) for n in (1, 60, 120, 240)] == [0.004, 0.05, 0.1, 0.2]


def test_a_busy_machine_does_not_make_the_network_slower():
    """Messages of MPI that mostly waited for a core; Horovod's sum stays what it was."""
    quiet = on(2, 2)
    ours = {n: t if "MPI" not in n else replace(t, median=1.0) for n, t in quiet.messages.items()}
    assert replace(quiet, messages=ours).costs() == quiet.costs()


def test_a_rank_a_node_sends_nothing_in_memory():
    alone = replace(on(1, 1), messages={})
    assert ring(1e9, 1, alone.costs().local) == 0


@pytest.mark.parametrize("gpus, software", [(0, 0.0), (1, 0.0005)])
def test_one_rank_on_a_gpu_counts_how_often_horovod_looks(gpus, software, monkeypatch):
    """There is nothing to measure it by. On cores MPI sums, and a rank waits for nothing."""
    monkeypatch.setenv("HOROVOD_CYCLE_TIME", "0.5")
    one = on(1, 1)
    alone = replace(one, messages={}, place=replace(one.place, gpus=gpus))
    assert alone.costs().software == software


def test_efficiencies():
    """Weak: 0.1 s alone, 0.125 s together. Strong: a fourth of 0.1 s would be ideal."""
    found = on(4, 4)
    assert found.weak_efficiency == pytest.approx(0.8)
    assert found.strong_efficiency == pytest.approx(0.1 / 0.08 / 4)
    # three quarters of the gradient leave a rank twice
    assert found.bus_bandwidth * found.messages["gradient"].median == pytest.approx(6e6)


def test_a_timing_is_of_all_its_times():
    seconds = [0.3, 0.1, 0.2, 5.0]
    found = Timing.of(seconds)
    assert (found.median, found.best, found.times) == (statistics.median(seconds), 0.1, 4)


def test_one_hiccup_is_no_scatter():
    """1.4826 median deviations are a standard deviation, of a normal distribution."""
    normal = np.array(
        [statistics.NormalDist(10.0, 0.3).inv_cdf((k + 0.5) / 1000) for k in range(1000)]
    )
    assert measurement._scatter(normal) == pytest.approx(0.03, rel=0.01)
    assert measurement._scatter(np.array([*normal[:-1], 1e6])) == pytest.approx(0.03, rel=0.01)


def test_the_table():
    text = timings.table(on(4, 2), WIRE)
    lines = {line.split("  ")[0].strip(): line for line in text.splitlines()}
    assert "4 ranks on 2 nodes, up to 2 on a node, each with 3 cores (abacus)" in text
    assert "a step sums 1000000 numbers over ranks, 4.00 MB" in text
    assert "3840 tiles/s, efficiency 80 %" in lines["each of 4 ranks 120 tiles"]
    assert "1500 tiles/s, efficiency 31 %" in lines["120 tiles over 4 ranks"]
    assert "8000 tiles/s" in lines["classifying 500 tiles a rank"]
    assert "between nodes 1 us and 10 GB/s" in text and "(a test)" in text
    rows = [line.split() for line in text.splitlines() if line.split()[:1] > ["0"]]
    rows = {int(row[0]): row for row in rows if row[0].isdigit() and row[1].isdigit()}
    assert list(rows) == list(timings.RANKS) == [2**k for k in range(13)]
    assert rows[64][1] == "32"  # two ranks a node
    expected = costmodel.weak(on(4, 2).costs(), WIRE, 64, 120)
    assert rows[64][2] == f"{expected.step * 1e3:.2f}"
    assert "more ranks than tiles" in " ".join(rows[128]) and "than" not in rows[64]


def test_it_runs_on_one_rank(tmp_path, capsys):
    path = tmp_path / "new" / "bench.json"
    assert main(["bench", "--out", str(path), "--latency", "3", *SMALL]) == 0
    said = capsys.readouterr().out
    assert "1 rank on 1 node" in said and "between nodes 3 us and 24 GB/s" in said
    found = json.loads(path.read_text())
    assert found["gradient"] == 4 * (677_250 + 2)  # the network of the paper, loss, correct tiles
    assert found["place"]["ranks"] == found["place"]["per_node"] == 1
    assert found["alone"].keys() == {"1", "2", "6"}
    assert all(found["alone"][n]["best"] > 0 and found["alone"][n]["times"] == 2 for n in "126")
    assert found["messages"] == {}
    assert 0 < found["input"]["tiles"]["best"] <= found["input"]["tiles"]["median"]
    assert [p["ranks"] for p in found["predicted"]["strong"]] == [1, 2, 4]
    assert [p["tiles"] for p in found["predicted"]["weak"]][:3] == [6, 12, 24]


def test_the_other_head_has_another_gradient(tmp_path):
    path = tmp_path / "bench.json"
    words = ["--model.head", "flatten", "--steps", "2", "--train.batch", "4"]
    assert main(["bench", "--out", str(path), *words, "--classify.batch", "8"]) == 0
    # 10 x 10 pixels of 64 maps, 1024 units, two outputs; by hand
    convolutions = 9 * 32 + 32 + 9 * 32 * 64 + 64
    dense = (6400 + 1) * network.HIDDEN_UNITS + (network.HIDDEN_UNITS + 1) * 2
    assert json.loads(path.read_text())["gradient"] == 4 * (convolutions + dense + 2)


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--out", "{folder}"], "{folder}: a folder; expected the name of a file to write"),
        (["--out", "{folder}/file/bench.json"], "{folder}/file: "),
        (["--latency", "-1"], "--latency -1: expected a positive number"),
        (["--steps", "1"], "argument --steps: 1: expected at least 2"),
        (["--network", "token-ring"], "argument --network: invalid choice: 'token-ring'"),
    ],
)
def test_it_refuses_before_it_measures(words, expected, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(measurement.runtime, "start_tensorflow", None)  # not callable
    (tmp_path / "file").touch()
    words = [word.format(folder=tmp_path) for word in words]
    assert main(["bench", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"cosmodeep: {expected.format(folder=tmp_path)}")
