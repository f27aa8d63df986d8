"""Shock elements: refinement, closed surfaces, Mach numbers, the state of the flow."""

import numpy as np
import pytest

from cosmodeep_hpc.sky import nbody, shocks


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


def test_flow_of_a_uniform_box():
    still = np.zeros((3, 16, 16, 16), np.float32)
    moving = still + np.array([300, -200, 100], np.float32)[:, None, None, None]
    state = shocks.flow(nbody.Snapshot(0.1, 16.0, still, moving), 16, 2.0)
    assert state.overdensity == pytest.approx(1, abs=1e-5)
    assert np.abs(state.jump).max() < 1e-2
    assert state.dispersion.max() < 1  # a bulk motion heats nothing


def test_flow_converges_by_its_closed_form():
    mesh, side, amplitude = 32, 64.0, 500.0
    q = np.arange(mesh) * side / mesh
    still = np.zeros((3, mesh, mesh, mesh), np.float32)
    velocity = still.copy()
    velocity[1] = -amplitude * np.sin(2 * np.pi * q / side)[None, :, None]
    state = shocks.flow(nbody.Snapshot(0.1, side, still, velocity), mesh, 1.0)
    assert state.jump.max() == pytest.approx(amplitude * 2 * np.pi / side * 1.0, rel=0.02)
    assert state.jump[0, 0, 0] == state.jump.max(axis=1)[0, 0]


def test_elements_of_a_collapsing_wave_are_two_sheets():
    mesh, side = 32, 64.0
    q = np.arange(mesh) * side / mesh
    displacement = np.zeros((3, mesh, mesh, mesh), np.float32)
    velocity = displacement.copy()
    wave = np.sin(2 * np.pi * q / side)[:, None, None] * side / (2 * np.pi)
    displacement[0] = -1.6 * wave
    velocity[0] = -100 * wave
    snapshot = nbody.Snapshot(0.1, side, displacement, velocity)
    elements = shocks.shock_elements(snapshot, smoothing=0.0)
    assert elements.area.sum() == pytest.approx(2 * side**2, rel=1e-3)
    k = 2 * np.pi / side
    fold = np.arccos(1 / 1.6) / k
    expected = abs(fold - 1.6 / k * np.sin(k * fold))
    x = (elements.position[:, 0] + side / 2) % side - side / 2
    assert np.abs(x) == pytest.approx(expected, abs=0.05 * side / mesh)
    assert (elements.position >= 0).all() and (elements.position < side).all()
    assert (elements.mach >= shocks.MACH_RANGE[0]).all()
    assert (elements.overdensity > 1).all()


def test_a_box_at_rest_has_no_shocks():
    still = np.zeros((3, 16, 16, 16), np.float32)
    assert len(shocks.shock_elements(nbody.Snapshot(0.1, 16.0, still, still))) == 0
