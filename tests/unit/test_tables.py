"""Tables of islands and compact sources as files: what their standards and their readers want."""

import csv
import re
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest
import pyvo
from astropy import units as u
from astropy.io import fits, votable
from astropy.io.votable.ucd import check_ucd
from astropy.table import QTable
from mocpy import MOC
from regions import Regions
from support.fields import NOISE
from support.findings import findings, mapped, sky, write_mosaic, written

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.survey import Classify
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.products.catalogue import COMPACT, ISLANDS

SHAPE, PIXEL = (120, 160), 4.0
TABLES = {"islands": ISLANDS, "compact": COMPACT}
KINDS = (*(f"{name}{form}" for name in TABLES for form in ("", "_fits", "_csv")), "regions",
         "regions_casa", "moc")  # fmt: skip
CONFIG = Config(classify=Classify(products=KINDS))


def columns(name):
    """Name, type, unit, UCD and meaning of each column."""
    return [[w.strip() for w in line.split("|")] for line in TABLES[name].strip().splitlines()]


def swept(folder, peak, name="field.fits", **cards):
    """A halo with two sources, and an island that is one; none where the peak is 0."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    halo = np.exp(-((x - 60) ** 2 + (y - 60) ** 2) / (2 * 12.0**2))
    beam = Beam(20.0, 20.0)
    pixels = peak * halo + np.random.default_rng(1).normal(0, 0.3, SHAPE)
    for at_x, at_y in ((64.0, 52.0), (130.0, 30.0)):
        pixels += 4 * peak * beam.profile(PIXEL * (x - at_x), PIXEL * (y - at_y))
    signal = (halo > 0.2) | (np.hypot(x - 130, y - 30) < 6)
    header = sky(SHAPE, **{"pixel": PIXEL, "BUNIT": "Jy/arcsec2", **cards})
    path = write_mosaic(folder / name, pixels * NOISE, header)
    return mapped(path, np.where(signal & (peak > 0), 0.9, 0.1), cell=1)


@pytest.fixture(scope="module", params=["full", "empty"])
def made(request, tmp_path_factory):
    """What was found, and its files; in an image of nothing, too."""
    folder = tmp_path_factory.mktemp(request.param)
    found = swept(folder, 20.0 * (request.param == "full"))
    return findings(found, CONFIG), written(found, folder, CONFIG)


def expected(made, name):
    found = made[0].catalogue if name == "islands" else made[0].compact
    assert (len(found) > 0) == (made[0].swept.path.parent.name.startswith("full"))
    return found


# --- UCDs, units, names ---


@pytest.mark.parametrize("name", TABLES)
def test_every_ucd_is_of_the_vocabulary(name):
    """UCD1+ with its controlled words, and each of them where it may stand."""
    for column, *_, ucd, _meaning in columns(name):
        assert check_ucd(ucd, check_controlled_vocabulary=True, has_colon=False), (column, ucd)


@pytest.mark.parametrize("name", TABLES)
def test_every_number_has_a_unit_that_can_be_read_or_none(name):
    for column, kind, unit, _, meaning in columns(name):
        assert kind in ("char", "int", "double", "boolean") and meaning
        assert not unit or kind in ("int", "double")
        for form in ("vounit", "cds", "fits"):
            if unit and "beam" not in unit and "pix" not in unit:
                u.Unit(unit, format=form, parse_strict="raise")
        assert not unit or u.Unit(unit).physical_type is not None, column


@pytest.mark.parametrize("name", TABLES)
def test_columns_have_names_of_their_own_that_any_program_takes(name):
    """Also one that does not tell small letters from capitals."""
    names = [column for column, *_ in columns(name)]
    assert len({column.lower() for column in names}) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", column) for column in names)


@pytest.mark.parametrize("name", TABLES)
def test_one_column_alone_is_the_main_identifier_and_position(name):
    """By which programs find them."""
    ucds = [ucd for _, _, _, ucd, _ in columns(name)]
    for main in ("meta.id;meta.main", "pos.eq.ra;meta.main", "pos.eq.dec;meta.main"):
        assert ucds.count(main) == 1


# --- files ---


@pytest.mark.parametrize("name", TABLES)
def test_the_votable_is_valid(made, name):
    """By astropy's validator, without a warning."""
    path = made[1][name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        votable.parse(path, verify="exception")
    report = path.with_suffix(".txt")
    with report.open("w") as said:
        assert votable.validate(str(path), output=said, xmllint=False), report.read_text()


@pytest.mark.parametrize("name", TABLES)
def test_the_votable_keeps_what_topcat_asks_for(made, name):
    """IDs of their own that are XML names, references to IDs that there are, ASCII as `char`."""
    root = ElementTree.parse(made[1][name]).getroot()
    every = [element for element in root.iter()]
    ids = [element.attrib["ID"] for element in every if "ID" in element.attrib]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9._-]*", word) for word in ids)
    assert {element.attrib["ref"] for element in every if "ref" in element.attrib} <= set(ids)
    fields = [element for element in every if element.tag.endswith("}FIELD")]
    assert [field.attrib["name"] for field in fields] == [c for c, *_ in columns(name)]
    for field, (_, kind, unit, ucd, meaning) in zip(fields, columns(name), strict=True):
        assert field.attrib["datatype"] == kind and field.attrib["ucd"] == ucd
        assert field.attrib.get("arraysize") == ("*" if kind == "char" else None)
        assert u.Unit(field.attrib.get("unit", "")) == u.Unit(unit)
        (text,) = (part.text for part in field if part.tag.endswith("}DESCRIPTION"))
        assert " ".join(text.split()) == meaning


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("form", ["", "_fits", "_csv"])
def test_a_table_comes_back_as_it_was(made, name, form):
    """Numbers to the last bit, and their units; none in a CSV."""
    wanted, path = expected(made, name), made[1][name + form]
    kind = {"": "votable", "_fits": "fits", "_csv": "ascii.csv"}[form]
    found = QTable.read(path, format=kind)
    assert found.colnames == wanted.colnames and len(found) == len(wanted)
    for column in wanted.colnames if len(wanted) else ():
        own, read = wanted[column], found[column]
        plain = getattr(read, "value", read)
        if own.dtype.kind == "f":
            plain = np.ma.filled(np.ma.asarray(plain, float), np.nan)
        if own.dtype.kind == "U":
            plain = np.ma.filled(np.ma.asarray(read).astype(str), "")
            plain = np.where(plain == "nan", "", plain)
        if own.dtype.kind == "b":
            plain = plain.astype(str) == "True"
        np.testing.assert_array_equal(plain, getattr(own, "value", own))
        if form != "_csv":
            assert getattr(read, "unit", None) == getattr(own, "unit", None)


