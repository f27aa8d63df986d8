"""The sweep puts every tile where it belongs, whatever the size and the stride."""

import csv
import os
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse_single_table
from support.fields import NOISE, write
from support.memory import peak_memory
from support.models import absolute_model, brightest_pixel_model
from support.sweeping import noise, probability, sweep_with, swept

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.survey import ALL_PRODUCTS
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.parallel.world import alone
from cosmodeep_hpc.products.folder import ProductFolder, classify_into
from cosmodeep_hpc.survey.plan import SweepRequest


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
    found = probability(write(tmp_path / "a.fits", pixels), brightest_pixel_model())
    assert found.shape == (-(-shape[0] // 40), -(-shape[1] // 40))
    assert np.argwhere(found == 1).tolist() == [list(tile)]


@pytest.mark.parametrize("margin", [3, 12, 50])
@pytest.mark.parametrize(
    "shape, pixel",
    [
        ((400, 400), (119, 40)),  # within 3 pixels of four tiles
        ((400, 400), (0, 0)),
        ((410, 330), (200, 329)),  # across a seam of stripes, near the edge
        ((410, 330), (199, 170)),
        ((39, 41), (20, 40)),
    ],
)
def test_a_tile_sees_its_surroundings(tmp_path, margin, shape, pixel):
    """A bright pixel marks each tile whose window, with its margins, has the pixel in it."""
    pixels = noise(shape)
    pixels[pixel] = 1e-2
    model = brightest_pixel_model(margin=margin)
    path = write(tmp_path / "a.fits", pixels)
    found = probability(path, model, batch=30)  # stripes of five rows of tiles
    for (row, col), value in np.ndenumerate(found):
        near = (
            row * 40 - margin <= pixel[0] < row * 40 + 40 + margin
            and col * 40 - margin <= pixel[1] < col * 40 + 40 + margin
        )
        assert value == near, (row, col)
    assert model.network.sides == {(40 + 2 * margin,) * 2}


def test_coverage_is_that_of_the_tile_without_its_surroundings(tmp_path):
    pixels = noise((200, 200))
    pixels[:90] = np.nan  # two rows of tiles, and a quarter of the third
    [plane] = swept(write(tmp_path / "a.fits", pixels), brightest_pixel_model(margin=30)).planes
    assert plane.tiles.coverage[:, 0].tolist() == [0, 0, 0.75, 1, 1]
    assert np.isnan(plane.probability[:2]).all() and np.isfinite(plane.probability[2:]).all()


@pytest.mark.parametrize("stride", [8, 20])
@pytest.mark.parametrize("shape", [(400, 410), (39, 41), (120, 81)])
def test_overlapping_tiles_are_averaged_over_each_cell(tmp_path, stride, shape):
    """Every cell holds the share of the tiles over it that have the bright pixel."""
    pixels, pixel = noise(shape), (min(37, shape[0] - 1), shape[1] // 2)
    pixels[pixel] = 1e-2
    path = write(tmp_path / "a.fits", pixels)
    found = probability(path, brightest_pixel_model(), stride=stride, batch=30)
    rows, cols = (-(-n // stride) for n in shape)
    over, tiles = 40 // stride, tuple(max(1, n - 40 // stride + 1) for n in (rows, cols))
    expected = np.empty((rows, cols))
    for row in range(rows):
        for col in range(cols):
            has = [
                r * stride <= pixel[0] < r * stride + 40
                and c * stride <= pixel[1] < c * stride + 40
                for r in range(max(0, row - over + 1), min(row + 1, tiles[0]))
                for c in range(max(0, col - over + 1), min(col + 1, tiles[1]))
            ]
            expected[row, col] = np.mean(has)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("stride", [0, 20])
@pytest.mark.parametrize("batch", [1, 7, 100, 5000])
def test_the_batch_does_not_change_the_result(tmp_path, batch, stride):
    pixels = noise((810, 370))
    pixels[::97, ::53] = 1e-2
    path, model = write(tmp_path / "a.fits", pixels), brightest_pixel_model()
    reference, found = (swept(path, model, batch=b, stride=stride).planes[0] for b in (500, batch))
    for name in ("probability", "coverage", "noise"):
        np.testing.assert_array_equal(getattr(found.tiles, name), getattr(reference.tiles, name))
    np.testing.assert_array_equal(found.thumbnail, reference.thumbnail)


@pytest.mark.parametrize(
    "blank_rows, no_data",
    [(19, False), (20, False), (21, True), (40, True)],  # of 40; half with data is enough
)
@pytest.mark.parametrize("blank", [np.nan, np.inf, 0.0])
def test_coverage_decides_what_is_no_data(tmp_path, blank_rows, no_data, blank):
    pixels = noise((80, 80))
    pixels[:blank_rows, :40] = blank
    plane = swept(write(tmp_path / "a.fits", pixels), brightest_pixel_model(), min_coverage=0.5)
    plane = plane.planes[0]
    assert plane.tiles.coverage[0, 0] == np.float32(1 - blank_rows / 40)
    assert np.isnan(plane.probability).tolist() == [[no_data, False], [False, False]]
    assert plane.tiles.mask(0.5).tolist() == [[255 if no_data else 0, 0], [0, 0]]


def test_units_do_not_change_the_result(tmp_path):
    """The same sky in Jy/beam and in Jy/arcsec^2; beam area pi / (4 ln 2) FWHM^2."""
    pixels = noise((120, 120))
    pixels[50, 50] = 40 * NOISE
    area = np.pi / (4 * np.log(2)) * 10.0**2
    model = brightest_pixel_model(level=4.0)
    brightness = swept(write(tmp_path / "a.fits", pixels), model).planes[0]
    path = write(tmp_path / "b.fits", pixels * area, BUNIT="Jy/beam")
    per_beam = swept(path, model).planes[0]
    assert (brightness.tiles.mask(0.5) == 1).sum() == 1
    np.testing.assert_array_equal(per_beam.tiles.mask(0.5), brightness.tiles.mask(0.5))
    assert per_beam.level.sigma == pytest.approx(brightness.level.sigma, rel=1e-5)


@pytest.mark.parametrize("pixel, rebin", [(9.6, 1), (12.0, 1), (8.0, 1), (4.8, 2), (3.2, 3)])
def test_finer_pixels_are_averaged_and_fluxes_kept(tmp_path, pixel, rebin):
    """A block of the training's pixel size keeps its surface brightness; cells stay on the sky."""
    pixels = noise((400, 400)) * np.float32(rebin)  # averages are as noisy as the training
    pixels[200 : 200 + rebin, 160 : 160 + rebin] = 30 * NOISE
    cards = {"CDELT1": -pixel / 3600, "CDELT2": pixel / 3600}
    if rebin == 3:  # blocks that do not begin at the source's own
        pixels[200:203, 160:163] = 0.1 * NOISE
        pixels[201:204, 162:165] = 30 * NOISE
    path = write(tmp_path / "a.fits", pixels, **cards)
    found = swept(path, absolute_model(15 * NOISE), noise="as_is")
    assert (found.rebin, found.cell) == (rebin, 40 * rebin)
    cells = -(-400 // (40 * rebin))
    assert found.planes[0].probability.shape == (cells, cells)
    where = [[200 // (40 * rebin), 162 // (40 * rebin)]]
    assert np.argwhere(found.planes[0].tiles.mask(0.5) == 1).tolist() == where
    assert any("averaged" in note for note in found.planes[0].notes) == (rebin > 1)


def test_far_coarser_pixels_are_refused_by_name(tmp_path):
    path = write(tmp_path / "a.fits", noise((80, 80)), CDELT1=-60 / 3600, CDELT2=60 / 3600,
                 BMAJ=0.04, BMIN=0.04)  # fmt: skip
    with pytest.raises(InputError, match=r"a\.fits: pixels of 60 arcsec.*classify\.any_scale"):
        swept(path, brightest_pixel_model())
    notes = swept(path, brightest_pixel_model(), any_scale=True).planes[0].notes
    assert any("does not carry over" in note for note in notes)


def test_a_cube_is_swept_plane_by_plane(tmp_path):
    pixels = np.stack([noise((80, 120), seed) for seed in range(3)])
    for plane, col in enumerate((10, 50, 90)):
        pixels[plane, 50, col] = 1e-2
    path = write(tmp_path / "a.fits", pixels, CTYPE3="FREQ", CRVAL3=1e9, CDELT3=1e6, CRPIX3=1.0)
    found = swept(path, brightest_pixel_model())
    places = [np.argwhere(plane.tiles.mask(0.5) == 1).tolist() for plane in found.planes]
    assert places == [[[1, 0]], [[1, 1]], [[1, 2]]]
    one = swept(path, brightest_pixel_model(), SweepRequest(planes=(2,)))
    assert [plane.image.plane for plane in one.planes] == [(2,)]
    assert np.argwhere(one.planes[0].tiles.mask(0.5) == 1).tolist() == [[1, 2]]


def beams_of(path, widths, **cards):
    """A cube of noise with a table of round beams [arcsec]."""
    pixels = np.stack([noise((160, 240), seed) for seed in range(len(widths))])
    cards |= {"BUNIT": "Jy/beam", "BMAJ": None, "BMIN": None, "BPA": None, "CASAMBM": True}
    cards |= {"CTYPE3": "FREQ", "CRVAL3": 1e9, "CDELT3": 1e6, "CRPIX3": 1.0}
    write(path, pixels, **cards)
    columns = {"BMAJ": widths, "BMIN": widths, "BPA": [0.0] * len(widths)}
    columns |= {"CHAN": range(len(widths)), "POL": [0] * len(widths)}
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, "E", array=np.array(v, "f4")) for name, v in columns.items()],
        name="BEAMS",
    )
    fits.append(path, table.data, table.header)
    return path


@pytest.mark.parametrize("view, seen", [("beam", 2), ("scale", 1)])
def test_planes_of_different_beams_have_one_grid(tmp_path, view, seen):
    """The beam in the middle tells it; pixels of 9.6 arcsec."""
    path = beams_of(tmp_path / "a.fits", [10.0, 20.0, 40.0])
    found = swept(path, brightest_pixel_model(), view=view)
    shape = {"beam": (2, 3), "scale": (4, 6)}[view]
    assert [plane.probability.shape for plane in found.planes] == [shape] * 3
    assert found.rebin == seen


def test_a_plane_without_a_beam_says_that_alone(tmp_path):
    """As CASA writes that of a flagged channel: the unit needs one."""
    path = beams_of(tmp_path / "a.fits", [10.0, 0.0, 11.0])
    planes = swept(path, brightest_pixel_model()).planes
    assert np.isnan(planes[1].probability).all() and np.isfinite(planes[2].probability).all()
    assert planes[1].notes == (
        "no data taken from it: no beam (its beam is 0 x 0 arcsec), which Jy/beam needs",
    )


def test_memory_does_not_grow_with_the_mosaic(tmp_path):
    """Four times as many rows: the same stripes, one after the other."""
    peaks = []
    for rows in (2000, 2000, 8000):  # the first loads what else is needed
        path = write(tmp_path / f"{rows}.fits", np.resize(noise((2000, 400)), (rows, 400)))
        with peak_memory() as peak:
            swept(path, absolute_model(1e-6), batch=50)
        peaks += peak
    assert peaks[2] < peaks[1] + 1e6 < 8e6  # the larger file has 12.8e6 bytes


def test_the_thumbnail_is_of_the_image_as_it_is(tmp_path):
    """Not of what became of it: blocks of one pixel, in an image whose noise is scaled."""
    pixels = 5 * noise((90, 130))
    path = write(tmp_path / "a.fits", pixels)
    plane = swept(path, absolute_model(1e-6)).planes[0]
    assert plane.block == 1
    np.testing.assert_array_equal(plane.thumbnail, pixels)


def test_two_images_of_one_name_are_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "x.fits", noise((40, 40)))
    paths = [tmp_path / "a" / "x.fits", tmp_path / "b" / "x.fits"]
    with pytest.raises(InputError, match="have the names of those of"):
        classify_into(ProductFolder(tmp_path / "out", Config()), paths, SweepRequest(), alone())


def test_thousands_of_images_in_the_hands_of_another_job_are_each_told(tmp_path):
    path, out = write(tmp_path / "a.fits", noise((40, 40))), tmp_path / "out"
    out.mkdir()
    paths = []
    for number in range(1100):
        paths.append(tmp_path / f"{number}.fits")
        paths[-1].symlink_to(path)
        (out / f"{number}.json.lock").write_text("{}")  # nobody that could be asked
    outcomes = sweep_with(brightest_pixel_model(), paths, out)
    assert {outcome.state for outcome in outcomes} == {"failed"} and len(outcomes) == 1100
    assert "wait for its end" in outcomes[0].notes[0]


@pytest.mark.parametrize("scaling", ["asinh", "minmax", "range"])
@pytest.mark.parametrize("pixel", [9.6, 4.8])
@pytest.mark.parametrize("content", [np.nan, 0.0, 1e-6])
def test_a_plane_without_data_does_not_stop_the_others(tmp_path, scaling, pixel, content):
    """A flagged channel: no data, said so; a cube of such planes alone is refused."""
    pixels = np.stack([noise((160, 240), seed) for seed in range(3)])
    pixels[1] = content
    pixels[2, 90:92, 110:112] = 1e-2
    cards = {"CDELT1": -pixel / 3600, "CDELT2": pixel / 3600}
    cards |= {"CTYPE3": "FREQ", "CRVAL3": 1e9, "CDELT3": 1e6, "CRPIX3": 1.0}
    path = write(tmp_path / "a.fits", pixels, **cards)
    model = brightest_pixel_model(level=0.9)
    scale = replace(model.card.preprocessing, scaling=scaling)
    model = replace(model, card=replace(model.card, preprocessing=scale))
    cell = 40 if pixel == 9.6 else 80
    found = swept(path, model)
    assert found.planes[2].tiles.mask(0.5)[90 // cell, 110 // cell] == 1
    assert (
        np.isnan(found.planes[1].probability).all() and (found.planes[1].tiles.coverage == 0).all()
    )
    assert found.planes[1].thumbnail.shape == found.planes[0].thumbnail.shape
    assert any("no data taken from it: no " in note for note in found.planes[1].notes)
    assert not np.isnan(found.planes[0].probability).any()
    (outcome,) = sweep_with(model, [path], tmp_path / "out")
    assert outcome.state == "done" and outcome.no_data == found.planes[1].probability.size
    with pytest.raises(InputError, match="plane 1: no (pixel with data|noise in it)"):
        swept(path, model, SweepRequest(planes=(1,)))
    assert not list((tmp_path / "out").glob(".*"))


def test_a_name_may_be_any_bytes(tmp_path):
    """Not UTF-8, quotes, mathematics, mark-up, spaces: every product is made and can be read."""
    pixels = noise((120, 120))
    pixels[50, 50] = 1e-2
    plain, out = write(tmp_path / "plain.fits", pixels), tmp_path / "out"
    names = [os.fsdecode(b"bad\xff.fits"), 'it\'s $x$ <b> & "q" \u00e9.fits', "two\nlines.fits"]
    paths = [tmp_path / name for name in names]
    for path in paths:
        path.symlink_to(plain)
    outcomes = sweep_with(brightest_pixel_model(), paths, out, products=ALL_PRODUCTS)
    assert [(o.state, o.islands) for o in outcomes] == [("done", 1)] * 3
    for path in paths:
        (island,) = fits.getdata(out / f"{path.stem}.islands.fits")
        (row,) = parse_single_table(out / f"{path.stem}.islands.vot").array
        assert row["number"] == island["number"] == 1
        assert path.stem in str(row["island_id"]) or not path.stem.isprintable()
        with (out / f"{path.stem}.islands.csv").open(encoding="utf-8", newline="") as file:
            assert len(list(csv.reader(file))) == 2


def test_files_that_no_sweep_has_left_are_not_written_over(tmp_path):
    """A region file of the user's own, beside an image whose products go into its folder."""
    path = write(tmp_path / "a.fits", noise((40, 40)))
    own = tmp_path / "a.reg"
    own.write_text("drawn by hand")
    (outcome,) = sweep_with(brightest_pixel_model(), [path], tmp_path, restart=False)
    assert outcome.state == "failed" and outcome.notes[0].startswith(f"{own}: already exists")
    assert own.read_text() == "drawn by hand" and len(list(tmp_path.iterdir())) == 2
    (outcome,) = sweep_with(brightest_pixel_model(), [path], tmp_path, restart=True)
    assert outcome.state == "done" and own.read_text().startswith("# Region")


def test_an_image_is_not_written_over_by_a_product_of_another(tmp_path):
    paths = [write(tmp_path / name, noise((40, 40))) for name in ("a.fits", "a.mask.fits")]
    with pytest.raises(InputError, match=r"a\.mask\.fits: a product of .*a\.fits would overwrite"):
        classify_into(ProductFolder(tmp_path, Config()), paths, SweepRequest(), alone())
