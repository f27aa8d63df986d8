"""The acceptance job, as a new site runs it."""

import tarfile

import pytest
from scripts import sbatch


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_parts_are_run_and_packed(cluster, tmp_path):
    options = ("--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=1")
    words = ("acceptance.sh", "--out", tmp_path / "found", "--images", "2", "--pixels", "600")
    job = sbatch(cluster, tmp_path, *words, options=options, timeout=800)
    assert (job.state, job.status) == ("COMPLETED", 0), job.log
    assert "0 parts failed" in job.log
    lines = (tmp_path / "found/report.txt").read_text().splitlines()
    names = "machine versions doctor mock tiles train-auto train-mpi train-horovod bench"
    assert [line.split()[0] for line in lines] == [*names.split(), "classify-cores"]
    assert all(line.endswith("done") for line in lines)
    with tarfile.open(tmp_path / "found.tar.gz") as packed:
        assert {"report.txt", "bench.json", "logs/doctor.txt"} <= set(packed.getnames())
