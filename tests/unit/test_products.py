"""Products are what their formats' own libraries read, and agree with each other on the sky."""

import csv
import json
import re
import resource
import warnings
from contextlib import contextmanager
from dataclasses import replace
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.io.votable import parse
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table
from astropy.wcs import WCS
from mocpy import MOC
from regions import Regions
from support.fields import NOISE, contents
from support.findings import sky, swept, write_mosaic
from support.findings import written as write_products

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.survey import Classify
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.products.names import stem
from cosmodeep_hpc.products.writing import PRODUCTS

SIGNAL = np.array(
    [
        "........#",  # a cell cut on the right
        ".###.....",
        ".#.#.....",  # a hole
        ".###..#..",
        ".......#.",  # connected at a corner
        "#........",
        "#........",  # cut at the top
    ]
)
CELLS = np.array([[c == "#" for c in row] for row in SIGNAL])
SHAPE = (250, 330)
SUFFIXES = {product.name: product.ending for product in PRODUCTS}


def only(*kinds, **options):
    """A configuration that asks for some products; for all of them where none is named."""
    return Config(classify=Classify(products=kinds or tuple(SUFFIXES), **options))


@pytest.fixture(scope="module", params=["SIN", "TAN", "ZEA", "CAR", "GAL"])
def written(request, tmp_path_factory):
    """A swept mosaic in one projection, and all of its products."""
    folder = tmp_path_factory.mktemp(request.param)
    random = np.random.default_rng(1)
    pixels = random.normal(0, 1e-5, SHAPE)
    pixels[:20, :20] = np.nan
    path = write_mosaic(folder / "field.fits", pixels, sky(SHAPE, request.param, OBJECT="test"))
    blank = np.zeros(CELLS.shape, bool)
    blank[0, 0] = True
    made = swept(path, CELLS, blank=blank)
    return made, write_products(made, folder)