@pytest.mark.parametrize("name", TABLES)
def test_pyvo_finds_columns_by_their_ucds(made, name):
    wanted = expected(made, name)
    service = pyvo.dal.DALResults(votable.parse(made[1][name]))
    assert len(service) == len(wanted)
    assert service.fieldname_with_ucd("em.freq") == "freq"
    assert service.fieldname_with_ucd("instr.skyLevel") == "background_noise"
    names = [row[wanted.colnames[0]] for row in service]
    assert names == list(wanted[wanted.colnames[0]])


@pytest.mark.parametrize("name", TABLES)
def test_the_fits_table_keeps_the_standard_and_says_what_its_columns_are(made, name):
    with fits.open(made[1][f"{name}_fits"]) as file:
        file.verify("exception")
        header, data = file[1].header, file[1].data
        assert header["EXTNAME"] == name.upper() and len(data) == len(expected(made, name))
        for number, (column, _, unit, ucd, meaning) in enumerate(columns(name), 1):
            assert (header[f"TTYPE{number}"], header[f"TUCD{number}"]) == (column, ucd)
            assert header[f"TCOMM{number}"] == meaning
            assert u.Unit(header.get(f"TUNIT{number}", "")) == u.Unit(unit)


@pytest.mark.parametrize("name", TABLES)
def test_a_csv_has_a_row_of_names_and_no_word_for_what_is_missing(made, name):
    with made[1][f"{name}_csv"].open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head == [column for column, *_ in columns(name)]
    assert len(rows) == len(expected(made, name))
    assert not {"nan", "None", "--"} & {word for row in rows for word in row}


def test_regions_and_moc_are_of_the_islands(made):
    found, files = made
    for kind, form in (("regions", "ds9"), ("regions_casa", "crtf")):
        assert len(Regions.read(files[kind], format=form)) == len(found.labels)
    assert MOC.from_fits(files["moc"]).empty() == (len(found.labels) == 0)


# --- what both tables say of each other ---


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return findings(swept(tmp_path_factory.mktemp("both"), 20.0), CONFIG)


def test_compact_sources_are_counted_in_their_islands(full):
    islands, compact = full.catalogue, full.compact
    for island in islands:
        own = compact[compact["island"] == island["number"]]
        assert len(own) == island["n_compact"] == 1
        assert list(own["island_id"]) == [island["island_id"]]
        assert island["flux_compact"].value == pytest.approx(own["flux_int"].value.sum(), rel=0.05)


def test_fluxes_add_up(full):
    table = full.catalogue
    whole = table["flux_compact"] + table["flux_diffuse"]
    np.testing.assert_allclose(whole.value, table["flux_int"].value)
    both = np.hypot(table["flux_int_err"].value, table["flux_compact_err"].value)
    np.testing.assert_allclose(table["flux_diffuse_err"].value, both)
    snr = table["flux_diffuse"] / table["flux_diffuse_err"]
    np.testing.assert_allclose(table["snr"], snr.value)
    halo, source = table["flux_diffuse"].value / table["flux_int"].value
    assert halo > 0.8 and abs(source) < 0.1 or source > 0.8 and abs(halo) < 0.1


def test_the_flux_of_a_halo_with_a_source_is_that_of_the_halo(full):
    """2 pi sigma^2 of its Gaussian; the island ends at a fifth of its brightness."""
    table = full.catalogue
    row = table[np.argmax(table["n_pix"])]
    flux = 20 * NOISE * 2 * np.pi * 12**2 * PIXEL**2 * 1e3
    assert row["flux_diffuse"].value == pytest.approx(0.8 * flux, rel=0.05)
    assert row["flux_total"].value == pytest.approx(flux, rel=0.05)
    assert row["n_beams"] == pytest.approx((row["solid_angle"] / row["beam_area"]).value)
    assert row["axis_ratio"] == pytest.approx(1, abs=0.02)
    assert row["maj_axis"].value == pytest.approx(2 * 12 * np.sqrt(2 * np.log(5)) * PIXEL, rel=0.02)


def test_text_of_other_alphabets_is_read_by_all(tmp_path):
    found = swept(tmp_path, 20.0, "é ö.fits")
    files = written(found, tmp_path, CONFIG)
    for name in TABLES:
        table = votable.parse_single_table(files[name])
        kinds = {field.datatype for field in table.fields if field.name.endswith("_id")}
        assert "unicodeChar" in kinds and str(table.array["island_id"][0]).startswith("é ö_island")
