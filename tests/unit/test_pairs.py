"""A pair is a Sky and a Noise image of one name, one shape and one place on the sky."""

import numpy as np
import pytest
from support.fields import header, write, write_pairs

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.tiles.pairs import Pair, find_pairs

PIXELS = np.ones((30, 50), np.float32)


def pair_of(tmp_path, **noise_cards):
    write(tmp_path / "sky-a.fits", PIXELS)
    write(tmp_path / "noise-a.fits", PIXELS, **noise_cards)
    return find_pairs(tmp_path)[0]


def test_pairs_by_name(tmp_path):
    write_pairs(tmp_path, 3, (40, 40))
    write(tmp_path / "other.fits", PIXELS)
    write(tmp_path / "sky-my.field.fits", PIXELS)
    write(tmp_path / "noise-my.field.fits", PIXELS)
    pairs = find_pairs(tmp_path)
    assert [p.name for p in pairs] == ["00000", "00001", "00002", "my.field"]
    assert pairs[3] == Pair(
        "my.field", tmp_path / "sky-my.field.fits", tmp_path / "noise-my.field.fits"
    )


def test_open(tmp_path):
    sky, noise = pair_of(tmp_path).open()
    assert (sky.path.name, noise.path.name) == ("sky-a.fits", "noise-a.fits")


@pytest.mark.parametrize("missing", ["sky", "noise"])
def test_missing_partner(tmp_path, missing):
    write_pairs(tmp_path, 2, (40, 40))
    (tmp_path / f"{missing}-00001.fits").unlink()
    with pytest.raises(InputError, match=f"has no partner {missing}-00001.fits"):
        find_pairs(tmp_path)


def test_empty_folder(tmp_path):
    with pytest.raises(InputError, match="no image in it; expected sky-.* and noise-.* pairs"):
        find_pairs(tmp_path)


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        find_pairs(tmp_path / "no")


def test_different_shapes(tmp_path):
    pair = pair_of(tmp_path)
    write(pair.noise, PIXELS.T)
    with pytest.raises(InputError, match=r"noise-a\.fits: 30 x 50 pixels but sky-a\.fits has 50 x"):
        pair.open()


PIXEL = 9.6 / 3600


@pytest.mark.parametrize(
    "cards, offset",
    [
        ({"CRPIX1": 25.5 + 0.02}, "0.02"),
        ({"CRPIX2": 15.5 - 3}, "3"),
        ({"CDELT1": -PIXEL * 1.01}, "0.243"),  # a scale off by 1 %: 24.5 / 1.01 from 24.5
        ({"CRVAL2": -35.0 + PIXEL}, "1"),
    ],
)
def test_different_coordinates(tmp_path, cards, offset):
    pair = pair_of(tmp_path, **cards)
    with pytest.raises(InputError) as caught:
        pair.open()
    found = str(caught.value).split("coordinates are ")[1].split(" pixels")[0]
    assert float(found) == pytest.approx(float(offset), rel=0.02)


def test_the_same_coordinates_written_otherwise(tmp_path):
    """A reference pixel far off, or rounding, is no other place."""
    pair_of(tmp_path, CRPIX1=25.5 + 0.001).open()
    cd = {"CDELT1": None, "CDELT2": None, "CD1_1": -PIXEL, "CD2_2": PIXEL}
    pair_of(tmp_path, **cd).open()


def test_other_sky_coordinates(tmp_path):
    """Galactic coordinates of the same numbers are another place; so is a field across the sky."""
    pair = pair_of(tmp_path, CRVAL1=330.0, CRVAL2=35.0)
    with pytest.raises(InputError, match="expected a pair of one WCS"):
        pair.open()


def test_a_field_whose_corners_are_beyond_the_horizon(tmp_path):
    """In an all-sky image the corners are no place at all: the rest decides."""
    wide = {"CDELT1": -4.0, "CDELT2": 4.0}
    write(tmp_path / "sky-a.fits", PIXELS, **wide)
    write(tmp_path / "noise-a.fits", PIXELS, **wide)
    pair = find_pairs(tmp_path)[0]
    pair.open()
    write(pair.noise, PIXELS, **wide, CRPIX1=header(PIXELS.shape)["CRPIX1"] + 1)
    with pytest.raises(InputError, match="expected a pair of one WCS"):
        pair.open()
