"""The sweep puts every tile where it belongs, and its products say where that is on the sky."""

import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from fields import NOISE, write
from models import brightest_pixel_model

from cosmodeep_hpc.config import Classify, Config
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn.metrics import is_found
from cosmodeep_hpc.survey import picture, products, sweep
from cosmodeep_hpc.survey.products import Swept
from cosmodeep_hpc.tiles.fits.image import open_image
from cosmodeep_hpc.tiles.tiling import inside
from cosmodeep_hpc.world import open_world


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(0, NOISE, shape).astype(np.float32)


def swept(path, model, **options):
    """Sweep a file with a model, on one rank."""
    image = open_image(path)
    level = model.card.preprocessing.measure(image)
    settings = Classify(**options)
    plan = sweep.stripes(image, model, settings.batch)
    probability, coverage = sweep.sweep(model, image, level, plan, settings, open_world())
    return Swept(
        image=image,
        probability=probability,
        coverage=coverage,
        signal=is_found(probability, model.card.threshold),
        threshold=model.card.threshold,
        level=level,
        model=model,
        model_sha256="0" * 64,
        notes=[],
    )


@pytest.mark.parametrize(
    "shape, pixel, tile",
    [
        ((400, 400), (0, 0), (0, 0)),
        ((400, 400), (39, 40), (0, 1)),  # the last row of one tile, the first column of the next
        ((400, 400), (399, 399), (9, 9)),
        ((250, 330), (249, 329), (6, 8)),  # a partial tile in the corner
        ((40, 1000), (17, 999), (0, 24)),
        ((39, 41), (38, 40), (0, 1)),  # an image smaller than a tile
    ],
)
def test_a_bright_pixel_marks_its_tile_and_no_other(tmp_path, shape, pixel, tile):
    pixels = noise(shape)
    pixels[pixel] = 1e-2
    found = swept(write(tmp_path / "a.fits", pixels), brightest_pixel_model())
    assert found.probability.shape == (-(-shape[0] // 40), -(-shape[1] // 40))
    assert np.argwhere(found.signal).tolist() == [list(tile)]


@pytest.mark.parametrize("batch", [1, 7, 10, 100, 5000])
def test_the_batch_does_not_change_the_result(tmp_path, batch):
    pixels = noise((410, 370))
    pixels[::97, ::53] = 1e-2
    path = write(tmp_path / "a.fits", pixels)
    reference, found = (swept(path, brightest_pixel_model(), batch=b) for b in (500, batch))
    np.testing.assert_array_equal(found.probability, reference.probability)


def test_the_network_sees_one_shape(tmp_path):
    model = brightest_pixel_model()
    swept(write(tmp_path / "a.fits", noise((410, 370))), model, batch=33)
    assert model.network.shapes == {(33, 40, 40, 1)}


@pytest.mark.parametrize(
    "blank_rows, no_data",
    [(19, False), (20, False), (21, True), (40, True)],  # of 40; half with data is enough
)
def test_coverage_decides_what_is_no_data(tmp_path, blank_rows, no_data):
    pixels = noise((80, 80))
    pixels[:blank_rows, :40] = np.nan
    found = swept(write(tmp_path / "a.fits", pixels), brightest_pixel_model(), min_coverage=0.5)
    assert found.coverage[0, 0] == np.float32(1 - blank_rows / 40)
    assert np.isnan(found.probability).tolist() == [[no_data, False], [False, False]]
    assert found.tile_mask.tolist() == [[255 if no_data else 0, 0], [0, 0]]


def test_units_do_not_change_the_result(tmp_path):
    """The same sky in Jy/beam and in Jy/arcsec^2; beam area pi / (4 ln 2) FWHM^2."""
    pixels = noise((120, 120))
    pixels[50, 50] = 40 * NOISE
    area = np.pi / (4 * np.log(2)) * 10.0**2
    brightness = swept(write(tmp_path / "a.fits", pixels), brightest_pixel_model(level=4.0))
    per_beam = swept(
        write(tmp_path / "b.fits", pixels * area, BUNIT="Jy/beam"), brightest_pixel_model(level=4.0)
    )
    assert brightness.signal.sum() == 1
    np.testing.assert_array_equal(per_beam.signal, brightness.signal)
    assert per_beam.level.sigma == pytest.approx(brightness.level.sigma, rel=1e-5)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """All products of an image of odd size with one bright tile and a blank corner."""
    folder = tmp_path_factory.mktemp("products")
    pixels = noise((250, 330))
    pixels[130, 210] = 1e-2  # tile (3, 5)
    pixels[:80, :80] = np.nan
    result = swept(write(folder / "field.fits", pixels), brightest_pixel_model())
    products.write(result, Config(), folder)
    return folder, result


def test_mask_is_on_the_images_pixels(written):
    folder, result = written
    mask = fits.getdata(folder / "field.mask.fits")
    expected = np.zeros((250, 330), dtype=np.uint8)
    expected[120:160, 200:240] = 1
    expected[:80, :80] = 255
    np.testing.assert_array_equal(mask, expected)
    assert mask.dtype == np.uint8


@pytest.mark.parametrize("product", ["mask", "tiles", "probability"])
def test_products_say_where_they_are_on_the_sky(written, product):
    """A pixel of the product and the pixel of the image under it are one place to 0.01 pixel."""
    folder, result = written
    size = 1 if product == "mask" else 40
    there = WCS(fits.getheader(folder / f"field.{product}.fits"))
    source = WCS(fits.getheader(folder / "field.fits"))
    ny, nx = fits.getdata(folder / f"field.{product}.fits").shape
    x, y = np.meshgrid([0, nx // 2, nx - 1], [0, ny // 2, ny - 1])
    centre = [(v + 0.5) * size - 0.5 for v in (x, y)]  # of tile x: pixel 40 x + 19.5
    back = source.world_to_pixel(there.pixel_to_world(x, y))
    np.testing.assert_allclose(back, centre, atol=0.01)


def test_tiles_and_probability_are_on_the_tile_grid(written):
    folder, result = written
    with fits.open(folder / "field.probability.fits") as file:
        assert file[0].data.shape == (7, 9) and file[1].name == "COVERAGE"
        assert np.isnan(file[0].data[:2, :2]).all() and file[0].data[3, 5] == 1
        assert file[1].data[6, 0] == pytest.approx(10 / 40)  # 250 = 6 * 40 + 10
        assert file[0].header["THRESH"] == 0.5
    assert fits.getdata(folder / "field.tiles.fits")[3, 5] == 1


def test_record_names_products_that_are_there(written):
    folder, _ = written
    record = json.loads((folder / "field.json").read_text())
    assert record["tiles"] == {
        "grid": [7, 9],
        "signal": 1,
        "noise": 58,
        "no_data": 4,
        "partial_top_row": True,
        "partial_right_column": True,
    }
    assert all((folder / name).exists() for name in record["products"].values())


def test_two_images_of_one_name_are_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "x.fits", noise((40, 40)))
    paths = [tmp_path / "a" / "x.fits", tmp_path / "b" / "x.fits"]
    with pytest.raises(InputError, match="named as those of"):
        sweep.run(Config(), "no-model", paths, tmp_path / "out", open_world())


def test_share_of_partial_tiles_inside_the_image():
    share = inside((100, 70), 40)
    expected = [[1, 30 / 40], [1, 30 / 40], [20 / 40, 20 * 30 / 1600]]
    np.testing.assert_allclose(share, expected)


@pytest.mark.parametrize(
    "where, sides",
    [
        ([[1]], 4),
        ([[1, 1]], 6),  # the side between them is not drawn
        ([[1, 0], [0, 1]], 8),
        ([[1, 1, 1], [1, 0, 1], [1, 1, 1]], 16),  # outside 12, around the hole 4
        ([[0, 0]], 0),
    ],
)
def test_outlines(where, sides):
    edges = picture.tile_edges(np.array(where, dtype=bool))
    assert edges.shape == (sides, 2, 2)
    assert (np.abs(edges[:, 1] - edges[:, 0]).sum(axis=1) == 1).all()


def test_thumbnail_is_the_mean_of_blocks_with_data(tmp_path):
    pixels = np.arange(60, dtype=np.float32).reshape(6, 10)
    pixels[0, 0] = np.nan
    pixels[2:4, 2:4] = np.nan
    small, block = picture.thumbnail(open_image(write(tmp_path / "a.fits", pixels)), max_side=5)
    assert block == 2 and small.shape == (3, 5)
    assert small[0, 0] == np.float32((1 + 10 + 11) / 3)
    assert np.isnan(small[1, 1])
    assert small[2, 4] == np.float32((48 + 49 + 58 + 59) / 4)
