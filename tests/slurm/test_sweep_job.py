"""A list of mosaics swept by the shipped script: on two nodes, warned, and to its end."""

import csv

import pytest
from scripts import bash, slow, submit
from support.models import write_untrained
from support.waiting import until


@pytest.mark.timeout(600)
def test_a_list_is_swept_by_two_nodes_through_a_requeue(cluster, images, tmp_path, tf):
    """The bytes of one rank without Slurm; what cannot be read is told, and is the status."""
    mosaics = sorted(images.glob("noise-*.fits"))
    broken = tmp_path / "broken.fits"
    broken.write_bytes(mosaics[0].read_bytes()[:100_000])
    listed = tmp_path / "mosaics.txt"
    listed.write_text("# this night\n" + "\n".join(map(str, [*mosaics, "", broken])) + "\n")
    model = write_untrained(tmp_path / "model.keras")
    words = ("classify.sh", "--list", listed, "--model", model, "--classify.batch", "6")

    out = tmp_path / "products"
    job, log = submit(cluster, tmp_path, *words, "--out", out, **slow(tmp_path, 2))
    until(lambda: any(b'{"entry"' in p.read_bytes() for p in out.glob(".*.journal")))
    cluster.call("scancel", "--signal=USR1", job)  # what --signal does some time before the end
    until(lambda: "put back into the queue" in log.read_text())
    cluster.release(job)
    ended = cluster.wait(job, log=log, timeout=200)
    assert (ended.status, ended.restarts) == (2, 1), ended.log
    assert "broken.fits: truncated: 100000 bytes" in ended.log

    alone = bash(tmp_path, *words, "--out", tmp_path / "alone", RANKS="1")
    assert alone.returncode == 2, alone.stderr
    of_one = sorted(tmp_path.glob("alone/noise-*"))
    assert len(of_one) == 9 * len(mosaics)  # the usual products, and the record
    for product in of_one:
        assert (out / product.name).read_bytes() == product.read_bytes(), product.name
    assert not list(out.glob(".*"))
    with (out / "summary.csv").open() as file:
        states = [row["state"] for row in csv.DictReader(file)]
    assert states[-1] == "failed" and set(states[:-1]) <= {"done", "kept"}
    assert ended.log.count(".mask.fits") == len(mosaics)  # the table at the end
