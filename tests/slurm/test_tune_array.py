"""slurm/tune.sh as a job array: a run a job; what is lost is done by the command of the summary."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.fields import write_pairs
from support.waiting import until

from cosmodeep_hpc.learn.runfolder import LOCK

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = PROJECT / "slurm/tune.sh"
OPTIONS = {
    "tune.learning_rates": "[1e-4, 3e-4]",
    "tune.batches": "[20, 50]",
    "tune.epochs": "[2, 12]",  # long enough to be killed in
    "train.validate_epochs": "2",
    "train.log_steps": "1",
    "train.checkpoint_steps": "10",
}
WORDS = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
ONE_RANK = ("--ntasks-per-node=1", "--cpus-per-task=1")
RUNS = range(4)
LOST = 1
ENDS = 240  # seconds after which a job hangs
HOME = {"COSMODEEP_HOME": str(PROJECT), "COSMODEEP_PYTHON": sys.executable}


def cosmodeep(*words):
    command = [sys.executable, "-m", "cosmodeep_hpc", *map(str, words)]
    one = {**os.environ, "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
    done = subprocess.run(command, env=one, capture_output=True, text=True, timeout=ENDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    """A folder with a tile set, and the search that one process does there, in `alone`."""
    folder = tmp_path_factory.mktemp("search")
    write_pairs(folder / "images", 5, (200, 200), seed=3)
    split = ("--tiles.validation", "0.2", "--tiles.images_per_shard", "5")
    cosmodeep("tiles", "--images", folder / "images", "--out", folder / "tiles", *split)
    cosmodeep("tune", "--tiles", folder / "tiles", "--out", folder / "alone", *WORDS)
    return folder


def rows(out):
    """The results of a search by run, without what depends on the clock."""
    found = {path.name: json.loads(path.read_text()) for path in (out / "results").iterdir()}
    for row in found.values():
        for point in row["points"]:
            assert point.pop("seconds") > 0 and point.pop("tiles_per_second") > 0
    return found


def kill(out):
    """End the process of run LOST, as nothing can see it coming, when it has a checkpoint."""
    checkpoints = out / f"runs/{LOST:04d}/checkpoints"
    until(lambda: list(checkpoints.glob("step-*.h5")))
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            given = (process / "environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile
            continue
        ours = words[0] == os.fsencode(sys.executable) and os.fsencode(out) in words
        if ours and b"SLURM_ARRAY_TASK_ID=%d" % LOST in given:
            os.kill(int(process.name), signal.SIGKILL)
            return
    pytest.fail(f"no process of run {LOST}")


@pytest.mark.timeout(4 * ENDS)
def test_an_array_that_lost_a_job_is_finished_by_the_command_of_its_summary(
    cluster, search, tmp_path
):
    out, log = tmp_path / "a search", str(tmp_path / "tune-%a.log")

    def ends(job, numbers):
        logs = {k: Path(log.replace("%a", str(k))) for k in numbers}
        return {k: cluster.wait(f"{job}_{k}", log=logs[k], timeout=ENDS) for k in numbers}

    words = ["--array=0-3", *ONE_RANK, SCRIPT, "--tiles", search / "tiles", "--out", out, *WORDS]
    job = cluster.submit(words, log=log, folder=tmp_path, environment=HOME)
    kill(out)
    ended = ends(job, RUNS)
    assert {k for k, end in ended.items() if end.state == "COMPLETED"} == {0, 2, 3}, ended
    assert sorted(rows(out)) == ["0000.json", "0002.json", "0003.json"]

    said = cosmodeep("tune", "--summary", "--out", out)
    assert "3 of 4 runs done, 0 failed, 1 missing" in said
    command = shlex.split(said.partition("do them (again): ")[2].splitlines()[0])
    assert command[:3] == ["sbatch", f"--array={LOST}", "slurm/tune.sh"]
    lock = out / f"runs/{LOST:04d}/{LOCK}.lock"
    then = time.time() - 660  # nobody gave it back; the new job need not wait here
    os.utime(lock, (then, then))
    done = {k: (out / f"results/{k:04d}.json").stat().st_mtime_ns for k in (0, 2, 3)}
    # from the project's folder, as the summary means it, and with the options of this cluster
    again = [command[1], *ONE_RANK, *command[2:]]
    job = cluster.submit(again, log=log, folder=PROJECT, environment=HOME)
    (end,) = ends(job, [LOST]).values()
    assert end.state == "COMPLETED", end.log
    assert "goes on after step" in end.log
    assert rows(out) == rows(search / "alone")
    assert all((out / f"results/{k:04d}.json").stat().st_mtime_ns == at for k, at in done.items())
    assert "4 of 4 runs done, 0 failed, 0 missing" in cosmodeep("tune", "--summary", "--out", out)


def test_a_job_beyond_the_last_run_says_which_there_are(cluster, search, tmp_path):
    words = ["--array=4", *ONE_RANK, SCRIPT, "--tiles", search / "tiles", "--out", "out", *WORDS]
    log = tmp_path / "tune.log"
    job = cluster.submit(words, log=log, folder=tmp_path, environment=HOME)
    end = cluster.wait(f"{job}_4", log=log, timeout=ENDS)
    assert end.status == 2 and "run 4: expected 0 to 3, as in --array=0-3" in end.log
    assert not (tmp_path / "out").exists()
