"""`cosmodeep_hpc.classify`: the command's result in memory, from files and from arrays."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS, DistortionLookupTable
from support.fields import NOISE, header, two_sources, write
from support.models import model_in_file
from support.sweeping import same

import cosmodeep_hpc as cd
from cosmodeep_hpc.cli.main import main
from cosmodeep_hpc.images.beam import Beam

SHAPE = (200, 280)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network that finds pixels of 200 times the noise."""
    return model_in_file(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def pixels():
    return two_sources(SHAPE)


@pytest.fixture(scope="module")
def image(pixels, tmp_path_factory):
    return write(tmp_path_factory.mktemp("image") / "field.fits", pixels)


@pytest.fixture
def halo(tmp_path):
    """An image of a halo."""
    y, x = np.mgrid[:200, :280]
    sky = 4 * NOISE * np.exp(-((y - 80) ** 2 + (x - 130) ** 2) / (2 * 20.0**2))
    sky += np.random.default_rng(4).normal(0, NOISE, SHAPE)
    sky[160:, :40] = np.nan
    return write(tmp_path / "field.fits", sky.astype(np.float32))


# --- the command's result ---


@pytest.mark.parametrize("words, options", [
    ([], {}),
    (["--threshold", "0.3"], {"threshold": 0.3}),
    (["--model", "paper-npix40", "--threshold", "0.3", "--classify.stride", "20"],
     {"model": "paper-npix40", "threshold": 0.3, "stride": 20}),
])  # fmt: skip
def test_the_result_is_that_of_the_command_bit_for_bit(words, options, halo, tmp_path, capsys):
    path, out = halo, tmp_path / "command"
    assert main(["classify", str(path), "--out", str(out), *words]) == 0
    found = cd.classify(path, **options)
    assert len(found.islands) == 1

    written = found.write(tmp_path / "api")
    by_command = {p.name: p.read_bytes() for p in out.iterdir() if p.name != "summary.csv"}
    assert {p.name: p.read_bytes() for p in (tmp_path / "api").iterdir()} == by_command
    np.testing.assert_array_equal(found.probability, fits.getdata(written["probability"]))
    np.testing.assert_array_equal(found.mask, fits.getdata(written["mask"]))
    assert found.probability.dtype == np.float32 and found.mask.dtype == np.uint8
    there = WCS(fits.getheader(written["probability"]))
    assert found.probability_wcs.pixel_to_world(2, 1).separation(there.pixel_to_world(2, 1)) == 0

    rows = fits.getdata(written["islands_fits"])
    assert found.islands.colnames == list(rows.names)
    for name, unit in zip(rows.names, rows.columns.units, strict=True):
        own = found.islands[name]
        np.testing.assert_array_equal(getattr(own, "value", own), rows[name])
        assert str(getattr(own, "unit", None) or "") == str(u.Unit(unit) if unit else "")


@pytest.fixture
def left_out(tmp_path):
    """A region in the middle of the halo."""
    path = tmp_path / "own.reg"
    path.write_text("image\ncircle(131,81,4.3)\n")
    return path


def test_what_is_left_out_is_the_same_to_the_command(halo, left_out, tmp_path, capsys):
    """The network sees all of the image; measures of islands change, and so does the record."""
    out = tmp_path / "command"
    assert main(["classify", str(halo), "--out", str(out), "--exclude", str(left_out)]) == 0
    whole, found = cd.classify(halo), cd.classify(halo, exclude=left_out)
    written = found.write(tmp_path / "api")
    for path in written.values():
        assert path.read_bytes() == (out / path.name).read_bytes()
    np.testing.assert_array_equal(found.mask, whole.mask)
    circle = np.hypot(*np.mgrid[-5:6, -5:6]) < 4.3
    assert whole.islands["n_pix"].sum() - found.islands["n_pix"].sum() == circle.sum()
    assert found.record["key"] != whole.record["key"]


def test_an_earlier_sweep_with_something_else_left_out_is_not_kept(
    image, left_out, tmp_path, capsys
):
    words = ["classify", str(image), "--out", str(tmp_path / "out"), "--model", "paper-npix40"]
    for text, state in (
        ("image\ncircle(131,91,4.3)\n", "done"),
        ("image\ncircle(131,91,4.3)\n", "kept"),
        ("image\ncircle(131,91,9)\n", "done"),
    ):
        left_out.write_text(text)
        assert main([*words, "--exclude", str(left_out)]) == 0
        assert state in (tmp_path / "out" / "summary.csv").read_text()


def test_a_file_of_nothing_to_leave_out_stops_the_command(image, left_out, tmp_path, capsys):
    left_out.write_text("rubbish\n")
    words = ["classify", str(image), "--out", str(tmp_path / "out"), "--exclude", str(left_out)]
    assert main(words) == 2
    assert "own.reg: a region cannot be read" in capsys.readouterr().err
    with pytest.raises(cd.InputError, match=r"own\.reg: a region cannot be read"):
        cd.classify(image, exclude=left_out)


def test_options_of_the_command_are_keywords(image, model):
    """A wrong one names the nearest; a value is checked as in the configuration."""
    with pytest.raises(TypeError, match=r"argument 'strid' \(did you mean 'stride'\?\)"):
        cd.classify(image, model=model, strid=20)
    with pytest.raises(TypeError, match=r"did you mean 'threshold'\?"):
        cd.classify(image, model=model, treshold=0.4)
    with pytest.raises(cd.InputError, match="classify.noise = 'locally': expected one of"):
        cd.classify(image, model=model, noise="locally")
    with pytest.raises(cd.InputError, match="threshold 1.5: expected a probability"):
        cd.classify(image, model=model, threshold=1.5)
    with pytest.raises(cd.InputError, match="classify.stride = 7: expected a divisor"):
        cd.classify(image, model=model, stride=7)
    for wrong in ({"threshold": True}, {"threshold": "0.5"}, {"rms": True}):
        (name,) = wrong
        with pytest.raises(cd.InputError, match=f"{name} = .*: expected "):
            cd.classify(image, model=model, **wrong)
    with pytest.raises(TypeError, match="exclude = 3: expected a path"):
        cd.classify(image, model=model, exclude=3)
    with pytest.raises(TypeError, match="model = 3: expected a name, the path"):
        cd.classify(image, model=3)
    assert cd.classify(image, model=model, stride=20).probability.shape == (10, 14)
    assert cd.classify(image, model=model, threshold=1.0).threshold == 1.0


def test_a_configuration_may_be_given_in_any_form(image, model, tmp_path):
    toml = tmp_path / "own.toml"
    toml.write_text("[classify]\nstride = 20\n")
    forms = [toml, str(toml), {"classify": {"stride": 20}}]
    forms.append(replace(cd.Config(), classify=replace(cd.Config().classify, stride=20)))
    for config in forms:
        found = cd.classify(image, model=model, config=config, min_coverage=0.9)
        assert found.probability.shape == (10, 14)
        assert found.record["config"]["classify"]["min_coverage"] == 0.9
    with pytest.raises(cd.InputError, match=r"no option classify\.strid \(did you mean 'stride'"):
        cd.classify(image, model=model, config={"classify": {"strid": 20}})


# --- arrays ---


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">f8", "f2", "<i2", ">i4", "u8"])
def test_an_array_is_swept_as_a_file_of_its_numbers_is(kind, model, tmp_path):
    """Of any type and byte order; it is not changed."""
    random = np.random.default_rng(5)
    numbers = random.normal(1000, 30, SHAPE).clip(0)
    numbers[90, 130] = 30000
    array = numbers.astype(kind)
    stored = array.astype(">f8" if kind == "f2" else ">i4" if kind == "u8" else array.dtype)
    path = write(tmp_path / "a.fits", stored, BUNIT="nJy/beam")
    before, about = array.copy(), header(SHAPE)
    about["BUNIT"] = "nJy/beam"
    cards = about.copy()
    found = cd.classify(array, about, model=model)
    same(found, cd.classify(path, model=model))
    np.testing.assert_array_equal(array, before)
    assert about == cards and len(found.islands) == 1


