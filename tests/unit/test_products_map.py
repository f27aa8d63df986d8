"""Products of a map of pixels: what their formats' libraries read of it, and where it lies."""

import json
from dataclasses import fields, replace

import h5py
import numpy as np
import pytest
import scipy.ndimage
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from mocpy import MOC
from regions import Regions
from support.fields import NOISE, contents
from support.findings import findings, mapped, rows_in, sky, write_mosaic, written

from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.config.survey import ALL_PRODUCTS, Classify
from cosmodeep_hpc.islands.islands import measure
from cosmodeep_hpc.islands.labels import EIGHT, Labels
from cosmodeep_hpc.learn.pixelmap import BLANK, packed

SHAPE = (250, 331)
CELLS = (125, 166)  # of 2 x 2 pixels; the last column is cut


def blobs(seed=1, shape=CELLS):
    """Probabilities of smooth patches of many sizes, some without data: float32."""
    random = np.random.default_rng(seed)
    made = scipy.ndimage.gaussian_filter(random.normal(size=shape), 2.5)
    made = 1 / (1 + np.exp(-(made / made.std() - 1.2) * 3))
    made[:9, :13] = made[60:64, 100:120] = np.nan
    made[-3:, -3:] = 0.93  # in the corner
    made[66:96, 4:20] = 0.1
    made[70, 10] = made[80, 10:12] = made[90, 10:13] = 0.96  # of one, two and three cells
    return made.astype(np.float32)


TILED = ("tiles", "tile_probability")


def everything(**options):
    return Config(classify=Classify(products=ALL_PRODUCTS, **options))


def mosaic(folder, projection="SIN", **cards):
    pixels = np.random.default_rng(2).normal(0, 1e-5, SHAPE)
    pixels[:18, :26] = np.nan
    return write_mosaic(folder / "field.fits", pixels, sky(SHAPE, projection, **cards))


@pytest.fixture(scope="module", params=["SIN", "CAR", "GAL"])
def made(request, tmp_path_factory):
    """A swept mosaic with a map, and all of its products."""
    folder = tmp_path_factory.mktemp(request.param)
    found = mapped(mosaic(folder, request.param), blobs())
    return found, written(found, folder, everything())


def on_input(swept, x, y):
    return WCS(fits.getheader(swept.path)).pixel_to_world(x, y).icrs


def test_the_probability_is_read_as_it_was_found(made):
    """By astropy, from whole numbers of 16 bits: half of the bytes of float32."""
    swept, files = made
    with fits.open(files["probability"]) as file:
        file.verify("exception")
        assert file[0].header["BITPIX"] == 16 and file[0].header["BLANK"] == BLANK
        assert file["COVERAGE"].data.dtype == np.uint8
        found, cover = file[0].data, file["COVERAGE"].data
    np.testing.assert_array_equal(found, swept.planes[0].probability)
    np.testing.assert_allclose(found, blobs(), atol=1e-5)
    np.testing.assert_array_equal(cover, np.isfinite(blobs()))
    assert files["probability"].stat().st_size < 3.2 * np.prod(CELLS) + 6 * 2880
    raw = fits.getdata(files["probability"], do_not_scale_image_data=True)
    np.testing.assert_array_equal(raw, packed(blobs()))


