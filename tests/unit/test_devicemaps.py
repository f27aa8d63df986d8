"""The sweep on a device, here JAX's CPU: the engine's map and tiles, and nothing compiled twice."""

from dataclasses import replace

import numpy as np
import pytest
from support.fields import NOISE, write
from support.models import counts_network, random_map, write_counts
from support.sweeping import Kept, noise, plan_of, sweep_with

from cosmodeep_hpc.engine import archive
from cosmodeep_hpc.engine.backend import ENGINE
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn import modelfile
from cosmodeep_hpc.learn.pixelmap import BLANK, unpacked
from cosmodeep_hpc.survey.canvas import HALO, Canvas, padded
from cosmodeep_hpc.survey.destination import Nowhere
from cosmodeep_hpc.survey.grid import CellGrid
from cosmodeep_hpc.survey.matching import NoiseMatching
from cosmodeep_hpc.survey.plan import SweepRequest
from cosmodeep_hpc.survey.planestate import PlaneState
from cosmodeep_hpc.survey.task import ClassifyStripe, MeasureStripe, OpenMosaic
from cosmodeep_hpc.survey.worker import Worker
from cosmodeep_hpc.tiles.preprocessing import Level

pytest.importorskip("jax", reason="jax is not installed: pip install '.[jax]'")

from jax.errors import JaxRuntimeError

from cosmodeep_hpc.engine.byjax import BlocksByJax
from cosmodeep_hpc.survey import devicestripe
from cosmodeep_hpc.survey.devicemaps import DeviceMap, DeviceMaps
from cosmodeep_hpc.survey.devicestripe import DeviceStripe
from cosmodeep_hpc.survey.deviceview import ScaleNumbers

CLOSE = 1e-4
"""Of probabilities."""


@pytest.fixture(scope="module", autouse=True)
def on_the_cpu():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_PLATFORMS", "cpu")
        yield


@pytest.fixture(scope="module")
def path(tf, tmp_path_factory):
    """An untrained network whose map all scales add to."""
    return write_counts(tmp_path_factory.mktemp("model") / "counts.keras", pixels=random_map())


@pytest.fixture(scope="module")
def model(path):
    return modelfile.load(path)


@pytest.fixture(scope="module")
def blocks(path):
    return BlocksByJax(archive.read(path))


@pytest.fixture(scope="module")
def sky():
    """Noise with a slope, and emission of all sizes; gaps at an edge, inside, and of one pixel."""
    random = np.random.default_rng(1)
    shape = 1400, 420
    y, x = np.mgrid[: shape[0], : shape[1]]
    made = random.normal(0, NOISE * (1 + y / (2 * shape[0])), shape)
    for _ in range(30):
        at, width = random.uniform(0, 1, 2) * shape, random.uniform(2, 40)
        away = (y - at[0]) ** 2 + (x - at[1]) ** 2
        made += random.uniform(1, 9) * NOISE * np.exp(-away / (2 * width**2))
    made[620:700, 10:90] = made[:31, 200:] = made[77, 78] = np.nan
    return made.astype(np.float32)


def grids_of(image, model, maps=None, map_rows=10**9, request=None, **options):
    """What is found in the only plane of an image: by the engine, or on the device."""
    plan = plan_of(model, [image], request, **options)
    preprocessing = plan.card.preprocessing

    def on_device(*words):
        return devicestripe.prepare(maps, *words)

    worker = Worker(plan, Nowhere(), None if maps is None else on_device)
    (info,) = worker.prepare(OpenMosaic(mosaic=0)).planes
    assert preprocessing.margin
    state = PlaneState(info, plan.config, plan.card, mapped=plan.request.has_map)
    state.stripes = info.layout.stripes(500, map_rows)
    place = {"mosaic": 0, "plane": 0}
    for number, stripe in enumerate(state.stripes):
        task = MeasureStripe(**place, number=number, stripe=stripe)
        state.measured[number] = worker.prepare(task)
    assert state.decide()
    for number, stripe in enumerate(state.stripes):
        scalings = state.scalings_of(stripe)
        task = ClassifyStripe(
            **place, number=number, stripe=stripe, measured=True, scalings=scalings
        )
        state.classified[number] = worker.finish(task, worker.prepare(task))
    return state.grids()


