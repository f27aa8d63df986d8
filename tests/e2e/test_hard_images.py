"""Images as instruments and programs make them, swept by the model that ships."""

import numpy as np
import pytest
from astropy.io import fits
from support.fields import header

import cosmodeep_hpc as cd
from benchmarks.skies import noise, primary, radius

SIDE = 800
RMS = 1e-5  # [Jy/beam]
PLACE = 385, 385
MIDDLE = PLACE[0] / SIDE, PLACE[1] / SIDE


def about(shape, pixel=9.6, beam=10.0):
    head = header(shape, pixel, beam)
    head["BUNIT"] = "Jy/beam"
    return head


def blob(shape, row, col, peak, width):
    return peak * np.exp(-((radius(shape, row / shape[0], col / shape[1]) / width) ** 2) / 2)


def swept(image, head=None, **options):
    image = (RMS * image).astype(np.float32)
    return cd.classify(image, about(image.shape) if head is None else head, **options)


@pytest.fixture(scope="module")
def grain():
    return noise((SIDE, SIDE), 10 / 9.6, np.random.default_rng(1))


@pytest.fixture(scope="module")
def flat(grain):
    """A halo in the middle of a pointing, before the division by its primary beam."""
    return grain + blob(grain.shape, *PLACE, 15, 7)


def finds_the_halo_alone(found):
    """In its tile, and in pixels where it is above the noise; nothing three widths further out."""
    assert np.argwhere(found.tiles == 1).tolist() == [[9, 9]]
    away, marked = radius(found.mask.shape, *MIDDLE), found.mask == 1
    assert marked[away < 14].mean() > 0.99
    assert not marked[away > 42].any()


@pytest.mark.parametrize("cut", [0.1, 0.3, 0.5])
def test_a_primary_beam_hides_no_halo(flat, cut):
    beam = 1 / primary(flat.shape)
    found = swept(np.where(beam < cut, np.nan, flat / beam))
    assert found.tile_probability[9, 9] > 0.9
    finds_the_halo_alone(found)


@pytest.mark.parametrize("level", [-10.0, -3.0, 0.0, 1.0, 3.0, 10.0])
def test_a_constant_hides_nothing(flat, level):
    """And is no emission itself."""
    found = swept(flat + level)
    finds_the_halo_alone(found)
    assert any("subtracted a background" in note for note in found.notes) == (level != 0)


@pytest.mark.parametrize("depth, width", [(6, 30), (10, 30), (20, 15)])
def test_a_bowl_elsewhere_hides_nothing(flat, depth, width):
    bowl = depth * np.exp(-((radius(flat.shape, 0.8, 0.2) / width) ** 2) / 2)
    finds_the_halo_alone(swept(flat - bowl))


@pytest.mark.parametrize("rise", [5, 10, 20])
def test_a_slope_hides_nothing(flat, rise):
    """Of the whole image, in units of the noise."""
    slope = rise * np.linspace(-0.5, 0.5, SIDE)
    found = swept(flat + slope)
    finds_the_halo_alone(found)


