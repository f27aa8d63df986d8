"""The light cone: slabs without gaps, boxes in turn, and the image plane."""

from itertools import pairwise, permutations, product

import numpy as np
import pytest

from cosmodeep_hpc.sky import lightcone
from cosmodeep_hpc.sky.cosmology import astropy_cosmology, redshift_at
from cosmodeep_hpc.sky.draws import Purpose, draws
from cosmodeep_hpc.sky.lightcone import ARCSEC, ImagePlane, Orientation, Slab

TURNS = list(product(permutations(range(3)), product([False, True], repeat=3)))


def distance(redshift):
    """Comoving distance by astropy [Mpc]: 175, 434, 854 and 1945 at 0.04, 0.1, 0.2 and 0.5."""
    return astropy_cosmology().comoving_distance(redshift).value


# Redshifts, sides, reach, and how many slabs of each side fill the range, the nearest first.
STACKS = [
    (0.04, 0.5, (50, 100, 200), 8.0, {50: 5, 100: 4, 200: 6}),  # to 400, 800, 1945 Mpc
    (0.04, 0.5, (200, 50, 100), 8.0, {50: 5, 100: 4, 200: 6}),  # in any order
    (0.04, 0.5, (50, 100, 200), 4.0, {50: 1, 100: 2, 200: 8}),
    (0.04, 0.5, (100,), 8.0, {100: 18}),  # one side serves all, whatever its reach
    (0.04, 0.5, (5000,), 8.0, {5000: 1}),
    (0.04, 0.06, (50, 100, 200), 8.0, {50: 2}),  # within the reach of the finest
    (0.1, 0.15, (50, 100, 200), 8.0, {100: 3}),  # within that of the second
    (0.2, 0.5, (50, 100, 200), 8.0, {200: 6}),  # beyond all but the largest
    (0.04, 0.1, (50, 200), 8.0, {50: 5, 200: 1}),
    (0.04, 0.041, (50, 100), 8.0, {50: 1}),  # thinner than any box
]


@pytest.mark.parametrize("low, high, sides, reach, counts", STACKS)
def test_slabs_fill_the_redshifts_without_gap_or_overlap(low, high, sides, reach, counts):
    slabs = lightcone.stack(low, high, sides, reach)
    edges = [(s.centre - s.depth / 2, s.centre + s.depth / 2) for s in slabs]
    assert edges[0][0] == pytest.approx(distance(low), rel=1e-6)
    assert edges[-1][1] == pytest.approx(distance(high), rel=1e-6)
    for (_, end), (begin, _) in pairwise(edges):
        assert begin == pytest.approx(end, rel=1e-12)
    assert all(0 < s.depth <= s.side for s in slabs)
    assert [s.number for s in slabs] == list(range(len(slabs)))
    found = {}
    for slab in slabs:
        found.setdefault(slab.side, []).append(slab)
    assert list(found) == sorted(found)  # the finest nearest
    assert {side: len(group) for side, group in found.items()} == counts
    for side, group in found.items():
        assert [s.turn for s in group] == list(range(len(group)))
        assert len({round(s.depth, 6) for s in group}) == 1
        if side < max(sides):
            assert group[-1].centre + group[-1].depth / 2 <= reach * side * (1 + 1e-12)


def test_a_range_of_whole_boxes_takes_no_more_of_them():
    # Rounding of distances must not add a slab: 50 Mpc boxes from 200 to 400 Mpc are four.
    near, far = (float(redshift_at(d)) for d in (200.0, 900.0))
    slabs = lightcone.stack(near, far, (50, 100), 8.0)
    assert [s.side for s in slabs] == [50] * 4 + [100] * 5
    assert [s.depth for s in slabs] == pytest.approx([50] * 4 + [100] * 5, rel=1e-9)


def test_the_redshift_of_a_slab_is_that_of_its_middle():
    slab = Slab(0, 0, distance(0.3), 100.0, 100.0)
    assert slab.redshift == pytest.approx(0.3, rel=1e-6)


SLABS = lightcone.stack(0.04, 0.5, (50, 100, 200), 8.0)