def test_masked_pixels_and_a_unit_of_the_array_count(pixels, image, model):
    expected = cd.classify(image, model=model)
    about = header(SHAPE)
    missing = np.isnan(pixels)
    masked = np.ma.masked_array(np.where(missing, 7.0, pixels).astype("f4"), missing)
    same(cd.classify(masked, about, model=model), expected)
    del about["BUNIT"]
    with pytest.raises(cd.InputError, match="array: no BUNIT"):
        cd.classify(pixels, about, model=model)
    same(cd.classify(pixels * u.Jy / u.arcsec**2, about, model=model), expected)
    same(cd.classify(pixels, about, unit="Jy/arcsec2", model=model), expected)
    about["BUNIT"] = "K"
    same(cd.classify(pixels, about, unit=u.Jy / u.arcsec**2, model=model), expected)
    assert about["BUNIT"] == "K"
    with pytest.raises(cd.InputError, match="its numbers have the unit .*, and unit = Jy/beam"):
        cd.classify(pixels * u.Jy / u.arcsec**2, about, unit="Jy/beam", model=model)


def test_an_array_with_axes_beyond_the_sky(pixels, image, model):
    """Degenerate ones, and planes."""
    expected = cd.classify(image, model=model)
    same(cd.classify(pixels[None, None], header(SHAPE), model=model), expected)
    about = header(SHAPE)
    about["CTYPE3"], about["CRVAL3"], about["CDELT3"], about["CRPIX3"] = "FREQ", 1e9, 1e6, 1.0
    cube = np.stack([pixels, pixels[::-1]])
    found = cd.classify(cube, about, model=model)
    assert found.probability.shape == (2, 5, 7) and found.mask.shape == (2, *SHAPE)
    np.testing.assert_array_equal(found.mask[0], expected.mask)
    np.testing.assert_array_equal(found.mask[1], expected.mask[::-1])
    assert found.islands["freq"].to_value("MHz").tolist() == [1000, 1000, 1001, 1001]
    same(cd.classify(cube, about, planes=0, model=model), expected)


