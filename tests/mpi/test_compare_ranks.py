"""The comparison gives the same numbers and pictures on any ranks."""

import hashlib
import json

import pytest
from support.fields import write_pairs
from support.launch import mpirun, told
from support.models import write_untrained


@pytest.fixture(scope="module")
def model(tmp_path_factory, tf):
    return write_untrained(tmp_path_factory.mktemp("model") / "model.keras")


def compared(ranks, model, images, others, out):
    words = ["compare", "--model", model, "--images", images, "--choose", others, "--out", out]
    small = [
        "--compare.islands",
        "[1.5,3.0]",
        "--compare.seeds",
        "[4.0]",
        "--compare.scales",
        "[2]",
    ]
    job = mpirun(ranks, *words, *small, timeout=240)
    assert job.returncode == 0, job.stdout
    result = json.loads((out / "compare.json").read_text())
    del result["seconds_an_image"]
    pictures = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in out.glob("*.png")}
    return result, pictures


def test_two_ranks_give_what_one_gives(tmp_path, model):
    """With the source finders that are installed, each in a process of its own beside its rank."""
    images = write_pairs(tmp_path / "images", 3, (160, 160))
    others = write_pairs(tmp_path / "others", 2, (160, 160), seed=8)
    alone = compared(1, model, images, others, tmp_path / "alone")
    both = compared(2, model, images, others, tmp_path / "both")
    assert alone[0]["failures"] == []
    assert both == alone
    drawn = {"compare.png", "compare-objects.png"}
    assert set(alone[1]) == drawn | {"closeup-00000.png", "closeup-00001.png"}


def test_a_bad_image_ends_all_ranks_in_one_line(tmp_path, model):
    images = write_pairs(tmp_path / "images", 3, (80, 80))
    (images / "noise-00002.fits").write_bytes(b"nothing")
    job = mpirun(
        2, "compare", "--model", model, "--images", images, "--out", tmp_path / "out",
        "--compare.finders", "[]",
    )  # fmt: skip
    assert job.returncode == 2
    [line] = told(job)
    assert "noise-00002.fits" in line
