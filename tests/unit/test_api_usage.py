"""What callers from Python may give wrongly, and the one line that they get."""

import inspect
import traceback

import numpy as np
import pytest
from support.fields import NOISE, header, write
from support.models import model_in_file

import cosmodeep_hpc as cd

SHAPE = (80, 120)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).normal(0, NOISE, SHAPE).astype(np.float32)


@pytest.fixture(scope="module")
def found(pixels, tmp_path_factory):
    model = model_in_file(tmp_path_factory.mktemp("model"))
    return cd.classify(pixels, header(SHAPE), model=model)


@pytest.mark.parametrize("name", ["header", "wcs", "about"])
def test_a_header_that_is_given_by_a_name_is_told_its_place(pixels, name):
    with pytest.raises(TypeError, match=rf"'{name}'; expected it second, without a name: class"):
        cd.classify(pixels, **{name: header(SHAPE)})


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda found: cd.load_model(3), "name = 3: expected a path"),
        (lambda found: cd.mock(3), "out = 3: expected a path"),
        (lambda found: cd.mock("m", simulation=[3]), "simulation = 3: expected a path"),
        (lambda found: cd.evaluate("robust", 3), "images = 3: expected a path"),
        (lambda found: cd.evaluate(3, "images"), "model = 3: expected a path"),
        (lambda found: cd.evaluate("robust", "images", 3), "out = 3: expected a path"),
        (lambda found: cd.TileSet.read(3), "folder = 3: expected a path"),
        (lambda found: found.write(3), "folder = 3: expected a path"),
    ],
)
def test_what_is_no_path_is_a_type_error_that_says_so(call, said, found):
    with pytest.raises(TypeError) as refused:
        call(found)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda found: cd.classify(""), "image = '': an empty name; expected a path"),
        (lambda found: cd.open_image(""), "image = '': an empty name; expected a path"),
        (lambda found: cd.classify("a.fits", model=""), "model = '': an empty name; expected a"),
        (lambda found: cd.classify("a.fits", rms=""), "rms = '': an empty name; expected a path"),
        (lambda found: cd.load_model(""), "name = '': an empty name; expected a path"),
        (lambda found: found.write(""), "folder = '': an empty name; expected a path"),
        (lambda found: cd.mock("m", "4"), "mock: images = '4': expected a whole number"),
        (lambda found: cd.mock("m", 1.5), "mock: images = 1.5: expected a whole number"),
        (lambda found: cd.mock("m", first=None), "mock: first = None: expected a whole number"),
        (lambda found: cd.mock("m", simulation="no.h5"), "no.h5: no such file"),
    ],
)
def test_other_values_are_refused_in_one_line(call, said, found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(cd.InputError) as refused:
        call(found)
    assert str(refused.value).startswith(said)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "call",
    [
        lambda folder, found: cd.classify(folder / "absent.fits"),
        lambda folder, found: cd.open_image(folder / "bad.fits"),
        lambda folder, found: cd.load_model(folder / "bad.keras"),
        lambda folder, found: cd.evaluate("robust", folder / "absent"),
        lambda folder, found: cd.mock(folder / "bad.fits" / "m"),
        lambda folder, found: cd.TileSet.read(folder / "tiles"),
        lambda folder, found: found.write(folder / "bad.fits" / "m"),
    ],
)
def test_a_notebook_shows_one_line_and_no_call_inside(call, found, tmp_path):
    """Neither what led to the error."""
    write(tmp_path / "bad.fits", np.ones((8, 8), np.float32), BUNIT="parsec")
    (tmp_path / "bad.keras").write_text("hello")
    (tmp_path / "tiles").mkdir()
    (tmp_path / "tiles" / "index.json").write_text("no JSON")
    with pytest.raises(cd.InputError) as refused:
        call(tmp_path, found)
    shown = "".join(traceback.format_exception(refused.value))
    assert shown.count("Traceback") == 1
    assert [frame.name for frame in traceback.extract_tb(refused.tb)][-2:] == ["<lambda>", "called"]


def test_signatures_are_those_that_the_documentation_shows():
    assert list(inspect.signature(cd.mock).parameters)[:3] == ["out", "images", "first"]
    assert list(inspect.signature(cd.classify).parameters)[:3] == ["image", "about", "model"]
    assert cd.classify.__doc__.startswith("Find diffuse emission")
