"""What a user does with a result: tables, products, pictures, and a notebook's last line."""

import base64
import json
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from support.fields import NOISE, contents, header, two_sources, write
from support.models import model_in_file
from support.sweeping import sweep_with

import cosmodeep_hpc as cd
from cosmodeep_hpc.cli.main import main
from cosmodeep_hpc.config import survey
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.products.writing import PRODUCTS

SHAPE = (200, 280)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return model_in_file(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return write(tmp_path_factory.mktemp("image") / "field.fits", two_sources(SHAPE))


@pytest.fixture(scope="module")
def found(image, model):
    return cd.classify(image, model=model)


@pytest.fixture(autouse=True)
def pictures_without_a_screen():
    matplotlib.use("agg")
    yield
    from matplotlib import pyplot

    pyplot.close("all")


def test_numbers_of_the_table_have_their_units(found):
    islands = found.islands
    units = {"ra_deg_cont": u.deg, "dec_peak": u.deg, "flux_int": u.mJy, "solid_angle": u.arcmin**2,
             "brightness_peak": u.mJy / u.arcsec**2, "flux_peak": u.mJy / u.beam, "x_cen": u.pix,
             "freq": u.MHz}  # fmt: skip
    for name, unit in units.items():
        assert islands[name].unit == unit
    # a pixel of 1e-4 Jy/arcsec2 above noise that is a thousandth of it: its flux in the tile
    area = 9.6**2 * u.arcsec**2
    assert islands["brightness_peak"].to("Jy/arcsec2").value == pytest.approx(1e-4, rel=1e-3)
    error = 2 * islands["flux_int_err"]
    assert (abs(islands["flux_int"] - 1e-4 * u.Jy / u.arcsec**2 * area) < 2 * error).all()
    assert islands["island_name"].dtype.kind == "U" and islands["flag_edge"].dtype == bool
    assert islands["x_peak"].value.tolist() == [210, 130]
    assert islands["number"].tolist() == [1, 2]
    assert islands["flux_int"].info.description.startswith("integrated flux")
    assert islands.meta["image"] == "field.fits"


def test_an_image_without_signal_has_a_table_without_rows(image, model):
    islands = cd.classify(image, model=model, threshold=1.0, rms=1.0).islands
    assert len(islands) == 0 and islands["flux_int"].unit == u.mJy


# --- products ---


def test_every_product_has_a_name_in_the_configuration_and_a_line_in_the_documentation():
    names = [product.name for product in PRODUCTS]
    assert sorted(names) == sorted(survey.ALL_PRODUCTS)
    documented = (Path(__file__).parents[2] / "docs/sweep.md").read_text()
    for product in PRODUCTS:
        assert f"`{product.name}`" in documented, product.name
        assert f"| `.{product.ending}` |" in documented, product.ending


def test_without_a_choice_there_is_one_product_of_each_kind(image, model, tmp_path):
    cd.classify(image, model=model).write(tmp_path)
    endings = ["probability.fits", "tiles.fits", "mask.fits", "islands.fits", "compact.fits"]
    endings += ["reg", "moc.fits", "png", "json"]
    assert {p.name for p in tmp_path.iterdir()} == {f"field.{ending}" for ending in endings}


@pytest.mark.parametrize("names", [["mask"], ["picture", "moc"], [], ["islands_csv", "hdf5"]])
def test_products_are_chosen_by_name(names, found, image, model, tmp_path):
    """The same by `write`, by `classify.products`, and among all of them."""
    files = found.write(tmp_path / "written", names)
    assert set(files) == set(names)
    asked = cd.classify(image, model=model, products=names)
    assert asked.write(tmp_path / "asked").keys() == files.keys()
    everything = found.write(tmp_path / "all", survey.ALL_PRODUCTS)
    for kind, file in files.items():
        assert file.read_bytes() == everything[kind].read_bytes()
        assert file.read_bytes() == (tmp_path / "asked" / file.name).read_bytes()
    record = json.loads((tmp_path / "written" / "field.json").read_text())
    assert record["products"].keys() == files.keys()
    assert (tmp_path / "written" / "field.json").read_bytes() == (
        tmp_path / "asked" / "field.json"
    ).read_bytes()
    assert {p.name for p in (tmp_path / "written").iterdir()} == {
        "field.json",
        *(file.name for file in files.values()),
    }


def test_the_command_has_the_same_choice(image, tmp_path, capsys):
    words = ["classify", str(image), "--out", str(tmp_path), "--model", "paper-npix40"]
    assert main([*words, "--classify.products", '["moc"]']) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"field.moc.fits", "field.json", "summary.csv"}
    assert main([*words, "--classify.products", '["mok"]']) == 2
    assert "classify.products[0] = 'mok': expected one of" in capsys.readouterr().err


