"""The map of pixels in a model file: kept as it is, damaged, or of a network that has none."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from support.models import random_map, weights_of, write_counts

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.learn.classifier import outputs
from cosmodeep_hpc.learn.pixelmap import MapPoints, PixelMap

pytestmark = pytest.mark.usefixtures("tf")


def with_card(path, to, content):
    """The model with another card."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            card = json.dumps(content)
            new.writestr(name, card if name == modelfile.CARD else old.read(name))
    return to


@pytest.fixture(scope="module")
def counts(tf, tmp_path_factory):
    """A counts network with a map."""
    points = replace(MapPoints(threshold=0.3, purity=0.8), reliability=((0.1, 0.2, 7),))
    known = replace(random_map(), points=(points, MapPoints()))
    return write_counts(tmp_path_factory.mktemp("counts") / "counts.keras", pixels=known)


def test_the_map_of_a_card_round_trip(counts, tmp_path):
    about = modelfile.read_card(counts)
    assert about.pixels == about.pixel_map and about.pixels.fusions == random_map().fusions
    assert about.pixels.at(1e-7).reliability == ((0.1, 0.2, 7),)
    modelfile.save_with_card(counts, replace(about, seed=9), tmp_path / "again.keras")
    assert modelfile.read_card(tmp_path / "again.keras") == replace(about, seed=9)
    np.testing.assert_array_equal(weights_of(tmp_path / "again.keras")[0], weights_of(counts)[0])


def test_a_card_of_format_4_has_the_map_of_its_finest_scale(tmp_path, counts):
    content = json.loads(zipfile.ZipFile(counts).read(modelfile.CARD))
    del content["pixels"]
    old = with_card(counts, tmp_path / "a.keras", content | {"format": 4})
    about = modelfile.read_card(old)
    assert about.pixels is None and about.pixel_map == PixelMap.plain((1e-7, 5e-8))


@pytest.mark.parametrize(
    "point, rule, threshold",
    [
        ("accuracy", (None, None), 0.3),
        ("purity", (None, None), 0.8),
        ("completeness", (None, None), None),
        ("accuracy", (5e-8, None), 0.5),
        ("purity", (5e-8, None), None),
    ],
)
def test_operating_points_of_a_map(counts, point, rule, threshold):
    """Those of its F_th."""
    model = modelfile.load(counts, rule=rule)
    if threshold is None:
        with pytest.raises(InputError, match=rf"no threshold for a {point} of 0\.95 of pixels"):
            modelfile.map_threshold(model, point)
    else:
        assert modelfile.map_threshold(model, point) == threshold


def of_other_rules(content):
    content["thresholds"][0] = 2e-7


def of_no_threshold(content):
    content["fusions"][0] = {"straight": [], "into": [], "shift": [], "out": [], "offset": []}


@pytest.mark.parametrize(
    "damage, said",
    [
        (of_other_rules, "its map has other thresholds than its rules"),
        (of_no_threshold, "a fusion has 0 inputs for 0 thresholds"),
        (lambda content: content["fusions"][2]["shift"].pop(), "a fusion's matrix is not 7 x 6"),
        (lambda content: content["points"].pop(), "a map does not have 2 thresholds throughout"),
        (lambda content: content.pop("points"), "'points'"),
        (lambda content: content["points"][0].update(best=1), "unexpected keyword argument 'best'"),
    ],
)
def test_a_card_with_a_damaged_map_is_refused(tmp_path, counts, damage, said):
    content = json.loads(zipfile.ZipFile(counts).read(modelfile.CARD))
    damage(content["pixels"])
    bad = with_card(counts, tmp_path / "a.keras", content)
    with pytest.raises(InputError, match=r"a\.keras: damaged model card") as caught:
        modelfile.read_card(bad)
    assert said in str(caught.value)


def test_a_counts_network_that_does_not_see_beyond_its_tiles_knows_tiles_alone(tf, tmp_path):
    """Zeros stand around each: it is no network over images."""
    path = write_counts(tmp_path / "a.keras", margin=0)
    tiles = np.random.default_rng(1).normal(size=(3, 40, 40)).astype(np.float32)
    model = modelfile.load(path)
    assert model.blocks is None and np.isfinite(outputs(model, tiles, 500)).all()
    assert modelfile.load(write_counts(tmp_path / "b.keras", margin=8, depth=2)).blocks is not None
