"""Painting shock elements: every element where it belongs, and all of its light."""

from itertools import permutations, product

import numpy as np
import pytest

from cosmodeep_hpc.sky import lightcone, spread
from cosmodeep_hpc.sky.cosmology import astropy_cosmology
from cosmodeep_hpc.sky.lightcone import ImagePlane, Orientation, Slab
from cosmodeep_hpc.sky.shocks import Elements

SIDE = 100.0
SLAB = Slab(3, 0, 500.0, 100.0, SIDE)
VIEW = ImagePlane(pixels=400, scale=9.6, margin=20)
UPRIGHT = Orientation(0, (0, 1, 2), (False,) * 3, (0.0, 0.0, 0.0))
TURNS = list(product(permutations(range(3)), product([False, True], repeat=3)))
POWER = 1e30  # [erg/s/Hz]
ARCSEC = np.pi / 648000
REDSHIFTS = np.linspace(0, 1, 20001)
DISTANCES = astropy_cosmology().comoving_distance(REDSHIFTS).value


def table(position, first=(1e-4, 0, 0), second=(0, 1e-4, 0), mach=3.0):
    """Elements at positions (n, 3); what is given once holds for all."""
    position = np.atleast_2d(np.asarray(position, np.float32))
    n = len(position)
    sides = [np.broadcast_to(np.asarray(s, np.float32), (n, 3)).copy() for s in (first, second)]
    mach = np.broadcast_to(np.float32(mach), n).copy()
    return Elements(position, *sides, mach, mach, mach, mach, np.full(n, -1, np.int32))


def painted(elements, turned=UPRIGHT, slab=SLAB, view=VIEW, power=POWER, seed=1):
    """The image of fluxes [Jy] of elements."""
    image = np.zeros((view.full, view.full))
    powers = np.broadcast_to(np.float32(power), len(elements))
    spread.paint(image, elements, powers, slab, turned, view, seed)
    return image


def flux_at(distance, mach=3.0, power=POWER):
    """P (1 + z)^(1 - alpha) / (4 pi D_L^2) [Jy] with the distances of astropy."""
    redshift = np.interp(distance, DISTANCES, REDSHIFTS)
    index = (mach**2 + 1) / (mach**2 - 1)
    luminosity_distance = np.interp(
        redshift, REDSHIFTS, astropy_cosmology().luminosity_distance(REDSHIFTS).value
    )
    area = 4 * np.pi * (luminosity_distance * 3.0856775814913673e24) ** 2
    return power * (1 + redshift) ** (1 - index) / area / 1e-23


def matrix(turned):
    """What turns vectors of the box into those of the slab."""
    rotation = np.zeros((3, 3))
    for axis in range(3):
        rotation[axis, turned.axes[axis]] = -1 if turned.flips[axis] else 1
    return rotation


def boxed(vectors, turned):
    """Vectors of the slab in the axes of the box."""
    return np.asarray(vectors, float) @ matrix(turned)


def every_copy(elements, turned, slab, copies=8):
    """Places [Mpc] from the observer of all copies of all elements in a slab, and their rows."""
    place = elements.position.astype(float) @ matrix(turned).T + np.array(turned.shift) * slab.side
    place %= slab.side
    rows = np.flatnonzero(place[:, 2] < slab.depth)
    line = place[rows] + [-0.5 * slab.side, -0.5 * slab.side, slab.centre - 0.5 * slab.depth]
    steps = slab.side * np.arange(-copies, copies + 1)
    shifts = np.array([(x, y, 0) for x in steps for y in steps])
    return (line + shifts[:, None]).reshape(-1, 3), np.tile(rows, len(shifts))


def pixels_of(line, view):
    """Column and row [pixel] of places: direction cosines, orthographic."""
    cosine = line[:, :2] / np.linalg.norm(line, axis=1)[:, None]
    return (cosine / (view.scale * ARCSEC) + (view.full - 1) / 2).T


@pytest.mark.parametrize("axes, flips", TURNS)
def test_an_element_lands_in_its_pixel_with_its_flux(axes, flips):
    # Where it shall be seen: 3 Mpc west and 2 Mpc south of the middle, 510 Mpc away.
    turned = Orientation(0, axes, flips, (0.1, 0.85, 0.4))
    target = np.array([53.0, 48.0, 60.0])
    place = boxed(target - SIDE * np.array(turned.shift), turned) % SIDE
    image = painted(table(place), turned)

    line = np.array([3.0, -2.0, 510.0])
    distance = np.linalg.norm(line)
    column, row = line[:2] / distance / (VIEW.scale * ARCSEC) + (VIEW.full - 1) / 2
    assert np.argwhere(image > 0).tolist() == [[round(row), round(column)]]
    assert image.sum() == pytest.approx(flux_at(distance), rel=1e-5)


