"""The map of an image: the same bits whatever its stripes and blocks, gaps and sizes."""

import weakref
from dataclasses import replace

import numpy as np
import pytest
from support.fields import NOISE, write
from support.models import random_map, write_counts
from support.sweeping import noise, plan_of, swept

from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.learn.pixelmap import BLANK, PixelMap
from cosmodeep_hpc.survey.destination import Nowhere
from cosmodeep_hpc.survey.maprows import MapRows
from cosmodeep_hpc.survey.plan import SweepRequest
from cosmodeep_hpc.survey.planestate import PlaneState
from cosmodeep_hpc.survey.task import ClassifyStripe, MeasureStripe, OpenMosaic
from cosmodeep_hpc.survey.worker import Worker


@pytest.fixture(scope="module")
def model(tf, tmp_path_factory):
    """An untrained network whose map all scales add to."""
    path = write_counts(tmp_path_factory.mktemp("model") / "counts.keras", pixels=random_map())
    return modelfile.load(path)


def sky(shape, seed=1):
    """Noise with a slope, and emission of all sizes."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    made = random.normal(0, NOISE * (1 + y / (2 * shape[0])), shape)
    for _ in range(1 + shape[0] * shape[1] // 20_000):
        at, width = random.uniform(0, 1, 2) * shape, random.uniform(2, 40)
        away = (y - at[0]) ** 2 + (x - at[1]) ** 2
        made += random.uniform(1, 9) * NOISE * np.exp(-away / (2 * width**2))
    return made.astype(np.float32)


class Plane:
    """The only plane of an image on its way through a sweep, stripe by stripe."""

    def __init__(self, path, model, map_rows=10**9, **options):
        self.plan = plan_of(model, [path], **options)
        self.worker = Worker(self.plan, Nowhere())
        (info,) = self.worker.prepare(OpenMosaic(mosaic=0)).planes
        self.state = PlaneState(info, self.plan.config, self.plan.card, mapped=False)
        self.state.stripes = info.layout.stripes(500, map_rows)
        for number, stripe in enumerate(self.state.stripes):
            task = MeasureStripe(mosaic=0, plane=0, number=number, stripe=stripe)
            self.state.measured[number] = self.worker.prepare(task)
        assert self.state.decide()

    def task(self, number):
        stripe = self.state.stripes[number]
        return ClassifyStripe(
            mosaic=0, plane=0, number=number, stripe=stripe, measured=True,
            scalings=self.state.scalings_of(stripe),
        )  # fmt: skip

    def grids(self):
        for number in range(len(self.state.stripes)):
            task = self.task(number)
            ready = self.worker.prepare(task)
            self.state.classified[number] = self.worker.finish(task, ready)
        return self.state.grids()


@pytest.mark.parametrize(
    "shape, stripes",
    [((1400, 200), 3), ((1281, 333), 3), ((1999, 41), 4), ((1300, 39), 3), ((1920, 80), 3)],
)
def test_a_map_does_not_depend_on_its_stripes(tmp_path, model, shape, stripes):
    """Of 640 rows, or of all; nor do tiles."""
    pixels = sky(shape)
    pixels[620:700, 10:30] = np.nan  # at a border
    path = write(tmp_path / "a.fits", pixels)
    whole, parts = Plane(path, model), Plane(path, model, map_rows=640)
    assert (len(whole.state.stripes), len(parts.state.stripes)) == (1, stripes)
    one, other = whole.grids(), parts.grids()
    assert one.shape == (-(-shape[0] // 2), -(-shape[1] // 2))
    assert np.nanstd(one.probability) > 0.01
    np.testing.assert_array_equal(other.pixels.rows(0, other.shape[0]), one.pixels.source)
    for name in ("probability", "coverage", "noise"):
        np.testing.assert_array_equal(getattr(other.tiles, name), getattr(one.tiles, name))


@pytest.mark.parametrize("columns", [2561, 2700])
def test_a_map_does_not_depend_on_the_blocks_of_columns(tmp_path, model, columns):
    plane = Plane(write(tmp_path / "a.fits", sky((200, columns))), model)
    ready = plane.worker.prepare(plane.task(0))
    parts = list(ready.parts(model.blocks))
    assert len(parts) >= 2
    blocks = [range(scaled.scale.whole[1]) for scaled in ready.shown]
    pairs = zip(ready.shown, blocks, strict=True)
    whole = model.blocks([scaled.block(cols) for scaled, cols in pairs])
    tiles = np.concatenate([part.tiles for part in parts], axis=1)
    np.testing.assert_array_equal(tiles.reshape(whole[0].tiles.shape), whole[0].tiles)
    finest = np.concatenate([part.scales[0].values for part in parts], axis=1)
    for part in parts:
        found = [finest, *(scale.values for scale in part.scales[1:])]
        for scaled, cols, one, values in zip(ready.shown, blocks, whole, found, strict=True):
            np.testing.assert_array_equal(values, scaled.joined([one], [cols], 2).values)


def test_a_cell_lies_where_its_pixels_are(tmp_path, model):
    """Whatever the block that it comes of."""
    ready = Plane(write(tmp_path / "a.fits", sky((200, 2700))), model)
    ready = ready.worker.prepare(ready.task(0))
    lasts = [0]
    for part in ready.parts(model.blocks):
        assert part.scales[0].first == (0, part.cells.start) and part.cells.start == lasts[-1]
        assert [scale.whole for scale in part.scales] == [(100, 1350), (50, 675), (25, 338)]
        assert [scale.first for scale in part.scales[1:]] == [(0, 0), (0, 0)]
        lasts.append(part.cells.stop)
    assert lasts[-1] == 1350


@pytest.mark.parametrize("batch", [1, 7, 5000])
def test_the_batch_does_not_matter(tmp_path, model, batch):
    path = write(tmp_path / "a.fits", sky((300, 210)))
    one, other = (swept(path, model, batch=size).planes[0] for size in (500, batch))
    np.testing.assert_array_equal(one.probability, other.probability)
    np.testing.assert_array_equal(one.tiles.probability, other.tiles.probability)


def test_tiles_are_those_of_a_network_of_tiles_that_sees_as_far(tf, tmp_path):
    """Margins of 40 pixels, where a network sees 35: tiles cut out one by one have all of it.

    But for those that see beyond the edges, where a map has the level of what is inside.
    """
    far = modelfile.load(write_counts(tmp_path / "far.keras", margin=40))
    path = write(tmp_path / "a.fits", sky((233, 320)))
    one, other = (swept(path, each).planes[0].tiles for each in (far, replace(far, blocks=None)))
    assert one.probability.shape == other.probability.shape == (6, 8)
    inside = np.s_[1:4, 1:7]
    found, expected = one.probability[inside], other.probability[inside]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    for name in ("coverage", "noise"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("shape", [(2, 2), (39, 41), (1, 300), (300, 3), (161, 199), (40, 40)])
def test_images_of_any_size_have_a_map_of_all_their_cells(tmp_path, model, shape):
    """Their noise is given: the smallest have too few pixels to measure it on."""
    found = swept(write(tmp_path / "a.fits", sky(shape)), model, SweepRequest(rms=NOISE))
    (plane,) = found.planes
    assert plane.probability.shape == plane.shape == (-(-shape[0] // 2), -(-shape[1] // 2))
    assert np.isfinite(plane.probability).all()
    assert (found.cell, found.tile_cell, found.tile) == (2, 40, 40) and found.has_map


@pytest.mark.parametrize(
    "side, scales", [(8, 1), (14, 1), (15, 2), (28, 2), (29, 3), (64, 3)]
)  # 64 pixels, at least
def test_a_small_image_is_read_by_the_scales_that_have_enough_pixels(tmp_path, model, side, scales):
    """Here the fusion of n scales gives logistic(n)."""
    plain = PixelMap.plain((1e-7, 5e-8), 3)
    fusions = tuple(
        replace(each, straight=((0.0,) * 2 * n,) * 2, offset=(float(n), 0.0))
        for n, each in enumerate(plain.fusions, 1)
    )
    card = replace(model.card, pixels=replace(plain, fusions=fusions))
    found = swept(write(tmp_path / "a.fits", noise((side, side))), replace(model, card=card))
    np.testing.assert_allclose(found.planes[0].probability, 1 / (1 + np.exp(-scales)), atol=2e-5)


@pytest.mark.parametrize("nothing", [np.nan, np.inf, 0.0])
def test_cells_without_data_are_blank_and_no_others(tmp_path, model, nothing):
    """A single pixel is enough; padding of 0 is no data."""
    pixels = sky((170, 211))
    pixels[:31] = pixels[:, 150:161] = nothing
    if np.isnan(nothing):
        pixels[80:90, 40:60] = nothing
        pixels[100, 20] = nothing
    (plane,) = swept(write(tmp_path / "a.fits", pixels), model).planes
    has = np.isfinite(pixels) & (pixels != 0)
    cells = np.pad(has, ((0, 0), (0, 1))).reshape(85, 2, 106, 2).any(axis=(1, 3))
    np.testing.assert_array_equal(plane.pixels.rows(0, 85) == BLANK, ~cells)
    np.testing.assert_array_equal(plane.blank(0, 85), ~cells)
    np.testing.assert_array_equal(np.isfinite(plane.probability), cells)


def test_a_gap_of_many_stripes_leaves_the_others(tmp_path, model):
    pixels = sky((1400, 90))
    pixels[300:1300] = np.nan
    grids = Plane(write(tmp_path / "a.fits", pixels), model, map_rows=640).grids()
    assert grids.blank(150, 650).all() and not grids.blank(0, 150).any()
    assert np.isnan(grids.tiles.probability[8:32]).all()


def test_the_map_is_that_of_the_rule_that_is_asked_for(tmp_path, model):
    path = write(tmp_path / "a.fits", sky((200, 160)))
    other = modelfile.load(model.path, rule=(5e-8, 9))
    one, two = (swept(path, each).planes[0].probability for each in (model, other))
    assert np.abs(one - two).max() > 0.1


@pytest.mark.parametrize("factor", [2.0**-7, 2.0**12])
def test_every_scale_is_seen_in_units_of_its_own_noise(tmp_path, model, factor):
    """A sky that is brighter as a whole, noise and all, has the same map."""
    pixels = sky((260, 300))
    one = swept(write(tmp_path / "a.fits", pixels), model, noise="local").planes[0]
    path = write(tmp_path / "b.fits", pixels * np.float32(factor))
    other = swept(path, model, noise="local").planes[0]
    np.testing.assert_allclose(other.probability, one.probability, rtol=0, atol=1e-4)


def test_a_map_of_the_noise_that_is_the_same_everywhere_is_as_its_number(tmp_path, model):
    """Coarser scales are measured on what it leaves."""
    path = write(tmp_path / "a.fits", sky((260, 300)))
    rms = write(tmp_path / "rms.fits", np.full((260, 300), 1.5 * NOISE, np.float32))
    one, other = (
        swept(path, model, SweepRequest(rms=given)).planes[0] for given in (1.5 * NOISE, rms)
    )
    np.testing.assert_allclose(other.probability, one.probability, rtol=0, atol=1e-4)


@pytest.mark.parametrize("rebin", [1, 2])
def test_a_plane_without_data_is_blank_and_stops_no_other(tmp_path, model, rebin):
    """Cells are of what the network sees, 2 x 2 of its pixels."""
    pixels = np.stack([sky((99 * rebin, 80 * rebin), seed) for seed in range(3)])
    pixels[1] = np.nan
    cards = {"CTYPE3": "FREQ", "CRVAL3": 1e9, "CDELT3": 1e6, "CRPIX3": 1.0}
    cards |= {"CDELT1": -9.6 / 3600 / rebin, "CDELT2": 9.6 / 3600 / rebin}
    found = swept(write(tmp_path / "a.fits", pixels, **cards), model)
    assert found.cell == 2 * rebin and found.tile_cell == 40 * rebin
    assert [plane.shape for plane in found.planes] == [(50, 40)] * 3
    blank = [plane.blank(0, 50) for plane in found.planes]
    assert blank[1].all() and not blank[0].any() and not blank[2].any()


# --- in a file, and after an end before its time ---

TALL = (3200, 80)
"""Three stripes."""


class Counted:
    """A network over blocks that counts the stripes it has seen."""

    def __init__(self, network):
        self.network, self.calls = network, 0
        self.tile, self.finest, self.at_once = network.tile, network.finest, network.at_once

    def __call__(self, blocks):
        self.calls += 1  # a stripe of few columns is one call
        return self.network(blocks)


def test_a_map_in_a_file_is_that_in_memory(tmp_path, model):
    """And nothing of the file is left."""
    path = write(tmp_path / "a.fits", sky(TALL))
    in_memory = Plane(path, model).grids()
    (plane,) = swept(path, model).planes
    np.testing.assert_array_equal(plane.pixels.rows(0, 1600), in_memory.pixels.rows(0, 1600))
    np.testing.assert_array_equal(plane.tiles.probability, in_memory.tiles.probability)
    assert not list((tmp_path / "out").iterdir())


def test_what_is_in_the_file_is_not_in_memory(tmp_path, model):
    """A part of an array would keep all of it."""
    plane = Plane(write(tmp_path / "a.fits", sky((100, 80))), model)
    found = plane.worker.prepare(plane.task(0)).classify(model)
    of_all = weakref.ref(found.pixels)
    kept = found.kept(MapRows((50, 40), tmp_path / "a.map"), 0)
    del found
    assert of_all() is None and kept.pixels.size == 0


def test_planes_of_a_cube_have_a_file_together(tmp_path, model):
    pixels = np.stack([sky((100, 80), seed) for seed in range(3)])
    cards = {"CTYPE3": "FREQ", "CRVAL3": 1e9, "CDELT3": 1e6, "CRPIX3": 1.0}
    found = swept(write(tmp_path / "a.fits", pixels, **cards), model)
    for number, plane in enumerate(found.planes):
        alone = Plane(write(tmp_path / "b.fits", pixels[number]), model).grids()
        np.testing.assert_array_equal(plane.probability, alone.probability)


def flip(path):
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize("stop_after", [7, 8, 9])
@pytest.mark.parametrize(
    "damage, again",
    [(None, 0), (flip, 1), (cut, 3), (lambda path: path.unlink(), 3)],  # stripes, at most
)
def test_a_stopped_sweep_goes_on_and_damaged_stripes_are_classified_again(
    tmp_path, model, stop_after, damage, again
):
    """Checksum, opening, three stripes measured, then classified one by one."""
    path, out = write(tmp_path / "a.fits", sky(TALL)), tmp_path / "out"
    whole = swept(path, model).planes[0]
    counted = Counted(model.blocks)
    watched, draws = replace(model, blocks=counted), iter(range(100))
    assert swept(path, watched, left=lambda: next(draws) > stop_after) is None
    before = counted.calls
    assert 0 < before < 4 and {left.name for left in out.iterdir()} == {".a.journal", ".a.map"}
    if damage is not None:
        damage(out / ".a.map")
    found = swept(path, watched, restart=False).planes[0]
    np.testing.assert_array_equal(found.pixels.rows(0, 1600), whole.pixels.rows(0, 1600))
    np.testing.assert_array_equal(found.tiles.probability, whole.tiles.probability)
    assert counted.calls == 3 + min(again, before)
    assert not list(out.iterdir())


def test_a_map_of_other_options_is_not_taken(tmp_path, model):
    path = write(tmp_path / "a.fits", sky(TALL))
    counted, draws = Counted(model.blocks), iter(range(100))
    watched = replace(model, blocks=counted)
    assert swept(path, watched, left=lambda: next(draws) > 7) is None
    before = counted.calls
    found = swept(path, watched, restart=False, background="none").planes[0]
    assert counted.calls == before + 3
    whole = swept(path, model, background="none").planes[0]
    np.testing.assert_array_equal(found.probability, whole.probability)
