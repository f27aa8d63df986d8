"""The light cone: every element where it belongs, and all of its light."""

from itertools import permutations, product

import numpy as np
import pytest

from cosmodeep_hpc.sky import lightcone
from cosmodeep_hpc.sky.cosmology import comoving_distance, redshift_at
from cosmodeep_hpc.sky.draws import Purpose, draws
from cosmodeep_hpc.sky.emission import flux
from cosmodeep_hpc.sky.lightcone import ARCSEC, Orientation, Slab, View
from cosmodeep_hpc.sky.shocks import Elements

SIDE = 100.0
SLAB = Slab(3, 500.0, 100.0, SIDE)
VIEW = View(pixels=400, scale=9.6, margin=20)
TURNS = list(product(permutations(range(3)), product([False, True], repeat=3)))


def one_element(position, first=(0.01, 0, 0), second=(0, 0.01, 0), mach=3.0):
    """A table of a single element."""
    row = np.array([mach], np.float32)
    return Elements(
        np.array([position], np.float32),
        np.array([first], np.float32),
        np.array([second], np.float32),
        row,
        row,
        row,
    )


def painted(elements, turned, slab=SLAB, view=VIEW, power=1e30):
    """The image of fluxes [Jy] of elements that are all as powerful."""
    image = np.zeros((view.full, view.full))
    powers = np.full(len(elements), power, np.float32)
    for part in lightcone.slab_fluxes(elements, powers, slab, turned, view):
        lightcone.spread(image, *part, draws(1, Purpose.SAMPLES))
    return image


@pytest.mark.parametrize("axes, flips", TURNS)
def test_an_element_lands_in_its_pixel_with_its_flux(axes, flips):
    # Where it shall be seen: 3 Mpc west and 2 Mpc south of the middle, 510 Mpc away.
    target = np.array([53.0, 48.0, 60.0])
    shift = np.array([0.1, 0.85, 0.4])
    before = (target / SIDE - shift) % 1  # undo the shift, then the reflection, then the axes
    before = np.where(flips, -before, before) % 1
    place = np.empty(3)
    place[list(axes)] = before * SIDE
    image = painted(one_element(place), Orientation(0, axes, flips, tuple(shift)))

    line = np.array([3.0, -2.0, 510.0])
    distance = np.linalg.norm(line)
    middle = (VIEW.full - 1) / 2
    column, row = line[:2] / distance / (VIEW.scale * ARCSEC) + middle
    found = np.unravel_index(image.argmax(), image.shape)
    assert found == (round(row), round(column))
    assert (image > 0).sum() == 1
    expected = flux(1e30, 3.0, redshift_at(distance), distance)
    assert image.sum() == pytest.approx(float(expected), rel=1e-5)


def test_elements_keep_their_flux_however_large():
    stream = np.random.default_rng(1)
    n = 300
    where = stream.uniform([47, 47, 0], [53, 53, 100], (n, 3)).astype(np.float32)
    sides = stream.normal(0, 0.3, (2, n, 3)).astype(np.float32)
    mach = np.full(n, 3, np.float32)
    elements = Elements(where, sides[0], sides[1], mach, mach, mach)
    turned = Orientation(0, (0, 1, 2), (False,) * 3, (0.0, 0.0, 0.0))
    image = painted(elements, turned)
    line = where - np.array([50, 50, -450])
    distance = np.linalg.norm(line, axis=1)
    expected = flux(1e30, mach, redshift_at(distance), distance).sum()
    assert image.sum() == pytest.approx(expected, rel=1e-4)
    # The blur keeps the light too: brightness times the area of pixels.
    brightness = lightcone.blurred(image, VIEW, 28.0)
    assert brightness.shape == (400, 400) and brightness.dtype == np.float32
    total = brightness.sum(dtype=float) * VIEW.scale**2
    assert total == pytest.approx(expected, rel=1e-4)