def test_world_coordinates_with_unit_and_beam_are_enough(pixels, model, tmp_path):
    path = write(tmp_path / "a.fits", pixels, BUNIT="Jy/beam", CRVAL1=150.123456789012345)
    with fits.open(path) as file:
        about = file[0].header
    wcs, sides = WCS(about), (about["BMAJ"] * 3600, about["BMIN"] * 3600, 0.0)
    expected = cd.classify(path, model=model)
    beams = [
        sides,
        list(np.array(sides[:2])),
        sides[0],
        [sides[0] * u.arcsec, sides[1] / 60 * u.arcmin, 0 * u.rad],
        sides[0] * u.arcsec,
        Beam(*sides),
        SimpleNamespace(major=about["BMAJ"] * u.deg, minor=about["BMIN"] * u.deg, pa=0 * u.deg),
    ]
    for beam in beams:
        found = cd.classify(pixels, wcs, unit="Jy/beam", beam=beam, model=model)
        same(found, expected)
        np.testing.assert_array_equal(found.islands["ra_peak"], expected.islands["ra_peak"])
    with pytest.raises(cd.InputError, match="array: BUNIT is Jy/beam but there is no beam"):
        cd.classify(pixels, wcs, unit="Jy/beam", model=model)
    with pytest.raises(cd.InputError, match="beam = 'small': expected BMAJ, BMIN"):
        cd.classify(pixels, wcs, unit="Jy/beam", beam="small", model=model)
    assert wcs.wcs.crval[0] == about["CRVAL1"]


TURN = {"PC1_1": np.cos(0.3), "PC1_2": -np.sin(0.3), "PC2_1": np.sin(0.3), "PC2_2": np.cos(0.3)}


@pytest.mark.parametrize("cards", [
    {},
    {"CDELT1": None, "CDELT2": None, "CD1_1": -9.6 / 3600, "CD1_2": 1e-4,
     "CD2_1": 1.2345678901234567e-4, "CD2_2": 9.6 / 3600},
    {"CROTA2": 23.456789012345678},
    TURN,
    {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "PV2_1": 0.1, "PV2_2": -0.2},
    {"CTYPE1": "GLON-CAR", "CTYPE2": "GLAT-CAR"},
    {"RADESYS": "FK4", "EQUINOX": 1950.0, "LONPOLE": 170.0},
    {"CTYPE3": "FREQ", "CRVAL3": 1e9, "CTYPE4": "STOKES", "CRVAL4": 1.0},
    {"CUNIT1": "arcmin", "CUNIT2": "arcmin"},
])  # fmt: skip
def test_world_coordinates_are_those_of_the_header_that_has_them(cards):
    """To the last digit, in any form of them; they are not changed."""
    about = header(SHAPE)
    for name, value in cards.items():
        if value is None:
            del about[name]
        else:
            about[name] = value
    wcs = WCS(about)
    units = [str(unit) for unit in wcs.wcs.cunit]
    numbers = np.random.default_rng(1).normal(0, NOISE, SHAPE)
    by_header = cd.open_image(numbers, about)
    by_wcs = cd.open_image(numbers, wcs, unit="Jy/arcsec2")
    x, y = np.meshgrid([0, 130, 279], [0, 90, 199])
    there, here = (image.wcs.pixel_to_world(x, y).icrs for image in (by_header, by_wcs))
    assert there.separation(here).max() < 1e-6 * u.mas
    assert [str(unit) for unit in wcs.wcs.cunit] == units
    wcs.cpdis1 = DistortionLookupTable(np.zeros((2, 2), np.float32), (1, 1), (1, 1), (100, 100))
    with pytest.raises(cd.InputError, match="or have a distortion by tables; expected an astropy"):
        cd.open_image(numbers, wcs, unit="Jy/arcsec2")


