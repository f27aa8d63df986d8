"""Training that is hit, by its time limit or the loss of a node, ends as if nothing had been."""

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from scripts import FOUR_RANKS, SCRIPTS, program, sbatch, slow, submit
from support.waiting import until

HERE = Path(__file__).parent
OPTIONS = {"train.batch": "16", "train.epochs": "3", "train.log_steps": "1"}
WORDS = ["--out", "run", *(w for name, value in OPTIONS.items() for w in (f"--{name}", value))]
HANGS = 900  # seconds; on two idle cores the longest takes 70, half of it waiting for Slurm


@pytest.fixture(scope="module")
def whole(cluster, tiles, tmp_path_factory):
    """The run folder of four ranks on two nodes that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    number, log = submit(cluster, folder, "train.sh", "--tiles", tiles, *WORDS)
    job = cluster.wait(number, log=log, timeout=400)
    assert job.state == "COMPLETED", job.log
    return folder / "run"


def weights(run):
    """Every array of a run's model."""
    found = {}
    with zipfile.ZipFile(run / "model.keras") as archive:
        file = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
        file.visititems(
            lambda name, node: (
                found.update({name: node[()]}) if isinstance(node, h5py.Dataset) else None
            )
        )
    assert len(found) >= 8  # kernel and bias of four layers
    return found


def losses(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if row["kind"] == "train"]


def same(run, other):
    """Whether two runs took the same steps, and ended in the same weights bit for bit."""
    ours, theirs = weights(run), weights(other)
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if not np.array_equal(ours[name], theirs[name])]
    return losses(run) == losses(other) and not different


def starts(log):
    """For each start of a job, the nodes of its ranks."""
    found = {}
    for node, number in re.findall(r"^(node\d) start (\d)$", log, flags=re.MULTILINE):
        found.setdefault(int(number), []).append(node)
    return [sorted(found[number]) for number in sorted(found)]


def minutes(cluster, job):
    """For how long a job has run."""
    return int(cluster.call("squeue", "-h", "-j", job, "-o", "%M").split(":")[-2])  # M:SS


@pytest.mark.timeout(HANGS)
def test_a_time_limit_is_survived_bit_for_bit(cluster, whole, tiles, tmp_path):
    options = (*FOUR_RANKS, "--time=01:00:00", "--signal=USR1@300")
    words = ("train.sh", "--tiles", tiles, *WORDS)
    job, log = submit(cluster, tmp_path, *words, options=options, **slow(tmp_path, 4))
    until((tmp_path / "run/metrics.jsonl").exists)
    # The time is nearly over: Slurm looks every 30 s, and warns. However busy this machine is,
    # there is time to save.
    cluster.call("scontrol", "update", f"jobid={job}", f"TimeLimit={minutes(cluster, job) + 4}")
    until(lambda: "put back into the queue" in log.read_text())
    cluster.call("scontrol", "update", f"jobid={job}", "TimeLimit=60")
    (saved,) = (tmp_path / "run/checkpoints").glob("step-*.h5")  # none was due: this is USR1's
    cluster.release(job)
    ended = cluster.wait(job, log=log, timeout=400)
    assert (ended.state, ended.restarts) == ("COMPLETED", 1), ended.log
    assert len(starts(ended.log)) == 2 and ended.log.count("goes on after step") == 1
    assert 0 < int(saved.stem.removeprefix("step-")) < len(losses(whole))
    assert same(tmp_path / "run", whole)