@pytest.mark.parametrize("axes, flips", TURNS)
def test_a_large_element_lies_as_its_sides_do(axes, flips):
    # Where the light of a parallelogram is, and its covariance, which tells how it leans; 6 degrees
    # off the middle, where what lies along the line of sight has parts along all axes.
    turned = Orientation(0, axes, flips, (0.3, 0.7, 0.2))
    middle, one, two = np.array([[92.0, 20.0, 40.0], [1.0, 0.4, 0.6], [-0.2, 0.3, -0.8]])
    view = ImagePlane(1200, 30.0)
    place = boxed(middle - SIDE * np.array(turned.shift), turned) % SIDE
    copies = np.repeat([place], 400, axis=0)  # each with a jitter of its own
    image = painted(table(copies, boxed(one, turned), boxed(two, turned)), turned, view=view)

    u = (np.arange(60) + 0.5) / 60 - 0.5
    points = middle + u[:, None, None] * one + u[:, None] * two
    seen = pixels_of(points.reshape(-1, 3) - [50, 50, -450], view)
    light = np.nonzero(image)[::-1]
    moments = np.cov(light, aweights=image[image > 0], bias=True)
    assert np.average(light, axis=1, weights=image[image > 0]) == pytest.approx(
        seen.mean(axis=1), abs=0.05
    )
    expected = np.cov(seen, bias=True) + np.eye(2) / 12  # a pixel is even within
    assert moments == pytest.approx(expected, rel=0.03, abs=0.03)


@pytest.mark.parametrize(
    "pixels, scale, centre, line",
    [
        (400, 9.6, 500.0, (0.01, 0.01, 470.0)),
        (2000, 9.6, 500.0, (21.0, -20.0, 480.3)),
        (6000, 9.6, 500.0, (-62.0, 61.3, 455.0)),  # 16 degrees; in the next copy of the box
        (600, 96.0, 500.0, (-62.0, 61.3, 455.0)),
        (600, 96.0, 1800.0, (241.3, -245.1, 1799.0)),  # in the third
        (700, 3.0, 500.0, (2.1, -1.3, 549.0)),
        (91, 200.0, 500.0, (15.2, 8.8, 500.0)),
        (700, 300.0, 200.0, (60.0, -75.0, 170.0)),  # a cosine is no angle: 58 degrees
    ],
)
def test_every_copy_in_the_field_is_in_its_pixel(pixels, scale, centre, line):
    slab, view = Slab(0, 0, centre, 100.0, SIDE), ImagePlane(pixels, scale, margin=3)
    turned = Orientation(0, (2, 0, 1), (True, False, True), (0.25, 0.5, 0.125))
    from_corner = np.array(line) + [50, 50, 50 - centre]
    place = boxed(from_corner - SIDE * np.array(turned.shift), turned) % SIDE
    elements = table(place)
    image = painted(elements, turned, slab, view)

    lines, _ = every_copy(elements, turned, slab)
    assert np.linalg.norm(lines - line, axis=1).min() < 1e-4  # the one that was meant
    expected = np.zeros_like(image)
    for column, row, copy in zip(*pixels_of(lines, view), lines, strict=True):
        column, row = int(np.floor(column + 0.5)), int(np.floor(row + 0.5))
        if 0 <= column < view.full and 0 <= row < view.full:
            expected[row, column] += flux_at(np.linalg.norm(copy))
    assert (expected > 0).any()
    assert np.array_equal(np.argwhere(image), np.argwhere(expected))
    assert image[expected > 0] == pytest.approx(expected[expected > 0], rel=1e-5)


@pytest.mark.parametrize(
    "slab, view",
    [
        (Slab(0, 0, 420.0, 87.0, 100.0), ImagePlane(600, 96.0)),  # 16 degrees, not all of the box
        (Slab(1, 1, 200.0, 50.0, 50.0), ImagePlane(600, 96.0, margin=7)),
        (Slab(2, 0, 1800.0, 190.0, 200.0), ImagePlane(2000, 9.6, margin=17)),
        (Slab(3, 0, 1800.0, 190.0, 200.0), ImagePlane(501, 3.1)),
    ],
)
def test_the_image_has_the_light_of_all_elements_of_the_field(slab, view):
    stream = np.random.default_rng(1)
    n = 40000
    elements = table(stream.uniform(0, slab.side, (n, 3)), mach=stream.uniform(1.6, 9, n))
    powers = stream.lognormal(70, 1, n).astype(np.float32)
    turned = Orientation(0, (1, 2, 0), (False, True, True), (0.31, 0.62, 0.93))
    image = painted(elements, turned, slab, view, powers)

    lines, rows = every_copy(elements, turned, slab)
    inside = (np.abs(pixels_of(lines, view) - (view.full - 1) / 2) < view.full / 2).all(axis=0)
    lines, rows = lines[inside], rows[inside]
    expected = flux_at(
        np.linalg.norm(lines, axis=1), elements.mach[rows].astype(float), powers[rows].astype(float)
    )
    assert len(expected) > 20
    assert image.sum() == pytest.approx(expected.sum(), rel=1e-4)