def test_one_word_is_no_list_of_products(found, image, model, tmp_path):
    with pytest.raises(cd.InputError, match=r'products = "mask": expected a list of names'):
        found.write(tmp_path, "mask")
    with pytest.raises(cd.InputError, match=r"expected a list such as \[\"probability\", "):
        cd.classify(image, model=model, products="mask")
    assert not list(tmp_path.iterdir())


def test_what_is_open_or_loaded_is_told_in_a_few_words(image):
    """A notebook shows them whole: neither a header nor the images of a training."""
    assert len(repr(cd.load_model("robust"))) < 800
    assert "NAXIS1" not in repr(cd.open_image(image))


def test_a_product_that_is_not_made_is_refused_with_what_there_is(found, image, model, tmp_path):
    with pytest.raises(InputError, match=r"no 'masks' \(did you mean 'mask'\?\); expected some of"):
        found.write(tmp_path / "out", ["masks"])
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match=r"classify.products\[0\] = 'masks': expected one of"):
        cd.classify(image, model=model, products=["masks"])


def test_an_earlier_sweep_is_kept_if_it_has_all_products_that_are_wanted(image, model, tmp_path):
    """A choice of products is not another result: fewer are kept, more are made."""
    for products, state in (
        (("mask",), "done"),
        (("mask",), "kept"),
        ((), "kept"),
        (("mask", "moc"), "done"),
        (("moc",), "kept"),
    ):
        (outcome,) = sweep_with(model, [image], tmp_path, restart=False, products=products)
        assert outcome.state == state
        assert outcome.mask == tmp_path / "field.mask.fits"


def test_a_file_that_no_sweep_has_left_is_not_written_over(found, image, model, tmp_path):
    own = tmp_path / "field.reg"
    own.write_text("drawn by hand")
    with pytest.raises(InputError, match=r"field\.reg: already exists and was not written by"):
        found.write(tmp_path)
    assert own.read_text() == "drawn by hand" and [p.name for p in tmp_path.iterdir()] == [own.name]
    found.write(tmp_path, ["regions"], overwrite=True)
    assert own.read_text().startswith("# Region")
    found.write(tmp_path)  # its own are written anew
    named = write(tmp_path / "field.mask.fits.fits", np.zeros((40, 40)))
    named = named.rename(tmp_path / "x.mask.fits")
    pixels, about = fits.getdata(image), fits.getheader(image)
    fits.PrimaryHDU(pixels, about).writeto(named, overwrite=True)
    one = cd.classify(named, model=model)
    one.write(tmp_path)  # x.mask.mask.fits
    assert fits.getdata(named).shape == SHAPE


def test_an_array_is_called_by_its_name(model, tmp_path):
    pixels = np.random.default_rng(1).normal(0, NOISE, (80, 80))
    found = cd.classify(pixels, header((80, 80)), model=model, name="Abell 1")
    found.write(tmp_path, ["mask", "tiles"])
    assert (tmp_path / "Abell 1.mask.fits").exists()
    record = json.loads((tmp_path / "Abell 1.json").read_text())
    assert record["image"]["name"] == "Abell 1" and re.fullmatch(
        "[0-9a-f]{64}", record["image"]["sha256"]
    )
    other = cd.classify(pixels + 1e-9, header((80, 80)), model=model, name="Abell 1")
    assert other.record["image"]["sha256"] != record["image"]["sha256"]
    assert other.record["key"] != record["key"]


def test_another_array_of_the_name_is_written_over_only_if_that_is_asked_for(model, tmp_path):
    """The same array is, by whatever model or option, and a file that has changed."""
    first, second = np.random.default_rng(1).normal(0, NOISE, (2, 80, 80))
    of_first, of_second = (
        cd.classify(pixels, header((80, 80)), model=model) for pixels in (first, second)
    )
    of_first.write(tmp_path, ["mask"])
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"array\.json: of another image called array; give each"):
        of_second.write(tmp_path, ["tiles"])
    assert contents(tmp_path) == before
    strided = cd.classify(first, header((80, 80)), model=model, stride=20)
    assert set(strided.write(tmp_path, ["tiles"])) == {"tiles"}
    of_second.write(tmp_path, ["mask"], overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"array.mask.fits", "array.json"}
    cd.classify(second, header((80, 80)), model=model, name="second").write(tmp_path, ["mask"])
    for pixels in (first, second):
        file = write(tmp_path / "field.fits", pixels)
        cd.classify(file, model=model).write(tmp_path, ["mask"])


@pytest.mark.parametrize("name", ["", " ", ".", "..", ".a", "a/b", "a\0", 3, None])
def test_a_name_that_no_file_can_have_is_refused(name):
    pixels = np.ones((80, 80))
    for function in (cd.classify, cd.open_image):
        with pytest.raises(InputError, match="^name = .*expected what files can be called"):
            function(pixels, header((80, 80)), name=name)


