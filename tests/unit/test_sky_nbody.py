"""The particle mesh against closed forms: plane waves, linear growth, random fields."""

import numpy as np
import pytest

from cosmodeep_hpc.sky import nbody
from cosmodeep_hpc.sky.cosmology import H0, expansion, growth, growth_rate, linear_power
from cosmodeep_hpc.sky.mesh import deposit
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
    across = [i for i in range(3) if i != axis]
    for snapshot in nbody.evolve(wave, SIDE, [1.0, 0.0], steps=20):
        a = 1 / (1 + snapshot.redshift)
        expected = wave[axis] * growth(a)
        assert snapshot.displacement[axis].std() == pytest.approx(expected.std(), rel=0.02)
        assert np.abs(snapshot.displacement[across]).max() < 1e-3 * np.abs(wave).max()
        # Peculiar: a dx/dt = a^2 H(a) dD/da.
        velocity = wave[axis] * a**2 * H0 * expansion(a) * growth_rate(a)
        assert snapshot.velocity[axis].std() == pytest.approx(velocity.std(), rel=0.03)
        assert np.vdot(snapshot.velocity[axis], wave[axis]) > 0


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
        density = np.fft.rfftn(deposit(snapshot.displacement, side, mesh))
        waves = nbody.wave_numbers(mesh, side)
        k = np.sqrt(sum(w.astype(float) ** 2 for w in waves))
        return np.mean(np.abs(density[(k > 0) & (k < 0.06)]) ** 2)

    ratio = (growth(0.5) / growth(0.1)) ** 2
    assert power(last) / power(start) == pytest.approx(ratio, rel=0.03)


def whitened(seed, mesh, side):
    """The waves of a random field in units of what the linear power spectrum gives them."""
    waves = nbody.wave_numbers(mesh, side)
    k = np.sqrt(sum(w.astype(float) ** 2 for w in waves))
    s = nbody.initial_displacement(seed, mesh, side)
    divergence = sum(1j * w * np.fft.rfftn(s[a]) for a, w in enumerate(waves))
    inner = np.ones(k.shape, bool)
    inner[mesh // 2], inner[:, mesh // 2], inner[..., mesh // 2] = False, False, False  # Nyquist
    inner[..., 0] = False  # where waves come in conjugate pairs
    return k[inner], (divergence[inner] / np.sqrt(linear_power(k[inner]) * mesh**6 / side**3))


@pytest.mark.parametrize("mesh, side", [(32, 200.0), (32, 50.0), (48, 100.0)])
def test_a_random_field_has_the_linear_power_spectrum(mesh, side):
    k, waves = (np.concatenate(part) for part in zip(*(whitened(i, mesh, side) for i in range(4)),
                                                     strict=True))  # fmt: skip
    edges = np.quantile(k, [0, 0.1, 0.4, 1])
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        power = np.abs(waves[(k >= low) & (k <= high)]) ** 2
        # The squares of complex Gaussians scatter by their mean: four standard errors.
        assert power.mean() == pytest.approx(1, abs=4 / np.sqrt(len(power)))
    assert np.mean(np.abs(waves) ** 4) == pytest.approx(2, abs=0.1)  # Gaussian


@pytest.mark.parametrize(
    "one, other", [((1, 50.0), (1, 100.0)), ((1, 100.0), (1, 200.0)), ((1, 100.0), (2, 100.0))]
)
def test_fields_of_other_sides_and_seeds_are_independent(one, other):
    (_, first), (_, second) = (whitened(seed, 32, side) for seed, side in (one, other))
    shared = np.vdot(first, second) / len(first)
    assert np.abs(shared) < 4 / np.sqrt(len(first))
    assert np.vdot(first, first).real / len(first) == pytest.approx(1, abs=0.05)


def test_snapshots_come_by_falling_redshift_and_are_not_changed_afterwards():
    linear = plane_wave(32, -0.5 * SIDE / (2 * np.pi))
    made = list(nbody.evolve(linear, SIDE, [0.0, 3.0, 1.0], steps=12))
    assert [s.redshift for s in made] == [3.0, 1.0, 0.0]
    for snapshot in made:
        expected = linear[0].std() * growth(1 / (1 + snapshot.redshift))
        assert snapshot.displacement[0].std() == pytest.approx(expected, rel=0.03)


def test_steps_land_on_every_snapshot():
    edges = nbody.step_edges(0.02, [0.5, 0.9], 30)
    assert edges[0] == 0.02 and 0.5 in edges and edges[-1] == 0.9
    assert np.diff(edges).max() <= (0.9 - 0.02) / 30 + 1e-12


def test_the_same_seed_gives_the_same_bytes_whatever_the_threads():
    made = []
    for workers in (1, 3):
        linear = nbody.initial_displacement(5, 32, 50.0, workers)
        run = nbody.evolve(linear, 50.0, [0.1], steps=4, workers=workers)
        made.append([(s.displacement.tobytes(), s.velocity.tobytes()) for s in run])
    assert made[0] == made[1]