def large(n=300, size=0.3):
    """Elements of tens of pixels around the middle of the view, leaning every way."""
    stream = np.random.default_rng(1)
    sides = stream.normal(0, size, (2, n, 3))
    return table(stream.uniform([47, 47, 0], [53, 53, 100], (n, 3)), *sides)


@pytest.mark.parametrize("size", [0.001, 0.3, 1.5])
def test_elements_keep_their_flux_however_large(size):
    elements = large(size=size)
    view = ImagePlane(pixels=1500, scale=9.6, margin=20)
    image = painted(elements, view=view)
    line = elements.position - np.array([50, 50, -450], float)
    expected = flux_at(np.linalg.norm(line, axis=1)).sum()
    assert image.sum() == pytest.approx(expected, rel=1e-5)
    # The blur keeps the light too: brightness times the area of pixels.
    brightness = lightcone.blurred(image, view, 28.0)
    assert brightness.sum(dtype=float) * view.scale**2 == pytest.approx(expected, rel=1e-4)


def test_an_element_fills_its_parallelogram_evenly():
    # 20 x 10 pixels, face on, at pixels' edges: 200 pixels of equal light.
    pixel = 500 * VIEW.scale * ARCSEC
    element = table((50, 50, 50), (20 * pixel, 0, 0), (0, 10 * pixel, 0))
    image = np.mean([painted(element, seed=i) for i in range(1000)], axis=0)
    filled = image[215:225, 210:230] / flux_at(500.0)
    assert filled.sum() == pytest.approx(1, rel=1e-4)
    assert filled.mean() == pytest.approx(1 / 200, rel=1e-4)
    # One sample in four pixels a time: 1000 leave sqrt(3 / 1000) at most.
    assert filled.std() / filled.mean() < np.sqrt(3 / 1000)


@pytest.mark.parametrize(
    "second, height",
    [((0, 0.6, 0.0), 0.6), ((0, 0.6, 0.8), 0.6), ((0, -0.6, 0.8), 0.6), ((0, 0, 1.0), 0.0)],
)
def test_a_tilted_element_is_foreshortened(second, height):
    image = np.mean(
        [painted(table((50, 50, 50), (0.01, 0, 0), second), seed=i) for i in range(50)], axis=0
    )
    row = np.arange(VIEW.full) - (VIEW.full - 1) / 2
    width = np.sqrt(np.average(row**2, weights=image.sum(axis=1)) - 1 / 12)
    # An even line of length h has a standard deviation of h / sqrt(12).
    expected = height / 500 / (VIEW.scale * ARCSEC) / np.sqrt(12)
    assert width == pytest.approx(expected, rel=0.02, abs=0.45)
    assert image.sum() == pytest.approx(flux_at(500.0), rel=1e-5)


@pytest.mark.parametrize("size, scale", [(0.3, 9.6), (1.5, 9.6), (0.3, 1.0), (1e-4, 9.6)])
def test_elements_across_the_edge_lose_what_is_outside_and_nothing_else(size, scale):
    # Of any size: up to some 300 pixels, which reach far into an image that they are not in.
    stream = np.random.default_rng(2)
    margin, reach = 400, 10 * scale / 9.6
    low, high = [50 - reach, 50 - reach, 0], [50 + reach, 50 + reach, 100]
    elements = table(stream.uniform(low, high, (3000, 3)), *stream.normal(0, size, (2, 3000, 3)))
    whole = painted(elements, view=ImagePlane(200, scale, margin=margin))
    cut = painted(elements, view=ImagePlane(200, scale))
    assert 0 < cut.sum() < 0.5 * whole.sum()
    inner = whole[margin:-margin, margin:-margin]
    np.testing.assert_allclose(cut, inner, rtol=1e-6, atol=1e-9 * cut.max())


@pytest.mark.parametrize("inside, share", [(0.0, 0.5), (0.25, 0.75), (-0.25, 0.25), (-0.6, 0.0)])
def test_an_element_half_outside_keeps_half_its_light(inside, share):
    # 40 pixels long; its middle is `inside` its length from the edge of the image.
    pixel = 500 * VIEW.scale * ARCSEC
    sine = (VIEW.full / 2 - 40 * inside) * VIEW.scale * ARCSEC
    x = 500 * sine / np.sqrt(1 - sine**2)
    copies = table(np.repeat([(50 + x, 50, 50)], 200, axis=0), (40 * pixel, 0, 0))
    image = painted(copies)
    expected = 200 * flux_at(np.hypot(500, x))
    assert image.sum() / expected == pytest.approx(share, abs=0.01)


