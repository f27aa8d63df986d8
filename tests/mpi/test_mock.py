"""The stage mock under mpirun: any number of ranks writes the same bytes."""

import hashlib
import os
import shutil
import subprocess
import sys

import pytest

OPTIONS = {
    "sky.mesh": "24",
    "sky.box": "60",
    "sky.steps": "6",
    "sky.seeds": "[1, 2, 3]",
    "sky.snapshots": "[0.05, 0.1]",
    "sky.smoothing": "1.0",
    "sky.z_far": "0.1",
    "sky.efficiency": "0.05",
    "instrument.pixels": "150",
    "instrument.pixel_scale": "100",
    "instrument.beam": "100",
}
TIMEOUT = 120  # seconds

pytestmark = pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun")


def mock(out, ranks):
    """Run `cosmodeep mock` on a number of ranks; its status and standard error."""
    launcher = ["mpirun", "-np", str(ranks), "--oversubscribe", "--bind-to", "none"]
    command = [*launcher, sys.executable, "-m", "cosmodeep_hpc", "mock", "--out", str(out)]
    command += ["--images", "3"]
    for name, value in OPTIONS.items():
        command += [f"--{name}", value]
    environment = os.environ | {
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_mpi_yield_when_idle": "1",
    }
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    return done.returncode, done.stderr


def contents(folder):
    """Digests of all files of a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    out = tmp_path_factory.mktemp("alone")
    status, error = mock(out, 1)
    assert status == 0, error
    return out


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_write_the_bytes_of_one(alone, tmp_path, ranks):
    status, error = mock(tmp_path, ranks)
    assert status == 0, error
    assert len(contents(alone)) == 3 + 1 + 6
    assert contents(tmp_path) == contents(alone)


def test_ranks_finish_what_one_began(alone, tmp_path):
    (tmp_path / "boxes").mkdir()
    for name in ("boxes/box-2.h5", "sky-00001.fits", "noise-00001.fits", "sky-00002.fits"):
        shutil.copy(alone / name, tmp_path / name)
    status, error = mock(tmp_path, 2)
    assert status == 0, error
    assert contents(tmp_path) == contents(alone)


def test_a_refusal_ends_every_rank(tmp_path):
    (tmp_path / "taken").write_text("")
    status, error = mock(tmp_path / "taken", 2)
    assert status == 2, error
    assert "taken" in error and "Traceback" not in error
