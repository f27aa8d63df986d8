"""A search on two ranks: each run uses both and leaves one result; all learn of the same tiles."""

import json

import pytest
from support.launch import mpirun

SEARCH = ["--tune.learning_rates", "[1e-4, 1e30]", "--tune.batches", "[1, 20]"]
SEARCH += ["--tune.epochs", "[1, 2]", "--train.log_steps", "5"]

COUNTED = """
import json, sys
from pathlib import Path
from cosmodeep_hpc.cli import main as cli
from cosmodeep_hpc.parallel.world import World, open_world

world, made = open_world(), []
node_array = World.node_array

def counted(self, *args, **kwargs):
    made.append(args)
    return node_array(self, *args, **kwargs)

World.node_array = counted
status = cli.main(sys.argv[2:])
if world.is_root:
    Path(sys.argv[1]).write_text(json.dumps([status, len(made)]))
sys.exit(status)
"""


@pytest.fixture(scope="module")
def searched(tiles, tmp_path_factory):
    """The folder of a search of four runs, its job, its status, and its arrays in shared memory."""
    folder = tmp_path_factory.mktemp("search")
    words = ["tune", "--tiles", tiles, "--out", folder / "out", *SEARCH]
    job = mpirun(2, "-c", COUNTED, folder / "counted.json", *words, timeout=200)
    status, arrays = json.loads((folder / "counted.json").read_text())
    return folder / "out", job, status, arrays


def test_a_run_uses_all_ranks_and_failures_stop_none(searched):
    """A batch of 1 is too small for two ranks; a learning rate of 1e30 ends in a loss of nan."""
    out, job, status, _ = searched
    assert status == 1, job.stdout
    rows = [json.loads(path.read_text()) for path in sorted((out / "results").iterdir())]
    assert [(r["run"], r["state"], r["ranks"]) for r in rows] == [
        *((0, "failed", 2), (1, "failed", 2)),
        *((2, "done", 2), (3, "failed", 2)),
    ]
    assert all("expected at least one tile for each of the 2 ranks" in r["error"] for r in rows[:2])
    assert "the loss is nan" in rows[3]["error"]
    assert [p["epochs"] for p in rows[2]["points"]] == [1, 2]
    assert job.stdout.count("run 0002: learning rate 0.0001, batch 20: As ") == 1
    assert "1 run done, 0 there already, 3 failed" in job.stdout


def test_the_tiles_are_read_once_for_all_runs(searched):
    """Shared memory lives as long as the job: each of many runs would add its own."""
    assert searched[3] == 1
