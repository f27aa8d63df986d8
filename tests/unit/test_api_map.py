"""A map of pixels in memory and in files: what `classify` gives of a model that has one."""

import copy
import pickle

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from support.fields import NOISE, header, write
from support.models import random_map, write_counts

import cosmodeep_hpc as cd
from cosmodeep_hpc.cli.main import main
from cosmodeep_hpc.config.survey import ALL_PRODUCTS

SHAPE = (241, 203)


@pytest.fixture(scope="module")
def model(tf, tmp_path_factory):
    """An untrained network; half of what it sees is signal."""
    return write_counts(tmp_path_factory.mktemp("model") / "counts.keras", pixels=random_map())


@pytest.fixture(scope="module")
def pixels():
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    made = np.random.default_rng(4).normal(0, NOISE, SHAPE)
    for row, col, width in ((60, 50, 6), (170, 140, 25), (200, 20, 2)):
        away = (y - row) ** 2 + (x - col) ** 2
        made += 8 * NOISE * np.exp(-away / (2 * width**2))
    made[100:130, 150:] = np.nan
    return made.astype(np.float32)


@pytest.fixture(scope="module")
def image(pixels, tmp_path_factory):
    return write(tmp_path_factory.mktemp("image") / "field.fits", pixels)


@pytest.fixture(scope="module")
def options(image, model):
    """A threshold that half of the cells reach, so that there are islands of all kinds."""
    half = float(np.nanmedian(cd.classify(image, model=model).probability))
    return {"threshold": half, "high_threshold": half}


@pytest.fixture(scope="module")
def found(image, model, options):
    made = cd.classify(image, model=model, **options)
    assert len(made.islands) > 5
    return made


def test_the_command_writes_the_same_bytes(found, image, model, options, tmp_path):
    """It has the map in a file that ranks write, Python in memory."""
    out, words = tmp_path / "command", [f"--threshold={options['threshold']}"]
    words += [f"--classify.high_threshold={options['high_threshold']}"]
    words += ["--classify.products", str(list(ALL_PRODUCTS)).replace("'", '"')]
    assert main(["classify", str(image), "--model", str(model), "--out", str(out), *words]) == 0
    found.write(tmp_path / "api", ALL_PRODUCTS)
    by_command = {p.name: p.read_bytes() for p in out.iterdir() if p.name != "summary.csv"}
    by_python = {p.name: p.read_bytes() for p in (tmp_path / "api").iterdir()}
    assert by_command == by_python and len(by_python) == len(ALL_PRODUCTS) + 1


def test_arrays_are_those_of_the_files(found, tmp_path):
    files = found.write(tmp_path, ALL_PRODUCTS)
    for kind, array in (
        ("probability", found.probability),
        ("tile_probability", found.tile_probability),
        ("tiles", found.tiles),
        ("mask", found.mask),
    ):
        np.testing.assert_array_equal(fits.getdata(files[kind]), array)
    assert found.probability.shape == (121, 102) and found.mask.shape == SHAPE
    assert found.tiles.shape == found.tile_probability.shape == (7, 6)
    assert len(found.islands) == len(fits.getdata(files["islands_fits"]))


@pytest.mark.parametrize("name, size", [("probability_wcs", 2), ("tile_wcs", 40)])
def test_grids_lie_where_the_image_does(found, name, size):
    x, y = np.meshgrid([0, 3, 5], [0, 2, 6])
    centre = [(v + 0.5) * size - 0.5 for v in (x, y)]
    there = getattr(found, name).pixel_to_world(x, y)
    assert there.separation(WCS(header(SHAPE)).pixel_to_world(*centre)).max() < 1 * u.mas


def test_an_array_has_the_map_of_its_file(found, pixels, model, options):
    other = cd.classify(pixels, header(SHAPE), model=model, **options)
    np.testing.assert_array_equal(other.probability, found.probability)
    np.testing.assert_array_equal(other.mask, found.mask)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_a_result_may_be_copied_and_sent(found, again):
    other = again(found)
    np.testing.assert_array_equal(other.probability, found.probability)
    np.testing.assert_array_equal(other.mask, found.mask)
    assert other.record == found.record


def test_the_mask_is_of_the_map_and_the_table_of_its_islands(found, options):
    signal = found.mask[::2, ::2] == 1
    assert (found.probability[signal] >= options["threshold"]).all()
    assert signal.sum() == found.islands["n_cells"].sum()
    np.testing.assert_array_equal(found.mask[::2, ::2] == 255, np.isnan(found.probability))
    assert found.islands["max_probability"].min() >= options["high_threshold"]


@pytest.mark.parametrize("point", ["completeness", "purity"])
def test_a_point_that_the_map_does_not_know_is_refused(image, tf, tmp_path, point, capsys):
    """Though its tiles have one."""
    path = write_counts(tmp_path / "a.keras")
    with pytest.raises(cd.InputError, match=rf"a\.keras: no threshold for a {point} of 0\.95 of"):
        cd.classify(image, model=path, point=point)
    words = ["classify", str(image), "--model", str(path), "--out", str(tmp_path / "out")]
    assert main([*words, "--classify.point", point]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert cd.classify(image, model=path, point=point, threshold=0.4).threshold == 0.4
