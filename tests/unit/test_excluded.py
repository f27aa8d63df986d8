"""What a user leaves out: regions of DS9 and CASA, and compact sources of a VOTable."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io.votable import from_table
from astropy.table import MaskedColumn, Table
from astropy.wcs import WCS
from support.fields import NOISE
from support.findings import mapped, rows_in, sky, write_mosaic

import cosmodeep_hpc as cd
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.islands.excluded import Excluded
from cosmodeep_hpc.islands.islandlabels import IslandLabels
from cosmodeep_hpc.islands.islands import Islands

SHAPE, PIXEL = (120, 160), 4.0
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
HEADER = sky(SHAPE, pixel=PIXEL, BUNIT="Jy/arcsec2", RADESYS="ICRS", EQUINOX=None)
THERE = WCS(HEADER).pixel_to_world(70, 50)
FK5, GALACTIC = THERE.fk5, THERE.galactic
DISC = np.hypot(X - 70, Y - 50) < 10.3
BOX = (abs(X - 70) < 15.3) & (abs(Y - 50) < 5.3)
ARC = PIXEL / 3600


def corners():
    """A triangle of pixels, on the sky."""
    places = WCS(HEADER).pixel_to_world([59.7, 90.2, 59.7], [39.7, 39.7, 70.2])
    return ",".join(f"{p.ra.deg:.8f},{p.dec.deg:.8f}" for p in places)


TRIANGLE = (X > 59.7) & (Y > 39.7) & (X + Y < 129.9)

DS9 = {
    "circle fk5": (f"fk5\ncircle({FK5.ra.deg},{FK5.dec.deg},{10.3 * PIXEL}\")", DISC),
    "circle in hours": (
        f"fk5;circle({FK5.ra.to_string('hour', sep=':', precision=4)},"
        f"{FK5.dec.to_string('deg', sep=':', precision=3)},{10.3 * PIXEL}\")", DISC,
    ),
    "circle galactic": (
        f"galactic\ncircle({GALACTIC.l.deg},{GALACTIC.b.deg},{10.3 * PIXEL}\")", DISC,
    ),
    "circle image": ("image\ncircle(71,51,10.3)", DISC),  # DS9 counts pixels from 1
    "left out all the same": ("image\n-circle(71,51,10.3)", DISC),
    "ellipse": (
        f"icrs\nellipse({THERE.ra.deg},{THERE.dec.deg},{20 * ARC},{5 * ARC},0)",
        np.hypot((X - 70) / 20, (Y - 50) / 5) < 1,
    ),
    "box": (f"icrs\nbox({THERE.ra.deg},{THERE.dec.deg},{30.6 * ARC},{10.6 * ARC},0)", BOX),
    "box turned": (f"icrs\nbox({THERE.ra.deg},{THERE.dec.deg},{10.6 * ARC},{30.6 * ARC},90)", BOX),
    "polygon": (f"icrs\npolygon({corners()})", TRIANGLE),
    "annulus": (
        f"icrs\nannulus({THERE.ra.deg},{THERE.dec.deg},{10.3 * PIXEL}\",{20 * PIXEL}\")",
        (np.hypot(X - 70, Y - 50) < 20) & ~DISC,
    ),
    "two": ("image\ncircle(71,51,10.3)\nbox(31,31,10.6,10.6,0)",
            DISC | (abs(X - 30) < 5.3) & (abs(Y - 30) < 5.3)),
    "ruler beside": ("image\ncircle(71,51,10.3)\n# ruler(71,51,80,51)", DISC),
    "text beside": ("image\ncircle(71,51,10.3)\n# text(71,51) text={here}", DISC),
    "beyond the image": ("image\ncircle(500,51,10)", np.zeros(SHAPE, bool)),
}  # fmt: skip


def read(folder, text, name="own.reg"):
    path = folder / name
    path.write_text(text)
    return Excluded.read(path)


@pytest.fixture
def image(tmp_path):
    return open_image(write_mosaic(tmp_path / "a.fits", np.ones(SHAPE), HEADER))


def agree(excluded, image, expected):
    """All pixels, but some on the very edge of a shape."""
    found = excluded.on(image).inside(range(SHAPE[0]), range(SHAPE[1]))
    assert (found != expected).sum() <= 4
    part = excluded.on(image).inside(range(45, 62), range(66, 90))
    np.testing.assert_array_equal(part, found[45:62, 66:90])


@pytest.mark.parametrize("name", DS9)
def test_regions_of_ds9(name, image, tmp_path):
    text, expected = DS9[name]
    agree(read(tmp_path, f"# Region file format: DS9 version 4.1\n{text}\n"), image, expected)


@pytest.mark.parametrize(
    "text, expected",
    [
        (
            f"circle [[{THERE.ra.deg}deg, {THERE.dec.deg}deg], {10.3 * PIXEL}arcsec] coord=ICRS",
            DISC,
        ),
        ("circle [[70pix, 50pix], 10.3pix]", DISC),
        ("-circle [[70pix, 50pix], 10.3pix]", DISC),
        ("rotbox [[70pix, 50pix], [30.6pix, 10.6pix], 0deg]", BOX),
        ("poly [[59.7pix, 39.7pix], [90.2pix, 39.7pix], [59.7pix, 70.2pix]]", TRIANGLE),
    ],
)
def test_regions_of_casa(text, expected, image, tmp_path):
    agree(read(tmp_path, f"#CRTFv0\n{text}\n", "own.crtf"), image, expected)


def test_points_are_compact_sources(image, tmp_path):
    text = f'fk5\npoint({FK5.ra.deg},{FK5.dec.deg})\ncircle({FK5.ra.deg},{FK5.dec.deg},9")\n'
    found = read(tmp_path, text).on(image)
    assert (found.x, found.y) == (pytest.approx([70], abs=1e-3), pytest.approx([50], abs=1e-3))
    assert len(found.shapes) == 1


def test_the_products_own_regions_are_read_again(image, tmp_path):
    """A polygon of each island is left out, as it was drawn."""
    made = cd.classify(
        image.path, model="paper-npix40", threshold=0.0, any_scale=True, rms=1.0,
        products=["regions", "regions_casa", "mask"],
    )  # fmt: skip
    written = made.write(tmp_path / "out")
    for kind in ("regions", "regions_casa"):
        agree(Excluded.read(written[kind]), image, made.mask == 1)


@pytest.mark.parametrize(
    "content, said",
    [
        ("", "no region in it; expected regions of DS9 or CASA"),
        ("# Region file format: DS9 version 4.1\n", "no region in it; expected"),
        ("rubbish\n", "expected regions of DS9 or CASA"),
        ("fk5\nline(150,-35,151,-35)\n", "a line; expected shapes that enclose an area, or points"),
        ("image\npoint(3,4)\n", "a point in pixels; expected shapes"),
        ("#CRTFv0\ncircle [[70pix\n", "expected regions of DS9 or CASA"),
        ("<VOTABLE", r"no VOTable \(.*\); expected"),
        ("circle(71,51,10.3)\n", "a region cannot be read .A coordinate frame was not found"),
        ("physical\ncircle(71,51,10.3)\nimage\ncircle(71,51,10.3)\n", "a region cannot be .*physi"),
        ("fk5\npanda(150,-35,0,90,1,1,5,1)\ncircle(150,-35,1)\n", "a region cannot be .*panda"),
        ("\x00\x01\x02", "expected regions of DS9 or CASA"),
    ],
)
def test_files_of_something_else_are_refused_in_one_line(content, said, tmp_path):
    with pytest.raises(InputError, match=rf"own\.reg: .*{said}") as error:
        read(tmp_path, content)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"absent\.reg: "):
        Excluded.read(tmp_path / "absent.reg")


# --- VOTables ---


def votable(folder, columns, ucds):
    table = Table(columns)
    made = from_table(table)
    for field in made.get_first_table().fields:
        field.ucd = ucds.get(field.name)
    made.to_xml(str(folder / "own.vot"))
    return folder / "own.vot"


PLACES = SkyCoord([150.0, 150.01], [-35.0, -35.01], unit="deg")
DEGREES = {"one": PLACES.ra.deg, "other": PLACES.dec.deg}


@pytest.mark.parametrize(
    "ra, dec",
    [("pos.eq.ra;meta.main", "pos.eq.dec;meta.main"), ("pos.eq.ra", "pos.eq.dec"),
     ("POS_EQ_RA_MAIN", "POS_EQ_DEC_MAIN")],
)  # fmt: skip
def test_a_votable_is_read_by_its_ucds(ra, dec, tmp_path):
    found = Excluded.read(votable(tmp_path, DEGREES, {"one": ra, "other": dec})).sources
    assert found.separation(PLACES).max().arcsec < 1e-3


@pytest.mark.parametrize("names", [("RA", "DEC"), ("RAJ2000", "DEJ2000"), ("ra_deg", "dec_deg")])
def test_and_by_the_names_of_its_columns(names, tmp_path):
    columns = dict(zip(names, DEGREES.values(), strict=True))
    found = Excluded.read(votable(tmp_path, columns, {})).sources
    assert found.separation(PLACES).max().arcsec < 1e-3


def test_units_and_missing_values_of_a_votable_count(tmp_path):
    ra = MaskedColumn(PLACES.ra.to_value("arcmin"), unit="arcmin", mask=[False, True])
    dec = MaskedColumn(PLACES.dec.to_value("rad"), unit="rad")
    found = Excluded.read(votable(tmp_path, {"ra": ra, "dec": dec}, {})).sources
    assert len(found) == 1 and found.separation(PLACES[:1]).max().arcsec < 1e-3


def test_the_catalogue_of_compact_sources_may_be_given_again(image, tmp_path):
    made = cd.classify(image.path, model="paper-npix40", any_scale=True, threshold=1.0, rms=1.0)
    written = made.write(tmp_path / "out", ["compact"])["compact"]
    assert len(Excluded.read(written).sources) == len(made.compact) == 0


@pytest.mark.parametrize(
    "columns, what", [({"flux": [1.0]}, "ra"), ({"ra": [1.0], "flux": [1.0]}, "dec")]
)
def test_a_votable_without_positions_is_refused(columns, what, tmp_path):
    with pytest.raises(InputError, match=rf"own\.vot: no column of {what}; expected the UCD pos"):
        Excluded.read(votable(tmp_path, columns, {}))


# --- measures ---

BEAM = Beam(20.0, 20.0)
MIDDLE = (abs(X - 70) < 30) & (abs(Y - 50) < 30)


def measured(folder, pixels, excluded=None):
    """Islands and compact sources of an image whose middle is one island."""
    path = write_mosaic(folder / "a.fits", pixels * NOISE, HEADER)
    made = mapped(path, np.where(MIDDLE, 0.9, 0.1), cell=1)
    found = Islands.of(made, IslandLabels.of(made, 2.0, 0.7), excluded)
    return rows_in(found.table), rows_in(found.compact)


def test_what_is_left_out_counts_in_nothing(tmp_path):
    pixels = np.where(MIDDLE, 3.0, 0.01)
    pixels[DISC] = 1000
    excluded = read(tmp_path, "image\ncircle(71,51,10.3)\n")
    ((all_,), _), ((island,), sources) = (measured(tmp_path, pixels, e) for e in (None, excluded))
    out = all_.pixels - island.pixels
    assert abs(out - DISC.sum()) <= 4 and island.coverage == island.pixels / all_.pixels
    assert island.partial and not all_.partial and not sources
    level = island.background / NOISE
    assert island.flux / NOISE == pytest.approx((3 - level) * island.pixels * PIXEL**2, rel=1e-3)
    assert island.peak / NOISE == pytest.approx(3 - level, abs=1e-3)
    assert island.area == pytest.approx(island.pixels * PIXEL**2, rel=1e-3)


def test_a_source_of_a_list_is_fitted_however_faint(tmp_path):
    pixels = 3 * BEAM.profile(PIXEL * (X - 70.3), PIXEL * (Y - 49.8))
    _, nothing = measured(tmp_path, pixels)
    text = f"icrs\npoint({THERE.ra.deg},{THERE.dec.deg})\n"
    (island,), (source,) = measured(tmp_path, pixels, read(tmp_path, text))
    assert not nothing and source.given and source.island == island.number == 1
    assert (source.x, source.y) == pytest.approx((70.3, 49.8), abs=0.05)
    assert source.flux / NOISE == pytest.approx(3 * BEAM.area, rel=0.02)
    assert island.sources == 1 and island.compact == pytest.approx(source.flux, rel=1e-2)
    assert abs(island.diffuse) < 0.05 * source.flux


def test_a_source_of_a_list_is_not_found_again(tmp_path):
    pixels = 100 * BEAM.profile(PIXEL * (X - 70.3), PIXEL * (Y - 49.8))
    text = f"icrs\npoint({THERE.ra.deg},{THERE.dec.deg})\n"
    _, found = measured(tmp_path, pixels)
    _, given = measured(tmp_path, pixels, read(tmp_path, text))
    assert [s.given for s in found] == [False] and [s.given for s in given] == [True]
    assert given[0].flux == pytest.approx(found[0].flux, rel=1e-3)
