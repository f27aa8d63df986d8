"""Halos on a grid: spheres of known mass, and the shocks inside them."""

import numpy as np
import pytest

from cosmodeep_hpc.sky.halos import Halos
from cosmodeep_hpc.sky.simulation import gridhalos, gridshocks
from cosmodeep_hpc.sky.simulation.grid import Grid
from cosmodeep_hpc.sky.spheres import OUTER

CELLS = 48
SIDE = 24.0  # comoving Mpc
REDSHIFT = 0.3
MATTER = 0.308 * 1.8784e-29 * 0.678**2 * 1.3**3  # g/cm^3, mean at the redshift
# Critical density [Msun / comoving Mpc^3]: 3 H^2 / (8 pi G), G = 4.3009e-9 Mpc (km/s)^2 / Msun
CRITICAL = 3 * 67.8**2 * (0.308 * 1.3**3 + 0.692) / (8 * np.pi * 4.3009e-9) / 1.3**3


def isothermal(centre, velocity, cells=CELLS):
    """A singular isothermal sphere [mean density]: rho = A / r^2, M(<r) = 4 pi A r.

    Args:
        centre: [comoving Mpc].
        velocity: R100 [comoving Mpc], which sets A = 100 rho_crit R100^2 / 3.
    """
    cell = SIDE / cells
    fine = (np.arange(-2, 3) / 5)[:, None]  # five points a cell and axis, averaged
    square = 0
    for axis, c in enumerate(centre):
        x = (np.arange(cells) + 0.5 + fine) * cell - c
        x -= SIDE * np.round(x / SIDE)
        shape = [1] * 6
        shape[axis], shape[3 + axis] = 5, cells
        square = square + (x**2).reshape(shape)
    peak = 100 * CRITICAL * velocity**2 / 3 / np.maximum(square, (0.1 * cell) ** 2)
    mean = 0.308 * 3 * 67.8**2 / (8 * np.pi * 4.3009e-9)  # Msun / comoving Mpc^3
    return peak.mean(axis=(0, 1, 2)) / mean


def grid_of(overdensity, dark=True):
    """A sixth of the matter is gas, at rest and of one temperature."""
    shape = overdensity.shape
    fields = {"density": overdensity * MATTER / 6, "temperature": np.full(shape, 1e6)}
    fields |= {f"velocity_{x}": np.zeros(shape) for x in "xyz"}
    if dark:
        fields["dark_matter_density"] = overdensity * MATTER * 5 / 6
    return Grid("made", REDSHIFT, SIDE, {k: v.astype(np.float32) for k, v in fields.items()})


@pytest.mark.parametrize("centre", [(12.25, 9.75, 4.25), (0.25, 23.75, 12.25), (12.1, 9.9, 4.4)])
@pytest.mark.parametrize("radius", [1.5, 2.5])
def test_a_sphere_has_its_mass_and_place(centre, radius):
    found = gridhalos.spheres(grid_of(0.1 + isothermal(centre, radius)))
    assert len(found) == 1
    apart = found.position[0] - np.array(centre)
    assert np.linalg.norm(apart - SIDE * np.round(apart / SIDE)) < 0.5 * np.sqrt(3) * SIDE / CELLS
    mass = 4 / 3 * np.pi * 100 * CRITICAL * radius**3
    assert found.inner[0] == pytest.approx(mass, rel=0.08)
    assert found.outer[0] == pytest.approx(mass * np.sqrt(100 / OUTER), rel=0.03)  # M ~ R


def test_a_sphere_ends_within_a_shell_of_cells():
    """One cell over an even background: its neighbours count by the volume that is needed."""
    mean = 0.308 * 3 * 67.8**2 / (8 * np.pi * 4.3009e-9)  # Msun / comoving Mpc^3
    end = OUTER * CRITICAL / mean
    density = np.full((CELLS,) * 3, 0.9)
    density[5, 6, 7] = 3 * end
    found = gridhalos.spheres(grid_of(density))
    volume = (3 * end - 0.9) / (end - 0.9)  # cells: 3 end + 0.9 (V - 1) = end V; between 1 and 7
    cell = (SIDE / CELLS) ** 3
    assert found.outer == pytest.approx([OUTER * CRITICAL * volume * cell], rel=1e-3)
    assert found.inner == pytest.approx([0])  # 100 critical is denser than the cell itself


def test_the_heavier_of_two_in_one_place_stays():
    big, small = (12.25, 12.25, 12.25), (14.25, 12.25, 12.25)
    lone = (3.25, 3.25, 3.25)
    density = isothermal(big, 2.0) + isothermal(small, 1.2) + isothermal(lone, 1.2)
    found = gridhalos.spheres(grid_of(0.1 + density))
    assert found.position.tolist() == [list(big), list(lone)]
    assert found.outer[0] > found.outer[1]


def test_without_dark_matter_there_is_no_halo():
    grid = grid_of(0.1 + isothermal((12.25, 9.75, 4.25), 2.0), dark=False)
    assert len(gridhalos.spheres(grid)) == 0
    assert len(gridhalos.find(grid)) == 0


@pytest.mark.parametrize(
    "cells, finest, kept", [(48, 24, 24), (48, 20, 16), (45, 20, 15), (47, 24, 47)]
)
def test_a_fine_grid_is_rebinned(cells, finest, kept):
    density = np.random.default_rng(2).uniform(0.5, 1.5, (cells,) * 3)
    calls = []
    result = gridhalos.matter(grid_of(density), lambda *now: calls.append(now), finest)
    block = cells // kept
    expected = density.reshape(kept, block, kept, block, kept, block).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(result, expected, rtol=2e-3)
    assert calls[-1] == (cells, cells)


def test_shocks_know_the_halo_around_them():
    """A plane front at x = 12 Mpc and a halo on it: the elements within its radius are its own."""
    x = np.arange(CELLS)[:, None, None] + 0.5 - 24 + np.zeros((CELLS,) * 3)
    share = 0.5 * (1 + np.tanh(x)) * np.cos(np.pi / 2 * np.clip(x / 12 - 1, 0, 1)) ** 2
    fields = {"density": (1 + 2 * share) * MATTER / 6, "temperature": 1e6 * (1 + 8 / 3 * share)}
    fields |= {"velocity_x": -3e7 * share, "velocity_y": 0 * x, "velocity_z": 0 * x}
    grid = Grid("made", REDSHIFT, SIDE, {k: v.astype(np.float32) for k, v in fields.items()})
    halos = Halos(np.array([[12, 6, 6]], np.float32), np.ones(1), np.array([3], np.float32))
    found = gridshocks.shock_elements(grid, halos=halos)
    assert len(found) == CELLS**2
    inside = np.linalg.norm(found.position - halos.position[0], axis=1) < 3
    assert 0 < inside.sum() < CELLS**2
    np.testing.assert_array_equal(found.halo, np.where(inside, 0, -1))
