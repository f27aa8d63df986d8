"""Training on N ranks is training on one: the same batches, the same weights, the same loss."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.launch import mpirun

RECORDED = Path(__file__).with_name("recorded.py")
EPOCHS, BATCH = 9, 19
WORDS = ["--train.epochs", EPOCHS, "--train.batch", BATCH, "--train.log_steps", 10]


WAYS = [(2, "mpi"), (4, "mpi"), (2, "horovod")]


@pytest.fixture(scope="module")
def runs(tiles, tmp_path_factory):
    """The records of the same run on 1, 2 and 4 ranks, summed in both ways."""
    records = {}
    for ranks, way in [(1, "auto"), *WAYS]:
        folder = tmp_path_factory.mktemp(f"ranks{ranks}")
        words = ["train", "--tiles", tiles, "--out", folder / "run", "--train.sums", way, *WORDS]
        job = mpirun(ranks, RECORDED, folder / "record.json", *words, timeout=120)
        assert job.returncode == 0, job.stdout
        name = {"mpi": "MPI", "horovod": "Horovod"}.get(way)
        assert (f"gradients are summed over {ranks} ranks by {name}" in job.stdout) == (ranks > 1)
        records[ranks, way] = json.loads((folder / "record.json").read_text())
    records[1] = records[1, "auto"]
    return records


def test_enough_steps_and_uneven_parts(runs):
    """What the tests below stand on: 50 steps, and batches that ranks cannot share evenly."""
    sizes = [len(batch) for batch in runs[1]["seen"]]
    assert sizes == (5 * [19] + [3]) * EPOCHS and len(sizes) >= 50
    assert runs[4, "mpi"]["parts"][:6] == 5 * [[5, 5, 5, 4]] + [[1, 1, 1, 0]]


@pytest.mark.parametrize("ranks, way", WAYS)
def test_the_same_global_batches(runs, ranks, way):
    run = runs[ranks, way]
    assert run["seen"] == runs[1]["seen"]
    assert all(max(parts) - min(parts) <= 1 for parts in run["parts"])


@pytest.mark.parametrize("ranks, way", WAYS)
def test_ranks_hold_identical_weights(runs, ranks, way):
    """After more than 50 steps, each rank on its own tiles."""
    assert len(runs[ranks, way]["hashes"]) == ranks
    assert len(set(runs[ranks, way]["hashes"])) == 1


@pytest.mark.parametrize("ranks, way", WAYS)
def test_the_loss_follows_that_of_one_rank(runs, ranks, way):
    """At each of 54 steps, at the default learning rate.

    Ranks add in another order, so weights differ by rounding: some 1e-7 of the loss. That stays so
    until rounding decides which of two pixels is a bin's maximum, or on which side of 0 a unit is;
    from there on the runs part slowly. On these tiles 4 ranks meet such a step, 2 do not.
    """
    one, many = (np.array(run["losses"]) for run in (runs[1], runs[ranks, way]))
    tolerance = {2: 1e-4, 4: 1e-3}[ranks]
    np.testing.assert_allclose(many[:10], one[:10], rtol=0, atol=1e-5)
    np.testing.assert_allclose(many, one, rtol=0, atol=tolerance)


def test_the_loss_falls(runs):
    losses = np.array(runs[2, "mpi"]["losses"])
    assert losses[-10:].mean() < losses[:10].mean()


GRADIENTS = """
import sys
import numpy as np
from cosmodeep_hpc.parallel import runtime
from cosmodeep_hpc.config.learn import Model
from cosmodeep_hpc.learn import network
from cosmodeep_hpc.learn.allreduce import Allreduce
from cosmodeep_hpc.learn.batch import PaperBatch
from cosmodeep_hpc.learn.sampler import keep_mask
from cosmodeep_hpc.learn.step import Step
from cosmodeep_hpc.parallel.world import open_world

world = open_world()
tf = runtime.start_tensorflow(world)
step = Step(tf, network.build(Model(), 40, 1), 1e-3, Allreduce(world, sys.argv[1]))
random = np.random.default_rng(1)
for n in (13, 2, 1):  # 5, 4, 4; 1, 1, 0; 1, 0, 0 tiles on three ranks
    tiles = random.normal(size=(n, 40, 40)).astype(np.float32)
    labels = (random.random(n) < 0.5).astype(np.int32)
    keep = keep_mask(network.HIDDEN_UNITS, 0.25, seed=1, epoch=0, rows=range(n))
    mine = slice(world.share(n).start, world.share(n).stop)
    found = {}

    def keep_the_sums(rows, batch, rate):
        found.update(rows=[row.numpy() for row in rows], batch=float(batch))
        return rows[0][-2:]

    step._finish = keep_the_sums
    flags = (world.rank == 1, False, True)  # of one rank, of none, of all
    part = PaperBatch(tiles=tiles[mine], signal=labels[mine] == 1, keep=keep[mine])
    *_, said = step.train(part, n, flags)
    assert found["batch"] == n and said == [True, False, True]
    alone = step._gradient.rows(PaperBatch(tiles=tiles, signal=labels, keep=keep))
    groups = [[*(np.prod(v.shape) for v in group)] for group in step._gradient.groups]
    groups[0].append(2)  # loss and correct tiles
    for whole, summed, sizes in zip(alone, found["rows"], groups, strict=True):
        assert len(summed) == sum(sizes)
        ends = np.cumsum(sizes)[:-1]
        for one, many in zip(np.split(whole.numpy(), ends), np.split(summed, ends), strict=True):
            np.testing.assert_allclose(many, one, rtol=1e-4, atol=2e-6 * np.abs(one).max())
            assert np.abs(one).max() > 0 or len(one) == 2
print("same gradients")
"""


@pytest.mark.parametrize("way", ["mpi", "horovod"])
def test_gradient_of_uneven_parts_is_that_of_the_whole(way):
    """The sum over three ranks, some of them without a tile, against one process."""
    job = mpirun(3, "-c", GRADIENTS, way, timeout=90)
    assert job.returncode == 0, job.stdout
    assert job.stdout.count("same gradients") == 3
