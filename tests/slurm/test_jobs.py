"""What jobs do that are warned, requeued, cancelled, or submitted by another job."""

import os
import subprocess
import sys
import time

import pytest
from scripts import ENDS, ONE_RANK, PROJECT, SCRIPTS, program, sbatch, submit
from support.waiting import until

from cosmodeep_hpc.parallel.signals import IDLE, STOPPED

# a stage that works until it is told to end
WORKS = f"""
import sys, time
from pathlib import Path
from cosmodeep_hpc.parallel.signals import StopRequest

with StopRequest() as stop:
    Path("begun").touch()
    while not stop.given:
        time.sleep(0.05)
print("saved", flush=True)
sys.exit({STOPPED})
"""


def works(folder):
    (folder / "works.py").write_text(WORKS)
    return {"COSMODEEP_PYTHON": str(program(folder / "stage", f"exec {sys.executable} works.py"))}


def state_of(cluster, job):
    return cluster.call("squeue", "-h", "-r", "-o", "%i %T", "-j", job).split()


@pytest.mark.parametrize(
    "words, again",
    [
        (("--signal=USR1",), True),  # to the ranks, as --signal=USR1@120
        (("--batch", "--signal=USR1"), True),  # to the script alone, as --signal=B:USR1@120
        (("--signal=TERM",), True),  # as where a job makes room for another one
        (("--batch", "--signal=TERM"), True),
        ((), False),  # cancelled: it saves, too, and stays away
    ],
    ids=["USR1", "B:USR1", "TERM", "B:TERM", "scancel"],
)
def test_a_job_that_is_told_to_end_saves(cluster, tmp_path, words, again):
    job, log = submit(cluster, tmp_path, "train.sh", options=ONE_RANK, **works(tmp_path))
    until(lambda: (tmp_path / "begun").exists(), 30)
    cluster.call("scancel", *words, job)
    until(lambda: "saved" in log.read_text(), 20)
    if again:
        until(lambda: state_of(cluster, job) == [job, "PENDING"], 20)
        cluster.call("scancel", job)
        assert "all is saved: the job is put back into the queue" in log.read_text()
    else:
        ended = cluster.wait(job, log=log, timeout=30)
        assert (ended.state, ended.restarts) == ("CANCELLED", 0)
        assert "is put back" not in ended.log


def test_a_task_of_an_array_goes_back_alone(cluster, tmp_path):
    """The last task has the number of the whole array, which Slurm takes for all of them."""
    last = '[ "$SLURM_JOB_ID" != "$SLURM_ARRAY_JOB_ID" ] || exit 75'
    stage = program(tmp_path / "stage", f"{last}; until [ -e end ]; do sleep .1; done")
    options = ("--array=0-2", *ONE_RANK)
    job, log = submit(cluster, tmp_path, "tune.sh", options=options, COSMODEEP_PYTHON=str(stage))
    until(lambda: log.exists() and "is put back into the queue" in log.read_text(), 30)
    states = ["PENDING", "RUNNING", "RUNNING"]
    until(lambda: sorted(state_of(cluster, job)[1::2]) == states, 20)
    (tmp_path / "end").touch()
    until(lambda: len(state_of(cluster, job)) == 2, 20)
    cluster.call("scancel", job)
    assert log.read_text().count("is put back into the queue") == 1


def test_a_job_that_has_no_time_to_work_is_put_back_twice(cluster, tmp_path):
    stage = program(tmp_path / "stage", f"exit {IDLE}")
    job, log = submit(
        cluster, tmp_path, "classify.sh", options=ONE_RANK, COSMODEEP_PYTHON=str(stage)
    )
    cluster.release(job)
    until(lambda: log.read_text().count("put back into the queue") == 2, 30)
    cluster.release(job)
    ended = cluster.wait(job, log=log, timeout=60)
    assert (ended.status, ended.restarts) == (IDLE, 2), ended.log
    last = ended.log.splitlines()[-1]
    assert "before anything was done, 3 times in a row: the job is not put back" in last
    assert "raise the one or lower the other" in last
    assert not list(tmp_path.glob(".idle*"))


def test_a_job_that_must_not_be_requeued_is_not(cluster, tmp_path):
    stage = program(tmp_path / "stage", f"exit {STOPPED}")
    options = ("--no-requeue", *ONE_RANK)
    job = sbatch(cluster, tmp_path, "train.sh", options=options, COSMODEEP_PYTHON=str(stage))
    assert (job.status, job.restarts) == (STOPPED, 0)
    assert "this job cannot be put back into the queue: submit the same line again" in job.log


def test_a_job_believes_nothing_of_the_job_that_submitted_it(cluster, tmp_path):
    """sbatch hands the environment on, and Slurm sets these only in jobs that have them."""
    names = ("SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT", "SLURM_GPUS", "SLURM_MEM_PER_CPU")
    stage = program(
        tmp_path / "stage", f'echo "it has: $(env | grep -cE "{"|".join(names)}")"; echo "$@"'
    )
    other = dict.fromkeys(names, "3") | {"SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_COUNT": "10"}
    other |= {"SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_STEP": "1"}
    job = sbatch(
        cluster, tmp_path, "mock.sh", "--images", "20", options=ONE_RANK,
        COSMODEEP_PYTHON=str(stage), **other,
    )  # fmt: skip
    assert job.log.splitlines() == ["it has: 0", "-m cosmodeep_hpc mock --images 20"]


def test_a_job_without_the_user_s_environment_has_that_of_its_script(cluster, tmp_path):
    stage = program(tmp_path / "stage", 'echo "$OMP_NUM_THREADS threads, safe: $PYTHONSAFEPATH"')
    options = ("--export=COSMODEEP_HOME,COSMODEEP_PYTHON", "--ntasks-per-node=1", "-c2")
    job = sbatch(cluster, tmp_path, "train.sh", options=options, COSMODEEP_PYTHON=str(stage))
    assert (job.status, job.log) == (0, "2 threads, safe: 1"), job.log


def test_the_shell_of_an_interactive_job_runs_a_stage(cluster, tmp_path):
    """The step around the shell holds all cores: a step inside would wait for them for ever."""
    stage = program(tmp_path / "stage", "echo done")
    words = (
        "--nodes=1",
        "-n1",
        "-c2",
        "--mpi=none",
        "timeout",
        "60",
        "bash",
        SCRIPTS / "classify.sh",
    )
    found = cluster.call(
        "env", f"COSMODEEP_PYTHON={stage}", f"COSMODEEP_HOME={PROJECT}",
        "srun", *map(str, words), timeout=ENDS,
    )  # fmt: skip
    assert found == "done\n"


def test_ctrl_c_ends_a_stage_of_an_interactive_job(cluster, tmp_path):
    stage = program(tmp_path / "stage", "touch begun; sleep 100")
    ours, theirs = os.openpty()
    job = subprocess.Popen(
        ["setsid", "--ctty", "salloc", "-n1", "-c1", "bash", str(SCRIPTS / "classify.sh")],
        env=cluster.environment | {"COSMODEEP_PYTHON": str(stage), "COSMODEEP_HOME": str(PROJECT)},
        cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    until(lambda: (tmp_path / "begun").exists(), 30)
    for _ in range(2):  # as srun asks for
        os.write(ours, b"\x03")
        time.sleep(0.3)
    assert job.wait(20) != 0
    os.close(ours)
    os.close(theirs)