@pytest.mark.parametrize(
    "kind, hdu, size",
    [("probability", 0, 2), ("probability", 1, 2), ("mask", 0, 1), ("tiles", 0, 40),
     ("tile_probability", 0, 40)],
)  # fmt: skip
def test_a_product_lies_where_its_input_does(made, kind, hdu, size):
    swept, files = made
    there = WCS(fits.getheader(files[kind], hdu))
    ny, nx = fits.getdata(files[kind], hdu).shape
    assert (ny, nx) == tuple(-(-side // size) for side in SHAPE)
    x, y = np.meshgrid([0, nx // 2, nx - 1], [0, ny // 2, ny - 1])
    centre = [(v + 0.5) * size - 0.5 for v in (x, y)]
    apart = there.pixel_to_world(x, y).icrs.separation(on_input(swept, *centre))
    assert apart.max() < 1 * u.mas


def test_each_grid_names_the_threshold_of_its_own(tmp_path):
    swept = replace(mapped(mosaic(tmp_path), blobs()), tile_threshold=0.2)
    files = written(swept, tmp_path, everything())
    found = {kind: fits.getval(files[kind], "THRESH") for kind in TILED}
    assert found == dict.fromkeys(TILED, 0.2)
    assert (
        fits.getval(files["probability"], "THRESH") == fits.getval(files["mask"], "THRESH") == 0.5
    )
    with h5py.File(files["hdf5"]) as file:
        assert (file.attrs["threshold"], file.attrs["tile_threshold"]) == (0.5, 0.2)
    kept_by = [fits.getval(files["mask"], key) for key in ("HITHRESH", "MINBEAMS")]
    assert kept_by == [0.7, 2.0]
    tiles, probability = (fits.getdata(files[kind]) for kind in TILED)
    np.testing.assert_array_equal(tiles == 1, probability >= 0.2)


def kept(probability, least, high=0.7):
    """Which cells are in islands by scipy: of a size, and high enough somewhere."""
    found, count = scipy.ndimage.label(np.nan_to_num(probability) >= 0.5, structure=EIGHT)
    numbers = [
        n
        for n in range(1, count + 1)
        if (found == n).sum() >= least and probability[found == n].max() >= high
    ]
    return np.isin(found, numbers), len(numbers)


def on_pixels(cells):
    return np.kron(cells, np.ones((2, 2), cells.dtype))[: SHAPE[0], : SHAPE[1]]


@pytest.mark.parametrize("beams", [0.0, 1.0, 2.0, 10.0, 1e6])
def test_the_mask_holds_just_the_islands_that_are_large_enough(tmp_path, beams):
    """A beam of 20 arcsec has pi / (4 ln 2) 20^2 / (2 x 9.6)^2 cells, 1.23."""
    swept = mapped(mosaic(tmp_path), blobs())
    config = everything(min_beams=beams)
    files = written(swept, tmp_path, config)
    inside, count = kept(blobs(), beams * np.pi / (4 * np.log(2)) * 20**2 / 19.2**2)
    expected = np.where(np.isnan(blobs()), 255, inside)
    np.testing.assert_array_equal(fits.getdata(files["mask"]), on_pixels(expected))
    table = fits.getdata(files["islands_fits"])
    assert len(table) == count and table["n_cells"].sum() == inside.sum()
    assert len(Regions.read(files["regions"], format="ds9")) == count
    record = json.loads((tmp_path / "field.json").read_text())
    assert record["islands"] == count and record["grid"]["shape"] == list(CELLS)
    assert record["tiles"] == {"signal": 0, "noise": 63, "no_data": 0}


def test_islands_of_all_sizes_are_there(tmp_path):
    """Else the test above says little."""
    one, two, three, many, none = (kept(blobs(), n * 1.23)[1] for n in (0, 1, 2, 10, 1e6))
    assert one > two > three > many > 5 and none == 0


@pytest.mark.parametrize("high", [0.0, 0.7, 0.9, 1.0])
def test_and_high_enough(tmp_path, high):
    swept = mapped(mosaic(tmp_path), blobs())
    found = findings(swept, everything(min_beams=2.0, high_threshold=high))
    inside, count = kept(blobs(), 2.46, high)
    assert len(found.islands) == count
    np.testing.assert_array_equal(found.mask(0, 0, CELLS[0]) == 1, inside)


def test_mask_regions_and_moc_say_the_same_of_every_point(made):
    swept, files = made
    random = np.random.default_rng(3)
    x, y = random.uniform(-0.4, 330.4, 3000), random.uniform(-0.4, 249.4, 3000)
    mask = fits.getdata(files["mask"])
    signal = mask[np.round(y).astype(int), np.round(x).astype(int)] == 1
    assert 0.02 < signal.mean() < 0.4
    places, wcs = on_input(swept, x, y), WCS(fits.getheader(files["mask"]))
    for kind, form in (("regions", "ds9"), ("regions_casa", "crtf")):
        drawn = Regions.read(files[kind], format=form)
        inside = np.any([region.contains(places, wcs) for region in drawn], axis=0)
        assert (inside != signal).sum() <= 4  # within the rounding of a corner
    held = MOC.from_fits(files["moc"]).contains_skycoords(places)
    assert held[signal].all()
    near = scipy.ndimage.binary_dilation(mask == 1, iterations=2)
    assert not held[~near[np.round(y).astype(int), np.round(x).astype(int)]].any()


def test_hdf5_holds_the_map_and_the_tiles(made):
    swept, files = made
    with h5py.File(files["hdf5"]) as file:
        np.testing.assert_array_equal(file["probability"], swept.planes[0].probability)
        np.testing.assert_array_equal(file["tile_probability"], np.full((7, 9), 0.25, "f4"))
        assert file["tiles"].shape == file["coverage"].shape == file["noise"].shape == (7, 9)
        assert file["islands"][:].max() == len(fits.getdata(files["islands_fits"]))
        assert file.attrs["cell_pixels"] == 2 and file.attrs["tile_pixels"] == 40


def test_products_of_a_map_in_a_file_are_those_of_one_in_memory(tmp_path):
    for name, options in (("memory", {}), ("file", {"source": tmp_path / "a.map"})):
        folder = tmp_path / name
        folder.mkdir()
        (tmp_path / "in").mkdir(exist_ok=True)
        swept = mapped(mosaic(tmp_path / "in"), blobs(), **options)
        written(swept, folder, everything(compress_mask=True))
    assert contents(tmp_path / "memory") == contents(tmp_path / "file")


@pytest.mark.parametrize("order", ["FREQ", "STOKES FREQ"])
def test_planes_of_a_cube_have_their_maps(tmp_path, order):
    """Those that were not swept have no data."""
    axes = order.split()
    lengths = {"FREQ": 3, "STOKES": 1}
    cards = {}
    for number, name in enumerate(reversed(axes), 3):
        cards |= {f"CTYPE{number}": name, f"CRVAL{number}": 1.0, f"CDELT{number}": 1.0}
        cards |= {f"CRPIX{number}": 1.0}
    shape = (*(lengths[name] for name in axes), *SHAPE)
    path = write_mosaic(tmp_path / "field.fits", np.zeros(shape), sky(SHAPE, **cards))
    maps = np.stack([blobs(seed) for seed in (1, 2)])
    swept = mapped(path, maps, source=tmp_path / "a.map", planes=[0, 2])
    files = written(swept, tmp_path, everything())
    with fits.open(files["probability"]) as file:
        found, cover = (hdu.data.reshape(3, *CELLS) for hdu in file)
    np.testing.assert_allclose(found[[0, 2]], maps, atol=1e-5)
    assert np.isnan(found[1]).all() and not cover[1].any()
    mask = fits.getdata(files["mask"]).reshape(3, *SHAPE)
    assert (mask[1] == 255).all()
    for plane, each in zip((0, 2), maps, strict=True):
        np.testing.assert_array_equal(mask[plane] == 1, on_pixels(kept(each, 2.46)[0]))
    assert set(fits.getdata(files["islands_fits"])["plane"]) == {0, 2}


def test_a_map_without_data_has_empty_products(tmp_path):
    swept = mapped(mosaic(tmp_path), np.full(CELLS, np.nan, np.float32))
    files = written(swept, tmp_path, everything())
    assert np.isnan(fits.getdata(files["probability"])).all()
    assert (fits.getdata(files["mask"]) == 255).all()
    assert len(fits.getdata(files["islands_fits"])) == 0 and MOC.from_fits(files["moc"]).empty()


# --- measures ---


def swept_noise(folder, unit="Jy/beam"):
    """A map over an image of noise with gaps, bright on the right; the noise of tiles differs."""
    random = np.random.default_rng(5)
    pixels = random.normal(2e-6, 1e-5, SHAPE)
    pixels[:, 170:] += 4e-4 * on_pixels(np.nan_to_num(blobs()))[:, 170:]
    pixels[::37, ::29] = np.nan
    path = write_mosaic(folder / "field.fits", pixels, sky(SHAPE, BUNIT=unit))
    swept = mapped(path, blobs())
    plane = swept.planes[0]
    noise = (NOISE * random.uniform(1, 2, (7, 9))).astype(np.float32)
    plane = replace(plane, tiles=replace(plane.tiles, noise=noise))
    return replace(swept, planes=(plane,)), pixels, noise


@pytest.mark.parametrize("height", [2, 3, 7, 50])
def test_measures_do_not_depend_on_strips(tmp_path, height):
    """To the last bit: rows of cells are added in one order."""
    swept, *_ = swept_noise(tmp_path)
    plane = swept.planes[0]
    whole, parts = (
        measure(swept, 0, Labels(plane, 0.5, 2.46, 0.7, at_once=rows * CELLS[1]))
        for rows in (10**6, height)
    )
    assert len(whole[0]) > 20
    for one, other in zip(whole, parts, strict=True):
        for column in fields(one):
            np.testing.assert_array_equal(getattr(one, column.name), getattr(other, column.name))


def test_measures_are_those_of_all_pixels_at_once(tmp_path):
    swept, pixels, noise = swept_noise(tmp_path)
    area = np.pi / (4 * np.log(2)) * 20.0**2
    found = findings(swept, everything(min_beams=2.0))
    labels, islands = found.labels.whole(0), rows_in(found.islands.table)
    owner = on_pixels(labels)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = np.isfinite(pixels)
    edge, gap = (
        scipy.ndimage.binary_dilation(beyond, structure=EIGHT)[1:-1, 1:-1]
        for beyond in (
            np.pad(np.zeros(CELLS, bool), 1, constant_values=True),
            np.pad(np.isnan(blobs()), 1),
        )
    )
    for island in islands:
        cells, own = labels == island.number, (owner == island.number) & inside
        assert island.cells == cells.sum() and island.pixels == own.sum()
        above = np.where(own, pixels / area - island.background, 0)
        assert island.flux == pytest.approx(above.sum() * 9.6**2, rel=1e-4)
        assert island.diffuse == island.flux and island.compact == island.sources == 0
        assert island.area == pytest.approx(own.sum() * 9.6**2, rel=1e-4)
        assert island.beams == pytest.approx(island.area / area)
        is_sure = island.diffuse > 3 * island.diffuse_error
        weight = above if is_sure else own
        assert (island.x, island.y) == pytest.approx(
            ((x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()), rel=1e-5
        )
        at = np.unravel_index(np.argmax(np.where(own, pixels, -np.inf)), SHAPE)
        assert (island.y_peak, island.x_peak) == at
        assert island.peak == pytest.approx(pixels[at] / area - island.background, rel=1e-5)
        rows, cols = np.nonzero(owner == island.number)
        box = (island.y_min, island.y_max, island.x_min, island.x_max)
        assert box == (rows.min(), rows.max(), cols.min(), cols.max())
        assert island.mean_probability == pytest.approx(blobs()[cells].mean(), abs=1e-5)
        assert island.max_probability == pytest.approx(blobs()[cells].max(), abs=1e-5)
        assert island.coverage == own.sum() / (owner == island.number).sum()
        assert island.edge == edge[cells].any() and island.gap == gap[cells].any()
        assert island.partial == (own.sum() < (owner == island.number).sum())
        tiles = np.unique(np.argwhere(cells) * 2 // 40, axis=0)
        assert island.rms == pytest.approx(np.median(noise[tuple(tiles.T)]))
    for what in ("partial", "edge", "gap"):
        assert {True, False} == {bool(getattr(island, what)) for island in islands}
    sure = [island.diffuse > 3 * island.diffuse_error for island in islands]
    assert {True, False} == {bool(one) for one in sure}


def test_of_equally_bright_pixels_the_first_is_the_peak(tmp_path):
    """Row after row, whatever the strips; in a comb, of which a column is read later."""
    pixels = np.zeros((40, 40)) + 1e-9
    pixels[[3, 3, 17, 31], [21, 5, 0, 5]] = 1.0
    path = write_mosaic(tmp_path / "field.fits", pixels, sky((40, 40)))
    swept = mapped(path, np.full((20, 20), 0.9, np.float32))
    for height in (2, 5, 20):
        labels = Labels(swept.planes[0], 0.5, at_once=height * 20)
        table, _ = measure(swept, 0, labels)
        assert (table.y_peak.tolist(), table.x_peak.tolist()) == ([3], [5])
