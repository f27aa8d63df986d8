"""Gas inside halos: closed forms of its temperature and density, and which elements get it."""

import numpy as np
import pytest
from scipy.integrate import quad

from cosmodeep_hpc.sky import gas
from cosmodeep_hpc.sky.halos import Halos
from cosmodeep_hpc.sky.shocks import Elements

SIDE = 100.0


def elements(position, halo):
    n = len(position)
    ones = np.ones(n, np.float32)
    sides = np.ones((n, 3), np.float32)
    return Elements(
        np.asarray(position, np.float32), sides, sides, 3 * ones, 400 * ones, 2 * ones,
        np.nan * ones, np.asarray(halo, np.int32),
    )  # fmt: skip


def test_the_virial_temperature_of_a_rich_cluster():
    # mu m_p G M / (2 R) by SI constants: mean mass 0.6, 10^15 Msun, 2 Mpc.
    expected = 0.6 * 1.6726e-27 * 6.6743e-11 * 1.98847e45 / (2 * 2 * 3.08568e22) / 1.60218e-16
    assert gas.virial_temperature(1e15, 2.0) == pytest.approx(expected, rel=2e-3)
    assert expected == pytest.approx(6.7, rel=0.01)


@pytest.mark.parametrize("redshift, share", [(0.0, 0.308), (0.5, 0.6004)])
def test_the_profile_holds_100_times_the_critical_density(redshift, share):
    inside, _ = quad(lambda x: 3 * x**2 * gas.profile(x, redshift), 0, 1)
    assert inside == pytest.approx(100 / share, rel=1e-3)


def test_the_profile_falls_as_an_isothermal_one_with_a_core():
    place = np.array([0.0, 0.1, 0.5, 1.0])
    assert gas.profile(place, 0.2) / gas.profile(0.0, 0.2) == pytest.approx(
        [1, 1 / 2, 1 / 26, 1 / 101]
    )


def test_elements_inside_a_halo_get_its_gas_and_the_others_keep_theirs():
    halos = Halos(
        np.array([[0.5, 50, 50], [20, 20, 20]], np.float32),
        np.array([1e15, 1e13]),
        np.array([2.0, 0.5], np.float32),
    )
    # Across the seam at half of R100, in the middle of the second halo, and in none.
    given = elements([[99.5, 50, 50], [20, 20, 20], [70, 70, 70]], [0, 1, -1])
    found = gas.with_gas(given, halos, SIDE, 0.25, 0.5)
    hot = [gas.virial_temperature(1e15, 2.0 / 1.25), gas.virial_temperature(1e13, 0.5 / 1.25), 2]
    assert found.temperature == pytest.approx(hot)
    dense = np.sqrt(400 * gas.profile(np.array([0.5, 0.0]), 0.25))
    assert found.overdensity == pytest.approx([*dense, 400])
    assert np.array_equal(found.mach, given.mach)


def test_without_weight_the_mesh_alone_counts():
    halos = Halos(np.zeros((1, 3), np.float32), np.array([1e14]), np.ones(1, np.float32))
    given = elements([[0, 0, 0.5]], [0])
    assert gas.with_gas(given, halos, SIDE, 0.1, 0.0) is given


def test_a_box_without_halos():
    none = Halos(np.zeros((0, 3), np.float32), np.zeros(0), np.zeros(0, np.float32))
    given = elements([[1, 2, 3]], [-1])
    assert gas.with_gas(given, none, SIDE, 0.1, 0.5) is given