def same(found, expected):
    """Tell whether two results are equal but for rounding."""
    packed, other = (each.pixels.rows(0, each.shape[0]) for each in (found, expected))
    assert packed.dtype == np.int16 and packed.shape == other.shape
    np.testing.assert_array_equal(packed == BLANK, other == BLANK)
    np.testing.assert_allclose(unpacked(packed), unpacked(other), rtol=0, atol=CLOSE)
    for name in ("probability", "coverage", "noise", "background"):
        one, two = (getattr(each.tiles, name) for each in (found, expected))
        np.testing.assert_allclose(one, two, rtol=0, atol=CLOSE * (name == "probability"))
    np.testing.assert_array_equal(found.thumbnail, expected.thumbnail)


ROTATED = {"BMAJ": 35 / 3600, "BMIN": 14 / 3600, "BPA": 30.0}


@pytest.mark.parametrize("cards", [{}, ROTATED, {"BMAJ": None, "BMIN": None}])
def test_the_map_of_an_image_with_gaps_is_the_engines(tmp_path, model, blocks, sky, cards):
    """In blocks of 160 pixels, and in one; whatever the beam that noise in gaps is of."""
    pixels = sky[500:1010]
    image = write(tmp_path / "a.fits", pixels, **cards)
    expected = grids_of(image, model)
    assert np.nanstd(expected.probability) > 0.05
    for block in (160, 1280):
        same(grids_of(image, model, DeviceMaps(blocks, model.card, block)), expected)


@pytest.mark.parametrize("map_rows, stripes", [(640, 3), (10**9, 1)])
def test_the_map_of_several_stripes_is_the_engines(tmp_path, model, blocks, sky, map_rows, stripes):
    image = write(tmp_path / "a.fits", sky)
    expected = grids_of(image, model)
    same(grids_of(image, model, DeviceMaps(blocks, model.card), map_rows), expected)
    assert len(CellGrid(sky.shape, 40, 40, 16, finest=2).stripes(500, map_rows)) == stripes


@pytest.mark.parametrize("shape", [(2, 2), (39, 41), (1, 300), (161, 199), (40, 40), (320, 160)])
def test_the_map_of_a_small_image_is_the_engines(tmp_path, model, blocks, sky, shape):
    """Their noise is given: the smallest have too few pixels to measure it on."""
    image, given = write(tmp_path / "a.fits", sky[900:][: shape[0], : shape[1]]), {"rms": NOISE}
    words = {"request": SweepRequest(**given)}
    expected = grids_of(image, model, **words)
    same(grids_of(image, model, DeviceMaps(blocks, model.card), **words), expected)


@pytest.mark.parametrize("side", [14, 28, 64])
def test_an_image_of_fewer_scales_has_the_engines_map(tmp_path, model, blocks, side):
    """Of one, two and three."""
    image = write(tmp_path / "a.fits", noise((side, side)))
    same(grids_of(image, model, DeviceMaps(blocks, model.card)), grids_of(image, model))


@pytest.mark.parametrize(
    "options",
    [
        {"noise": "as_is", "background": "none"},
        {"noise": "local", "background": "local"},
        {"noise": "auto", "background": "auto"},
    ],
)
def test_noise_and_background_are_matched_as_by_the_engine(tmp_path, model, blocks, sky, options):
    y = np.arange(len(sky[:500]), dtype=np.float32)[:, None]
    image = write(tmp_path / "a.fits", sky[:500] * np.float32(3) + np.float32(NOISE / 40) * y)
    expected = grids_of(image, model, **options)
    same(grids_of(image, model, DeviceMaps(blocks, model.card), **options), expected)


def test_a_map_of_the_noise_is_taken_as_by_the_engine(tmp_path, model, blocks, sky):
    image = write(tmp_path / "a.fits", sky[500:900])
    rms = np.linspace(1, 2, 400 * 420).reshape(400, 420) * NOISE
    rms[100:140, 100:200] = np.nan
    words = {"request": SweepRequest(rms=write(tmp_path / "rms.fits", rms.astype(np.float32)))}
    expected = grids_of(image, model, **words)
    same(grids_of(image, model, DeviceMaps(blocks, model.card), **words), expected)


