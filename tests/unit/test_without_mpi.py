"""One rank works without MPI; several ranks without MPI end with one line."""

import os
import subprocess
import sys
import time

import pytest
from support.fields import write_pairs
from support.launch import command, unlaunched

from cosmodeep_hpc.cli.main import main

NO_MPI = """
import sys
for name in {missing!r}:
    sys.modules[name] = None  # an import of it fails
from cosmodeep_hpc.cli import main as cli
sys.exit(cli.main({words!r}))
"""
STEP_OF_ONE = {
    # as in the shell of `srun --pty bash`: Open MPI looks for a PMI that was not offered, and ends
    "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "1",
    "SLURM_PROCID": "0", "SLURM_LOCALID": "0",
}  # fmt: skip


@pytest.mark.parametrize("environ", [{}, STEP_OF_ONE, {"OMPI_COMM_WORLD_SIZE": "1",
                                                       "OMPI_COMM_WORLD_RANK": "0"}])  # fmt: skip
@pytest.mark.parametrize("missing", [["mpi4py"], []])
def test_one_rank_neither_needs_nor_starts_mpi(environ, missing):
    code = NO_MPI.format(missing=missing, words=["config"])
    code = code.replace("sys.exit(", "status = (") + "assert not sys.modules.get('mpi4py.MPI')\n"
    job = subprocess.run(
        [sys.executable, "-c", code + "sys.exit(status)"],
        env=unlaunched() | environ, capture_output=True, text=True,
    )  # fmt: skip
    assert job.returncode == 0, job.stderr
    assert "[train]" in job.stdout and not job.stderr


@pytest.mark.parametrize(
    "environ, started",
    [
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "{}"}, "2 ranks were started"),
        (
            {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "{}"},
            "3 ranks were started",
        ),
        ({"PMIX_RANK": "{}"}, "a PMIx launcher started this rank, perhaps with others"),
    ],
)
def test_ranks_without_mpi_end_with_one_line(monkeypatch, capsys, environ, started):
    """Two lone ranks would write the same files."""
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", None)
    monkeypatch.delitem(sys.modules, "mpi4py.MPI")
    for name in set(os.environ) - set(unlaunched()):
        monkeypatch.delenv(name)
    said, waits = [], []
    monkeypatch.setattr(time, "sleep", waits.append)
    for rank in ("0", "1"):
        for name, value in environ.items():
            monkeypatch.setenv(name, value.format(rank))
        assert main(["config"]) == 2
        said.append(capsys.readouterr())
    assert [s.out for s in said] == ["", ""]
    line = f"{started}, and Python finds no mpi4py: pip install 'cosmodeep_hpc[mpi]'"
    assert [s.err for s in said] == [f"cosmodeep: {line}\n", ""]
    assert waits == [5.0]  # of the second, whose end would be that of the first, unheard


def test_mpirun_without_mpi4py_ends_with_one_line_and_status_2():
    """The real one, which ends all ranks as soon as one has ended."""
    words = ["-c", NO_MPI.format(missing=["mpi4py"], words=["config"])]
    job = subprocess.run(
        [*command(2, "config")[:-3], *words],
        env=unlaunched(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert job.returncode == 2 and "[train]" not in job.stdout, job.stderr
    assert [line for line in job.stderr.splitlines() if line.startswith("cosmodeep: ")] == [
        "cosmodeep: 2 ranks were started, and Python finds no mpi4py: "
        "pip install 'cosmodeep_hpc[mpi]'"
    ]


STAGES = """
import sys
for name in ("mpi4py", "horovod"):
    sys.modules[name] = None  # an import of it fails
from cosmodeep_hpc.cli import main as cli

out, pairs, tiles = sys.argv[1:]
sky = "--sky.mesh 24 --sky.sides [40] --sky.seeds [1] --sky.snapshots [0.05,0.1] --sky.z_far 0.1"
small = "--instrument.pixels 80 --instrument.pixel_scale 100 --instrument.beam 100"
seen = f"--model {out}/run --images {pairs}"
for words in (
    f"mock --out {out}/mock --images 1 --sky.reach 6 --sky.steps 6 {sky} {small}",
    f"tiles --images {pairs} --out {out}/tiles",
    f"train --tiles {tiles} --out {out}/run --train.epochs 1 --train.batch 50",
    f"evaluate {seen} --out {out}/accuracy",
    f"compare {seen} --out {out}/compared --compare.finders []",
    f"classify {pairs}/noise-00000.fits --model {out}/run --out {out}/swept",
    f"report {seen} --evaluations {out} --out {out}/figures",
    "bench --steps 2 --train.batch 10",
    "models robust",
):
    assert cli.main(words.split()) == 0, words
"""


@pytest.mark.slow
def test_every_stage_runs_on_one_rank_without_mpi_and_horovod(tiles, tmp_path):
    images = write_pairs(tmp_path / "images", 2, (200, 200), seed=7)
    words = [sys.executable, "-c", STAGES, tmp_path / "out", images, tiles]
    job = subprocess.run(words, env=unlaunched(), capture_output=True, text=True, timeout=280)
    assert job.returncode == 0, job.stdout + job.stderr