def test_light_is_added_to_what_is_there():
    elements, powers = large(), np.full(300, POWER, np.float32)
    once = painted(elements)
    image = np.full_like(once, 3e-9)
    for _ in range(2):
        spread.paint(image, elements, powers, SLAB, UPRIGHT, VIEW, 1)
    np.testing.assert_allclose(image, 2 * once + 3e-9)


def test_the_jitter_is_that_of_the_seed_and_of_the_row_alone():
    elements = large()
    image = painted(elements)
    assert image.tobytes() == painted(elements, seed=1).tobytes()
    for seed in (0, 2, 2**63 - 1):
        other = painted(elements, seed=seed)
        assert not np.array_equal(other, image)
        assert other.sum() == pytest.approx(image.sum(), rel=1e-9)
    # Elements that come later change nothing for those that came before.
    first, rest = painted(elements[:200]), painted(elements, power=np.arange(300) // 200 * POWER)
    np.testing.assert_allclose(first + rest, image, rtol=1e-6, atol=1e-9 * image.max())


def test_the_order_of_elements_does_not_matter_to_the_light():
    elements = large()
    powers = np.random.default_rng(3).lognormal(70, 2, 300).astype(np.float32)
    order = np.random.default_rng(4).permutation(300)
    one, other = painted(elements, power=powers), painted(elements[order], power=powers[order])
    assert other.sum() == pytest.approx(one.sum(), rel=1e-9)
    points = large(size=1e-6)  # one sample each, and no room for its jitter
    one, other = painted(points, power=powers), painted(points[order], power=powers[order])
    np.testing.assert_allclose(other, one, rtol=1e-9)


def test_no_elements_are_no_light():
    assert not painted(large()[:0]).any()


@pytest.mark.parametrize("axis", [0, 1])
def test_an_element_on_the_edge_of_its_box_is_whole(axis):
    # The same scene twice: the box's edge through the elements, and half a box away from them.
    stream = np.random.default_rng(5)
    place = stream.uniform(-2, 2, (200, 3)) + [0, 0, 50]
    place = np.round(place * 1024) / 1024  # exact in either place
    sides = stream.normal(0, 0.5, (2, 200, 3))
    offset, shift = np.zeros(3), np.zeros(3)
    offset[axis], shift[axis] = 50, 0.5
    middle = np.array([50, 50, 0])
    whole = table((place + middle) % SIDE, *sides)
    split = table((place + middle + offset) % SIDE, *sides)
    other = Orientation(0, (0, 1, 2), (False,) * 3, tuple(shift))
    expected = painted(whole)
    assert expected.sum() == pytest.approx(200 * flux_at(500.0), rel=0.02)
    found = painted(split, other)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9 * expected.max())


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.0125, 0.3), (0.49, 0.98)])
def test_an_even_sheet_is_even_across_the_borders_of_copies(shift):
    # Squares of 1 Mpc that fill a plane: of a pixel of direction cosines l, m the sheet shows
    # z^2 / n^4 dl dm at the distance z / n, n^2 = 1 - l^2 - m^2, in every copy and between them.
    side, z = 40.0, 300.0
    x, y = np.meshgrid(np.arange(40.0) + 0.5, np.arange(40.0) + 0.5)
    elements = table(np.stack([x, y, np.full_like(x, 20)], -1).reshape(-1, 3), (1, 0, 0), (0, 1, 0))
    slab, view = Slab(0, 0, z, 40.0, side), ImagePlane(600, 60.0)
    turned = Orientation(0, (0, 1, 2), (False,) * 3, (*shift, 0.0))
    image = sum(painted(elements, turned, slab, view, seed=i) for i in range(100)) / 100

    cosine = (np.arange(600) - 299.5) * view.scale * ARCSEC
    n = np.sqrt(1 - cosine**2 - cosine[:, None] ** 2)
    expected = (z**2 / n**4) * (view.scale * ARCSEC) ** 2 * flux_at(z / n)
    assert 600 * view.scale * ARCSEC * z > 1.25 * side  # several copies

    def blocks(image):
        return image.reshape(30, 20, 30, 20).sum(axis=(1, 3))

    ratio = blocks(image) / blocks(expected)
    assert ratio.mean() == pytest.approx(1, abs=1e-3)
    # Some 110 samples, of which the 42 at a block's edges are here or there: 2.4 %, 100 times.
    assert np.abs(ratio - 1).max() < 5 * 0.0024
