"""Beams: of the header, of HISTORY, of a table of beams, or given."""

import math

import numpy as np
import pytest
from support.mosaics import LENGTHS, change, ramp, with_history, with_table, write

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.images.mosaic import open_image, open_mosaic

HEADER = {"BMAJ": 12 / 3600, "BMIN": 8 / 3600, "BPA": 30.0}
AIPS = "AIPS   CLEAN BMAJ=  4.1667E-03 BMIN=  3.3333E-03 BPA=  12.50"


def sides(beam):
    return (beam.major, beam.minor, beam.angle)


def test_of_the_header(tmp_path):
    image = open_image(write(tmp_path / "a.fits", **HEADER))
    assert sides(image.beam) == pytest.approx((12, 8, 30)) and image.notes == ()
    assert image.beam.area == pytest.approx(math.pi / (4 * math.log(2)) * 96)


@pytest.mark.parametrize(
    "angle, note", [(None, "BPA missing: 0 taken"), ("none", "BPA is no number: 0 taken")]
)
def test_without_an_angle(tmp_path, angle, note):
    """0 is taken, and said once however many planes there are."""
    path = write(tmp_path / "a.fits", order="RA DEC FREQ", **HEADER | {"BPA": angle})
    mosaic = open_mosaic(path)
    assert [sides(plane.beam) for plane in mosaic.planes] == [pytest.approx((12, 8, 0))] * 3
    assert mosaic.notes == (note,)


SWAPPED = "BMAJ is less than BMIN: swapped, and BPA kept"


@pytest.mark.parametrize(
    "cards, beam, notes",
    [
        ({"BMAJ": 8 / 3600, "BMIN": 12 / 3600}, (12, 8, 30), (SWAPPED,)),
        (
            {"BMAJ": 8 / 3600, "BMIN": 12 / 3600, "BPA": None},
            (12, 8, 0),
            ("BPA missing: 0 taken", SWAPPED),
        ),
        ({"BMAJ": 11.9999 / 3600, "BMIN": 12 / 3600}, (11.9999, 12, 30), ()),  # rounding
    ],
)
def test_the_long_axis_is_the_major_one(tmp_path, cards, beam, notes):
    """In the header, or as given."""
    image = open_image(write(tmp_path / "a.fits", **HEADER | cards))
    assert sides(image.beam) == pytest.approx(beam) and image.notes == notes
    given = open_image(image.path, beam=Beam(5.0, 7.0, 20.0))
    assert sides(given.beam) == (7.0, 5.0, 20.0) and SWAPPED in given.notes


def test_the_long_axis_in_a_table_and_in_history(tmp_path):
    path = with_table(tmp_path / "a.fits", BMAJ=np.array([40.0, 20.0, 40.0]))
    assert [sides(plane.beam)[:2] for plane in open_mosaic(path).planes] == [
        pytest.approx(pair, rel=1e-6) for pair in ((40, 24), (25, 20), (40, 26))
    ]
    assert open_mosaic(path).notes.count(SWAPPED) == 1
    line = "RESTOR: Beam =  6.000E+00 x  6.500E+00 arcsec, pa =  3.0E+01 degrees"
    image = open_image(with_history(tmp_path / "b.fits", line))
    assert sides(image.beam) == (6.5, 6, 30)
    assert image.notes == ("beam from HISTORY", SWAPPED)


@pytest.mark.parametrize(
    "cards, why",
    [
        ({"BMAJ": None, "BMIN": None}, ""),
        ({"BMAJ": None}, "BMAJ is missing, BMIN is 0.002"),
        ({"BMIN": 0.0}, "BMIN is 0.0"),
        ({"BMAJ": -1.0}, "BMAJ is -1.0"),
        ({"BMAJ": "unknown"}, "BMAJ is unknown"),
        ({"BMAJ": "NaN"}, "BMAJ is NaN"),
        ({"BMAJ": "inf"}, "BMAJ is inf"),
    ],
)
def test_nonsense_is_no_beam(tmp_path, cards, why):
    """Said where the unit needs none, and refused by name where it does."""
    image = open_image(write(tmp_path / "a.fits", **HEADER | cards))
    assert image.beam is None
    assert bool(image.notes) == bool(why) and all(why in note for note in image.notes)
    path = write(tmp_path / "b.fits", BUNIT="Jy/beam", **HEADER | cards)
    with pytest.raises(InputError, match=r"there is no beam.*; expected BMAJ and BMIN") as caught:
        open_image(path)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    "lines, beam",
    [
        ([AIPS], (15, 12, 12.5)),
        (["AIPS   CLEAN BMAJ=  1.0000E+00 BMIN=  1.0000E+00 BPA=   0.00", AIPS], (15, 12, 12.5)),
        ([AIPS, "AIPS   CLEAN BMAJ=  0.0000E+00 BMIN=  0.0000E+00 BPA=   0.00"], (15, 12, 12.5)),
        (["BMAJ=4.1667D-03 BMIN=3.3333D-03"], (15, 12, 0)),
        (["RESTOR: Beam =  6.500E+00 x  6.000E+00 arcsec, pa =  3.0E+01 degrees"], (6.5, 6, 30)),
    ],
)
def test_of_history(tmp_path, lines, beam):
    """The last one that is a beam."""
    image = open_image(with_history(tmp_path / "a.fits", "made by hand", *lines, "the end"))
    assert sides(image.beam) == pytest.approx(beam, rel=1e-4)
    assert image.notes == ("beam from HISTORY",)
    factor = 4 * math.log(2) / (math.pi * beam[0] * beam[1])
    assert image.to_surface_brightness == pytest.approx(factor, rel=1e-4)


