"""`cosmodeep bench` on several ranks: what it finds, and that it ends on all when one fails."""

import json

from support.launch import mpirun, told

SMALL = ["--steps", 2, "--train.batch", 5, "--classify.batch", 8, "--tiles.size", 9]


def test_two_ranks(tmp_path):
    path = tmp_path / "bench.json"
    job = mpirun(2, "bench", "--out", path, *SMALL, "--network", "aries", timeout=300)
    assert job.returncode == 0, job.stdout
    assert "2 ranks on 1 node, up to 2 on a node" in job.stdout
    assert job.stdout.count("by the model, 2 ranks a node, between nodes 1.3 us") == 1
    found = json.loads(path.read_text())
    assert (found["place"]["ranks"], found["place"]["nodes"]) == (2, 1)
    assert found["alone"].keys() == {"1", "2", "3", "5"}  # 3: the larger part of 5
    assert found["gradient"] == 4 * (677_250 + 2)
    sums = {"gradient", "8 bytes", "gradient, MPI", "8 bytes, MPI", "barrier, MPI"}
    assert found["messages"].keys() == sums | {"gradient, MPI, a node", "8 bytes, MPI, a node"}
    assert found["sums"] == "mpi" and found["beside"].keys() == {"weak", "strong", "gradient"}
    assert "step's sum alone, by MPI" in job.stdout
    assert "by Horovod: each of 2 ranks 5 tiles" in job.stdout
    for kind in ("weak", "strong"):
        parts = {name: timing["best"] for name, timing in found[kind].items()}
        assert parts.keys() == {"step", "compute", "allreduce"}
        assert 0 < parts["allreduce"] < parts["step"] and 0 < parts["compute"] < parts["step"]
    assert [p["nodes"] for p in found["predicted"]["weak"]] == [1, 1, *(2**k for k in range(1, 12))]


def test_a_rank_without_a_tile_is_refused_once():
    job = mpirun(2, "bench", "--train.batch", 1, timeout=60)
    assert job.returncode == 2, job.stdout
    (line,) = told(job)
    assert "train.batch = 1: expected at least one tile for each of the 2 ranks" in line


FAILING = """
import sys
from cosmodeep_hpc.cli import main as cli
from cosmodeep_hpc.bench import measurement

def broken(trial, count):
    raise RuntimeError("a broken core")

nothing = lambda *words: None
measurement.runtime.start_tensorflow = measurement._place = measurement._StepTrial = nothing
measurement._steps = broken
sys.exit(cli.main(["bench", "--steps", "2", "--train.batch", "4"]))
"""


def test_the_rank_that_is_timed_alone_fails():
    """The others wait for it, and would for ever."""
    job = mpirun(2, "-c", FAILING, timeout=60)
    assert job.returncode == 1, job.stdout
    assert "cosmodeep: rank 0: fault: RuntimeError: a broken core" in job.stdout


WAITING = """
import time
from cosmodeep_hpc.bench import measurement
from cosmodeep_hpc.parallel.world import open_world

asleep, sleep = 0.0, time.sleep

def counted(seconds):
    global asleep
    before = time.monotonic()
    sleep(seconds)
    asleep += time.monotonic() - before

world = open_world()
world.comm.Barrier()
start = time.monotonic()
if world.is_root:
    sleep(2)
measurement.time.sleep = counted
measurement._wait(world)
waited = time.monotonic() - start
if not world.is_root:
    print(f"waited {waited > 1.9} asleep {asleep > 0.7 * waited}", flush=True)
"""


def test_who_waits_leaves_the_core_alone():
    job = mpirun(2, "-c", WAITING, timeout=60)
    assert job.returncode == 0, job.stdout
    assert "waited True asleep True" in job.stdout
