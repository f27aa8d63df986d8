"""Cloud-in-cell on a periodic mesh: what it keeps, and the same sums by other libraries."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from cosmodeep_hpc.sky.mesh import deposit, interpolate, read

SIDE = 50.0
CASES = [(16, 16), (16, 8), (8, 16), (12, 18)]  # particles and cells along a side


def moved(n, seed=1):
    """Displacements of half a box and more, to both sides: all edges are crossed."""
    return np.random.default_rng(seed).normal(0, 0.5 * SIDE, (3, n, n, n)).astype(np.float32)


def places(displacement):
    """Positions of the particles (3, n^3) [Mpc], not wrapped."""
    n = displacement.shape[1]
    lattice = np.stack(np.meshgrid(*[np.arange(n) * SIDE / n] * 3, indexing="ij"))
    return (lattice + displacement).reshape(3, -1)


def carried(n, seed=2):
    return np.random.default_rng(seed).normal(3, 1, (n, n, n)).astype(np.float32)


@pytest.mark.parametrize("n, mesh", CASES)
def test_deposit_keeps_mass_and_what_is_carried(n, mesh):
    displacement, values = moved(n), carried(n)
    density = deposit(displacement, SIDE, mesh)
    assert density.shape == (mesh,) * 3 and density.dtype == np.float32
    assert density.mean(dtype=float) == pytest.approx(1, rel=1e-6)
    momentum = deposit(displacement, SIDE, mesh, values)
    assert momentum.mean(dtype=float) == pytest.approx(values.mean(dtype=float), rel=1e-6)


@pytest.mark.parametrize("n, mesh", CASES)
def test_every_cell_holds_its_share_of_every_particle(n, mesh):
    # A particle gives a cell the product of 1 - |distance| along the axes, in cells, periodic.
    displacement, values = moved(n), carried(n)
    shares = []
    for place in places(displacement) / (SIDE / mesh):
        distance = np.abs(place[:, None] - np.arange(mesh)) % mesh
        shares.append(np.maximum(1 - np.minimum(distance, mesh - distance), 0))
    expected = np.einsum("p,pi,pj,pk->ijk", values.ravel(), *shares, optimize=True)
    found = deposit(displacement, SIDE, mesh, values)
    assert found == pytest.approx(expected * (mesh / n) ** 3, abs=2e-4 * expected.max())


@pytest.mark.parametrize(
    "shift, below, above",
    [
        (0.25, (15, 0.75), (0, 0.25)),  # a quarter cell beyond the last: it reaches over the edge
        (-15.4, (15, 0.4), (0, 0.6)),
        (16.25, (15, 0.75), (0, 0.25)),  # once around the box
    ],
)
def test_a_particle_is_shared_by_the_nearest_cells(shift, below, above):
    displacement = np.zeros((3, 16, 16, 16), np.float32)
    displacement[0, 15, 3, 4] = shift
    density = deposit(displacement, 16.0, 16)
    assert density[15, 3, 4] == pytest.approx(below[1], abs=1e-5)
    assert density[above[0], 3, 4] == pytest.approx(1 + above[1], abs=1e-5)
    assert np.abs(density - 1).sum() == pytest.approx(2 * (1 - below[1]), abs=1e-4)


def test_undisturbed_particles_are_even_on_every_mesh_that_divides():
    still = np.zeros((3, 16, 16, 16), np.float32)
    for mesh in (8, 16):
        assert np.array_equal(deposit(still, SIDE, mesh), np.ones((mesh,) * 3))


@pytest.mark.parametrize("n, mesh", CASES)
def test_interpolation_is_the_adjoint_of_deposit(n, mesh):
    # <field, deposit(values)> = <interpolate(field), values>: forces between particles are mutual.
    displacement, values = moved(n), carried(n)
    table = np.random.default_rng(3).normal(size=(mesh, mesh, mesh, 2)).astype(np.float32)
    there = deposit(displacement, SIDE, mesh, values).astype(float) * (n / mesh) ** 3
    here = interpolate(displacement, SIDE, table).astype(float)
    scale = np.linalg.norm(table[..., 0]) * np.linalg.norm(there)
    for c in range(2):
        one, other = np.sum(table[..., c] * there), np.sum(here[c] * values)
        assert one == pytest.approx(other, abs=1e-6 * scale)
        assert abs(one) > 1e-4 * scale  # not both nothing


@pytest.mark.parametrize("n, mesh", CASES)
def test_interpolation_is_linear_between_the_cells(n, mesh):
    displacement = moved(n)
    table = np.random.default_rng(4).normal(size=(mesh, mesh, mesh, 3)).astype(np.float32)
    found = interpolate(displacement, SIDE, table)
    assert found.shape == (3, n, n, n) and found.dtype == np.float32
    where = places(displacement) / (SIDE / mesh)
    for c in range(3):
        expected = map_coordinates(table[..., c], where, order=1, mode="grid-wrap")
        assert found[c].ravel() == pytest.approx(expected, abs=1e-4)


def test_reading_is_linear_between_the_cells_up_to_the_last_place_of_the_box():
    field = np.random.default_rng(5).normal(size=(24, 24, 24)).astype(np.float32)
    position = np.random.default_rng(6).uniform(0, SIDE, (5000, 3)).astype(np.float32)
    last = np.nextafter(np.float32(SIDE), np.float32(0))
    position[:3] = [[0, 0, 0], [last] * 3, [last, 0, 0.5 * SIDE]]
    found = read(field, position, SIDE)
    assert found.shape == (5000,) and found.dtype == np.float32
    where = position.T.astype(float) * 24 / SIDE
    expected = map_coordinates(field, where, order=1, mode="grid-wrap")
    assert found == pytest.approx(expected, abs=2e-5)
    assert found[0] == field[0, 0, 0] and found[1] == pytest.approx(field[0, 0, 0], abs=1e-4)
