"""Distances, growth and the linear power spectrum against astropy and colossus."""

import numpy as np
import pytest

from cosmodeep_hpc.sky import cosmology


@pytest.mark.parametrize("redshift", [0.04, 0.2, 0.5, 3.0])
def test_distance_is_that_of_astropy(redshift):
    expected = cosmology.astropy_cosmology().comoving_distance(redshift).value
    assert cosmology.comoving_distance(redshift) == pytest.approx(expected, rel=1e-6)
    assert cosmology.redshift_at(expected) == pytest.approx(redshift, rel=1e-6)


@pytest.mark.parametrize("a", [0.02, 0.3, 0.7, 1.0])
def test_growth_is_that_of_colossus(a):
    colossus = cosmology.colossus_cosmology()
    assert cosmology.growth(a) == pytest.approx(float(colossus.growthFactor(1 / a - 1)), rel=1e-3)


@pytest.mark.parametrize("a", [0.05, 0.5, 1.0])
def test_growth_rate_is_the_slope_of_growth(a):
    slope = (cosmology.growth(a * 1.001) - cosmology.growth(a * 0.999)) / (0.002 * a)
    assert cosmology.growth_rate(a) == pytest.approx(slope, rel=1e-5)


def test_early_matter_dominates_and_growth_is_the_scale_factor():
    assert cosmology.growth(0.02) / cosmology.growth(0.01) == pytest.approx(2, rel=1e-4)


def test_power_spectrum_has_the_papers_sigma8():
    k = np.geomspace(1e-4, 30, 4000)
    x = k * 8 / (cosmology.H0 / 100)
    window = 3 * (np.sin(x) - x * np.cos(x)) / x**3
    integrand = k**3 * cosmology.linear_power(k) * window**2 / (2 * np.pi**2)
    variance = np.trapezoid(integrand, np.log(k))
    assert np.sqrt(variance) == pytest.approx(cosmology.SIGMA8, rel=3e-3)


def test_power_at_zero_is_zero():
    assert cosmology.linear_power(np.array([0.0, 0.1]))[0] == 0