@pytest.mark.parametrize("scaling", ["minmax", "range"])
def test_scalings_by_the_logarithm_are_the_engines(tmp_path, tf, sky, scaling):
    card = {"pixels": random_map()}
    made = modelfile.load(write_counts(tmp_path / "m.keras", **card))
    preprocessing = replace(made.card.preprocessing, scaling=scaling, floor=1e-9, ceiling=1e-5)
    model = replace(made, card=replace(made.card, preprocessing=preprocessing))
    maps = DeviceMaps(BlocksByJax(archive.read(made.path)), model.card)
    image = write(tmp_path / "a.fits", sky[500:800])
    same(grids_of(image, model, maps), grids_of(image, model))


@pytest.fixture
def compiled():
    """The programs that JAX compiles meanwhile."""
    import jax

    found = []

    def heard(name, seconds, **about):
        if name == "/jax/core/compile/backend_compile_duration":
            found.append(name)

    jax.monitoring.register_event_duration_secs_listener(heard)
    yield found
    jax.monitoring.unregister_event_duration_listener(heard)


def test_nothing_is_compiled_from_image_to_image_of_about_one_shape(
    tmp_path, model, blocks, sky, compiled
):
    """Whatever their gaps, noise and beams; nor for another model of the same layers."""

    def maps(network):
        return DeviceMaps(network, model.card, block=480)  # as in no other test

    grids_of(write(tmp_path / "a.fits", sky[500:1000]), model, maps(blocks))
    before = len(compiled)
    assert before > 0
    image = write(tmp_path / "b.fits", 7 * sky[800:1290, :401], **ROTATED)
    grids_of(image, model, maps(blocks))
    graph = archive.read(model.path)
    layers = {
        name: replace(layer, weights=tuple(np.float32(0.9) * each for each in layer.weights))
        for name, layer in graph.layers.items()
    }
    other = BlocksByJax(replace(graph, layers=layers))
    grids_of(write(tmp_path / "c.fits", noise((500, 420))), model, maps(other), noise="as_is")
    assert len(compiled) == before
    grids_of(write(tmp_path / "d.fits", sky[:700]), model, maps(blocks))
    assert len(compiled) > before


@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_sweep_by_threads_has_the_engines_maps(tmp_path, monkeypatch, path, model, sky, threads):
    """Images of several sizes, one of them damaged, and a cube."""
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    images = [
        write(tmp_path / f"{n}.fits", sky[100 * n :][: 200 + 40 * n], CRVAL1=n) for n in range(6)
    ]
    cube = {"CTYPE3": "FREQ", "CRVAL3": 1e9, "CDELT3": 1e6, "CRPIX3": 1.0}
    images.append(write(tmp_path / "cube.fits", sky[:900].reshape(3, 300, 420), **cube))
    images[3].write_bytes(images[3].read_bytes()[:100_000])
    _, expected = sweep_with(model, images, tmp_path / "engine", kind=Kept)
    monkeypatch.setenv(ENGINE, "jax")
    outcomes, found = sweep_with(modelfile.load(path), images, tmp_path / "device", kind=Kept)
    states = [outcome.state for outcome in outcomes]
    assert states == ["done"] * 3 + ["failed"] + ["done"] * 3
    by_name = {each.path: each for each in found.swept}
    assert len(by_name) == len(expected.swept) == 6
    for mosaic in expected.swept:
        for one, other in zip(by_name[mosaic.path].planes, mosaic.planes, strict=True):
            same(one, other)
            assert one.notes == other.notes


@pytest.mark.parametrize("name", ["counts", "robust"])
def test_the_models_that_ship_have_the_engines_maps(tmp_path, sky, name):
    model = modelfile.load(name)
    maps = DeviceMaps(BlocksByJax(archive.read(model.path)), model.card)
    image = write(tmp_path / "a.fits", sky[500:810, :300])
    expected = grids_of(image, model)
    assert np.nanmax(expected.probability) > 0.9
    same(grids_of(image, model, maps), expected)


# --- what goes to the device, and comes back ---


class Full:
    """What comes of a device whose memory is full, which is told when it is waited for."""

    def __init__(self, reason):
        self.reason = reason

    def __array__(self, *words, **more):
        raise JaxRuntimeError(self.reason)


