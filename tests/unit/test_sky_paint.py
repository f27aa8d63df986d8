"""The painter: light where the halos are, all of it, from the right snapshot, in any order."""

from dataclasses import replace

import numpy as np
import pytest

from cosmodeep_hpc.config.configuration import Config, Instrument, Sky
from cosmodeep_hpc.sky import box, instrument, recipes
from cosmodeep_hpc.sky.cosmology import astropy_cosmology, redshift_at
from cosmodeep_hpc.sky.draws import TEST_IMAGES
from cosmodeep_hpc.sky.emission import Amplitude, element_power
from cosmodeep_hpc.sky.halos import Halos
from cosmodeep_hpc.sky.lightcone import ARCSEC
from cosmodeep_hpc.sky.paint import Painter
from cosmodeep_hpc.sky.shocks import Elements

SIDE, PIXELS, SCALE = 60.0, 200, 60.0
SKY = Sky(sides=(SIDE,), seeds=(1, 2), z_far=0.08, blur=0.0, faintest=0.0, efficiency=0.01)
CONFIG = Config(sky=SKY, instrument=Instrument(pixels=PIXELS, pixel_scale=SCALE))


def elements_at(position, mach=4.0, size=0.01, heat=3.0):
    """Elements far smaller than a pixel, of a few keV and 1 uG, each of the halo of its row."""
    n = len(position)
    first, second = np.zeros((2, n, 3), np.float32)
    first[:, 0] = second[:, 1] = size
    full = [np.full(n, value, np.float32) for value in (mach, 200.0, heat, 1.0)]
    return Elements(position, first, second, *full, halo=np.arange(n, dtype=np.int32))


def content(seed, redshift, count=1000, **options):
    """Halos at random places, with a shock element in the middle of each."""
    position = np.random.default_rng(seed).uniform(0, SIDE, (count, 3)).astype(np.float32)
    halos = Halos(position, np.geomspace(1e15, 1e13, count), np.full(count, 1.0, np.float32))
    elements = elements_at(position, **options)
    return box.Content(redshift, elements, halos, np.ones((2, 2, 2), np.float32))


def painter_of(folder, contents, config=CONFIG):
    boxes = []
    for number, snapshots in enumerate(contents):
        path = folder / f"box-{number}.h5"
        box.write(path, "abc", SIDE, {}, snapshots)
        boxes.append(box.opened(path, "abc"))
    return Painter(config, boxes)


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    """Of two boxes with a shock in the middle of each halo."""
    folder = tmp_path_factory.mktemp("boxes")
    return painter_of(folder, [[content(1, 0.06)], [content(2, 0.06)]])


def halos_of(painter, index):
    settings = painter.config.instrument
    centre = instrument.field_centre(painter.config.sky.seed, index)
    wcs = instrument.celestial_wcs(settings.pixels, settings.pixel_scale, centre)
    return painter.halos(index, wcs)


