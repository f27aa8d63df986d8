"""Shock elements: refinement, closed surfaces, Mach numbers, the state of the flow."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from scipy.optimize import brentq
from scipy.special import erf, ndtri

from cosmodeep_hpc.sky import mesh, nbody, shocks


def test_refining_a_wave_gives_the_wave():
    q = np.arange(16)
    wave = np.cos(2 * np.pi * 3 * q / 16).astype(np.float32)[:, None, None] * np.ones((1, 16, 16))
    fine = shocks.refine(wave.astype(np.float32), 0.0, 2)
    expected = np.cos(2 * np.pi * 3 * np.arange(32) / 32)
    assert fine[:, 5, 7] == pytest.approx(expected, abs=1e-5)


def test_smoothing_damps_a_wave_as_a_gaussian():
    wave = np.cos(2 * np.pi * 3 * np.arange(16) / 16).astype(np.float32)
    fine = shocks.refine(np.broadcast_to(wave, (16, 16, 16)).copy(), 1.5, 1)
    assert fine.max() == pytest.approx(np.exp(-0.5 * (1.5 * 2 * np.pi * 3 / 16) ** 2), rel=1e-3)


def test_the_jacobian_of_a_shear_and_of_a_compression():
    q = np.arange(32) * 2 * np.pi / 32
    displacement = np.zeros((3, 32, 32, 32), np.float32)
    displacement[0] = 0.5 * np.sin(q)[None, :, None]  # sheared: nothing is compressed
    assert shocks.jacobian(displacement, 2 * np.pi / 32) == pytest.approx(1, abs=1e-5)
    displacement[0] = 0.5 * np.sin(q)[:, None, None]
    slope = np.sin(2 * np.pi / 32) / (2 * np.pi / 32)  # of the central difference
    j = shocks.jacobian(displacement, 2 * np.pi / 32)
    assert j[:, 3, 4] == pytest.approx(1 + 0.5 * slope * np.cos(q), abs=1e-4)


def test_caustics_are_closed_surfaces():
    # The vector area of a closed surface is zero; orientation is lost here, so its unsigned parts
    # are compared: a sphere-like J = 0 has as much area facing along each of the axes.
    m = 48
    q = (np.arange(m) - m / 2 + 0.5) / m
    x, y, z = np.meshgrid(q, q, q, indexing="ij")
    potential = np.exp(-(x**2 + y**2 + z**2) / (2 * 0.12**2))
    displacement = np.stack(
        [np.gradient(potential, 1 / m, axis=axis) * 0.03 for axis in range(3)]
    ).astype(np.float32)
    _, first, second = shocks.caustics(displacement, 1 / m)
    facing = np.abs(np.cross(first, second)).sum(axis=0)
    assert facing.min() > 0
    assert facing == pytest.approx(facing.mean(), rel=0.02)


@pytest.mark.parametrize("mach", [1.5, 2.0, 3.0, 5.0, 20.0])
def test_mach_number_inverts_the_jump_conditions(mach):
    square = mach**2
    heating = (5 * square - 1) * (square + 3) / (16 * square)  # Rankine and Hugoniot, gamma = 5/3
    jump = 0.75 * (mach - 1 / mach)  # in upstream sound speeds
    assert shocks.mach_number(np.array([jump / np.sqrt(heating)]))[0] == pytest.approx(mach)


def test_mach_numbers_are_clamped():
    assert shocks.mach_number(np.array([0.0]))[0] == pytest.approx(1)
    assert shocks.mach_number(np.array([1.34, 50.0])) == pytest.approx(shocks.MACH_RANGE[1])


@pytest.mark.parametrize(
    "scale, cell, expected",
    [
        # A particle mesh smooths by 1/4 cell^2 of its force and 1/6 + 1/6 cell^2 of its windows.
        (1.0, 0.0, (1.0, 1.0)),
        (1.0, 0.6, (np.sqrt(1 - 0.21), 1.0)),
        (2.0, 2.4, (np.sqrt(4 - 3.36), 2.0)),
        (1.0, 2.4, (0.24, np.sqrt(3.36 + 0.0576))),  # coarser than the scale: all is the mesh's
    ],
)
def test_what_smoothing_is_left_and_all_of_it(scale, cell, expected):
    assert shocks.reading(scale, cell) == pytest.approx(expected)


def test_flow_of_a_uniform_box():
    still = np.zeros((3, 16, 16, 16), np.float32)
    moving = still + np.array([300, -200, 100], np.float32)[:, None, None, None]
    state = shocks.flow(nbody.Snapshot(0.1, 16.0, still, moving), 16, 2.0)
    assert state.overdensity == pytest.approx(1, abs=1e-5)
    assert np.abs(state.jump).max() < 1e-2
    assert state.dispersion.max() < 1  # a bulk motion heats nothing


def test_the_dispersion_is_that_of_one_axis():
    n = 48
    still = np.zeros((3, n, n, n), np.float32)
    thermal = np.random.default_rng(1).normal(0, [[[[300]]], [[[600]]], [[[0]]]], still.shape)
    bulk = np.array([900, 0, -500])[:, None, None, None]
    moving = (thermal + bulk).astype(np.float32)
    state = shocks.flow(nbody.Snapshot(0.1, 48.0, still, moving), n, 4.0)
    expected = np.sqrt((300**2 + 600**2) / 3)
    assert np.abs(state.dispersion / expected - 1).max() < 0.06
    assert state.dispersion.mean() == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_flow_converges_by_its_closed_form(axis):
    # v = -A sin(k x): the slope A k at x = 0, across sqrt(2 pi) times the scale.
    m, side, amplitude, scale = 32, 64.0, 500.0, 3.0
    k = 2 * np.pi / side
    q = np.arange(m) * side / m
    still = np.zeros((3, m, m, m), np.float32)
    velocity = still.copy()
    shape = [1, 1, 1]
    shape[axis] = -1
    velocity[axis] = -amplitude * np.sin(k * q).reshape(shape)
    state = shocks.flow(nbody.Snapshot(0.1, side, still, velocity), m, scale)
    damped = np.exp(-0.5 * (k * shocks.reading(scale, 2.0)[0]) ** 2)
    seen = np.sqrt(2 * np.pi) * np.hypot(scale, 2.0 / np.sqrt(3))
    expected = amplitude * k * damped * seen * np.cos(k * q).reshape(shape)
    assert np.abs(state.jump - expected).max() < 0.01 * expected.max()


@pytest.mark.parametrize("m", [8, 16, 32, 64])
def test_a_velocity_step_is_read_as_it_is_whatever_the_mesh(m):
    """Gas that meets with 400 km/s, on meshes of cells of 0.2 to 1.6 Mpc, read on 1 Mpc.

    The softened force smooths the step by half a cell. The step stands anywhere in its cell.
    """
    side, step, n = 12.8, 400.0, 64
    cell = side / m
    still = np.zeros((3, n, n, n), np.float32)
    velocity = still.copy()
    found = []
    for place in (np.arange(8) + 0.5) / 8 * cell:
        x = (np.arange(n) * side / n - place + side / 2) % side - side / 2
        smooth = erf(x / np.sqrt(2) / (0.5 * cell)) - 2 * x / side  # no second step at the seam
        velocity[0] = (-0.5 * step * smooth)[:, None, None]
        state = shocks.flow(nbody.Snapshot(0.1, side, still, velocity), m, 1.0)
        found.append(mesh.read(state.jump, np.array([[place, 6, 6]], np.float32), side)[0])
    # Less the slope that was taken off, across sqrt(2 pi) times the scale.
    scale = np.hypot(shocks.reading(1.0, cell)[1], cell / np.sqrt(3))
    expected = step * (1 - np.sqrt(2 * np.pi) * scale / side)
    assert np.mean(found) == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize("m, rel", [(24, 0.045), (48, 0.02), (96, 0.01)])
def test_a_blob_is_read_on_the_same_scale_whatever_the_mesh(m, rel):
    """A Gaussian of 2 Mpc, read on 1.6 Mpc: one of sqrt(2^2 + 1.6^2) Mpc, in height and width."""
    side, n, own, scale = 32.0, 64, 2.0, 1.6
    cell = side / m
    width = np.hypot(own, 0.5 * cell)  # the softened force has it wider
    quantile = ndtri((np.arange(n) + 0.5) / n) * width
    centre = np.array([15.3, 16.1, 17.2])
    grid = np.stack(np.meshgrid(quantile, quantile, quantile, indexing="ij"))
    lattice = np.stack(np.meshgrid(*[np.arange(n) * side / n] * 3, indexing="ij"))
    displacement = (grid + centre[:, None, None, None] - lattice).astype(np.float32)
    snapshot = nbody.Snapshot(0.1, side, displacement, np.zeros_like(displacement))
    state = shocks.flow(snapshot, m, scale)

    offset = np.random.default_rng(2).normal(0, 1.5, (2000, 3))
    position = (centre + offset).astype(np.float32)
    found = mesh.read(state.overdensity, position, side)
    total = np.hypot(own, scale)
    height = side**3 / (2 * np.pi * total**2) ** 1.5
    expected = height * np.exp(-np.sum(offset**2, axis=1) / (2 * total**2))
    assert found / height == pytest.approx(expected / height, abs=2 * rel)
    assert np.mean(found / expected) == pytest.approx(1, abs=rel)


def collapsing(m, side=64.0, thermal=0.0):
    """x = q - 1.6 sin(k q) / k along the first axis: caustics at 1.6 cos(k q) = 1.

    Matter flows in with -1000 km/s sin(k x), and random motions besides.
    """
    q = np.arange(m) * side / m
    k = 2 * np.pi / side
    displacement = np.zeros((3, m, m, m), np.float32)
    displacement[0] = (-1.6 * np.sin(k * q) / k)[:, None, None]
    velocity = np.random.default_rng(1).normal(0, 1, (3, m, m, m)) * thermal
    velocity[0] -= 1000 * np.sin(k * (q[:, None, None] + displacement[0]))
    return nbody.Snapshot(0.1, side, displacement, velocity.astype(np.float32))


@pytest.mark.parametrize(
    "m, smoothing, sigma",
    [(32, 0.0, 2.5), (64, 0.0, 1.25), (32, 4.0, 4.0), (64, 4.0, 4.0)],  # 1.25 cells at least
)
def test_elements_of_a_collapsing_wave_are_two_sheets(m, smoothing, sigma):
    side = 64.0
    elements = shocks.shock_elements(collapsing(m), smoothing=smoothing)
    assert elements.area.sum() == pytest.approx(2 * side**2, rel=1e-3)
    k = 2 * np.pi / side
    fall = 1.6 * np.exp(-0.5 * (k * sigma) ** 2)
    fold = np.arccos(1 / fall) / k
    expected = abs(fold - fall / k * np.sin(k * fold))
    x = (elements.position[:, 0] + side / 2) % side - side / 2
    assert np.abs(x) == pytest.approx(expected, abs=0.05 * side / m)
    assert (elements.position >= 0).all() and (elements.position < side).all()
    assert (elements.mach >= shocks.MACH_RANGE[0]).all()
    assert (elements.overdensity > 1).all()


def test_elements_carry_the_state_of_their_place():
    snapshot = collapsing(32, thermal=500.0)  # Mach numbers of 1.5 to 30
    elements = shocks.shock_elements(snapshot, scale=3.0)
    state = shocks.flow(snapshot, 32, 3.0)
    where = elements.position.T.astype(float) / 2.0  # cells of 2 Mpc

    def at(field):
        return map_coordinates(field, where, order=1, mode="grid-wrap")

    assert elements.overdensity == pytest.approx(at(state.overdensity), rel=1e-4)
    dispersion = at(state.dispersion)
    # 0.6 proton masses times a square of km/s is 6.264e-6 keV.
    assert elements.temperature == pytest.approx(6.264e-6 * dispersion**2, rel=2e-3)
    assert np.isnan(elements.field).all() and (elements.halo == -1).all()
    assert elements.halo.dtype == np.int32
    # The jump j of a front in a flow that is read as J: j^2 - J j = (c / 2)^2.
    sound = np.sqrt(5 / 3) * dispersion
    for i in range(0, len(elements), 97):
        read, c = at(state.jump)[i], sound[i]
        jump = brentq(lambda j: j * j - read * j - c * c / 4, 0, 1e5)  # noqa: B023

        def excess(mach):
            heating = (5 * mach**2 - 1) * (mach**2 + 3) / (16 * mach**2)
            return 0.75 * (mach - 1 / mach) / np.sqrt(heating) - jump / c  # noqa: B023

        expected = brentq(excess, 1, 30) if excess(30) > 0 else 30
        assert elements.mach[i] == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("stretch, kept", [(3.0, True), (2.01, True), (1.99, False)])
def test_elements_longer_than_the_stretch_are_left_out(stretch, kept):
    # Across the wave nothing moves: sides of 2 Mpc, the spacing of the particles.
    assert bool(len(shocks.shock_elements(collapsing(32), stretch=stretch))) == kept


def test_finer_seeking_gives_smaller_elements_of_the_same_surface():
    coarse, fine = (shocks.shock_elements(collapsing(32), factor=f) for f in (1, 2))
    assert len(fine) == pytest.approx(4 * len(coarse), rel=0.02)
    assert fine.area.sum() == pytest.approx(coarse.area.sum(), rel=1e-3)


def test_elements_are_chosen_by_masks_slices_and_numbers():
    elements = shocks.shock_elements(collapsing(16, 32.0))
    for rows in (slice(3, 9), np.array([5, 2]), elements.position[:, 1] > 16):
        chosen = elements[rows]
        assert np.array_equal(chosen.position, elements.position[rows])
        assert np.array_equal(chosen.second, elements.second[rows])
        assert len(chosen) == len(chosen.halo) == len(elements.mach[rows])


@pytest.mark.parametrize("workers", [2, 3])
def test_elements_are_the_same_bytes_whatever_the_threads(workers):
    linear = nbody.initial_displacement(2, 32, 50.0)
    snapshot = nbody.Snapshot(0.1, 50.0, linear, linear * 60)
    one, other = (shocks.shock_elements(snapshot, workers=w) for w in (1, workers))
    assert len(one) > 100
    for name in ("position", "first", "second", "mach", "overdensity", "temperature"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()


def test_a_box_at_rest_has_no_shocks():
    still = np.zeros((3, 16, 16, 16), np.float32)
    assert len(shocks.shock_elements(nbody.Snapshot(0.1, 16.0, still, still))) == 0
