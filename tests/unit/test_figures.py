"""The stage `report` draws what it can, says what is missing, and names what is wrong."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from support.fields import write_pairs
from support.models import CARD, brightest_pixel_model, write_untrained
from support.pictures import look

from cosmodeep_hpc.cli.main import main
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.evaluation import evaluate
from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.paper import figures
from cosmodeep_hpc.paper.figures import FigureRequest
from cosmodeep_hpc.tiles.make import fingerprint_of

IMAGES = {
    "network.png",
    "tile-labels.png",
    "tile-labels-zoom.png",
    "classified.png",
    "tiles-by-kind.png",
    "regions.png",
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three pairs with signal, and the halos of the second; do not write in it."""
    folder = write_pairs(tmp_path_factory.mktemp("images"), 3, (200, 240))
    table = {"RA": [150.0], "DEC": [-35.0], "M100": [3e14], "THETA100": [300.0]}
    Table(table).write(folder / "halos-00001.fits")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_untrained(tmp_path_factory.mktemp("model") / "mine.keras", threshold=0.3)


@pytest.fixture(scope="module")
def evaluations(images, model, world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluations")
    evaluate.run(Config(), str(model), images, folder / "one", world)
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_without_anything_the_network_is_drawn_and_the_rest_is_asked_for(tmp_path, model, world):
    said = figures.run(Config(), FigureRequest(models=(str(model),)), tmp_path, world)
    assert names(tmp_path) == {"network.png"}
    assert "mine: 677,250 parameters" in said
    for option in ("--sky", "--images", "--evaluations"):
        assert f"skipped: give {option}" in said


def test_all_figures_of_images_with_halos(tmp_path, images, model, world):
    request = FigureRequest(models=(str(model),), images=images, image="00001")
    said = figures.run(Config(), request, tmp_path, world)
    assert names(tmp_path) == IMAGES | {"flux-distribution.png", "flux-distribution.json"}
    for path in tmp_path.glob("*.png"):
        look(path)
    assert "sky-00001.fits" in said and "noise-00001.fits" in said
    counts = [int(word) for word in said.split("tiles-by-kind.png")[1].split()[:8:2]]
    assert sum(counts) == 3 * 5 * 6  # all tiles of the three images are of one kind


def test_an_image_without_halos_has_no_figure_11(tmp_path, images, model, world):
    said = figures.run(
        Config(), FigureRequest(models=(str(model),), images=images), tmp_path, world
    )
    assert names(tmp_path) == IMAGES
    assert f"skipped: no halos of the field in {images / 'halos-00000.fits'}" in said


def test_the_same_regions_by_several_models(tmp_path, images, model, world):
    other = write_untrained(tmp_path / "other.keras", seed=2, n_pix=9, f_th=5e-8, threshold=0.3)
    request = FigureRequest(models=(str(model), str(other)), images=images)
    said = figures.run(Config(), request, tmp_path / "out", world)
    assert "sky-00000.fits, 1 region by 2 models" in said  # its 5 x 6 tiles are one region
    made = {name for name in names(tmp_path / "out") if name.startswith("classified")}
    assert made == {"classified-npix40-fth1e-07.png", "classified-npix9-fth5e-08.png"}


def test_table_and_reliability_of_an_evaluation(tmp_path, evaluations, model, world):
    request = FigureRequest(models=(str(model),), evaluations=evaluations)
    said = figures.run(Config(), request, tmp_path, world)
    assert names(tmp_path) == {
        "network.png", "reliability.png", "table2.txt", "table2.md", "table2.json"
    }  # fmt: skip
    assert said.endswith((tmp_path / "table2.txt").read_text().strip())
    written = json.loads((evaluations / "one" / "metrics.json").read_text())
    assert written["model"]["seed"] == CARD.seed and written["model"]["images_seen"] == 0
    assert sum(written["reliability"]["tiles"]) == 3 * 5 * 6
    assert sum(written["reliability"]["signal"]) == written["total"]["Ns"]


def test_an_evaluation_of_an_older_version_has_no_reliability(tmp_path, evaluations, model, world):
    content = json.loads((evaluations / "one" / "metrics.json").read_text())
    del content["reliability"]
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    request = FigureRequest(models=(str(model),), evaluations=tmp_path)
    said = figures.run(Config(), request, tmp_path / "out", world)
    assert "evaluate again" in said and not (tmp_path / "out" / "reliability.png").exists()


def test_images_that_a_model_has_seen_are_refused(tmp_path, images, world):
    seen = fingerprint_of(open_image(images / "noise-00002.fits").pixels())
    model = write_untrained(tmp_path / "seen.keras", trained_on=(seen,))
    request = FigureRequest(models=(str(model),), images=images)
    with pytest.raises(InputError, match="noise-00002.fits: the model was trained on this image"):
        figures.run(Config(), request, tmp_path / "out", world)


def test_an_unknown_image_is_named(images):
    with pytest.raises(InputError, match="no pair 'x'; expected one of 00000, 00001, 00002"):
        figures.sample(images, "x")


def test_an_image_of_no_folder_is_refused(tmp_path, model, world):
    with pytest.raises(InputError, match="expected --images DIR with it"):
        figures.run(Config(), FigureRequest(models=(str(model),), image="a"), tmp_path, world)


def test_a_sample_begins_with_the_image_that_is_drawn(images):
    assert [pair.name for pair in figures.sample(images, "00001")] == ["00001", "00000", "00002"]


def test_a_large_folder_gives_a_sample(tmp_path):
    write_pairs(tmp_path, 20, (40, 40))
    chosen = [int(pair.name) for pair in figures.sample(tmp_path, None)]
    assert len(chosen) == len(set(chosen)) == figures.SAMPLE
    assert chosen[0] == 0 and max(chosen) == 19


def test_pictures_of_models_of_one_rule_have_different_names():
    model = brightest_pixel_model()
    other = replace(model, card=replace(model.card, n_pix=9, f_th=7.5e-8))
    assert figures.endings([model]) == [""]
    assert figures.endings([model, other, model]) == [
        "-npix40-fth1e-07", "-npix9-fth7.5e-08", "-npix40-fth1e-07-run2"
    ]  # fmt: skip


def test_a_model_in_a_run_folder_is_called_by_it_and_what_it_is_in():
    model = brightest_pixel_model()
    assert figures.title_of(replace(model, path=Path("/a/seed-2/run/model.keras"))) == "seed-2/run"
    assert figures.title_of(replace(model, path=Path("/run/model.keras"))) == "run"
    assert figures.title_of(replace(model, path=Path("run/model.keras"))) == "run"
    assert figures.title_of(replace(model, path=Path("/a/seed-2/mine.keras"))) == "mine"


@pytest.mark.parametrize("mass", ["-1", "0", "nan", "inf", "much"])
def test_a_mass_of_clusters_that_is_none_is_refused(tmp_path, capsys, mass):
    assert main(["report", "--out", str(tmp_path / "out"), "--cluster-mass", mass]) == 2
    assert "--cluster-mass" in capsys.readouterr().err


def test_the_command_draws_with_the_model_that_ships(tmp_path, capsys):
    assert main(["report", "--out", str(tmp_path)]) == 0
    assert "paper-npix40: 677,250 parameters" in capsys.readouterr().out
    assert main(["report", "--out", str(tmp_path), "--images", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_kinds_are_those_of_evaluate(images, model, world, tmp_path):
    """The counts of the gallery are the paper's Nsc, Nsw, Nvw and Nvc of the same images."""
    result = evaluate.run(Config(), str(model), images, tmp_path / "acc", world)
    request = FigureRequest(models=(str(model),), images=images)
    said = figures.run(Config(), request, tmp_path / "out", world)
    total = result["total"]
    assert f"{total['Nsc']} 1C, {total['Nsw']} 1F, {total['Nvw']} 0F, {total['Nvc']} 0C" in said
    assert np.isclose(total["Nsc"] + total["Nsw"], total["Ns"])