@pytest.mark.parametrize("index", [0, 1, 2, TEST_IMAGES])
def test_halos_and_their_light_are_at_one_place(painter, index):
    """Two ways through the light cone, the painter's loops and the catalogue's, meet in a pixel."""
    sky, halos = painter.paint(index), halos_of(painter, index)
    column, row = np.round(halos["X"]).astype(int) - 1, np.round(halos["Y"]).astype(int) - 1
    inside = (column > 0) & (column < PIXELS - 1) & (row > 0) & (row < PIXELS - 1)
    assert inside.sum() > 20
    lit = np.zeros((PIXELS + 2, PIXELS + 2), bool)  # an element is not a point: or the next pixel
    bright = np.pad(sky > 0, 1)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            lit |= np.roll(bright, (i, j), (0, 1))
    assert lit[1:-1, 1:-1][row[inside], column[inside]].all()
    dark = np.ones((PIXELS, PIXELS), bool)
    for x, y in zip(column, row, strict=True):
        dark[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = False
    assert not sky[dark].any()


@pytest.mark.parametrize("index", [0, 3])
def test_the_light_is_that_of_the_halos_in_the_field(painter, index):
    """Each element is alike but for its distance: S = P (1 + z)^(1 - alpha) / (4 pi D_L^2)."""
    halos = halos_of(painter, index)
    inside = np.ones(len(halos), bool)
    for place in (halos["X"], halos["Y"]):
        inside &= (place > 0.5) & (place < PIXELS + 0.5)
    redshift = np.asarray(halos["Z"], float)[inside]
    amplitude = Amplitude(
        SKY.efficiency, SKY.mach_cut, SKY.field, SKY.field_density, SKY.field_temperature, 20.0
    )
    slabs = np.array([slab.redshift for slab in painter.slabs])
    expected = 0.0
    for z in redshift:
        at = slabs[np.argmin(np.abs(slabs - z))]  # of the slab: powers are those of its middle
        one = element_power(elements_at(np.zeros((1, 3), np.float32)), at, 1.4, amplitude)[0]
        alpha = (4**2 + 1) / (4**2 - 1)
        distance = astropy_cosmology().luminosity_distance(z).to_value("cm")
        expected += one * (1 + z) ** (1 - alpha) / (4 * np.pi * distance**2) / 1e-23
    total = painter.paint(index).sum(dtype=float) * SCALE**2
    assert total == pytest.approx(expected, rel=2e-3)  # elements on the edge between two slabs


def test_a_picture_depends_on_its_number_alone(painter, tmp_path):
    """Not on what was painted before, nor on what is kept in memory."""
    first = painter.paint(5)
    painter.paint(6)
    np.testing.assert_array_equal(painter.paint(5), first)
    fresh = painter_of(tmp_path, [[content(1, 0.06)], [content(2, 0.06)]])
    np.testing.assert_array_equal(fresh.paint(5), first)
    assert not np.array_equal(painter.paint(6), first)
    assert not np.array_equal(painter.paint(5 + TEST_IMAGES), first)


def test_slabs_add_up(painter):
    parts = [painter.paint(0, [slab]) for slab in painter.slabs]
    assert all(part.any() for part in parts)
    np.testing.assert_allclose(sum(parts), painter.paint(0), rtol=1e-5)


def test_a_slab_takes_the_snapshot_nearest_in_redshift(tmp_path):
    """Two snapshots with halos elsewhere: the catalogue follows, and the light follows it."""
    two = [content(3, 0.07), content(4, 0.045)]
    both = painter_of(tmp_path, [two])
    (tmp_path / "late").mkdir()
    (tmp_path / "early").mkdir()
    early, late = (
        painter_of(tmp_path / "early", [two[:1]]),
        painter_of(tmp_path / "late", [two[1:]]),
    )
    for slab in both.slabs:
        alone = early if abs(slab.redshift - 0.07) < abs(slab.redshift - 0.045) else late
        np.testing.assert_array_equal(both.paint(0, [slab]), alone.paint(0, [slab]))
    assert not np.array_equal(early.paint(0), late.paint(0))
    assert {both.placed(0, slab)[1] for slab in both.slabs} == {0.045, 0.07}


def test_neighbouring_slabs_are_of_different_boxes(painter):
    names = [painter.placed(0, slab)[0].path.name for slab in painter.slabs]
    assert len(names) >= 3
    assert all(one != other for one, other in zip(names[:-1], names[1:], strict=True))


@pytest.mark.parametrize("share, painted", [(0.5, True), (2.0, False)])
def test_elements_too_faint_to_matter_are_left_out(tmp_path, share, painted):
    """By their surface brightness in the nearest slab that takes them, where they are brightest."""
    whole = painter_of(tmp_path, [[content(1, 0.06, size=3.0)]])
    near = whole.slabs[0].centre - 0.5 * whole.slabs[0].depth
    z = float(redshift_at(near))
    elements = whole.elements(whole.boxes[SIDE][0], 0.06)
    power = float(element_power(elements, z, 1.4, recipes.amplitude_of(SKY))[0])
    alpha = (4**2 + 1) / (4**2 - 1)
    flux = power * (1 + z) ** (-1 - alpha) / (4 * np.pi * (near * 3.0856776e24) ** 2) / 1e-23
    brightness = flux / (3.0 / near / ARCSEC) ** 2
    cut = Painter(CONFIG, whole.boxes[SIDE], faintest=share * brightness)
    assert cut.paint(0).any() == painted
    if painted:
        np.testing.assert_array_equal(cut.paint(0), whole.paint(0))


def test_the_efficiency_is_a_factor(painter):
    double = Painter(
        replace(CONFIG, sky=replace(SKY, efficiency=0.02)),
        [b for bs in painter.boxes.values() for b in bs],
    )
    np.testing.assert_allclose(double.paint(0), 2 * painter.paint(0), rtol=1e-5)


def test_shocks_of_a_simulated_box_shine_where_its_halos_are(tmp_path):
    """The light inside R100 of the heaviest halos is above the mean, and falls if they are moved.

    The halos are found in the mass, the shocks in how the flow folds: two findings on one run.
    """
    sky = replace(SKY, mesh=48, sides=(50.0,), seeds=(1,), steps=12, snapshots=(0.06,), blur=28.0)
    (recipe,) = recipes.particle_meshes(sky, test=False)
    recipe.make(tmp_path / "box.h5")
    painter = Painter(replace(CONFIG, sky=sky), [box.opened(tmp_path / "box.h5", recipe.digest)])
    y, x = np.mgrid[1 : PIXELS + 1, 1 : PIXELS + 1]

    def inside(image, halos, turn):
        """Mean brightness within R100, in units of the image's."""
        place = turn(np.asarray(halos["X"]), np.asarray(halos["Y"]))
        discs = np.zeros(image.shape, bool)
        for column, row, radius in zip(*place, halos["THETA100"] / SCALE, strict=True):
            discs |= np.hypot(x - column, y - row) < radius
        return image[discs].mean() / image.mean()

    end = PIXELS + 1
    turns = {
        "as it is": lambda x, y: (x, y),
        "mirrored": lambda x, y: (end - x, y),
        "upside down": lambda x, y: (x, end - y),
        "transposed": lambda x, y: (y, x),
        "turned": lambda x, y: (end - x, end - y),
    }
    found = dict.fromkeys(turns, 0.0)
    for index in range(4):
        image, halos = painter.paint(index), halos_of(painter, index)[:12]
        for name, turn in turns.items():
            found[name] += inside(image, halos, turn) / 4
    assert found["as it is"] > 5
    assert all(found["as it is"] > 2 * light for name, light in found.items() if name != "as it is")