@pytest.fixture(scope="module")
def points():
    """Pixels spread over the image, and the cell of each."""
    random = np.random.default_rng(2)
    x, y = random.uniform(-0.4, 329.4, 2000), random.uniform(-0.4, 249.4, 2000)
    return x, y, CELLS[np.round(y).astype(int) // 40, np.round(x).astype(int) // 40]


def on_input(made, x, y):
    """Where astropy says that pixels of the input are."""
    return WCS(fits.getheader(made.path)).pixel_to_world(x, y).icrs


@pytest.mark.parametrize("kind, size", [("mask", 1), ("tiles", 40)])
def test_a_product_lies_where_its_input_does(written, kind, size):
    made, files = written
    there = WCS(fits.getheader(files[kind]))
    ny, nx = fits.getdata(files[kind]).shape
    x, y = np.meshgrid([0, nx // 2, nx - 1], [0, ny // 2, ny - 1])
    centre = [(v + 0.5) * size - 0.5 for v in (x, y)]  # of tile x: pixel 40 x + 19.5
    apart = there.pixel_to_world(x, y).icrs.separation(on_input(made, *centre))
    assert apart.max() < 1 * u.mas


def test_mask_regions_and_moc_say_the_same_of_every_point(written, points):
    made, files = written
    x, y, signal = points
    places = on_input(made, x, y)
    wcs = WCS(fits.getheader(files["mask"]))

    column, row = (np.round(v).astype(int) for v in wcs.world_to_pixel(places))
    mask = fits.getdata(files["mask"])[row, column]
    np.testing.assert_array_equal(mask == 1, signal)

    for kind, form in (("regions", "ds9"), ("regions_casa", "crtf")):
        drawn = Regions.read(files[kind], format=form)
        assert len(drawn) == 4
        inside = np.any([region.contains(places, wcs) for region in drawn], axis=0)
        assert (inside != signal).sum() <= 2  # within the rounding of a corner, 0.4 mas

    moc = MOC.from_fits(files["moc"])
    held = moc.contains_skycoords(places)
    assert held[signal].all()
    # beyond the outlines by less than a pixel of the MOC, which are 8 times smaller than a cell
    near = [np.abs((v + 0.5) / 40 - np.round((v + 0.5) / 40)) < 1.5 / 8 for v in (x, y)]
    assert not held[~signal & ~near[0] & ~near[1]].any()


def test_the_moc_covers_the_area_of_the_islands(written):
    made, files = written
    moc = MOC.from_fits(files["moc"])
    area = moc.sky_fraction * 4 * np.pi * u.sr
    cells = fits.getdata(files["islands_fits"])["solid_angle"].sum() * u.arcmin**2
    assert 1.0 < float(area / cells) < 1.5


def test_the_catalogue_is_the_same_in_all_its_forms(written):
    import pyvo

    made, files = written
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        votable = parse(files["islands"], verify="exception")
    assert votable.version == "1.4"
    table = votable.get_first_table()
    with open(files["islands_csv"], newline="") as file:
        text = list(csv.DictReader(file))
    binary = fits.getdata(files["islands_fits"])
    header = fits.getheader(files["islands_fits"], 1)
    assert len(text) == len(binary) == len(table.array) == 4
    for number, field in enumerate(table.fields, 1):
        assert check_ucd(field.ucd, check_controlled_vocabulary=True), field.ucd
        assert header[f"TTYPE{number}"] == field.name
        assert header[f"TUCD{number}"] == field.ucd and header[f"TCOMM{number}"]
        assert field.unit is None or u.Unit(header[f"TUNIT{number}"]) == field.unit
        for row in range(4):
            value, missing = table.array[row][number - 1], table.array.mask[row][number - 1]
            if missing:
                assert text[row][field.name] == "" and np.isnan(binary[field.name][row])
            else:
                assert type(value)(binary[field.name][row]) == value
                assert text[row][field.name] == str(value)
    service = pyvo.dal.DALResults(votable)
    assert service.fieldname_with_ucd("em.freq") == "freq"
    assert [row["island_name"] for row in service] == list(binary["island_name"])


def test_astropy_reads_the_same_names_from_all_forms_of_the_catalogue(written):
    _, files = written
    names = Table.read(files["islands_fits"]).colnames
    for kind, options in (("islands", {"format": "votable"}), ("islands_csv", {"format": "csv"})):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert Table.read(files[kind], **options).colnames == names


def test_every_id_in_the_votable_is_an_xml_id_of_its_own(written):
    _, files = written
    identifiers = [
        word
        for element in ElementTree.parse(files["islands"]).iter()
        for attribute, word in element.attrib.items()
        if attribute == "ID"
    ]
    assert len(set(identifiers)) == len(identifiers) > 1
    assert all(re.fullmatch(r"[A-Za-z_][\w.-]*", word, re.ASCII) for word in identifiers)


def test_the_catalogue_against_the_mosaic(written):
    made, files = written
    rows = fits.getdata(files["islands_fits"])
    pixels, mask = fits.getdata(made.path).astype(float), np.kron(CELLS, np.ones((40, 40), bool))
    assert rows["n_cells"].tolist() == [1, 8, 2, 2]
    assert rows["n_pix"].sum() == mask[:250, :330].sum()
    for row in rows:
        # the box, from 0 and with its last pixel; the peak in it, in mJy/beam
        box = pixels[row["y_min"] : row["y_max"] + 1, row["x_min"] : row["x_max"] + 1]
        peak = row["flux_peak"] + row["mean_background"]
        assert row["n_cells"] == 8 or peak <= np.nanmax(box) * 1e3 * (1 + 1e-6)
        assert pixels[row["y_peak"], row["x_peak"]] * 1e3 == pytest.approx(peak)
        place = SkyCoord(row["ra_deg_cont"], row["dec_deg_cont"], unit="deg")
        sexagesimal = SkyCoord(row["ra_hms_cont"], row["dec_dms_cont"], unit=("hourangle", "deg"))
        assert place.separation(sexagesimal) < 1 * u.arcsec
        assert row["background_noise"] == pytest.approx(NOISE * row["beam_area"] * 3600 * 1e3)
    whole = rows[0]
    assert (whole["x_min"], whole["x_max"]) == (320, 329) and whole["flag_partial"]
    assert rows["flag_edge"].tolist() == [True, False, False, True]
    assert rows["flag_gap"].tolist() == [False, True, False, False]


def test_hdf5_holds_the_grids_and_their_header(written):
    made, files = written
    with h5py.File(files["hdf5"]) as file:
        plane = made.planes[0]
        np.testing.assert_array_equal(file["probability"], plane.probability)
        np.testing.assert_array_equal(file["coverage"], plane.tiles.coverage)
        np.testing.assert_array_equal(file["tiles"], plane.tiles.mask(0.5))
        assert file["islands"][:].max() == 4 and ((file["islands"][:] > 0) == CELLS).all()
        assert file["noise"].attrs["unit"] == "Jy/arcsec2"
        header = fits.Header.fromstring(file.attrs["header"], sep="\n")
    there = WCS(header).pixel_to_world(3, 2).icrs
    assert there.separation(on_input(made, 139.5, 99.5)) < 1 * u.mas


def test_the_record_names_everything_that_was_written(written):
    made, files = written
    folder = files["mask"].parent
    record = json.loads((folder / "field.json").read_text())
    on_disk = {path.name for path in folder.iterdir()} - {"field.fits", "field.json"}
    assert set(record["products"].values()) == on_disk and len(on_disk) == len(PRODUCTS)
    assert record["image"]["sha256"] == made.sha256 and record["image"]["unit"] == "Jy/beam"
    assert record["planes"][0]["beam_arcsec"]["major"] == pytest.approx(20)
    assert record["tiles"] == {"signal": 13, "noise": 49, "no_data": 1}
    assert record["islands"] == 4 and record["grid"]["partial_top_row"]
    assert record["notes"] == ["scaled by 0.5: the noise of the training is half of this"]
    for kind, extension in (("probability", 0), ("probability", 1), ("tiles", 0), ("mask", 0)):
        header = fits.getheader(files[kind], extension)
        assert header["HISTORY"][0] == record["notes"][0] and header["OBJECT"] == "test"
    table = fits.getheader(files["islands_fits"], 1)
    assert table["HISTORY"][0] == record["notes"][0] and table["MODELSHA"] == "3" * 16
    said = {info.name: info.value for info in parse(files["islands"]).infos}
    assert said["notes"] == record["notes"][0] and said["image_sha256"] == made.sha256


@pytest.mark.parametrize(
    "kind", ["probability", "tiles", "mask", "islands_fits", "compact_fits", "moc"]
)
def test_fits_products_keep_the_standard(written, kind):
    made, files = written
    with fits.open(files[kind]) as file:
        file.verify("exception")


@pytest.fixture
def small(tmp_path):
    """A small swept mosaic with an island, and one without."""

    def make(name="a.fits", *, found=True, **cards):
        signal = np.zeros((3, 3), bool)
        signal[1, 1] = found
        return swept(
            write_mosaic(tmp_path / name, np.full((120, 120), 1e-9), sky((120, 120), **cards)),
            signal,
        )

    return make


def test_the_same_bytes_every_time(small, tmp_path):
    """Written twice, some time apart: no product carries a date or a name of the moment."""
    made = small()
    options = only(compress_mask=True)
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        write_products(made, tmp_path / folder, options)
    first, second = contents(tmp_path / "first"), contents(tmp_path / "second")
    assert len(first) == len(PRODUCTS) + 1 and first == second  # and the record
    assert "a.mask.fits.fz" in first


def test_files_that_only_a_damaged_record_calls_products_stay(small, tmp_path):
    out, other = tmp_path / "out", tmp_path / "out" / "b.reg"
    out.mkdir()
    other.touch()
    write_products(small(), out, only("mask"))
    record = json.loads((out / "a.json").read_text())
    record["products"]["regions"] = other.name
    (out / "a.json").write_text(json.dumps(record))
    write_products(replace(small(), key="4" * 64), out, only("tiles"))
    assert {path.name for path in out.iterdir()} == {"a.json", "a.tiles.fits", other.name}


@pytest.mark.parametrize(
    "earlier", [[["tiles", "mask"]], [["tiles"], ["mask"]], [["moc"], ["tiles"], ["mask", "tiles"]]]
)
def test_no_product_stays_beside_those_of_another_sweep(small, tmp_path, earlier):
    """However many calls made the earlier ones, and where a call between them failed."""
    out = tmp_path / "out"
    out.mkdir()
    for names in earlier:
        write_products(small(), out, only(*names))
    other = replace(small(), key="4" * 64)
    with pytest.raises(InputError, match="cannot write it"), files_end_at(100):
        write_products(other, out, only("regions"))
    write_products(replace(small(), key="5" * 64), out, only("mask"))
    assert {path.name for path in out.iterdir()} == {"a.json", "a.mask.fits"}


def test_the_record_names_all_products_of_its_sweep_that_are_there(small, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for names in (["tiles", "moc"], ["mask"]):
        write_products(small(), out, only(*names))
    (out / "a.moc.fits").unlink()
    write_products(small(), out, only("regions"))
    named = json.loads((out / "a.json").read_text())["products"]
    assert named == {"tiles": "a.tiles.fits", "mask": "a.mask.fits", "regions": "a.reg"}
    assert {path.name for path in out.iterdir()} == {"a.json", *named.values()}


def test_a_mosaic_without_islands_has_empty_products(small, tmp_path):
    made = small(found=False)
    files = write_products(made, tmp_path)
    assert len(parse(files["islands"]).get_first_table().array) == 0
    assert len(fits.getdata(files["islands_fits"])) == 0
    assert files["islands_csv"].read_text().count("\n") == 1
    assert MOC.from_fits(files["moc"]).empty()
    assert len(Regions.read(files["regions"], format="ds9")) == 0
    assert not fits.getdata(files["mask"]).any()


def test_names_of_other_alphabets_keep_the_standards(small, tmp_path):
    """In a VOTable characters of the type `char` are ASCII; text of others has its own type."""
    made = small(" Fornax, ünïö.fits")
    files = write_products(made, tmp_path)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*non-ASCII.*")
        table = parse(files["islands"]).get_first_table()
    assert table.array["island_id"].tolist() == ["Fornax, ünïö_island_1"]  # read without blanks
    kinds = {field.name: field.datatype for field in table.fields}
    assert (kinds["island_id"], kinds["island_name"]) == ("unicodeChar", "char")
    with files["islands_csv"].open(newline="", encoding="utf-8") as file:
        assert [row["island_id"] for row in csv.DictReader(file)] == [" Fornax, ünïö_island_1"]


def test_first_lines_of_region_files(small, tmp_path):
    """By them CARTA tells the formats apart."""
    made = small()
    files = write_products(made, tmp_path)
    assert files["regions"].read_text().startswith("# Region file format: DS9")
    assert files["regions_casa"].read_text().startswith("#CRTF")


def test_cells_beyond_the_edge_of_the_projection_are_drawn_in_pixels(tmp_path):
    """The corner of an all-sky image is no place on the sky."""
    header = sky((180, 360), "TAN", 3600.0, CTYPE1="RA---AIT", CTYPE2="DEC--AIT", CRVAL2=0.0)
    signal = np.zeros((9, 18), bool)
    signal[0, 0] = signal[4, 9] = True
    made = swept(write_mosaic(tmp_path / "a.fits", np.zeros((180, 360)), header), signal, cell=20)
    files = write_products(made, tmp_path)
    lines = files["regions"].read_text().splitlines()[2:]
    assert [line.split("(")[0] for line in lines] == ["icrs", "polygon", "image", "polygon"]
    assert lines[3].startswith("polygon(0.50,0.50,20.50,0.50,20.50,20.50,0.50,20.50)")
    assert len(Regions.read(files["regions_casa"], format="crtf")) == 2


def test_an_image_without_a_beam_has_no_flux_a_beam(small, tmp_path):
    made = small(BMAJ=None, BMIN=None, BPA=None, BUNIT="Jy/arcsec2")
    files = write_products(made, tmp_path)
    (row,) = fits.getdata(files["islands_fits"])
    assert np.isnan(row["flux_peak"]) and row["brightness_peak"] > 0
    table = parse(files["islands"]).get_first_table()
    assert table.array["flux_peak"].mask.all()


@pytest.fixture
def earlier(tmp_path):
    """A folder with products of an earlier sweep."""
    out = tmp_path / "out"
    out.mkdir()
    for name in ("a.json", "a.tiles.fits"):
        (out / name).write_text("of an earlier sweep")
    before = contents(out)
    yield out
    assert contents(out) == before


@contextmanager
def files_end_at(size):
    """No file may grow beyond `size` bytes meanwhile, as if the disk were full then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", SUFFIXES)
def test_a_full_disk_leaves_earlier_products_and_their_record(small, earlier, kind):
    """Also where its last bytes alone, or its last block, would be missing."""
    made = small()
    whole = write_products(made, earlier.parent, only(kind))[kind].stat().st_size
    for size in (whole // 2, max(whole - 2880, 0), whole - 1):
        why = f"a.{SUFFIXES[kind]}: cannot write it: File too large"
        with pytest.raises(InputError, match=why), files_end_at(size):
            write_products(made, earlier, only(kind))


def test_an_image_that_cannot_be_read_again_leaves_earlier_products(small, earlier):
    """Islands are measured on it, after the mask is written."""
    made = small()
    made.path.write_bytes(made.path.read_bytes()[:2880])
    with pytest.raises(InputError, match="a.fits: "):
        write_products(made, earlier)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("mosaic.fits", "mosaic"),
        ("mosaic.FITS", "mosaic"),
        ("mosaic.fits.gz", "mosaic"),
        ("mosaic.fits.fz", "mosaic"),
        ("mosaic.fit.bz2", "mosaic"),
        ("mosaic.i.SB1.fts", "mosaic.i.SB1"),
        ("mosaic.image", "mosaic.image"),
        ("mosaic.fits.fits", "mosaic.fits"),
        ("mosaic.fits.fz.gz", "mosaic"),
        (".fits", ".fits"),
    ],
)
def test_stems(tmp_path, name, expected):
    assert stem(tmp_path / name) == expected
