"""Evaluation counts tiles as the paper does, and never on images the model has seen."""

import json
from dataclasses import replace

import numpy as np
import pytest
from support.fields import NOISE, write, write_pairs
from support.models import brightest_pixel_model, write_untrained

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.evaluation import evaluate
from cosmodeep_hpc.evaluation.overlay import on_grid
from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.paper import evaluations
from cosmodeep_hpc.parallel.world import alone, open_world
from cosmodeep_hpc.tiles.make import fingerprint_of
from cosmodeep_hpc.tiles.pairs import find_pairs


def evaluated(signal, probability, name="a"):
    n = len(signal)
    return evaluate.Evaluated(
        name=name,
        row=np.zeros(n, dtype=np.int32),
        col=np.arange(n, dtype=np.int32),
        signal=np.array(signal, dtype=bool),
        probability=np.array(probability, dtype=np.float32),
    )


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(b"x")
    return replace(brightest_pixel_model(), path=path)


def test_summary_by_hand(model):
    """Equation 2 of the paper on two small images, threshold 0.5, tiles at it found."""
    images = [
        evaluated([1, 1, 0, 0], [0.9, 0.5, 0.5, 0.1], "a"),  # Nsc 2 Nsw 0 Nvc 1 Nvw 1
        evaluated([1, 0, 0, 0], [0.4, 0.0, 0.2, 0.3], "b"),  # Nsc 0 Nsw 1 Nvc 3 Nvw 0
    ]
    result = evaluate.summary(model, images)
    assert result["total"] == {
        "As": 2 / (3 + 1),
        "Ws": 2 / 3,
        "Wv": 4 / 5,
        **{"Ns": 3, "Nv": 5, "Nsc": 2, "Nsw": 1, "Nvc": 4, "Nvw": 1},
    }
    assert result["an_image"]["a"]["As"] == 2 / 3 and result["an_image"]["b"]["As"] == 0
    assert result["mean"]["As"]["mean"] == pytest.approx(1 / 3)
    # standard error of two values: half their difference
    assert result["mean"]["As"]["standard_error"] == pytest.approx(1 / 3)


def test_an_image_without_signal_has_no_completeness(model):
    result = evaluate.summary(model, [evaluated([0, 0], [0.1, 0.2])])
    assert result["total"]["Ws"] is None and result["total"]["Wv"] == 1
    assert "-" in evaluate.table(result)
    json.dumps(result, allow_nan=False)


def test_labels_and_places_of_a_pair(tmp_path):
    """One bright tile, one with exactly N_pix bright pixels, one partial: 40, 41 and none."""
    sky = np.zeros((80, 130), dtype=np.float32)
    sky[0, :40] = 2e-7  # tile (0, 0): exactly 40 pixels, noise
    sky[41, 40:80] = sky[42, 40] = 2e-7  # tile (1, 1): 41, signal
    sky[:, 120:] = 1.0  # partial tiles do not count
    noise = sky + np.random.default_rng(0).normal(0, NOISE, sky.shape).astype(np.float32)
    write(tmp_path / "sky-a.fits", sky)
    write(tmp_path / "noise-a.fits", noise)
    [pair] = find_pairs(tmp_path)
    found = evaluate.evaluate_pair(brightest_pixel_model(), pair, Config())
    where = on_grid(found, found.signal, (2, 4))
    assert np.argwhere(where).tolist() == [[1, 1]]
    assert len(found.signal) == 6


def test_an_image_the_model_has_seen_is_refused(tmp_path):
    """Also under another name: it is known by its pixels."""
    pixels = np.random.default_rng(0).normal(0, NOISE, (80, 80)).astype(np.float32)
    write(tmp_path / "sky-renamed.fits", np.zeros_like(pixels))
    write(tmp_path / "noise-renamed.fits", pixels)
    [pair] = find_pairs(tmp_path)
    seen = fingerprint_of(open_image(pair.noise).pixels())
    with pytest.raises(InputError, match="trained on this image"):
        evaluate.evaluate_pair(brightest_pixel_model(trained_on=(seen,)), pair, Config())


