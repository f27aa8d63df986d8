"""Radio power and flux at values worked out by hand."""

import numpy as np
import pytest

from cosmodeep_hpc.sky import emission
from cosmodeep_hpc.sky.shocks import Elements


def power(**changes):
    """Equation 32 at its reference values, today, M = 3 and no fall of the efficiency."""
    values = {
        "area": 1.0,
        "electrons": 1e-4,
        "temperature": 7.0,
        "field": 1.0,
        "mach": 3.0,
        "redshift": 0.0,
        "frequency": 1.4,
        "efficiency": 0.05,
        "mach_cut": 0.0,
    }
    return float(emission.radio_power(**(values | changes)))


def test_reference_power_by_hand():
    # All ratios are 1, and B^(1 + s/2) / (B_CMB^2 + B^2) = 1 / (3.2^2 + 1) = 1 / 11.24.
    assert power() == pytest.approx(6.4e34 / 11.24)


def test_power_far_from_the_reference_by_hand():
    # M = 3: s = 2 * 10 / 8 = 2.5. B = 4 uG: 4^2.25 / (10.24 + 16) = 22.627 / 26.24 = 0.86233;
    # T = 28 keV: 4^1.5 = 8; n = 3e-4: 3; xi = 0.01: 0.2; A = 2; 2.8 GHz: 2^-1.25 = 0.42045.
    found = power(
        area=2.0, electrons=3e-4, temperature=28.0, field=4.0, frequency=2.8, efficiency=0.01
    )
    assert found == pytest.approx(6.4e34 * 2 * 3 * 8 * 0.2 * 0.86233 * 0.42045, rel=1e-4)


def test_losses_on_the_microwave_background_grow_with_redshift():
    # z = 1: B_CMB = 12.8 uG, 12.8^2 + 1 = 164.84.
    assert power(redshift=1.0) == pytest.approx(6.4e34 / 164.84)


@pytest.mark.parametrize("mach, slope", [(2.0, 10 / 3), (3.0, 2.5), (5.0, 13 / 6)])
def test_slope_of_the_electrons(mach, slope):
    assert emission.electron_slope(mach) == pytest.approx(slope)


def test_slope_is_clamped_outside_its_range():
    low, high = emission.MACH_CLAMP
    assert emission.electron_slope(1.0) == emission.electron_slope(low) < 6
    assert emission.electron_slope(1e3) == emission.electron_slope(high) > 2


def test_psi_is_half_at_the_cut_one_above_and_small_below():
    assert emission.psi(2.5, 2.5) == 0.5
    assert emission.psi(20.0, 2.5) == pytest.approx(1, abs=1e-5)
    assert emission.psi(1.25, 2.5) == pytest.approx(1 / 65)


def test_magnetic_field_by_hand():
    amplitude = emission.Amplitude(1e-3, 2.5, 3.0, 0.8, 10.0)
    assert emission.magnetic_field(1000.0, 0.0, amplitude) == pytest.approx(3)
    assert emission.magnetic_field(10.0, 0.0, amplitude) == pytest.approx(3 * 0.025119, rel=1e-4)
    assert emission.magnetic_field(1e6, 0.0, amplitude) == 10
    assert emission.magnetic_field(1000.0, 0.5, amplitude) == pytest.approx(3 * 2.25)


def test_element_power_takes_proper_area_and_density():
    one = np.ones(1, np.float32)
    element = Elements(
        np.zeros((1, 3), np.float32),
        np.array([[2, 0, 0]], np.float32),
        np.array([[0, 3, 0]], np.float32),
        3 * one,
        1000 * one,
        7 * one,
    )
    amplitude = emission.Amplitude(0.05, 1.0, 1.0, 0.8, 10.0)
    # z = 0.1: A = 6 / 1.21; n = 2.17e-4 * 1.331; B = 1.21; B_CMB = 3.872; Psi = 1 / (1 + 3^-6).
    expected = power(
        area=6 / 1.21, electrons=2.17e-4 * 1.331, field=1.21, redshift=0.1, mach_cut=1.0
    )
    assert emission.element_power(element, 0.1, 1.4, amplitude)[0] == pytest.approx(expected)


def test_dimming_by_hand():
    # M = 3, alpha = 1.25, z = 0.25, 1000 Mpc: D_L = 1250 Mpc = 3.85710e27 cm,
    # 4 pi D_L^2 = 1.86952e56 cm^2, (1.25)^-0.25 = 0.94574: 1e31 erg/s/Hz -> 5.0587e-26 cgs.
    found = float(emission.flux(1e31, 3.0, 0.25, 1000.0))
    assert found == pytest.approx(5.0587e-3, rel=1e-4)
