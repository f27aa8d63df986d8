"""The particle mesh against closed forms: plane waves, linear growth, random fields."""

import numpy as np
import pytest

from cosmodeep_hpc.sky import nbody
from cosmodeep_hpc.sky.cosmology import H0, expansion, growth, growth_rate, linear_power
from cosmodeep_hpc.sky.shocks import caustics, jacobian, refine

SIDE = 64.0


def plane_wave(mesh, amplitude, axis=0):
    """A displacement A sin(2 pi q / side) along one axis, linearly extrapolated to today."""
    q = np.arange(mesh) * SIDE / mesh
    shape = [1, 1, 1]
    shape[axis] = -1
    wave = np.zeros((3, mesh, mesh, mesh), np.float32)
    wave[axis] = (amplitude * np.sin(2 * np.pi * q / SIDE)).reshape(shape)
    return wave


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_plane_wave_grows_as_the_zeldovich_solution(axis):
    # Zel'dovich is exact in one dimension until the first crossing, at A k D = 1.
    wave = plane_wave(32, -0.7 * SIDE / (2 * np.pi), axis)
    *_, last = nbody.evolve(wave, SIDE, [1.0, 0.0], steps=20)
    assert last.displacement[axis].std() == pytest.approx(wave[axis].std(), rel=0.02)
    across = [a for a in range(3) if a != axis]
    assert np.abs(last.displacement[across]).max() < 1e-3 * np.abs(wave).max()
    velocity = wave[axis] * H0 * expansion(1.0) * growth_rate(1.0)
    assert last.velocity[axis].std() == pytest.approx(velocity.std(), rel=0.03)


@pytest.mark.parametrize("crossing", [0.6, 0.8])
def test_the_first_caustic_comes_when_and_where_the_closed_form_says(crossing):
    # x = q - A D sin(k q): dx/dq = 1 - A k D cos(k q) first vanishes at q = 0 where A k D = 1.
    mesh = 32
    amplitude = 1 / (growth(crossing) * 2 * np.pi / SIDE)
    wave = plane_wave(mesh, -amplitude)
    redshifts = [1 / (crossing * 0.88) - 1, 1 / (crossing * 1.15) - 1]
    before, after = nbody.evolve(wave, SIDE, redshifts, steps=20)
    # Smoothed as in `shock_elements`: a lattice of particles that piles up has a grain of its own.
    before, after = (np.stack([refine(s, 1.0, 1) for s in b.displacement]) for b in (before, after))
    assert jacobian(before, SIDE / mesh).min() > 0
    j = jacobian(after, SIDE / mesh)[:, 0, 0]
    crossed = np.flatnonzero(j < 0)
    distance = np.minimum(crossed, mesh - crossed) * SIDE / mesh
    assert len(crossed) > 0 and distance.max() < SIDE / 8  # around q = 0 only


def test_caustics_of_a_zeldovich_wave_lie_at_their_closed_form():
    # x = q - (a / k) sin(k q) with a = 2: J = 1 - 2 cos(k q) = 0 at k q = +-pi / 3 (float32 grid).
    mesh, k = 96, 2 * np.pi / SIDE
    displacement = plane_wave(mesh, -2 / k)
    centre, first, second = caustics(displacement, SIDE / mesh)
    q = np.pi / 3 / k
    expected = q - 2 / k * np.sin(k * q)
    x = (centre[:, 0] + SIDE / 2) % SIDE - SIDE / 2
    assert np.abs(np.abs(x) - abs(expected)).max() < 0.02 * SIDE / mesh
    area = np.linalg.norm(np.cross(first, second), axis=1)
    assert area.sum() == pytest.approx(2 * SIDE**2, rel=1e-4)  # two planes across the box
    assert np.abs(np.cross(first, second)[:, 1:]).max() < 1e-4 * area.max()  # they face along x


def test_large_scale_power_grows_as_linear_theory():
    # Waves much longer than a cell, to z = 1: beyond, they are no longer linear at the percent.
    mesh, side = 64, 300.0
    linear = nbody.initial_displacement(3, mesh, side)
    start, last = nbody.evolve(linear, side, [9.0, 1.0], steps=12)

    def power(snapshot):
        density = np.fft.rfftn(nbody.deposit(snapshot, mesh)[0])
        waves = nbody.wave_numbers(mesh, side)
        k = np.sqrt(sum(w.astype(float) ** 2 for w in waves))
        return np.mean(np.abs(density[(k > 0) & (k < 0.06)]) ** 2)

    ratio = (growth(0.5) / growth(0.1)) ** 2
    assert power(last) / power(start) == pytest.approx(ratio, rel=0.03)


def test_a_random_field_has_the_linear_power_spectrum():
    mesh, side = 32, 200.0
    waves = nbody.wave_numbers(mesh, side)
    k = np.sqrt(sum(w.astype(float) ** 2 for w in waves))
    shell = (k > 0.1) & (k < 0.35)
    measured = []
    for seed in range(6):
        s = nbody.initial_displacement(seed, mesh, side)
        divergence = sum(1j * w * np.fft.rfftn(s[a]) for a, w in enumerate(waves))
        measured.append(np.abs(divergence[shell]) ** 2 * side**3 / mesh**6)
    ratio = np.mean(measured, axis=0) / linear_power(k[shell])
    # Some 16,000 modes: the mean of squared Gaussians is known to 1 %.
    assert ratio.mean() == pytest.approx(1, abs=0.04)


def test_deposit_keeps_mass_and_momentum():
    linear = nbody.initial_displacement(1, 16, 50.0)
    snapshot = nbody.Snapshot(0.0, 50.0, linear, linear * 100)
    density = nbody.deposit(snapshot, 16)
    assert density.mean() == pytest.approx(1, rel=1e-5)
    momentum = nbody.deposit(snapshot, 16, snapshot.velocity)
    mean = snapshot.velocity.mean(axis=(1, 2, 3))
    assert momentum.mean(axis=(1, 2, 3)) == pytest.approx(mean, abs=1e-3)


def test_a_particle_is_shared_by_the_nearest_cells():
    displacement = np.zeros((3, 16, 16, 16), np.float32)
    displacement[0, 15, 3, 4] = 0.25  # a quarter cell beyond the last: it reaches over the edge
    snapshot = nbody.Snapshot(0.0, 16.0, displacement, displacement)
    density = nbody.deposit(snapshot, 16)[0]
    assert density[15, 3, 4] == pytest.approx(0.75)
    assert density[0, 3, 4] == pytest.approx(1.25)


def test_steps_land_on_every_snapshot():
    edges = nbody.step_edges(0.02, [0.5, 0.9], 30)
    assert edges[0] == 0.02 and 0.5 in edges and edges[-1] == 0.9
    assert np.diff(edges).max() <= (0.9 - 0.02) / 30 + 1e-12


def test_the_same_seed_gives_the_same_bytes_whatever_the_threads():
    one, other = (
        [s.velocity for s in nbody.evolve(nbody.initial_displacement(5, 32, 50.0, w), 50.0, [0.1],
                                          steps=4, workers=w)]
        for w in (1, 3)
    )  # fmt: skip
    assert np.array_equal(one[0], other[0])
    assert not np.array_equal(
        nbody.initial_displacement(5, 16, 50.0), nbody.initial_displacement(6, 16, 50.0)
    )
