"""A run folder on a disk that fills up or cannot be written: one line, and nothing is lost."""

import os
import subprocess
from contextlib import contextmanager

import pytest
from support.fields import contents
from support.launch import mpirun, told
from support.models import CARD, write_untrained

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn import checkpoint, modelfile

WORDS = ["--train.epochs", 4, "--train.batch", 25, "--train.checkpoint_steps", 2]
LIMITED = """
import resource, sys
from cosmodeep_hpc.cli import main as cli
from cosmodeep_hpc.learn.step import Step

train, done = Step.train, []

def limited(self, *args):
    done.append(1)
    if len(done) == 6:  # after two checkpoints; a file of this process may be of 1 MB from here on
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
    return train(self, *args)

Step.train = limited
sys.exit(cli.main(sys.argv[1:]))
"""


def mount(*words):
    return subprocess.run(["mount", *map(str, words)], capture_output=True, text=True)


@contextmanager
def disk(folder, size):
    """A small disk of its own at a folder."""
    folder.mkdir()
    mounted = mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    if mounted.returncode:
        pytest.skip(f"a disk of {size} cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="module")
def whole(tiles, tmp_path_factory):
    run = tmp_path_factory.mktemp("whole") / "run"
    job = mpirun(1, "train", "--tiles", tiles, "--out", run, *WORDS)
    assert job.returncode == 0, job.stdout
    return run


def last_state(run):
    """The newest checkpoint as bytes of its variables, and where it stands."""
    _, state = checkpoint.latest(run)
    values = [v.tobytes() for part in (state.weights, state.optimizer) for v in part]
    return state.total_steps, values


def test_a_disk_that_fills_up(tiles, whole, tmp_path):
    """Two checkpoints fit on it. With more room the run goes on to the same end."""
    with disk(tmp_path / "run", "18m") as run:
        command = ["train", "--tiles", tiles, "--out", run, *WORDS]
        job = mpirun(2, *command)
        assert job.returncode == 2, job.stdout
        (line,) = told(job)
        assert f"{run}/checkpoints/step-" in line and "No space left on device" in line
        assert checkpoint.latest(run)[1].total_steps == 4
        assert not [path for path in run.rglob("*") if ".part" in path.name]

        assert mount("-o", "remount,ro", run).returncode == 0  # a disk with errors becomes that
        before = contents(run)
        job = mpirun(2, *command)
        assert job.returncode == 2, job.stdout
        (line,) = told(job)
        assert f"{run}: cannot write in it: Read-only file system" in line
        assert contents(run) == before

        assert mount("-o", "remount,rw,size=64m", run).returncode == 0
        job = mpirun(1, *command)
        assert job.returncode == 0, job.stdout
        assert (run / "model.keras").exists()
        assert last_state(run)[0] == last_state(whole)[0]


def test_a_quota(tiles, whole, tmp_path):
    """Where nothing can be mounted: files may not grow any more from the sixth step on."""
    run = tmp_path / "run"
    command = ["train", "--tiles", tiles, "--out", run, *WORDS]
    job = mpirun(1, "-c", LIMITED, *command)
    assert job.returncode == 2, job.stdout
    (line,) = told(job)
    assert f"{run}/checkpoints/step-00000006.h5" in line and "File too large" in line
    assert checkpoint.latest(run)[1].total_steps == 4
    job = mpirun(1, *command)
    assert job.returncode == 0, job.stdout
    assert last_state(run) == last_state(whole)  # bit for bit


def test_a_folder_that_cannot_be_written(tiles, whole, tmp_path):
    """As root by an immutable folder, where the file system has that; else by its mode."""
    run = tmp_path / "run"
    run.mkdir()
    root = os.geteuid() == 0
    closed = ["chattr", "+i"] if root else ["chmod", "555"]
    opened = ["chattr", "-i"] if root else ["chmod", "755"]
    done = subprocess.run([*closed, str(run)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{' '.join(closed)} does not work here: {done.stderr.strip()}")
    try:
        job = mpirun(2, "train", "--tiles", tiles, "--out", run, *WORDS)
        assert job.returncode == 2, job.stdout
        (line,) = told(job)
        assert f"{run}: cannot write in it: " in line
    finally:
        subprocess.run([*opened, str(run)], check=True)
    assert list(run.iterdir()) == []


def test_a_model_that_no_longer_fits(tmp_path):
    """The earlier one still loads."""
    with disk(tmp_path / "run", "4m") as run:
        path = write_untrained(run / "model.keras")
        before = path.read_bytes()
        with pytest.raises(InputError, match="model.keras: cannot write it: No space left"):
            write_untrained(path, seed=2)
        assert path.read_bytes() == before and modelfile.load(run).card == CARD
        assert [p.name for p in run.iterdir()] == ["model.keras"]
