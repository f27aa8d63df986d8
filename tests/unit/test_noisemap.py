"""A map of the noise lies on its image, has its unit and has noise; or it is refused by name."""

import numpy as np
import pytest
from support.fields import NOISE, write
from support.models import absolute_model
from support.sweeping import noise, swept

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.array import ImageArray
from cosmodeep_hpc.images.mosaic import open_mosaic
from cosmodeep_hpc.images.noisemap import NoiseMap
from cosmodeep_hpc.survey.plan import SweepRequest

SHAPE = (80, 120)
RMS = np.full(SHAPE, 10 * NOISE, np.float32)
BEAM = {"BMAJ": 20 / 3600, "BMIN": 20 / 3600, "BPA": 0.0}
NO_SKY = {name: None for name in ("CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CDELT1", "CDELT2")}


@pytest.fixture
def image(tmp_path):
    pixels = noise(SHAPE)
    pixels[50, 50] = 150 * NOISE
    return write(tmp_path / "a.fits", pixels)


def refused(tmp_path, mosaic, pixels, **cards):
    path = write(tmp_path / "rms.fits", pixels, **cards)
    with pytest.raises(InputError) as error:
        NoiseMap.of(path, open_mosaic(mosaic))
    text = str(error.value)
    assert text.startswith(f"{path}, the map of the noise: ") and "\n" not in text
    return text


@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0, -np.inf])
def test_a_map_without_a_value_above_0_is_refused(tmp_path, image, value):
    assert "no value above 0 in it; expected the rms" in refused(
        tmp_path, image, np.full(SHAPE, value)
    )
    almost = np.full(SHAPE, value)
    almost[-1, -1] = NOISE
    NoiseMap.of(write(tmp_path / "almost.fits", almost), open_mosaic(image))


@pytest.mark.parametrize(
    "cards, apart",
    [
        ({"CRVAL1": 200.0}, "pixels beside a.fits"),
        ({"CRVAL1": 330.0, "CRVAL2": 35.0}, "elsewhere than a.fits"),  # on the other side
        ({"CRVAL2": -34.9}, "pixels beside a.fits"),
        ({"CRPIX1": 61.5}, "lies 1 pixels beside a.fits"),
        ({"CDELT1": 9.6 / 3600}, "pixels beside a.fits"),
        ({"PC1_2": 0.2, "PC2_1": -0.2}, "pixels beside a.fits"),
    ],
)
def test_a_map_of_another_place_is_refused(tmp_path, image, cards, apart):
    text = refused(tmp_path, image, RMS, **cards)
    assert apart in text


@pytest.mark.parametrize(
    "cards",
    [
        {"CRPIX1": (SHAPE[1] + 1) / 2 + 0.4},  # less than half a pixel
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"},  # the same pixels to 1e-4
        {"RADESYS": "FK5", "EQUINOX": 2000.0},
    ],
)
def test_a_map_of_the_same_place_is_taken(tmp_path, image, cards):
    given = NoiseMap.of(write(tmp_path / "rms.fits", RMS, **cards), open_mosaic(image))
    assert given.notes == ()


@pytest.mark.parametrize(
    "cards, notes",
    [
        ({}, ()),
        (
            NO_SKY,
            ("the map of the noise has no sky coordinates: taken to lie on the image's pixels",),
        ),
        ({"CTYPE1": "X", "CTYPE2": "Y", "CDELT1": 1.0}, ("the map of the noise has no sky coord",)),
        ({"BUNIT": None}, ("the map of the noise has no BUNIT: taken in the image's, Jy/arcsec2",)),
        (NO_SKY | {"BUNIT": None}, ("the map of the noise has no sky", "the map of the noise has")),
    ],
)
def test_what_a_map_does_not_say_is_taken_from_its_image(tmp_path, image, cards, notes):
    path = write(tmp_path / "rms.fits", RMS, **cards)
    plane = swept(image, absolute_model(10 * NOISE), SweepRequest(rms=path)).planes[0]
    np.testing.assert_allclose(plane.tiles.noise, 10 * NOISE, rtol=1e-5)
    assert np.argwhere(plane.tiles.mask(0.5) == 1).tolist() == [[1, 1]]
    told = [note for note in plane.notes if note.startswith("the map of the noise")]
    assert len(told) == len(notes) and all(map(str.startswith, told, notes))


def test_a_map_in_a_unit_of_its_own_is_converted(tmp_path, image):
    path = write(tmp_path / "rms.fits", RMS * 1e6, BUNIT="uJy/arcsec2")
    (plane,) = NoiseMap.of(path, open_mosaic(image)).planes
    np.testing.assert_allclose(plane.pixels(), RMS, rtol=1e-6)


@pytest.mark.parametrize("kind", ["file", "array"])
@pytest.mark.parametrize("first", [(), (1,), (1, 1)])
def test_axes_of_length_1_of_a_map_do_not_count(tmp_path, image, first, kind):
    pixels = RMS.reshape(*first, *SHAPE)
    given = write(tmp_path / "rms.fits", pixels) if kind == "file" else ImageArray.of(pixels, None)
    (plane,) = NoiseMap.of(given, open_mosaic(image)).planes
    np.testing.assert_array_equal(plane.pixels(), RMS)


@pytest.mark.parametrize("cards", [{}, NO_SKY])
def test_a_cube_takes_one_plane_for_all_or_one_for_each(tmp_path, cards):
    rise = np.arange(1, 4)[:, None, None] * RMS
    cube = write(tmp_path / "cube.fits", rise, CTYPE3="FREQ", CRVAL3=1.4e9, CDELT3=1e6)
    mosaic = open_mosaic(cube, planes=[0, 2])
    of_one = NoiseMap.of(write(tmp_path / "one.fits", RMS, **cards), mosaic).planes
    for plane in of_one:
        np.testing.assert_array_equal(plane.pixels(), RMS)
    of_each = NoiseMap.of(write(tmp_path / "each.fits", rise, **cards), mosaic).planes
    for plane, number in zip(of_each, (0, 2), strict=True):
        np.testing.assert_array_equal(plane.pixels(), rise[number])
    assert "of 2 planes; expected one plane, or the 3 of cube.fits" in refused(
        tmp_path, cube, rise[:2], **cards
    )


def test_other_maps_are_refused_by_name_as_what_they_are(tmp_path, image):
    for number, (pixels, cards, said) in enumerate((
        (RMS[:40], {}, "of 120 x 40 pixels; expected those of a.fits, 120 x 80"),
        (np.stack([RMS, RMS]), {}, "of 2 planes; expected one plane"),
        (RMS, {"BUNIT": "counts"}, "BUNIT is counts; expected Jy/beam or Jy/arcsec2"),
        (RMS, {"CDELT1": 0.0}, "CDELT1 is 0; expected the side of a pixel"),
    )):  # fmt: skip
        (folder := tmp_path / str(number)).mkdir()
        assert said in refused(folder, image, pixels, **cards)


def test_a_map_in_the_unit_of_its_image_needs_no_beam_of_its_own(tmp_path):
    """However the unit is spelled."""
    mosaic = open_mosaic(write(tmp_path / "a.fits", RMS, BUNIT="Jy/beam", **BEAM))
    path = write(tmp_path / "rms.fits", RMS, BUNIT="JY / BEAM")
    (plane,) = NoiseMap.of(path, mosaic).planes
    np.testing.assert_array_equal(plane.pixels(), mosaic.planes[0].pixels())
