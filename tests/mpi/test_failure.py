"""What goes wrong on one rank ends the job on all, soon, and is told once."""

import os
import shutil

import h5py
import pytest
from support.launch import mpirun, told

from cosmodeep_hpc.learn import checkpoint


@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_a_damaged_shard(tiles, tmp_path, damage):
    broken = shutil.copytree(tiles, tmp_path / "tiles")
    shard = broken / "shard-00001.h5"
    with h5py.File(shard) as file:
        at = file["tiles"].id.get_offset() + 30 * 6400
    content = bytearray(shard.read_bytes())
    content[at] ^= 1
    shard.write_bytes(content if damage == "flipped" else content[:50_000])
    if damage == "missing":
        shard.unlink()
    job = mpirun(2, "train", "--tiles", broken, "--out", tmp_path / "run", timeout=60)
    assert job.returncode == 2, job.stdout
    (line,) = told(job)
    expected = {
        "flipped": "dataset 'tiles', rows 0 to 49: checksum differs",
        "truncated": "not a whole HDF5 file",
        "missing": "no such file",
    }
    assert str(shard) in line and expected[damage] in line


def test_a_bad_image(pairs, tmp_path):
    """Found in the work of one rank, after all headers were right: told once by rank 0."""
    broken = shutil.copytree(pairs, tmp_path / "pairs")
    image = broken / "noise-00003.fits"
    content = bytearray(image.read_bytes())
    content[2880:] = b"\x7f\xc0\x00\x00" * ((len(content) - 2880) // 4)  # NaN, big-endian
    image.write_bytes(content)
    words = ["--images", broken, "--out", tmp_path / "out", "--tiles.images_per_shard", 1]
    job = mpirun(2, "tiles", *words, timeout=60)
    assert job.returncode == 2, job.stdout
    (line,) = told(job)
    assert "noise-00003.fits: no pixel with data" in line
    assert not (tmp_path / "out" / "index.json").exists()


def test_what_every_rank_finds_is_told_once(tiles, tmp_path):
    for words in (["--train.batch", 1], ["--label.n_pix", 1600], ["--train.epochs", 0]):
        job = mpirun(2, "train", "--tiles", tiles, "--out", tmp_path / "run", *words, timeout=60)
        assert job.returncode == 2, job.stdout
        assert len(told(job)) == 1, job.stdout


FAULT = """
import sys, time
from cosmodeep_hpc.cli import main as cli
from cosmodeep_hpc.tiles import make
from cosmodeep_hpc.parallel.world import open_world

make_shard = make.make_shard

def faulty(*args):
    if open_world().rank == 1:
        raise RuntimeError("made on purpose")
    time.sleep(1000)  # the other rank is busy when it happens, and would be for long
    return make_shard(*args)

make.make_shard = faulty
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_fault_on_one_rank_ends_the_job(pairs, tmp_path):
    words = ["--images", pairs, "--out", tmp_path / "out", "--tiles.images_per_shard", 1]
    job = mpirun(2, "-c", FAULT, "tiles", *words, timeout=60)
    assert job.returncode == 1, job.stdout
    assert told(job) == [
        "cosmodeep: rank 1: fault: RuntimeError: made on purpose (add --debug for the traceback)"
    ]


BACKWARD = """
import sys
from cosmodeep_hpc.cli import main as cli
from cosmodeep_hpc.engine.convolutions import Convolutions
from cosmodeep_hpc.parallel.world import open_world

gradients, done = Convolutions.gradients, []

def faulty(self, *given):
    done.append(1)
    if len(done) == 3 and open_world().rank == 1:
        raise RuntimeError("made on purpose")
    return gradients(self, *given)

Convolutions.gradients = faulty
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("way", ["mpi", "horovod"])
def test_a_fault_while_a_gradient_is_summed_ends_the_job(tiles, tmp_path, way):
    """The other rank waits for the sum, or for its next part."""
    words = ["--tiles", tiles, "--out", tmp_path / "run", "--train.batch", 8, "--train.sums", way]
    job = mpirun(2, "-c", BACKWARD, "train", *words, timeout=90)
    assert job.returncode == 1, job.stdout
    assert told(job) == [
        "cosmodeep: rank 1: fault: RuntimeError: made on purpose (add --debug for the traceback)"
    ]


def test_a_horovod_that_is_asked_for_and_is_not_there(tiles, tmp_path):
    """By itself a run sums by MPI where Horovod is missing or of another TensorFlow."""
    (tmp_path / "horovod").mkdir()
    (tmp_path / "horovod/__init__.py").write_text("raise ImportError('of another TensorFlow')")
    paths = {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    words = ["train", "--tiles", tiles, "--out", tmp_path / "run", "--train.epochs", 1]
    job = mpirun(2, *words, "--train.sums", "horovod", timeout=90, **paths)
    assert job.returncode == 2, job.stdout
    (line,) = told(job)
    assert "horovod: not installed for this TensorFlow (of another TensorFlow)" in line
    assert "or set train.sums = mpi" in line
    job = mpirun(2, *words, timeout=90, **paths)
    assert job.returncode == 0, job.stdout
    assert "gradients are summed over 2 ranks by MPI" in job.stdout


NAN = """
import sys
from dataclasses import replace
import numpy as np
from cosmodeep_hpc.cli import main as cli
from cosmodeep_hpc.learn.step import Step
from cosmodeep_hpc.parallel.world import open_world

train, done = Step.train, []

def spoilt(self, part, *rest):
    done.append(1)
    if len(done) == 7 and open_world().rank == 1:
        part = replace(part, tiles=np.full_like(part.tiles, np.nan))
    return train(self, part, *rest)

Step.train = spoilt
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_loss_that_is_not_finite(tiles, tmp_path):
    """On the tiles of one rank: all stop before the update, the last checkpoint is good."""
    words = ["--train.epochs", 5, "--train.batch", 12, "--train.checkpoint_steps", 3]
    run = tmp_path / "run"
    job = mpirun(2, "-c", NAN, "train", "--tiles", tiles, "--out", run, *words, timeout=90)
    assert job.returncode == 2, job.stdout
    (line,) = told(job)
    assert "the loss is nan" in line and "step 6" in line
    (first, second) = (checkpoint.read(path) for path in checkpoint.newest(run))
    assert (first.total_steps, second.total_steps) == (6, 3)
    assert not (run / "model.keras").exists()


STUCK = """
from cosmodeep_hpc.parallel.world import open_world
world = open_world()
if world.rank == 0:
    world.comm.recv(source=1)
import time
time.sleep(1000)
"""


def test_a_job_that_hangs_fails_its_test_and_leaves_nothing():
    """The launcher of these tests, tested."""
    from support.launch import finish, session, start

    job = start(2, "-c", STUCK)
    with pytest.raises(pytest.fail.Exception, match="still running after 5 s"):
        finish(job, 5)
    assert session(job.pid) == []