def test_images_without_a_whole_tile_are_named(tmp_path, world):
    write_pairs(tmp_path / "small", 1, (30, 30))
    model = write_untrained(tmp_path / "model.keras")
    with pytest.raises(InputError, match="small: no tile of 40 x 40"):
        evaluate.run(Config(), str(model), tmp_path / "small", tmp_path / "out", world)


def test_run_writes_metrics_and_overlays(tmp_path):
    write_pairs(tmp_path / "images", 2, (120, 160))
    model = write_untrained(tmp_path / "model.keras")
    result = evaluate.run(Config(), str(model), tmp_path / "images", tmp_path / "out", open_world())
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["total"] == result["total"]
    assert written["total"]["Ns"] + written["total"]["Nv"] == 2 * 3 * 4
    assert written["pixels"] is written["objects"] is None  # this network knows tiles alone
    assert "tiles alone" in evaluate.table(result)
    names = {p.name for p in (tmp_path / "out").glob("*.png")}
    assert names == {f"overlay-0000{i}-{kind}.png" for i in (0, 1) for kind in ("sky", "noise")}


@pytest.mark.parametrize("point, threshold", [("accuracy", 0.5), ("purity", 0.97)])
def test_judged_at_the_operating_point_that_is_asked_for(tmp_path, point, threshold):
    write_pairs(tmp_path / "images", 1, (120, 160))
    model = write_untrained(tmp_path / "model.keras", purity=0.97)
    settings = replace(Config(), classify=replace(Config().classify, point=point))
    result = evaluate.run(settings, str(model), tmp_path / "images", tmp_path / "out", open_world())
    assert (result["threshold"], result["point"]) == (threshold, point)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["point"] == point
    assert evaluations.read(tmp_path / "out" / "metrics.json").point == point


def evaluation(folder, images, out):
    model = folder / "model.keras"
    model = model if model.exists() else write_untrained(model)
    return evaluate.run(Config(), str(model), images, out, alone())


def test_an_evaluation_replaces_the_earlier_one_wholly(tmp_path):
    """No picture of other images stays, not even one that a killed job left."""
    first = write_pairs(tmp_path / "first", 2, (80, 120))
    second = tmp_path / "second"
    write_pairs(second, 1, (80, 120), seed=9)
    for path in list(second.iterdir()):
        path.rename(second / path.name.replace("00000", "b"))
    out = tmp_path / "out"
    evaluation(tmp_path, first, out)
    (out / "overlay-killed-sky.png").touch()
    (out / "notes.txt").touch()
    result = evaluation(tmp_path, second, out)
    assert {path.name for path in out.iterdir()} == {
        "metrics.json", "config.json", "overlay-b-sky.png", "overlay-b-noise.png", "notes.txt"
    }  # fmt: skip
    assert json.loads((out / "metrics.json").read_text()) == result


def test_an_evaluation_that_is_refused_leaves_the_earlier_one(tmp_path):
    out = tmp_path / "out"
    evaluation(tmp_path, write_pairs(tmp_path / "images", 1, (80, 120)), out)
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(InputError, match="no tile of 40 x 40"):
        evaluation(tmp_path, write_pairs(tmp_path / "small", 1, (30, 30)), out)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    "name, content",
    [("metrics.json", "[1]"), ("metrics.json", '{"total": 1}'), ("metrics.json", "no JSON"),
     ("config.json", "{}")],
)  # fmt: skip
def test_files_that_no_evaluation_has_left_are_not_written_over(tmp_path, name, content):
    """Such as the configuration of a training run."""
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text(content)
    with pytest.raises(InputError, match=rf"{name}: already exists and was not written by eval"):
        evaluation(tmp_path, write_pairs(tmp_path / "images", 1, (80, 120)), out)
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [(name, content)]
