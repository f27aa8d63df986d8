"""A counts network on N ranks is that of one, and a run that goes on ends as the whole one."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.launch import mpirun

from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.tiles import make

RECORDED = Path(__file__).with_name("recorded.py")
WORDS = ["--model.network", "counts", "--model.width", 4, "--model.depth", 3, "--train.epochs", 3]
WORDS += ["--train.batch", 19]
WORDS += ["--train.schedule", "cosine", "--train.symmetries", "true", "--train.log_steps", 1]
WORDS += ["--train.checkpoint_steps", 4, "--train.learning_rate", 1e-3]


@pytest.fixture(scope="module")
def counted(pairs, world, tmp_path_factory):
    """The tile set of `pairs` with margins and Sky tiles."""
    folder = tmp_path_factory.mktemp("counted")
    options = {"margin": "4", "keep_sky": "true", "images_per_shard": "2", "validation": "0.2"}
    made = configuration.load(None, [(f"tiles.{name}", value) for name, value in options.items()])
    make.run(made, pairs, folder, world)
    return folder


@pytest.fixture(scope="module")
def runs(counted, tmp_path_factory):
    """Folders and records of the same run on 1 and 2 ranks."""
    found = {}
    for ranks in (1, 2):
        folder = tmp_path_factory.mktemp(f"ranks{ranks}")
        words = ["train", "--tiles", counted, "--out", folder / "run", *WORDS]
        job = mpirun(ranks, RECORDED, folder / "record.json", *words, timeout=300)
        assert job.returncode == 0, job.stdout
        found[ranks] = folder / "run", json.loads((folder / "record.json").read_text())
    return found


def test_the_same_batches_the_same_weights_the_same_loss(runs):
    """Tiles turned alike: the checksums are of what the network saw."""
    (_, one), (_, two) = runs[1], runs[2]
    assert two["seen"] == one["seen"] and len(set(map(len, one["seen"]))) > 1
    assert len(two["hashes"]) == 2 and len(set(two["hashes"])) == 1
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=0, atol=1e-4)


def test_the_same_readings(runs):
    """Accuracy, calibration and thresholds of every rule, to rounding."""
    one, two = (modelfile.read_card(runs[n][0] / modelfile.MODEL) for n in (1, 2))
    for row, other in zip(one.readings.points, two.readings.points, strict=True):
        for a, b in zip(row, other, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                assert a.threshold == pytest.approx(b.threshold, abs=1e-2)


def test_a_run_that_goes_on_ends_the_same(runs, counted, tmp_path):
    """From a checkpoint in the middle of an epoch, on as many ranks, bit for bit."""
    whole, record = runs[2]
    run = tmp_path / "run"
    run.mkdir()
    # as a job that was lost after its second checkpoint leaves it
    checkpoints = sorted((whole / "checkpoints").glob("step-*.h5"))
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / checkpoints[0].name).write_bytes(checkpoints[0].read_bytes())
    (run / "checkpoints" / "latest").write_text(checkpoints[0].name + "\n")
    words = ["train", "--tiles", counted, "--out", run, *WORDS]
    job = mpirun(2, RECORDED, tmp_path / "record.json", *words, timeout=300)
    assert job.returncode == 0, job.stdout
    rest = json.loads((tmp_path / "record.json").read_text())
    assert 0 < len(rest["losses"]) < len(record["losses"])
    assert rest["losses"] == record["losses"][-len(rest["losses"]) :]
    assert rest["hashes"] == record["hashes"]