def test_orientations_are_pure_and_differ_from_slab_to_slab_and_image_to_image():
    every = {lightcone.orientation(1, i, s, 4) for i in range(20) for s in SLABS}
    assert len(every) == 20 * len(SLABS)
    one = lightcone.orientation(1, 7, SLABS[3], 4)
    for i, slab in product(range(3), SLABS):  # whatever is asked for in between
        lightcone.orientation(1, i, slab, 4)
    assert lightcone.orientation(1, 7, SLABS[3], 4) == one
    assert lightcone.orientation(2, 7, SLABS[3], 4) != one
    assert lightcone.orientation(1, 8, SLABS[3], 4) != one


def test_all_turns_and_all_shifts_are_as_likely():
    every = [lightcone.orientation(1, i, s, 4) for i in range(160) for s in SLABS]  # 2400
    turns = [TURNS.index((o.axes, o.flips)) for o in every]
    counts = np.bincount(turns, minlength=48)
    assert np.sum((counts - 50) ** 2 / 50) < 85  # chi^2 of 47 degrees of freedom: 1 in 2000
    shifts = np.array([o.shift for o in every])
    assert (shifts >= 0).all() and (shifts < 1).all()
    for axis in range(3):
        counts = np.histogram(shifts[:, axis], 20, (0, 1))[0]
        assert np.sum((counts - 120) ** 2 / 120) < 48  # 19 degrees: 1 in 4000
    assert np.abs(np.corrcoef(shifts.T) - np.eye(3)).max() < 4 / np.sqrt(2400)


@pytest.mark.parametrize("boxes", [1, 2, 3, 4])
def test_boxes_of_a_side_take_turns(boxes):
    firsts = set()
    for index in range(40):
        for side in (50, 100, 200):
            taken = [lightcone.orientation(1, index, s, boxes).box for s in SLABS if s.side == side]
            assert all(0 <= box < boxes for box in taken)
            if boxes > 1:
                assert all(one != other for one, other in pairwise(taken))
            # All serve before one does again: no more than once along this line of sight.
            assert len(set(taken[:boxes])) == min(boxes, len(taken))
            firsts.add((side, taken[0]))
    assert len(firsts) == 3 * boxes  # each begins for some image, at every side


def test_the_first_box_of_one_side_says_nothing_of_that_of_another():
    pairs = {
        tuple(lightcone.orientation(1, i, s, 2).box for s in (SLABS[0], SLABS[5], SLABS[9]))
        for i in range(60)
    }
    assert [SLABS[n].turn for n in (0, 5, 9)] == [0, 0, 0]
    assert len(pairs) == 8


@pytest.mark.parametrize("axes, flips", TURNS)
def test_places_are_turned_reflected_and_shifted_in_that_order(axes, flips):
    turned = Orientation(0, axes, flips, (0.25, 0.9, 0.0))
    place = np.random.default_rng(1).uniform(0, 80, (500, 3)).astype(np.float32)
    place[0] = 0
    place[1] = np.nextafter(np.float32(80), np.float32(0))
    found = turned.place(place, 80.0)
    assert found.dtype == np.float32
    assert (found >= 0).all() and (found < 80).all()
    vectors = turned.turn(place)
    for axis in range(3):
        along = place[:, axes[axis]].astype(float)
        along = -along if flips[axis] else along
        assert np.array_equal(vectors[:, axis], along.astype(np.float32))
        apart = (found[:, axis] - along - 80 * turned.shift[axis]) % 80
        assert np.minimum(apart, 80 - apart).max() < 1e-4


@pytest.mark.parametrize(
    "view", [ImagePlane(400, 9.6), ImagePlane(401, 9.6, 7), ImagePlane(600, 96.0, 3)]
)
def test_pixels_of_the_view(view):
    assert view.full == view.pixels + 2 * view.margin
    middle = (view.full - 1) / 2
    sine = np.array([0, ARCSEC * view.scale, -0.5 * view.full * view.scale * ARCSEC])
    assert view.pixel(sine) == pytest.approx([middle, middle + 1, -0.5], abs=1e-9)
    assert pytest.approx(np.deg2rad(1 / 3600), rel=1e-12) == ARCSEC