def test_a_file_has_no_other_name(image):
    with pytest.raises(TypeError, match=r"name = 'x': .*field.fits is called by its file"):
        cd.classify(image, name="x")


# --- pictures ---


def test_a_notebook_shows_picture_notes_and_table(found, image, model, tmp_path):
    assert repr(found) == (
        "<Classification of field.fits: 2 of 35 tiles signal (probability >= 0.5), 2 islands, "
        "1 without data, by brightest.keras>"
    )
    drawn = found._repr_png_()
    assert drawn == found.write(tmp_path, ["picture"])["picture"].read_bytes()
    shown = found._repr_html_()
    coded = re.search(r'src="data:image/png;base64,([^"]+)"', shown)[1]
    assert base64.b64decode(coded) == drawn
    assert shown.count("<tr>") == 2 + 3 and "mJy" in shown
    assert re.findall("<li>(.*?)</li>", shown) == list(found.notes)
    odd = tmp_path / "a <b> & c.fits"
    odd.write_bytes(image.read_bytes())
    escaped = cd.classify(odd, model=model, rms=2 * NOISE)._repr_html_()
    assert "a &lt;b&gt; &amp; c.fits" in escaped and "<b>" not in escaped
    assert "<li>intensities scaled from a noise of" in escaped


def test_a_notebook_shows_the_first_islands_of_many(model, tmp_path):
    pixels = np.random.default_rng(4).normal(0, NOISE, (40, 80 * 30))
    pixels[20, 20::80] = 1e-4
    shown = cd.classify(pixels, header(pixels.shape), model=model)._repr_html_()
    assert shown.count("<tr>") == 20 + 3 and "and 10 more: see islands" in shown


def test_signal_is_outlined_on_the_axes_given(found):
    """Own ones on sky coordinates, plain ones, and those of another image: outlines alone."""
    from astropy.wcs import WCS
    from matplotlib import pyplot

    axes = found.plot()
    corners = axes.lines[0].get_xydata()
    corners = corners[np.isfinite(corners).all(axis=1)]
    assert len(corners) == 2 * 8  # two tiles of four sides
    assert axes.wcs is found.wcs and len(axes.images) == 1
    assert corners.min(axis=0).tolist() == [119.5, -0.5]
    assert corners.max(axis=0).tolist() == [239.5, 119.5]

    plain = pyplot.figure().add_subplot()
    assert found.plot(plain) is plain and len(plain.images) == 1

    other = found.wcs.deepcopy()
    other.wcs.crpix = found.wcs.wcs.crpix + 50
    there = pyplot.figure().add_subplot(projection=WCS(other.to_header()))
    found.plot(there, image=False)
    assert not there.images
    shifted = there.lines[0].get_transform() - there.transData
    np.testing.assert_allclose(shifted.transform([[119.5, -0.5]]), [[169.5, 49.5]], atol=1e-3)


def test_planes_are_drawn_one_by_one(model):
    pixels = np.random.default_rng(4).normal(0, NOISE, (2, 80, 80))
    pixels[1, 20, 20] = 1e-4
    about = header((80, 80))
    about["CTYPE3"] = "FREQ"
    found = cd.classify(pixels, about, model=model)
    assert len(found.plot(plane=0).lines) == 0
    assert len(found.plot(plane=1).lines) == 1
    with pytest.raises(cd.InputError, match="plane 2: expected one of 0 to 1"):
        found.plot(plane=2)


def test_planes_chosen_by_number_are_found_by_their_number_in_the_file(model, tmp_path):
    """In masks, islands and files; the planes between are no data in files."""
    pixels = np.random.default_rng(5).normal(0, NOISE, (4, 80, 80))
    pixels[1, 20, 20] = pixels[2, 20, 60] = 1e-4
    about = header((80, 80))
    about["CTYPE3"] = "FREQ"
    found = cd.classify(pixels, about, model=model, planes=[2, 0])
    assert found.planes == (0, 2) and found.mask.shape == (2, 80, 80)
    (island,) = found.islands
    mask = found.mask[found.planes.index(island["plane"])]
    assert mask[island["y_peak"].value, island["x_peak"].value] == 1
    written = fits.getdata(found.write(tmp_path, ["mask"])["mask"])
    first = found.planes[0]
    for number, plane in enumerate(written, first):
        expected = found.mask[found.planes.index(number)] if number in found.planes else 255
        assert (plane == expected).all()
    one = cd.classify(pixels, about, model=model, planes=1)
    assert one.planes == (1,) and one.mask.shape == (80, 80) and one.islands["plane"] == [1]
    assert cd.classify(pixels[0], header((80, 80)), model=model).planes == (0,)