def test_a_noise_may_be_a_number_a_file_or_an_array(pixels, image, model, tmp_path):
    expected = cd.classify(image, rms=write(tmp_path / "r.fits", np.full(SHAPE, 2 * NOISE, "f4")),
                           model=model)  # fmt: skip
    maps = [np.full(SHAPE, 2 * NOISE), np.full((1, *SHAPE), 2 * NOISE, ">f4"),
            np.full(SHAPE, 2 * NOISE * 1e6, "f4") * u.uJy / u.arcsec**2]  # fmt: skip
    for rms in maps:
        found = cd.classify(image, rms=rms, model=model)
        np.testing.assert_allclose(found.probability, expected.probability, rtol=1e-6)
        assert found.notes == expected.notes
    holed = np.ma.masked_less(np.where(np.arange(SHAPE[1]) < 40, -1.0, 2 * NOISE)
                              + np.zeros(SHAPE), 0)  # fmt: skip
    assert np.isnan(cd.classify(image, rms=holed, model=model).probability[:, 0]).all()
    for rms in (2 * NOISE, np.float32(2 * NOISE), np.array(2 * NOISE)):
        notes = " ".join(cd.classify(image, rms=rms, model=model).notes)
        assert "scaled from a noise of" in notes
    with pytest.raises(
        cd.InputError, match="rms, the map of the noise: of 7 x 5 pixels; expected those"
    ):
        cd.classify(image, rms=np.ones((5, 7)), model=model)


@pytest.mark.parametrize("array, change, said", [
    (np.zeros(SHAPE), {}, "array: no pixel with data"),
    (np.full(SHAPE, np.nan), {}, "array: no pixel with data"),
    (np.ones(SHAPE), {}, "array: no noise in it"),
    (np.ones(SHAPE), {"BUNIT": None}, "array: no BUNIT"),
    (np.ones(SHAPE), {"BUNIT": "Jy/beam", "BMAJ": None, "BMIN": None}, "there is no beam"),
    (np.ones(SHAPE), {"CTYPE1": "X", "CTYPE2": "Y"}, "expected sky coordinates such as"),
    (np.ones(SHAPE), {"NAXIS1": 281}, r"its header says NAXIS1 = 281; expected the header of this"),
    (np.ones(SHAPE, int), {"BSCALE": 2.0, "BZERO": 0.0}, "its header says BSCALE = 2.0"),
    (np.ones(SHAPE[0]), {}, r"of shape \(200,\); expected an array of numbers"),
    (np.ones((0, 5)), {}, "axes of 5 x 0 pixels"),
    (np.ones(SHAPE, bool), {}, "of type bool; expected an array of numbers"),
    (np.ones(SHAPE, complex), {}, "of type complex128; expected an array of numbers"),
])  # fmt: skip
def test_an_array_that_cannot_be_swept_is_refused_in_one_line(array, change, said, model):
    about = header(SHAPE)
    for name, value in change.items():
        if value is None:
            del about[name]
        else:
            about[name] = value
    with pytest.raises(cd.InputError, match=said) as refused:
        cd.classify(array, about, model=model)
    assert "\n" not in str(refused.value)


def test_what_is_no_image_is_a_type_error(pixels, image, model):
    with pytest.raises(TypeError, match="an array, and NoneType after it; expected a FITS header"):
        cd.classify(pixels, model=model)
    for other in (fits.PrimaryHDU(pixels), [image, image], None):
        with pytest.raises(TypeError, match=r"expected the path of a FITS file, or an array and"):
            cd.classify(other, model=model)
    with pytest.raises(TypeError, match="a file has header and unit of its own"):
        cd.classify(image, header(SHAPE), model=model)
    with pytest.raises(cd.InputError, match=r"absent\.fits: cannot read it"):
        cd.classify("absent.fits", model=model)
    with pytest.raises(TypeError, match="hdu = 1: an array has none"):
        cd.classify(pixels, header(SHAPE), hdu=1, model=model)
