"""A sweep gives the same bytes on any ranks, killed or not; an evaluation too."""

import csv
import hashlib
import json
import os
import random
import signal
import time
from contextlib import suppress

import numpy as np
import pytest
from support.fields import NOISE, blobs, write, write_pairs
from support.launch import end, finish, mpirun, ranks_of, start
from support.models import random_map, write_counts, write_untrained

from cosmodeep_hpc.config.survey import ALL_PRODUCTS

SUFFIXES = {
    ".probability.fits",
    ".tiles.fits",
    ".tile-probability.fits",
    ".mask.fits",
    ".h5",
    ".islands.vot",
    ".islands.fits",
    ".islands.csv",
    ".compact.vot",
    ".compact.fits",
    ".compact.csv",
    ".reg",
    ".crtf",
    ".moc.fits",
    ".png",
    ".json",
}

ALL = json.dumps(ALL_PRODUCTS)


def digests(folder):
    """Of every file, hidden ones too: nothing may be left over."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.fixture(scope="module", params=["tiles", "map"])
def model(request, tmp_path_factory, tf):
    """An untrained network of tiles, or with a map of pixels."""
    path = tmp_path_factory.mktemp("model") / "model.keras"
    return (
        write_untrained(path)
        if request.param == "tiles"
        else write_counts(path, pixels=random_map())
    )


@pytest.fixture(scope="module")
def mosaics(tmp_path_factory):
    """An image of odd size with a blank part, a tall one, a cube of louder noise, a small one."""
    folder = tmp_path_factory.mktemp("mosaics")
    random = np.random.default_rng(5)
    pixels = blobs((830, 650), 25, 5) + random.normal(0, NOISE, (830, 650))
    pixels[300:500, :400] = np.nan
    write(folder / "holed.fits", pixels.astype(np.float32))
    loud = random.normal(0, 3 * NOISE, (2, 410, 410)).astype(np.float32)
    write(folder / "loud.fits.gz", loud, CTYPE3="FREQ", CRVAL3=1e9, CDELT3=1e6, CRPIX3=1.0)
    tall = blobs((2701, 90), 9, 6) + random.normal(0, NOISE, (2701, 90))
    write(folder / "tall.fits", tall.astype(np.float32))  # three stripes of a map
    write(folder / "small.fits", random.normal(0, NOISE, (90, 100)).astype(np.float32))
    return sorted(folder.iterdir())


def sweep(model, mosaics, out):
    """A sweep with all products."""
    words = "--model", model, "--out", out, "--classify.batch", 60
    return "classify", *mosaics, *words, "--classify.products", ALL


@pytest.fixture(scope="module")
def alone(model, mosaics, tmp_path_factory):
    """The products of one rank."""
    out = tmp_path_factory.mktemp("alone")
    done = mpirun(1, *sweep(model, mosaics, out), timeout=90)
    assert done.returncode == 0, done.stdout
    names = {
        f"{stem}{suffix}" for stem in ("holed", "loud", "small", "tall") for suffix in SUFFIXES
    }
    assert {p.name for p in out.iterdir()} == names | {"summary.csv"}
    return out


def same(found, expected):
    """Whether all products are the same bytes; the summary names the folder, and who did what."""
    found, expected = digests(found), digests(expected)
    assert found.keys() == expected.keys()
    assert {n for n in found if found[n] != expected[n]} <= {"summary.csv"}


@pytest.mark.parametrize("ranks", [2, 4])
def test_products_are_the_same_bytes(ranks, model, mosaics, alone, tmp_path):
    done = mpirun(ranks, *sweep(model, mosaics, tmp_path), timeout=120)
    assert done.returncode == 0, done.stdout
    same(tmp_path, alone)


SLOW = """
import sys, time
from cosmodeep_hpc.cli import main as cli
from cosmodeep_hpc.survey.worker import Worker

finish = Worker.finish

def slow(self, *args):
    time.sleep(0.05)
    return finish(self, *args)