@pytest.mark.timeout(HANGS)
def test_the_loss_of_a_node_is_survived_bit_for_bit(cluster, whole, tiles, tmp_path):
    words = ("train.sh", "--tiles", tiles, *WORDS, "--train.checkpoint_steps", "3")
    disk = {"STAGE_IN": "$DISK", "DISK": str(cluster.folder / "private")}
    job, log = submit(cluster, tmp_path, *words, **disk, **slow(tmp_path, 4))
    until(lambda: any((tmp_path / "run/checkpoints").glob("step-*.h5")))
    (nodes,) = starts(log.read_text())
    lost = int(nodes[-1].removeprefix("node"))
    cluster.kill_node(lost)
    cluster.mark_down(lost)
    try:
        cluster.release(job)
        ended = cluster.wait(job, log=log, timeout=400)
    finally:
        cluster.repair_node(lost)
    assert (ended.state, ended.restarts) == ("COMPLETED", 1), ended.log
    _, others = starts(ended.log)
    assert len(others) == 4 and f"node{lost}" not in others
    assert ended.log.count("goes on after step") == 1
    assert same(tmp_path / "run", whole)


def test_a_warning_is_not_lost_while_ranks_start(cluster, tmp_path):
    """The signal comes to each rank's shell, long before training listens."""
    words = f"""kill -USR1 $$; exec {sys.executable} -c '
from cosmodeep_hpc.parallel.signals import StopRequest
from cosmodeep_hpc.parallel.world import open_world
import os, signal
world = open_world()
with StopRequest() as stop:
    print("heard", world.any(stop.given), flush=True)
os.kill(os.getpid(), signal.SIGUSR1)  # late: the run is over
print("alive", flush=True)'"""
    stage = {"COSMODEEP_PYTHON": str(program(tmp_path / "stage", words))}
    options = ("--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=1")
    job = sbatch(cluster, tmp_path, "train.sh", options=options, **stage)
    assert job.state == "COMPLETED", job.log
    assert job.log.count("heard True") == job.log.count("alive") == 2


def test_each_rank_has_a_gpu_of_its_own(cluster, tmp_path):
    words = f"exec {sys.executable} {HERE / 'gpus.py'}"
    stage = {"COSMODEEP_PYTHON": str(program(tmp_path / "stage", words))}
    options = (*FOUR_RANKS, "--gpus-per-node=2")
    job = sbatch(cluster, tmp_path, "train.sh", options=options, **stage)
    assert job.state == "COMPLETED", job.log
    one, other = sorted({line.split()[0] for line in job.log.splitlines()})
    assert sorted(job.log.splitlines()) == [
        f"{node} GPU {gpu}" for node in (one, other) for gpu in "01"
    ]


def srun_says(text, status, tmp_path):
    """The end of train.sh on two made-up nodes, of which srun says this after a failure."""
    program(
        tmp_path / "srun",
        f"""case "$*" in
        *--mpi=list*) echo pmix ;;
        *cosmodeep_hpc*) exit {status} ;;
        *) echo "{text}" >&2; [ -z "{text}" ] ;;
        esac""",
    )
    program(tmp_path / "scontrol", f'[ "$1" != requeue ] || touch "{tmp_path}/requeued"')
    job = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_NODELIST": "node[3-4]"}
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_TASKS_PER_NODE": "1(x2)"}
    done = subprocess.run(
        ["bash", str(SCRIPTS / "train.sh"), "--tiles", "tiles"],
        env={**os.environ, **job, **path, "COSMODEEP_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == status
    return done.stderr


GONE = (
    "srun: error: Task launch for StepId=7.1 failed on node node4: Communication connection failure"
)


@pytest.mark.parametrize(
    "text, status, requeued",
    [
        (GONE, 1, True),  # the ranks saw it before Slurm did
        (GONE, 137, True),
        (GONE, 2, False),  # bad input: no use in trying again
        ("", 1, False),  # all nodes answer: a fault of the program
        ("srun: error: Unable to create step: Requested nodes are busy", 1, False),
    ],
)
def test_a_failure_with_a_lost_node_is_requeued(tmp_path, text, status, requeued):
    said = srun_says(text, status, tmp_path)
    assert (tmp_path / "requeued").exists() == requeued
    assert ("a node of node[3-4] does not answer" in said) == requeued
