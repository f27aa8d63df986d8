"""slurm/mock.sh as a job array: many jobs fill one folder, also when one of them is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.fields import contents
from support.waiting import until

from cosmodeep_hpc.parallel.locks import holder_of, lock_of
from cosmodeep_hpc.parallel.world import rank_range

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = PROJECT / "slurm/mock.sh"
OPTIONS = {
    "sky.mesh": "24",
    "sky.sides": "[60]",
    "sky.seeds": "[1, 2]",
    "sky.steps": "150",  # a box takes long enough to be killed in
    "sky.snapshots": "[0.1]",
    "sky.z_far": "0.08",
    "sky.efficiency": "0.05",
    "sky.faintest": "0.0",
    "instrument.pixels": "120",
    "instrument.pixel_scale": "120",
    "instrument.beam": "120",
}
IMAGES = 6
WORDS = [
    *("--images", str(IMAGES)),
    *(word for name, value in OPTIONS.items() for word in (f"--{name}", value)),
]
ONE_RANK = ("--ntasks-per-node=1", "--cpus-per-task=1")
TASKS = 4
ENDS = 200  # seconds after which a job hangs


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder that one process alone makes."""
    out = tmp_path_factory.mktemp("alone")
    command = [sys.executable, "-m", "cosmodeep_hpc", "mock", "--out", out, *WORDS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=ENDS)
    assert done.returncode == 0, done.stderr
    return out


def submit(cluster, folder, array=f"0-{TASKS - 1}"):
    """The number of a submitted array that fills `folder`/out; its logs are `folder`/mock-K.log."""
    home = {"COSMODEEP_HOME": str(PROJECT), "COSMODEEP_PYTHON": sys.executable}
    return cluster.submit(
        [f"--array={array}", *ONE_RANK, SCRIPT, "--out", folder / "out", *WORDS],
        log=folder / "mock-%a.log",
        folder=folder,
        environment=home,
    )


def ends(cluster, folder, job, tasks=range(TASKS)):
    """How the jobs of an array ended, by their number in it."""
    return {
        k: cluster.wait(f"{job}_{k}", log=folder / f"mock-{k}.log", timeout=ENDS) for k in tasks
    }


def test_an_array_makes_what_one_process_makes(cluster, alone, tmp_path):
    job = submit(cluster, tmp_path, array="2-8:2")  # need not be 0 to 3
    ended = ends(cluster, tmp_path, job, (2, 4, 6, 8))
    assert {end.state for end in ended.values()} == {"COMPLETED"}, ended
    for k, end in enumerate(ended.values()):
        assert f"part {k}/4 of {IMAGES} Sky/Noise pairs" in end.log
    assert contents(tmp_path / "out") == contents(alone)


def kill(folder, task):
    """End the process of an array's job, that fills a folder, as nothing can see it coming."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            given = (process / "environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile
            continue
        ours = words[0] == os.fsencode(sys.executable) and os.fsencode(folder / "out") in words
        if ours and b"SLURM_ARRAY_TASK_ID=%d" % task in given:
            os.kill(int(process.name), signal.SIGKILL)
            return
    pytest.fail(f"no process of job {task}")


@pytest.mark.timeout(3 * ENDS)
@pytest.mark.parametrize("end", ["time", "SIGKILL"])
def test_an_array_that_lost_a_job_goes_on_when_submitted_again(cluster, alone, tmp_path, end):
    job = submit(cluster, tmp_path)
    out = tmp_path / "out"
    paths = [out / f"boxes/box-60-{seed}.h5" for seed in (1, 2)]
    path, holder = until(lambda: next(((p, h) for p in paths if (h := holder_of(p))), None))
    if end == "time":  # Slurm sends SIGTERM first
        cluster.call("scancel", holder.job)
    else:
        kill(tmp_path, int(holder.job.partition("_")[2]))
        assert holder_of(path) == holder
        then = time.time() - 660  # nobody gave the lock back; the others need not wait here
        os.utime(lock_of(path), (then, then))
    ended = ends(cluster, tmp_path, job)
    states = sorted(end.state for end in ended.values())
    assert states.count("COMPLETED") == TASKS - 1, ended
    (lost,) = (k for k, end in ended.items() if end.state != "COMPLETED")
    # the others made its boxes, and every pair but its own, and say so
    share = len(rank_range(IMAGES, lost, TASKS))
    text = (out / "summary.txt").read_text()
    assert text.startswith(f"{IMAGES - share} of {IMAGES} pairs") and "missing: " in text
    kept = {path: path.stat().st_mtime_ns for path in out.glob("*.fits")}
    again = ends(cluster, tmp_path, submit(cluster, tmp_path))
    assert {end.state for end in again.values()} == {"COMPLETED"}, again
    assert contents(out) == contents(alone)
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items())


def test_an_array_with_gaps_is_refused(cluster, tmp_path):
    job = submit(cluster, tmp_path, array="0,1,3")
    for end in ends(cluster, tmp_path, job, (0, 1, 3)).values():
        assert end.status == 2 and "expected --array=0-N" in end.log
    assert not (tmp_path / "out").exists()
