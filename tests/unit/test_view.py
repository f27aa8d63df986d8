"""Averages over blocks of pixels: surface brightness kept, gaps and edges by what is there."""

from dataclasses import replace

import numpy as np
import pytest
from support.fields import write
from support.models import CARD

from cosmodeep_hpc.config.survey import Classify
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.mosaic import open_image
from cosmodeep_hpc.survey.view import NO_BEAM, View, averaged, rebinning


def test_blocks_are_means_of_what_has_data():
    pixels = np.arange(30, dtype=np.float32).reshape(5, 6)
    pixels[0, 0] = np.nan
    pixels[2:4, 2:4] = np.nan
    found = averaged(pixels, 2)
    expected = [
        [(1 + 6 + 7) / 3, (2 + 3 + 8 + 9) / 4, (4 + 5 + 10 + 11) / 4],
        [(12 + 13 + 18 + 19) / 4, np.nan, (16 + 17 + 22 + 23) / 4],
        [24.5, 26.5, 28.5],  # the row that is cut
    ]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("block", [2, 3, 20])
def test_gaps_anywhere_are_left_out(block):
    """A third of the pixels without data, as nanmean has it."""
    random = np.random.default_rng(1)
    pixels = random.normal(1, 1, (1200, 1200)).astype(np.float32)
    pixels[random.random(pixels.shape) < 0.3] = np.nan
    pixels[:600, :300] = np.nan
    found = averaged(pixels, block)
    blocks = pixels.reshape(1200 // block, block, -1, block).swapaxes(1, 2).astype(float)
    with np.errstate(invalid="ignore"):
        expected = np.nansum(blocks, axis=(2, 3)) / np.isfinite(blocks).sum(axis=(2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_padding_is_no_part_of_a_mean(tmp_path):
    pixels = np.ones((4, 6), np.float32)
    pixels[:, :3] = 0
    view = View(open_image(write(tmp_path / "a.fits", pixels)), 2)
    np.testing.assert_array_equal(view.rows(0, 2), [[np.nan, 1, 1]] * 2)


@pytest.mark.parametrize("rebin", [1, 2, 3, 7])
def test_rows_of_a_view_do_not_depend_on_how_they_are_asked_for(tmp_path, rebin):
    pixels = np.random.default_rng(1).normal(1, 1, (500, 33)).astype(np.float32)
    pixels[40:80, 3:9] = np.nan
    view = View(open_image(write(tmp_path / "a.fits", pixels)), rebin)
    whole = view.rows(0, view.shape[0])
    assert whole.shape == view.shape == (-(-500 // rebin), -(-33 // rebin))
    np.testing.assert_array_equal(whole, averaged(pixels, rebin))
    for start in range(0, view.shape[0], 11):
        stop = min(start + 11, view.shape[0])
        np.testing.assert_array_equal(view.rows(start, stop), whole[start:stop])
        strip = view.strip(start, stop, single=True)
        np.testing.assert_array_equal(strip.pixels, whole[start:stop])
        if rebin > 1:  # the first pixel of each block
            np.testing.assert_array_equal(strip.single, pixels[::rebin, ::rebin][start:stop])


def opened(path, pixel, beam, side=64):
    """An image of pixels and a beam [arcsec]; a beam of None: it is not known."""
    cards = {"CDELT1": -pixel / 3600, "CDELT2": pixel / 3600, "BMAJ": None, "BMIN": None}
    if beam is not None:
        cards |= {"BMAJ": beam / 3600, "BMIN": beam / 3600}
    return open_image(write(path / "a.fits", np.ones((side, side), np.float32), **cards))


@pytest.mark.parametrize(
    "pixel, rebin, told",
    [(9.6, 1, None), (11.9, 1, None), (14.0, 1, "does not carry over"), (6.5, 1, "carry over"),
     (4.8, 2, "averaged over 2 x 2"), (2.0, 5, "averaged over 5 x 5"), (0.96, 10, "10 x 10")],
)  # fmt: skip
def test_pixels_are_averaged_to_those_of_the_training(tmp_path, pixel, rebin, told):
    found, notes = rebinning(opened(tmp_path, pixel, None), CARD, Classify())
    assert found == rebin
    assert (told in " ".join(notes)) if told else notes == (NO_BEAM,)


@pytest.mark.parametrize(
    "pixel, beam, rebin",
    [
        (4.0, 13.2, 3),
        (1.1, 7.0, 6),
        (20.0, 60.0, 3),
        (9.6, 10.0, 1),
        (9.6, 6.0, 1),
        (60.0, 45.0, 1),
    ],
)
def test_or_to_the_width_of_the_beam(tmp_path, pixel, beam, rebin):
    found, notes = rebinning(opened(tmp_path, pixel, beam), CARD, Classify(view="beam"))
    assert found == rebin
    assert f"beam of {beam:.4g} x {beam:.4g} arcsec at 0 deg" in notes[0]


@pytest.mark.parametrize("beam, trusted", [(5.0, False), (6.0, True), (23.5, True), (25.0, False)])
def test_a_beam_that_the_model_was_not_validated_on_is_said(tmp_path, beam, trusted):
    card = replace(CARD, beams=(0.6, 2.5))
    _, notes = rebinning(opened(tmp_path, 9.6, beam), card, Classify())
    assert any("not validated for such a beam" in note for note in notes) != trusted


@pytest.mark.parametrize("beam, wide", [(6.2, "0.65"), (30.0, "3.1"), (96.0, "10"), (960.0, "100")])
def test_how_wide_the_network_sees_the_beam_is_a_plain_number(tmp_path, beam, wide):
    card = replace(CARD, beams=(0.6, 2.5))
    _, notes = rebinning(opened(tmp_path, 9.6, beam, side=128), card, Classify())
    assert f"seen {wide} pixels wide" in notes[0] and "e+" not in " ".join(notes)


@pytest.mark.parametrize("unit", ["Jy/pixel", "Jy/arcsec2"])
def test_that_no_beam_is_known_is_said(tmp_path, unit):
    """Units that need none are converted all the same."""
    path = write(tmp_path / "a.fits", np.zeros((64, 64), "f4"), BUNIT=unit, BMAJ=None, BMIN=None)
    rebin, notes = rebinning(open_image(path), replace(CARD, beams=(0.6, 2.5)), Classify())
    assert rebin == 1 and [note.partition(":")[0] for note in notes] == ["no beam known"]


@pytest.mark.parametrize(
    "pixel, beam, said",
    [
        (9.6, 90_000.0, "larger than the image (64 x 64 pixels of 9.6 arcsec); its numbers seem"),
        (9.6, 90_000.0, "a beam of 90000 x 90000 arcsec"),
        (9.6, 90_000.0, "to be in arcsec"),  # and degrees were read
        (2.0, 0.0021, "less than half a pixel (64 x 64 pixels of 2 arcsec); its numbers seem"),
        (2.0, 0.0021, "to be in degrees"),  # of a table without units
        (9.6, 4.0, "less than half a pixel"),
        (9.6, 615.0, "larger than the image"),
    ],
)
def test_a_beam_that_cannot_be_the_images_is_refused(tmp_path, pixel, beam, said):
    with pytest.raises(InputError, match=r"--beam BMAJ BMIN BPA") as caught:
        rebinning(opened(tmp_path, pixel, beam), CARD, Classify())
    assert said in str(caught.value)
