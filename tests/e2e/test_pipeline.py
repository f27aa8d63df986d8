"""The whole way on 2 ranks, small: box, images, tiles, training, accuracy, sweep."""

import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from support.launch import mpirun

OPTIONS = {
    "sky.mesh": 48,
    "sky.sides": "[50, 100]",
    "sky.seeds": "[1]",
    "sky.test_seeds": "[101]",
    "sky.z_far": 0.2,
    # a coarse box is faint: shocks as bright as can be, and labels at the lowest threshold
    "sky.efficiency": 0.9,
    "instrument.pixels": 400,
    "tiles.images_per_shard": 2,
    "tiles.validation": 0.25,
    "label.f_th": 1e-8,
    "label.n_pix": 9,
    "train.epochs": 5,
    "train.learning_rate": 3e-4,
    "train.log_steps": 1,
}


def run(ranks, *words):
    changes = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
    done = mpirun(ranks, words[0], *changes, *words[1:], timeout=200)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """The folder of everything a small pipeline makes."""
    folder = tmp_path_factory.mktemp("house")
    run(2, "mock", "--out", folder / "images", "--images", 6)
    run(1, "mock", "--out", folder / "test", "--images", 2, "--test")
    run(2, "tiles", "--images", folder / "images", "--out", folder / "tiles")
    run(2, "train", "--tiles", folder / "tiles", "--out", folder / "run")
    return folder


def test_every_stage_leaves_what_the_next_one_reads(house):
    index = json.loads((house / "tiles" / "index.json").read_text())
    assert index["rows"] == 6 * 100
    assert sorted(i["split"] for i in index["images"]) == ["train"] * 4 + ["validation"] * 2
    for folder in ("images", "test"):
        for kind in ("sky", "noise", "halos"):
            assert (house / folder / f"{kind}-00001.fits").exists()
    for folder, seed in (("images", 1), ("test", 101)):
        boxes = {path.name for path in (house / folder / "boxes").iterdir()}
        assert boxes == {f"box-{side}-{seed}.h5" for side in (50, 100)}
    for folder in ("images", "tiles", "run"):
        resolved = json.loads((house / folder / "config.json").read_text())
        assert resolved["sky"]["mesh"] == 48
    lines = [json.loads(x) for x in (house / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "train"]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert any(line["kind"] == "validation" for line in lines)


def test_accuracy_on_images_of_another_box(house):
    said = run(
        2, "evaluate", "--model", house / "run", "--images", house / "test", "--out", house / "acc"
    )
    result = json.loads((house / "acc" / "metrics.json").read_text())
    assert result["total"]["Ns"] + result["total"]["Nv"] == 200
    assert f"{result['total']['Ws']:.4f}" in said


def test_training_images_are_refused(house, tmp_path):
    words = ("evaluate", "--model", house / "run", "--images", house / "images")
    done = mpirun(1, *words, "--out", tmp_path, timeout=100)
    assert done.returncode == 2 and "trained on this image" in done.stdout


def test_sweep_of_an_unseen_field(house):
    field = house / "test" / "noise-00001.fits"
    run(2, "classify", field, "--model", house / "run", "--out", house / "products")
    mask = fits.open(house / "products" / "noise-00001.mask.fits")[0]
    assert mask.shape == (400, 400) and set(np.unique(mask.data)) <= {0, 1}
    here, there = WCS(mask.header), WCS(fits.getheader(field))
    np.testing.assert_allclose(
        there.world_to_pixel(here.pixel_to_world([0, 399], [0, 399])), [[0, 399]] * 2, atol=0.01
    )