def test_a_device_without_room_ends_in_one_line_and_other_faults_as_faults(model):
    rows = {"layout": None, "cells": (10, 10), "canvas": (640, 800), "with_data": None}
    reason = "RESOURCE_EXHAUSTED: Out of memory allocating 123 bytes.\nmore of it"
    stripe = DeviceStripe(**rows, found=DeviceMap(Full(reason), None), result=None)
    with pytest.raises(InputError, match="no room on cpu for 640 x 800 .*123 bytes.*fewer ranks"):
        stripe.classify(model)
    fault = replace(stripe, found=DeviceMap(Full("INTERNAL: no"), None))
    with pytest.raises(JaxRuntimeError, match="INTERNAL"):
        fault.classify(model)


def test_maps_come_back_in_16_bits_and_the_outputs_of_tiles_beside_them(model, blocks):
    layout = CellGrid((300, 420), 40, 40, 16, finest=2)
    canvas = Canvas.of(layout, range(300))
    canvas.place(noise((300, 420)), range(300))
    level = Level(low=0.0, high=1.0, sigma=NOISE)
    scaling = NoiseMatching(target=NOISE, sigma=None, side=40, level=level)
    given = scaling, layout.scales[0], model.card.preprocessing, canvas
    found = DeviceMaps(blocks, model.card)(canvas, [ScaleNumbers.of(*given)])
    assert found.pixels.dtype == np.int16 and found.pixels.shape == (160, 240)
    known = np.asarray(found.pixels) != BLANK
    assert known[:150, :210].all() and known.sum() == 150 * 210
    assert found.tiles.dtype == np.float32 and found.tiles.shape[:2] == (8, 12)


@pytest.mark.parametrize(
    "length, side",
    [(1, 160), (160, 160), (161, 320), (2000, 2080), (2560, 2560), (2561, 2880), (30_000, 30_720)],
)
def test_a_side_of_a_canvas(length, side):
    assert padded(length, 160) == side


def test_canvases_have_few_shapes_and_little_that_is_empty():
    sides = [padded(length, 160) for length in range(1280, 40_960)]
    assert len(set(sides)) == 41  # 8 for each of five doublings, and the first
    assert max(side / length for length, side in enumerate(sides, 1280)) <= 1.125


def test_a_canvas_has_the_rows_around_a_stripe_and_nothing_beyond_the_view():
    layout = CellGrid((2000, 100), 40, 40, 16, finest=2)
    canvas = Canvas.of(layout, range(1280, 2000))
    assert canvas.pixels.shape == (800 + 2 * HALO, 160)
    assert canvas.rows == range(1280 - HALO, 2000)
    rows = np.repeat(np.arange(2000, dtype=np.float32)[:, None], 100, axis=1)
    canvas.place(rows[1000:1500], range(1000, 1500))
    canvas.place(rows[1500:], range(1500, 2000))
    np.testing.assert_array_equal(canvas.pixels[: 720 + HALO, 0], np.arange(1280 - HALO, 2000))
    assert np.isnan(canvas.pixels[720 + HALO :]).all() and np.isnan(canvas.pixels[:, 100:]).all()
    assert Canvas.of(layout, range(2000)).pixels.shape == (2080, 160)


@pytest.mark.parametrize("sizes", [(40, 16, 4, 3, 16), (40, 8, 2, 2, 16)])
def test_blocks_by_jax_are_the_engines(tf, tmp_path, sizes):
    """What evaluation asks for."""
    from cosmodeep_hpc.engine.blocks import Block, BlocksOnCores
    from cosmodeep_hpc.engine.enlarged import Frame

    counts_network(*sizes).save(tmp_path / "m.keras")
    graph = archive.read(tmp_path / "m.keras")
    window = np.random.default_rng(1).normal(size=(240, 280)).astype(np.float32)
    parts = [
        Block(window, Frame(window.shape, 40, 80, 80, 120), tiles=True),
        Block(window[:200], Frame((200, 280), 40, 40, 64, 80), tiles=False),
    ]
    pairs = zip(BlocksByJax(graph)(parts), BlocksOnCores(graph, 1)(parts), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one.logits, other.logits, rtol=0, atol=1e-4)
        assert (one.tiles is None) == (other.tiles is None)
        if one.tiles is not None:
            np.testing.assert_allclose(one.tiles, other.tiles, rtol=0, atol=1e-5)