Worker.finish = slow
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_sweep_killed_at_random_moments_ends_in_the_same_bytes(model, mosaics, alone, tmp_path):
    """SIGKILL of a random rank, round after round, each a little further on; then to the end."""
    chance, kept = random.Random(8), 0
    for at in (1, 4, 8):  # entries in the journals, or products, when the kill comes
        job = start(2, "-c", SLOW, *sweep(model, mosaics, tmp_path))
        try:
            until = time.monotonic() + 90
            while progress(tmp_path) < max(at, kept + 1) and job.poll() is None:
                assert time.monotonic() < until
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.1))
            if job.poll() is None:
                os.kill(chance.choice(ranks_of(job)), signal.SIGKILL)
            finish(job, 30)
        finally:
            end(job)
        assert progress(tmp_path) >= kept  # nothing that was done is lost
        kept = progress(tmp_path)
    done = mpirun(2, *sweep(model, mosaics, tmp_path), timeout=120)
    assert done.returncode == 0, done.stdout
    same(tmp_path, alone)


def progress(out):
    """Stripes in the journals, and many for a mosaic that is done."""
    entries, records = 0, {record.stem for record in out.glob("*.json")}
    for journal in out.glob(".*.journal"):
        if journal.name[1:].removesuffix(".journal") in records:
            continue  # killed just after the record: the next sweep removes it
        with suppress(FileNotFoundError):  # its mosaic was done in that moment
            entries += journal.read_bytes().count(b'{"entry"')
    return entries + 100 * len(records)


def test_a_finished_sweep_is_kept_and_notice_stops_one_that_is_not(model, mosaics, alone, tmp_path):
    """USR1: status 75; started again it goes on, and started once more it does nothing."""
    job = start(2, "-c", SLOW, *sweep(model, mosaics, tmp_path))
    try:
        until = time.monotonic() + 90
        while progress(tmp_path) < 5:
            assert job.poll() is None and time.monotonic() < until
            time.sleep(0.01)
        for rank in ranks_of(job):
            os.kill(rank, signal.SIGUSR1)
        stopped = finish(job, 30)
    finally:
        end(job)
    assert stopped.returncode == 75, stopped.stdout
    assert "goes on from there" in stopped.stdout and list(tmp_path.glob(".*.journal"))
    for again in (False, True):
        done = mpirun(2, *sweep(model, mosaics, tmp_path), timeout=120)
        assert done.returncode == 0, done.stdout
        same(tmp_path, alone)
        with (tmp_path / "summary.csv").open() as file:
            states = {row["state"] for row in csv.DictReader(file)}
        assert states == {"kept"} if again else "done" in states  # the first may have been done


@pytest.mark.parametrize("strict", [False, True])
def test_an_image_cut_short_does_not_stop_the_others_unless_strict(
    strict, model, mosaics, tmp_path
):
    """Found by its size before any work on it; the line names file, found and expected."""
    short = tmp_path / "short.fits"
    short.write_bytes(mosaics[0].read_bytes()[:2_000_000])
    out = tmp_path / "out"
    options = ["--strict"] if strict else []
    done = mpirun(2, *sweep(model, [short, mosaics[2]], out), *options, timeout=60)
    assert done.returncode == 2, done.stdout
    assert "short.fits: truncated: 2000000 bytes" in done.stdout
    assert not list(out.glob("short*"))
    if not strict:
        assert {f"small{suffix}" for suffix in SUFFIXES} <= {p.name for p in out.iterdir()}
        with (out / "summary.csv").open() as file:
            assert [row["state"] for row in csv.DictReader(file)] == ["failed", "done"]


def test_evaluation_is_the_same_bytes(model, tmp_path):
    images = write_pairs(tmp_path / "images", 3, (160, 200), seed=9)
    for ranks in (1, 2):
        out = tmp_path / str(ranks)
        words = ("evaluate", "--model", model, "--images", images, "--out", out)
        done = mpirun(ranks, *words, timeout=120)
        assert done.returncode == 0, done.stdout
        assert "As" in done.stdout
    assert digests(tmp_path / "1") == digests(tmp_path / "2")
    assert json.loads((tmp_path / "1" / "metrics.json").read_text())["images"] == 3
