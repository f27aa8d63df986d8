"""Ranks whose tiles stay on disk see what they would see from memory; /dev/shm may be small."""

import json
import os
import shutil
import subprocess

import pytest
from support.launch import command, environment, mpirun, told
from support.tilesets import write_large_tileset
from test_resume import RECORDED, WORDS

DISK = ["--train.store", "disk", "--train.read_ahead", 1]


def train(ranks, tiles, run, *words, stop=None):
    """Train; the record of what was seen on all ranks."""
    record = run.with_suffix(".json")
    job = mpirun(ranks, RECORDED, record, "train", "--tiles", tiles, "--out", run, *WORDS, *words)
    assert job.returncode == 0, job.stdout
    assert ("stay on disk and are read ahead: train.store" in job.stdout) == ("disk" in words)
    return json.loads(record.read_text())


@pytest.fixture(scope="module")
def held(tiles, tmp_path_factory):
    """A run of two ranks that hold their tiles in memory."""
    return train(2, tiles, tmp_path_factory.mktemp("held") / "run", "--train.store", "memory")


def test_two_ranks_train_the_same_model(held, tiles, tmp_path):
    """Tiles, losses, weights and optimizer, bit for bit."""
    assert train(2, tiles, tmp_path / "run", *DISK) == held


def test_one_rank_sees_the_same_batches(held, tiles, tmp_path):
    read = train(1, tiles, tmp_path / "run", *DISK)
    assert read["seen"] == held["seen"]


def test_it_goes_on_in_the_middle_of_an_epoch_on_other_ranks(held, tiles, tmp_path):
    """From memory on two ranks to disk on three: the same global batches."""
    run = tmp_path / "run"
    train(2, tiles, run, "--train.store", "memory", "--train.keep_checkpoints", 9)
    (run / "model.keras").unlink()
    first, *later = sorted((run / "checkpoints").glob("step-*.h5"))
    for path in later:
        path.unlink()
    (run / "checkpoints" / "latest").unlink(missing_ok=True)
    rest = train(3, tiles, run, *DISK)
    n = len(rest["seen"])
    assert n == len(held["seen"]) - int(first.stem.removeprefix("step-"))
    assert rest["seen"] == held["seen"][-n:]


SMALL = 'mount -t tmpfs -o size=24m shm /dev/shm && exec "$@"'


def in_a_container(*words):
    """Run two ranks that have 24 MB of shared memory, as in a container of default size."""
    own = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    inside = [*own, "sh", "-c", SMALL, "sh"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*inside, "true"], capture_output=True).returncode
    ):
        pytest.skip("no mount namespace may be made here, so /dev/shm cannot be made small")
    return subprocess.run(
        [*inside, *command(2, *words)],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
    )  # fmt: skip


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """100 MB of tiles."""
    folder = tmp_path_factory.mktemp("large")
    write_large_tileset(folder, 100_000_000)
    return folder


@pytest.mark.parametrize("store", ["memory", "auto"])
def test_a_small_shared_memory(large, tmp_path, store):
    """Asked for, it ends in one line before MPI takes any; else the tiles stay on disk."""
    words = ["train", "--tiles", large, "--out", tmp_path / "run", "--train.store", store]
    words += ["--train.epochs", 1, "--train.epoch_tiles", 1000]
    job = in_a_container(*words)
    if store == "memory":
        assert job.returncode == 2, job.stdout
        (line,) = told(job)
        assert "/dev/shm: " in line and "--shm-size=8g" in line and "--train.store disk" in line
        assert "not enough space" not in job.stdout  # what Open MPI says
        return
    assert job.returncode == 0, job.stdout
    assert (tmp_path / "run" / "model.keras").exists()
    assert "by what is free in /dev/shm" in job.stdout
