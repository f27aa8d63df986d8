"""Jobs whose MPI is MPICH, as on Cray machines: srun starts the ranks by PMI-2, and MPI sums."""

import ctypes
from pathlib import Path

import pytest
from scripts import FOUR_RANKS, bash, sbatch
from support.fields import two_sources, write
from support.models import write_untrained


@pytest.fixture(scope="module")
def mpich(tmp_path_factory):
    """The environment of MPICH: mpi4py's wheel is of both families, and looks for this name."""
    try:
        ctypes.CDLL("libmpich.so.12")
    except OSError:
        pytest.skip("MPICH is not installed: apt-get install libmpich12")
    (library,) = Path("/usr/lib").glob("*-linux-gnu/libmpich.so.12")
    folder = tmp_path_factory.mktemp("mpich")
    (folder / "libmpi.so.12").symlink_to(library)
    return {
        "MPI4PY_MPIABI": "mpich",
        "LD_LIBRARY_PATH": str(folder),
        "COSMODEEP_MPI": "pmi2",
        # the nodes are one machine, whose memory UCX would share between them
        "UCX_TLS": "tcp,self",
        "UCX_NET_DEVICES": "lo",
    }


def test_four_ranks_on_two_nodes_train(cluster, tiles, tmp_path, mpich):
    words = ("train.sh", "--tiles", tiles, "--out", "run", "--train.epochs", "1")
    job = sbatch(cluster, tmp_path, *words, options=FOUR_RANKS, **mpich)
    assert job.state == "COMPLETED", job.log
    assert job.log.count("gradients are summed over 4 ranks by MPI") == 1, job.log
    assert job.log.count("model in run/model.keras") == 1


def test_four_ranks_on_two_nodes_sweep(cluster, tmp_path, mpich, tf):
    image = write(tmp_path / "a.fits", two_sources())
    model = write_untrained(tmp_path / "model.keras")
    words = ("classify.sh", image, "--model", model)
    job = sbatch(cluster, tmp_path, *words, "--out", "out", options=FOUR_RANKS, **mpich)
    assert job.state == "COMPLETED", job.log
    alone = bash(tmp_path, *words, "--out", "alone", RANKS="1")
    assert alone.returncode == 0, alone.stderr
    names = [path.name for path in sorted((tmp_path / "alone").glob("a.*"))]
    assert "a.mask.fits" in names
    for name in names:
        one, many = ((tmp_path / folder / name).read_bytes() for folder in ("alone", "out"))
        assert one == many, name
