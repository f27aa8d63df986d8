"""The stage `compare` from a folder of pairs to its table, with source finders pretended."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from support.fields import NOISE, blobs, write, write_pairs
from support.heard import heard
from support.models import CARD, write_untrained

from cosmodeep_hpc.comparison import compare, finders, table
from cosmodeep_hpc.comparison.closeup import busiest
from cosmodeep_hpc.comparison.scoring import sigma_of
from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.evaluation import evaluate
from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.tiles.make import fingerprint_of

PRETENDED = """
import sys, numpy as np
from astropy.io import fits
from cosmodeep_hpc.comparison.finders import work

def islands(image, task):
    yield "0.0"
    pixels = fits.getdata(image)
    if pixels.shape[0] == 240:
        raise RuntimeError("cannot do this one")
    for threshold in task.thresholds:
        yield pixels > threshold * task.rms, 0.5

work(sys.argv[1:], islands)
"""
"""A finder without a least number of pixels, which fails on images of one size."""


@pytest.fixture
def model(tmp_path):
    return write_untrained(tmp_path / "model.keras")


@pytest.fixture
def pretended(monkeypatch):
    monkeypatch.setattr(finders, "missing", lambda names: {})
    monkeypatch.setattr(
        finders, "command", lambda name, folder: [sys.executable, "-c", PRETENDED, str(folder)]
    )


def settings(**changes):
    return configuration.load(None, [(f"compare.{name}", word) for name, word in changes.items()])


def run(model, images, out, world, **options):
    made = settings(**options.pop("changes", {}))
    return compare.run(made, str(model), images, out, world, **options)


def test_all_detectors_by_all_rules(tmp_path, model, pretended, world):
    write_pairs(tmp_path / "images", 2, (200, 160))
    write_pairs(tmp_path / "others", 1, (200, 160), seed=5)
    changes = {"rules": "paper", "closeups": "1", "scales": "[1.0, 3.0]"}
    result = run(
        model, tmp_path / "images", tmp_path / "out", world, choose=tmp_path / "others",
        changes=changes,
    )  # fmt: skip
    written = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert written == json.loads(json.dumps(result, allow_nan=False))
    assert result["chosen_on"] == "1 other images" and result["tiles"] == 2 * 20
    names = {"smoothed", "matched", "pybdsf", "pybdsf peak", "aegean"}
    assert len(result["rules"]) == 8  # the model's is one of them
    for number, entry in enumerate(result["rules"]):
        assert set(entry["detectors"]) == names | ({"cosmodeep"} if number == 0 else set())
        assert set(entry["limits"]) == {"tile alone", "tile and around"}
        for row in entry["detectors"].values():
            assert row["Ns"] == entry["signal_tiles"] and row["Ns"] + row["Nv"] == 40
    assert result["finders"] == {"pybdsf": "0.0", "aegean": "0.0", "continunet": "0.0"}
    assert result["seconds_an_image"]["pybdsf"] == 0.5
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "compare.json", "compare.png", "compare-objects.png", "config.json", "closeup-00000.png",
    }  # fmt: skip
    said = table.text(result)
    assert "pybdsf peak" in said and "N_pix" in said


def test_bright_wide_sources_are_found_by_all_and_islands_counted(
    tmp_path, model, pretended, world
):
    """One source of 30 sigma in the second of four tiles: every plain detector finds it alone."""
    y, x = np.mgrid[:80, :80]
    sky = (30 * NOISE * np.exp(-((y - 20) ** 2 + (x - 60) ** 2) / 50)).astype(np.float32)
    noise = sky + np.random.default_rng(2).normal(0, NOISE, sky.shape).astype(np.float32)
    write(tmp_path / "sky-a.fits", sky)
    write(tmp_path / "noise-a.fits", noise, NOISERMS=NOISE)
    result = run(
        model, tmp_path, tmp_path / "out", world, changes={"islands": "[3.0]", "drawn": "[]"}
    )
    [table] = result["rules"]
    assert table["signal_tiles"] == 1
    for name in ("smoothed", "matched", "pybdsf", "pybdsf peak", "aegean"):
        assert table["detectors"][name]["As"] == 1, name
    assert table["limits"]["tile alone"]["maximum_likelihood"]["As"] == pytest.approx(1, abs=1e-6)
    # by any pixel noise is found too: 1.35 in a thousand of 1600 pixels exceed 3 sigma
    bright = (noise > 3 * NOISE).reshape(2, 40, 2, 40).any(axis=(1, 3)).sum()
    [row] = result["islands"]["pybdsf"]
    assert row["any"] == {"tiles": bright, "purity": 1 / bright, "completeness": 1} and bright > 1
    assert row["more"] == {"tiles": 1, "purity": 1, "completeness": 1}
    pixels = result["islands"]["pybdsf peak"][0]
    assert pixels["false_islands"] == 0 and pixels["islands"] == 1
    assert 0 < row["false_area_deg2"] * 3600**2 / 9.6**2 < 0.004 * 6400
    assert result["by_flux"]["signal_tiles"] == [1]


def test_a_finder_that_fails_on_an_image_is_left_out_there(tmp_path, model, pretended, world):
    write_pairs(tmp_path / "images", 1, (160, 160))
    write(tmp_path / "images" / "sky-b.fits", sky := blobs((240, 160), 8, 3))
    noise = np.random.default_rng(1).normal(0, NOISE, sky.shape).astype(np.float32)
    write(tmp_path / "images" / "noise-b.fits", sky + noise)
    with heard() as said:
        result = run(model, tmp_path / "images", tmp_path / "out", world)
    rows = result["rules"][0]["detectors"]
    assert (rows["pybdsf"]["images"], rows["smoothed"]["images"]) == (1, 2)
    assert "b: pybdsf: RuntimeError: cannot do this one" in said


def test_finders_that_are_missing_leave_their_columns_out(tmp_path, model, monkeypatch, world):
    monkeypatch.setattr(finders, "find_spec", lambda module: None)
    write_pairs(tmp_path / "images", 1, (160, 160))
    with heard() as said:
        result = run(model, tmp_path / "images", tmp_path / "out", world)
    assert len(said) == 3 and all("not installed" in line for line in said)
    assert set(result["rules"][0]["detectors"]) == {"cosmodeep", "smoothed", "matched"}
    assert (
        result["missing"] == ["pybdsf", "aegean", "continunet"] and result["at_equal_purity"] == []
    )
    assert result["chosen_on"] == "the same images"
    assert (tmp_path / "out" / "closeup-00000.png").exists()  # of tiles alone
    assert table.text(result)


def test_images_that_must_not_be_used(tmp_path, monkeypatch, world):
    """Those the model has seen, and those that are both judged and chosen by: before the work."""
    monkeypatch.setattr(compare, "score_image", lambda request, pair: pytest.fail("work was done"))
    images = write_pairs(tmp_path / "images", 1, (80, 80))
    seen = fingerprint_of(open_image(images / "noise-00000.fits").pixels())
    model = write_untrained(tmp_path / "seen.keras", trained_on=(seen,))
    with pytest.raises(InputError, match="trained on this image"):
        run(model, images, tmp_path / "out", world)
    model = write_untrained(tmp_path / "model.keras")
    with pytest.raises(InputError, match="the same image as .*noise-00000.fits of --images"):
        run(model, images, tmp_path / "out", world, choose=images)


def test_images_without_a_whole_tile(tmp_path, model, pretended, world):
    write_pairs(tmp_path / "small", 1, (30, 30))
    with pytest.raises(InputError, match="no tile of 40 x 40"):
        run(model, tmp_path / "small", tmp_path / "out", world)


def test_a_comparison_replaces_the_earlier_one_wholly(tmp_path, model, world):
    images, out, changes = write_pairs(tmp_path / "images", 2, (80, 120)), tmp_path / "out", {}
    for closeups, drawn in (("2", {"00000", "00001"}), ("1", {"00000"})):
        changes = {"finders": "[]", "closeups": closeups}
        result = run(model, images, out, world, changes=changes)
        made = {"compare.json", "compare.png", "compare-objects.png", "config.json"}
        assert {path.name for path in out.iterdir()} == made | {f"closeup-{n}.png" for n in drawn}
        assert json.loads((out / "compare.json").read_text()) == result


@pytest.mark.parametrize("name", ["compare.json", "compare.png", "config.json"])
def test_files_that_no_comparison_has_left_are_not_written_over(tmp_path, model, world, name):
    images, out = write_pairs(tmp_path / "images", 1, (80, 120)), tmp_path / "out"
    out.mkdir()
    (out / name).write_text('{"source": "mine"}')
    with pytest.raises(InputError, match=rf"{name}: already exists and was not written by compare"):
        run(model, images, out, world, changes={"finders": "[]"})
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [
        (name, '{"source": "mine"}')
    ]


def test_noise_of_an_image(tmp_path):
    """Given in uJy/beam, said by the header, or measured."""
    pixels = np.random.default_rng(0).normal(0, NOISE, (200, 200)).astype(np.float32)
    silent = open_image(write(tmp_path / "a.fits", pixels))
    said = open_image(write(tmp_path / "b.fits", pixels, NOISERMS=0.9e-7))
    assert sigma_of(said, pixels, 0.0) == 0.9e-7
    assert sigma_of(silent, pixels, 0.0) == pytest.approx(NOISE, rel=0.02)
    assert sigma_of(said, pixels, 10.0) == pytest.approx(1e-5 / 113.3, rel=1e-3)


def test_the_window_with_most_signal():
    signal = np.zeros((6, 8), dtype=bool)
    signal[0, 0] = signal[3, 4] = signal[4, 5] = True
    assert busiest(signal, 2, 2) == (3, 4)
    assert busiest(signal, 6, 8) == (0, 0)
    assert busiest(signal & False, 2, 2) == (0, 0)


@pytest.mark.parametrize(
    "option, said",
    [
        ({"drawn": "[1.6]"}, "which has no 1.6"),
        ({"kernels": "[]"}, "distinct values"),
        ({"islands": "[3.0, 3.0]"}, "distinct values"),
        ({"finders": '["sextractor"]'}, "expected one of 'pybdsf', 'aegean'"),
    ],
)
def test_options_that_make_no_sense(option, said):
    with pytest.raises(InputError, match=said):
        settings(**option)


@pytest.mark.parametrize("margin", [0, 8])
def test_the_network_is_judged_as_evaluate_does(tmp_path, pretended, world, margin):
    """The same counts, with what a model sees around a tile and at its operating point."""
    write_pairs(tmp_path / "images", 2, (160, 200))
    preprocessing = replace(CARD.preprocessing, margin=margin)
    model = write_untrained(tmp_path / "model.keras", preprocessing=preprocessing)
    card = modelfile.read_card(model)
    expected = evaluate.run(settings(), str(model), tmp_path / "images", tmp_path / "a", world)
    result = run(model, tmp_path / "images", tmp_path / "b", world, changes={"finders": "[]"})
    row = result["rules"][0]["detectors"]["cosmodeep"]
    assert row["threshold"] == card.threshold
    assert {name: row[name] for name in expected["total"]} == expected["total"]
    assert row["an_image"] == expected["an_image"]
