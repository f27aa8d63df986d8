"""A sweep and an evaluation give the same bytes on 1, 2 and 4 ranks."""

import hashlib
import json

import numpy as np
import pytest
from fields import NOISE, blobs, write, write_pairs
from launch import mpirun
from models import write_untrained


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def model(tmp_path_factory, tf):
    """An untrained network with a threshold that its probabilities lie on both sides of."""
    return write_untrained(tmp_path_factory.mktemp("model") / "model.keras")


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory):
    """An image of odd size with a blank part: stripes of unequal cost."""
    folder = tmp_path_factory.mktemp("mosaic")
    random = np.random.default_rng(5)
    pixels = blobs((1230, 850), 40, 5) + random.normal(0, NOISE, (1230, 850))
    pixels[300:700, :500] = np.nan
    return write(folder / "mosaic.fits", pixels.astype(np.float32))


@pytest.fixture(scope="module")
def alone(model, mosaic, tmp_path_factory):
    """The products of one rank."""
    out = tmp_path_factory.mktemp("alone")
    done = mpirun(1, *sweep(model, mosaic, out), timeout=90)
    assert done.returncode == 0, done.stdout
    return out


def sweep(model, mosaic, out):
    return "classify", mosaic, "--model", model, "--out", out, "--classify.batch", 60


@pytest.mark.parametrize("ranks", [2, 4])
def test_products_are_the_same_bytes(ranks, model, mosaic, alone, tmp_path):
    done = mpirun(ranks, *sweep(model, mosaic, tmp_path), timeout=120)
    assert done.returncode == 0, done.stdout
    assert digests(tmp_path) == digests(alone)
    assert {p.name.removeprefix("mosaic") for p in tmp_path.iterdir()} == {
        ".probability.fits",
        ".tiles.fits",
        ".mask.fits",
        ".png",
        ".json",
    }


def test_evaluation_is_the_same_bytes(model, tmp_path):
    images = write_pairs(tmp_path / "images", 5, (160, 200), seed=9)
    for ranks in (1, 2):
        out = tmp_path / str(ranks)
        words = ("evaluate", "--model", model, "--images", images, "--out", out)
        done = mpirun(ranks, *words, timeout=120)
        assert done.returncode == 0, done.stdout
        assert "As" in done.stdout
    assert digests(tmp_path / "1") == digests(tmp_path / "2")
    assert json.loads((tmp_path / "1" / "metrics.json").read_text())["images"] == 5


def test_a_mosaic_cut_short_ends_all_ranks(model, mosaic, tmp_path):
    """Found by its size before any work is done; the line names file, found and expected."""
    short = tmp_path / "short.fits"
    short.write_bytes(mosaic.read_bytes()[:2_000_000])
    done = mpirun(2, *sweep(model, short, tmp_path / "out"), timeout=60)
    assert done.returncode == 2
    assert "short.fits: truncated: 2000000 bytes" in done.stdout
    assert not list((tmp_path / "out").glob("*"))