@pytest.mark.parametrize("step", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("inside", [10_000, 300])
def test_whole_numbers_are_swept_as_the_floats_they_were(flat, step, inside):
    """Also where zeros are around them: those of the noise count for it."""
    steps = np.where(radius(flat.shape) > inside, 0, np.round(flat / step)).astype(np.int16)
    head = about(flat.shape)
    head["BUNIT"] = f"{step * RMS} Jy/beam"
    found = cd.classify(steps, head)
    finds_the_halo_alone(found)
    (plane,) = found.record["planes"]
    (other,) = swept(flat).record["planes"]
    assert plane["noise_jy_per_arcsec2"] == pytest.approx(other["noise_jy_per_arcsec2"], rel=0.1)


@pytest.mark.parametrize("padding", [1e-20, 1e-12, 1e-3, -1.0])
def test_an_image_may_be_mostly_padding(flat, padding):
    """Also where the median pixel is."""
    image = RMS * flat
    image[:, 480:] = padding
    found = cd.classify(image.astype(np.float32), about(image.shape))
    finds_the_halo_alone(found)
    assert np.isnan(found.tile_probability[:, 12:]).all()
    assert np.isnan(found.probability[:, 240:]).all()


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_an_image_may_have_many_absurd_pixels(flat, share):
    absurd = np.random.default_rng(1).random(flat.shape) < share
    found = swept(np.where(absurd, 1e30 / RMS, flat))
    finds_the_halo_alone(found)
    assert f"absurd or infinite values are no data: pixels {absurd.sum()}" in found.notes


@pytest.mark.parametrize(
    "every, said",
    [  # pixels with data, one in so many
        (40, r"at most 14 of those looked at in a square of 40 pixels .*, expected 64"),
        (10**7, r"no pixel with data \(all blank, NaN, 0, or above 1e\+10 Jy/arcsec2\)"),
    ],
)
def test_an_image_of_absurd_pixels_is_refused_by_their_share(flat, every, said):
    absurd = 1e30 / RMS * np.arange(1, flat.size + 1)
    absurd[every // 2 :: every] = flat.reshape(-1)[every // 2 :: every]
    with pytest.raises(cd.InputError, match=said):
        swept(absurd.reshape(flat.shape))


@pytest.mark.parametrize(
    "shape, pixel, beam",
    [((180, 180), 1.0, 2.5), ((320, 320), 0.33, 2.2), ((20, 20), 9.6, 10.0), ((12, 90), 9.6, 10.0)],
)
def test_small_images_are_swept(shape, pixel, beam):
    image = noise(shape, beam / pixel, np.random.default_rng(1))
    found = swept(image, about(shape, pixel, beam))
    assert np.isfinite(found.probability).all()
    assert not (found.tiles == 1).any() and not (found.mask == 1).any()


def test_an_image_too_small_for_its_noise_is_refused_by_its_size():
    image = noise((7, 9), 1.04, np.random.default_rng(1))
    with pytest.raises(cd.InputError, match="too few pixels with data to measure its noise on"):
        swept(image)
    assert np.isfinite(swept(image, rms=RMS).probability).all()


def test_compressed_padding_is_no_data(flat, tmp_path):
    """As in the same image plain: fpack's default turns zeros into noise of a tenth."""
    image = np.where(radius(flat.shape) > 300, 0, RMS * flat).astype(np.float32)
    plain, packed = tmp_path / "a.fits", tmp_path / "b.fits.fz"
    fits.writeto(plain, image, about(flat.shape))
    hdu = fits.CompImageHDU(
        image, about(flat.shape), compression_type="RICE_1", quantize_level=4.0,
        quantize_method=1, dither_seed=1,
    )  # fmt: skip
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(packed)
    one, other = cd.classify(plain), cd.classify(packed)
    np.testing.assert_array_equal(np.isnan(one.tile_probability), np.isnan(other.tile_probability))
    blank = np.isnan(one.probability)
    assert blank.mean() > 0.3
    assert (blank != np.isnan(other.probability)).mean() < 1e-3  # at the border of the padding
    assert any("padding that is not 0" in note for note in other.notes)


@pytest.mark.parametrize("task", ["CONVL", "IMAGR"])
def test_beams_of_aips_tasks_are_in_arcsec(flat, task):
    head = about(flat.shape)
    for name in ("BMAJ", "BMIN", "BPA"):
        del head[name]
    head.add_history(f"{task} BMAJ= 10.0000 BMIN= 10.0000 BPA=   0.0/Output beam")
    found = swept(flat, head)
    expected = swept(flat)
    flux = [one.islands["flux_int"][0].to_value("mJy") for one in (found, expected)]
    assert flux[0] == pytest.approx(flux[1], rel=1e-5)


def test_a_beam_in_arcsec_where_degrees_are_read_is_refused(flat):
    head = about(flat.shape)
    head["BMAJ"] = head["BMIN"] = 25.0
    with pytest.raises(cd.InputError, match="larger than the image.*seem to be in arcsec.*--beam"):
        swept(flat, head)


def test_how_much_is_swept_at_once_does_not_matter(flat):
    """To the last bit, of an image with rising noise, a background, gaps and cut tiles."""
    image = (3 + flat / np.geomspace(1, 6, SIDE))[:, :790]
    image[200:300, 100:180] = np.nan
    one, *others = (swept(image, batch=batch).probability for batch in (10_000, 300, 90))
    for other in others:
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("beam, told", [(10.0, False), (30.0, False), (600.0, True)])
def test_a_beam_in_arcmin_is_said_in_the_record(grain, beam, told):
    """The image has one of 10 arcsec, or of 30; it is swept all the same."""
    image = noise(grain.shape, 30.0 / 9.6, np.random.default_rng(1)) if beam == 30 else grain
    found = swept(image, about(image.shape, beam=beam))
    said = [note for note in found.record["notes"] if "in arcmin" in note]
    assert bool(said) == told and all("the noise does not correlate as" in note for note in said)
    assert np.isfinite(found.probability).all()