@pytest.mark.parametrize("pixels, scale", [(400, 9.6), (600, 96.0), (6000, 9.6), (60, 0.5)])
@pytest.mark.parametrize("slab", [*SLABS[::4], Slab(0, 0, 300.0, 40.0, 40.0)])
def test_copies_of_the_box_cover_the_field_to_its_corners(pixels, scale, slab):
    view = ImagePlane(pixels, scale)
    corners = np.array([copy for copy in lightcone.replicas(slab, view, 0.0)])
    assert corners[:, 2] == pytest.approx(slab.centre - slab.depth / 2)
    sine = pixels * scale * ARCSEC / 2
    cosine = np.linspace(-sine, sine, 9)
    for l, m, z in product(cosine, cosine, (-0.4999, 0, 0.4999)):  # noqa: E741
        z = slab.centre + z * slab.depth
        place = z / np.sqrt(1 - l**2 - m**2) * np.array([l, m])
        inside = (place >= corners[:, :2]) & (place < corners[:, :2] + slab.side)
        assert inside.all(axis=1).sum() == 1  # in one copy, and in one alone


def test_brightness_is_flux_by_the_area_of_pixels():
    # 3e-6 Jy in every pixel of 4 arcsec: 3e-6 / 16 Jy/arcsec^2, whatever the blur.
    view = ImagePlane(pixels=60, scale=4.0, margin=20)
    image = np.full((view.full, view.full), 3e-6)
    for fwhm in (0.0, 12.0):
        brightness = lightcone.blurred(image, view, fwhm)
        assert brightness.shape == (60, 60) and brightness.dtype == np.float32
        assert brightness == pytest.approx(np.full((60, 60), 3e-6 / 16), rel=1e-5)


@pytest.mark.parametrize("scale, fwhm", [(9.6, 60.0), (9.6, 28.0), (3.0, 28.0)])
def test_blur_is_a_gaussian_of_the_stated_width(scale, fwhm):
    view = ImagePlane(pixels=101, scale=scale, margin=10)
    image = np.zeros((view.full, view.full))
    image[60, 60] = 5.0
    brightness = lightcone.blurred(image, view, fwhm)
    assert np.unravel_index(brightness.argmax(), brightness.shape) == (50, 50)
    assert brightness.sum(dtype=float) * scale**2 == pytest.approx(5, rel=1e-4)
    sigma = fwhm / np.sqrt(8 * np.log(2))
    assert brightness.max() == pytest.approx(5 / (2 * np.pi * sigma**2), rel=0.01)
    offset = (np.arange(101) - 50) * scale
    for axis in (0, 1):
        profile = brightness.sum(axis=axis, dtype=float)
        assert np.average(offset**2, weights=profile) == pytest.approx(sigma**2, rel=0.01)


def test_light_of_the_margin_reaches_into_the_image():
    view = ImagePlane(pixels=50, scale=10.0, margin=10)
    image = np.zeros((view.full, view.full))
    image[9, 30] = 1.0  # one pixel outside
    brightness = lightcone.blurred(image, view, 50.0)
    sigma = 50 / np.sqrt(8 * np.log(2))
    expected = np.exp(-(10**2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    assert brightness[0, 20] == pytest.approx(expected, rel=0.01)


def test_random_streams_do_not_meet():
    addresses = [
        (1, Purpose.NOISE, 0, 0),
        (1, Purpose.SAMPLES, 0, 0),
        (1, Purpose.NOISE, 1, 0),
        (1, Purpose.NOISE, 0, 1),
        (2, Purpose.NOISE, 0, 0),
    ]
    streams = np.array([draws(*address).random(4096) for address in addresses])
    assert np.abs(np.corrcoef(streams) - np.eye(len(streams))).max() < 5 / np.sqrt(4096)
    assert np.array_equal(draws(*addresses[3]).random(4096), streams[3])
    assert len({int(purpose) for purpose in Purpose}) == len(Purpose.__members__)