def test_history_without_a_beam(tmp_path):
    path = with_history(tmp_path / "a.fits", "AIPS   CLEAN BMAJ= soon BMIN= later", "BMAJ=1.2.3.4")
    with pytest.raises(InputError, match="there is no beam; expected"):
        open_image(path)


@pytest.mark.parametrize("unit", ["arcsec", "deg"])
@pytest.mark.parametrize("order", ["RA DEC FREQ", "FREQ RA DEC", "RA DEC FREQ STOKES"])
def test_of_a_table(tmp_path, order, unit):
    """Each plane has the beam of its channel and polarisation."""
    mosaic = open_mosaic(with_table(tmp_path / "a.fits", order, unit))
    count = LENGTHS["FREQ"] * (LENGTHS["STOKES"] if "STOKES" in order else 1)
    assert len(mosaic.planes) == count
    for number, plane in enumerate(mosaic.planes):
        assert sides(plane.beam) == pytest.approx((24 + number, 24 + number, 0), rel=1e-6)
        factor = 4 * math.log(2) / (math.pi * (24 + number) ** 2)
        found = plane.rows(5, 6)
        np.testing.assert_allclose(found, ramp(number)[5:6] * factor, rtol=1e-6)
    assert mosaic.notes == ("beam from a table of beams",)


def test_stokes_slower_than_channels_in_the_file(tmp_path):
    """Planes of STOKES FREQ order: polarisation runs faster than in the table."""
    mosaic = open_mosaic(with_table(tmp_path / "a.fits", "RA DEC STOKES FREQ"))
    beams = [plane.beam.major for plane in mosaic.planes]
    # plane (channel c, polarisation p) has row c + 3 p of the table
    assert beams == pytest.approx([24 + c + 3 * p for c in range(3) for p in range(2)], rel=1e-6)


def test_a_flagged_channel_has_no_data(tmp_path):
    """Its beam is 0 in the table, as of CASA; the others are read."""
    path = with_table(tmp_path / "a.fits", BMAJ=np.array([24.0, 0.0, np.nan]))
    mosaic = open_mosaic(path)
    assert np.isfinite(mosaic.planes[0].pixels()).all()
    assert np.isnan(mosaic.planes[1].pixels()).all() and np.isnan(mosaic.planes[2].pixels()).all()
    assert [plane.failure.partition(",")[0] for plane in mosaic.planes] == [
        "", "no beam (its beam is 0 x 25 arcsec)", "no beam (its beam is nan x 26 arcsec)"
    ]  # fmt: skip
    with pytest.raises(InputError, match="there is no beam .its beam is 0 x 25 arcsec"):
        open_mosaic(path, planes=[1])
    assert np.isfinite(open_mosaic(path, planes=[1], beam=Beam(9, 9)).planes[0].pixels()).all()


def test_a_channel_that_the_table_lacks(tmp_path):
    path = with_table(tmp_path / "a.fits", CHAN=np.array([0, 1, 7]))
    with pytest.raises(InputError, match="none for plane 2 in its table of beams"):
        open_mosaic(path)
    assert len(open_mosaic(path, planes=[0, 1]).planes) == 2


def test_a_table_that_is_none(tmp_path):
    path = with_table(tmp_path / "a.fits")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"'BMIN    '", b"'BMINE   '"))
    with pytest.raises(InputError, match="table of beams .HDU 1, BEAMS. cannot be read"):
        open_mosaic(path)


def test_a_table_of_countless_columns(tmp_path):
    """Refused before astropy makes them."""
    path = change(with_table(tmp_path / "a.fits"), "TFIELDS", 1000, hdu=1)
    with pytest.raises(
        InputError, match="TFIELDS is 1000 in its header; expected .* from 1 to 999"
    ):
        open_mosaic(path)


def test_given_wins(tmp_path):
    given = Beam(20.0, 10.0, 5.0)
    cards = {"BUNIT": "Jy/beam"}
    image = open_image(write(tmp_path / "a.fits", **cards, **HEADER), beam=given)
    assert image.beam == given
    assert image.to_surface_brightness == pytest.approx(4 * math.log(2) / (math.pi * 200))
    assert image.notes == (
        "beam of 20 x 10 arcsec at 5 deg as given, not the 12 x 8 arcsec at 30 deg of the header",
    )
    image = open_image(write(tmp_path / "a.fits", **cards, BMAJ=None, BMIN=None), beam=given)
    assert image.notes == ("beam of 20 x 10 arcsec at 5 deg as given",)
    cube = open_mosaic(with_table(tmp_path / "b.fits"), beam=given)
    assert {plane.beam for plane in cube.planes} == {given}
