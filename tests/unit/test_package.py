"""What `import cosmodeep_hpc` offers."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.fields import NOISE, header, write, write_pairs
from support.models import write_untrained

import cosmodeep_hpc as cd
from cosmodeep_hpc.cli.main import main
from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.learn.card import Card
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.tiles.tileset import TileSet


def test_the_package_is_imported_without_its_libraries():
    """And each public name brings what it needs, when it is asked for."""
    code = (
        "import sys, cosmodeep_hpc as cd\n"
        "heavy = {'numpy', 'astropy', 'scipy', 'numba', 'h5py', 'keras', 'mpi4py', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert set(cd.__all__) <= set(dir(cd))\n"
        "for name in cd.__all__: assert getattr(cd, name) is not None\n"
        "print(heavy & {'mpi4py', 'keras', 'matplotlib'} & set(sys.modules))"
    )
    job = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert job.returncode == 0, job.stderr
    assert job.stdout == "set()\n"


def test_public_names_are_those_of_their_rooms():
    assert cd.Config is Config and cd.TileSet is TileSet
    with pytest.raises(AttributeError, match="has no attribute 'clasify'"):
        _ = cd.clasify


ROOMS = (
    "errors", "parallel", "io", "config", "engine", "images", "noise", "tiles", "sky", "learn",
    "survey", "islands", "products", "injection", "evaluation", "comparison", "paper", "bench",
    "doctor", "cli", "api",
)  # fmt: skip
"""From the lowest to the highest: a room imports from those before it alone."""


def rooms_imported(path):
    """Also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            words = name.split(".")
            if words[0] == "cosmodeep_hpc" and words[1] != "__version__":
                yield words[1]


def test_rooms_import_downwards():
    package = Path(cd.__file__).parent
    seen = set()
    for path in package.rglob("*.py"):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        if room not in ("__init__", "__main__"):
            seen.add(room)
            above = ROOMS[ROOMS.index(room) + 1 :]
            assert not set(rooms_imported(path)) & set(above), path
    assert seen == set(ROOMS)


def test_models_that_ship_with_their_cards():
    found = cd.models()
    assert {"robust", "counts", "paper-npix40"} <= set(found)
    assert all(isinstance(card, Card) for card in found.values())
    assert found["paper-npix40"].n_pix == 40


def test_a_model_is_loaded_once_for_many_calls(tmp_path, tf):
    path = write_untrained(tmp_path / "m.keras", completeness=0.25)
    model = cd.load_model(path)
    assert isinstance(model, TrainedModel)
    pixels = np.random.default_rng(1).normal(0, NOISE, (80, 120)).astype(np.float32)
    image = write(tmp_path / "a.fits", pixels)
    once = cd.classify(image, model=path)
    for _ in range(2):
        found = cd.classify(image, model=model)
        np.testing.assert_array_equal(found.probability, once.probability)
        assert found.record == once.record
    assert cd.load_model(path, point="completeness").card.threshold == 0.25
    assert cd.classify(image, model=model, point="completeness").threshold == 0.25
    assert cd.classify(image, model=model).threshold == once.threshold == 0.5
    with pytest.raises(cd.InputError, match="no such model"):
        cd.load_model(tmp_path / "absent")


def test_the_rule_of_a_model_of_many(tf):
    """As the command's --label.f_th and --label.n_pix."""
    model = cd.load_model("counts", f_th=5e-8, n_pix=9)
    assert (model.card.f_th, model.card.n_pix) == (5e-8, 9)
    pixels = np.random.default_rng(1).normal(0, NOISE, (80, 80)).astype(np.float32)
    found = cd.classify(pixels, header((80, 80)), model="counts", f_th=5e-8, n_pix=9)
    given = cd.classify(pixels, header((80, 80)), model=model)
    for name in ("probability", "tile_probability", "tiles"):
        np.testing.assert_array_equal(getattr(found, name), getattr(given, name))
    assert found.threshold == given.threshold == model.card.pixel_map.at(5e-8).threshold
    assert found.record["tile_threshold"] == model.card.threshold
    again = cd.classify(pixels, header((80, 80)), model=model, n_pix=40, f_th=1e-7)
    own = cd.load_model("counts").card
    assert again.threshold == own.pixel_map.at(1e-7).threshold
    assert again.record["tile_threshold"] == own.threshold != found.record["tile_threshold"]
    assert abs(again.probability - found.probability).max() > 0


def test_an_image_is_opened_from_a_file_or_an_array(tmp_path):
    pixels = np.random.default_rng(1).normal(0, NOISE, (80, 120)).astype(np.float32)
    path = write(tmp_path / "a.fits", pixels, BUNIT="Jy/beam")
    about = header((80, 120))
    about["BUNIT"] = "Jy/beam"
    one, other = cd.open_image(str(path)), cd.open_image(pixels, about)
    np.testing.assert_array_equal(one.pixels(), other.pixels())
    np.testing.assert_allclose(one.pixels(), pixels / one.beam.area, rtol=1e-6)
    assert cd.open_image(path, beam=(20, 20, 0)).beam.major == 20
    cube = np.stack([pixels, 2 * pixels])
    about["CTYPE3"] = "FREQ"
    with pytest.raises(cd.InputError, match="array: axes of 120 x 80 x 2 pixels; expected one"):
        cd.open_image(cube, about)
    np.testing.assert_array_equal(cd.open_image(cube, about, plane=1).pixels(), 2 * one.pixels())


def test_evaluation_is_that_of_the_command(tmp_path, tf, capsys):
    model, out = write_untrained(tmp_path / "m.keras"), tmp_path / "out"
    images = write_pairs(tmp_path / "images", 2, (160, 200), seed=9)
    words = ["evaluate", "--model", model, "--images", images, "--out", out]
    assert main([str(word) for word in words]) == 0
    found = cd.evaluate(model, images)
    assert json.loads(json.dumps(found)) == json.loads((out / "metrics.json").read_text())
    assert cd.evaluate(cd.load_model(model), str(images), tmp_path / "kept") == found
    assert (tmp_path / "kept" / "metrics.json").exists()


def test_mock_images_are_those_of_the_command(tmp_path, capsys):
    small = {
        "sky.mesh": "24", "sky.sides": "[40.0, 60.0]", "sky.reach": "6.0", "sky.seeds": "[1, 2]",
        "sky.test_seeds": "[3]", "sky.steps": "6", "sky.snapshots": "[0.05, 0.1]",
        "sky.z_far": "0.1", "sky.efficiency": "0.05", "sky.faintest": "0.0",
        "instrument.pixels": "120", "instrument.pixel_scale": "120.0", "instrument.beam": "120.0",
    }  # fmt: skip
    words = [word for name, value in small.items() for word in (f"--{name}", value)]
    assert main(["mock", "--out", str(tmp_path / "command"), "--images", "2", *words]) == 0
    made = cd.mock(tmp_path / "api", 2, config=configuration.load(None, list(small.items())))
    assert [pair.name for pair in made] == ["00000", "00001"]
    for pair in made:
        for path in (pair.sky, pair.noise):
            assert path.read_bytes() == (tmp_path / "command" / path.name).read_bytes()
    with pytest.raises(cd.InputError, match="0 pairs from number 0; expected 1 or more"):
        cd.mock(tmp_path / "none", 0)


def test_a_tile_set_is_read_from_its_folder(tiles):
    found = cd.TileSet.read(str(tiles))
    assert found.n_rows == 125 and found.folder == tiles
    with pytest.raises(cd.InputError, match="expected a finished tile set"):
        cd.TileSet.read(tiles / "absent")