def test_an_element_fills_its_parallelogram_evenly():
    # 20 x 10 pixels, face on: 200 pixels of equal light.
    image = np.zeros((64, 64))
    position = np.array([[31.5, 31.5]], np.float32)
    first, second = np.array([[20, 0]], np.float32), np.array([[0, 10]], np.float32)
    light = np.ones(1, np.float32)
    stream = draws(1, Purpose.SAMPLES)
    for _ in range(200):
        lightcone.spread(image, position, first, second, light / 200, stream)
    filled = image[27:37, 22:42]
    assert filled.sum() == pytest.approx(1, rel=1e-5)
    assert filled.mean() == pytest.approx(1 / 200, rel=1e-5)
    assert filled.std() / filled.mean() < 0.25


def test_a_tilted_element_is_foreshortened():
    turned = Orientation(0, (0, 1, 2), (False,) * 3, (0.0, 0.0, 0.0))
    elements = one_element((50, 50, 50), first=(1, 0, 0), second=(0, 0.6, 0.8))
    powers = np.ones(1, np.float32)
    (part,) = lightcone.slab_fluxes(elements, powers, SLAB, turned, VIEW)
    per_mpc = 1 / (500 * VIEW.scale * ARCSEC)
    assert part[1][0] == pytest.approx([per_mpc, 0], abs=1e-3)
    assert part[2][0] == pytest.approx([0, 0.6 * per_mpc], abs=1e-3)


def test_blur_is_a_gaussian_of_the_stated_width():
    view = View(pixels=101, scale=9.6, margin=10)
    image = np.zeros((view.full, view.full))
    image[60, 60] = 5.0
    brightness = lightcone.blurred(image, view, 60.0)
    sigma = 60.0 / np.sqrt(8 * np.log(2))
    assert brightness.max() == pytest.approx(5 / (2 * np.pi * sigma**2), rel=0.01)
    ratio = brightness[50, 53] / brightness[50, 50]
    assert ratio == pytest.approx(np.exp(-((3 * 9.6) ** 2) / (2 * sigma**2)), rel=0.01)


def test_a_wide_field_sees_replicas():
    # 40 Mpc box, field of 5.3 deg at 500 Mpc = 46.5 Mpc: the same element is seen more than once.
    slab = Slab(0, 500.0, 40.0, 40.0)
    view = View(pixels=2000, scale=9.6)
    turned = Orientation(0, (0, 1, 2), (False,) * 3, (0.0, 0.0, 0.0))
    image = painted(one_element((38.5, 20, 20)), turned, slab, view)
    columns = np.flatnonzero(image.sum(axis=0))
    assert len(columns) == 2
    apart = (columns[1] - columns[0]) * view.scale * ARCSEC * 500
    assert apart == pytest.approx(40, rel=0.01)


def test_slabs_fill_the_redshifts_without_gaps():
    slabs = lightcone.stack(0.04, 0.2, 100.0)
    edges = [(s.centre - s.depth / 2, s.centre + s.depth / 2) for s in slabs]
    assert edges[0][0] == pytest.approx(comoving_distance(0.04))
    assert edges[-1][1] == pytest.approx(comoving_distance(0.2))
    for (_, end), (begin, _) in zip(edges[:-1], edges[1:], strict=True):
        assert begin == pytest.approx(end)
    assert all(s.depth <= s.side for s in slabs)
    assert [s.number for s in slabs] == list(range(len(slabs)))


def test_orientations_are_pure_and_differ_from_slab_to_slab_and_image_to_image():
    every = {lightcone.orientation(1, i, s, 4) for i in range(20) for s in range(5)}
    assert len(every) == 100
    assert lightcone.orientation(1, 7, 3, 4) == lightcone.orientation(1, 7, 3, 4)
    assert lightcone.orientation(2, 7, 3, 4) != lightcone.orientation(1, 7, 3, 4)
    assert {o.box for o in every} == {0, 1, 2, 3}
    assert {o.axes for o in every} == set(permutations(range(3)))


def test_random_streams_do_not_meet():
    first = [
        draws(*address).random()
        for address in [
            (1, Purpose.NOISE, 0, 0),
            (1, Purpose.SAMPLES, 0, 0),
            (1, Purpose.NOISE, 1, 0),
            (1, Purpose.NOISE, 0, 1),
            (2, Purpose.NOISE, 0, 0),
        ]
    ]
    assert len(set(first)) == 5
