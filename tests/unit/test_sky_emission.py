"""Radio power and flux at values worked out by hand, and with the units of astropy."""

import numpy as np
import pytest
from astropy import constants, units

from cosmodeep_hpc.sky import cosmology, emission
from cosmodeep_hpc.sky.shocks import KEV_PER_DISPERSION, Elements


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


@pytest.mark.parametrize("cut", [1.0, 2.5, 4.0])
def test_psi_rises_with_the_mach_number_to_one_and_stops_at_no_shock(cut):
    mach = np.linspace(1.0, 40, 1000)
    share = emission.psi(mach, cut)
    assert np.all(np.diff(share) > 0) and share[0] > 0 and share[-1] < 1
    assert emission.psi(0.5, cut) == emission.psi(1.0, cut)


def amplitude(field=3.0, density=0.8, temperature=0.5, limit=10.0, efficiency=1e-3, cut=2.5):
    return emission.Amplitude(efficiency, cut, field, density, temperature, limit)


@pytest.mark.parametrize(
    "overdensity, heat, redshift, expected",
    [
        (1000.0, 5.0, 0.0, 3.0),  # where B0 is meant
        (10.0, 5.0, 0.0, 3 * 0.025119),  # 0.01^0.8
        (1000.0, 1.25, 0.0, 1.5),  # (1/4)^0.5
        (1000.0, 5.0, 0.5, 3 * 2.64618),  # 1.5^2.4: denser by (1 + z)^3
        (100.0, 0.05, 0.5, 3 * 0.158489 * 0.1 * 2.64618),
        (1e6, 5.0, 0.0, 10.0),  # the limit
        (1.0, 0.0, 0.0, 0.0),
    ],
)
def test_magnetic_field_by_hand(overdensity, heat, redshift, expected):
    found = emission.magnetic_field(overdensity, heat, redshift, amplitude())
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_field_frozen_into_the_matter_grows_as_the_square_of_the_expansion():
    frozen = amplitude(density=2 / 3, temperature=0.0, limit=1e9)
    ratio = emission.magnetic_field(50.0, 1.0, 0.4, frozen) / emission.magnetic_field(
        50.0, 9.0, 0.0, frozen
    )
    assert ratio == pytest.approx(1.4**2)


def element(field=np.nan, mach=3.0, overdensity=1000.0, temperature=7.0, n=1):
    """Parallelograms of 2 x 3 comoving Mpc, across each other or not."""
    one = np.ones(n, np.float32)
    return Elements(
        position=np.zeros((n, 3), np.float32),
        first=np.array([[2, 0, 0]] * n, np.float32),
        second=np.array([[0, 3, 0]] * n, np.float32),
        mach=mach * one,
        overdensity=overdensity * one,
        temperature=temperature * one,
        field=field * one,
        halo=np.full(n, -1, np.int32),
    )


def test_the_field_of_a_simulation_is_kept_and_filled_in_where_it_has_none():
    both = element(field=np.array([np.nan, 0.125, 0.0], np.float32), n=3)
    filled = emission.with_field(both, 0.5, amplitude(temperature=0.0))
    assert filled.field == pytest.approx([3 * 2.64618, 0.125, 0.0], rel=1e-5)
    assert filled.field.dtype == np.float32
    assert np.isnan(both.field[0])  # not changed
    assert np.array_equal(filled.first, both.first) and len(filled) == 3


def test_area_is_that_of_a_parallelogram():
    leaning = element()
    leaning.second[0] = [4, 0.3, 0.4]  # 2 x 0.5: only what is across the first side counts
    assert element().area == pytest.approx([6]) and leaning.area == pytest.approx([1])


def test_element_power_takes_proper_area_and_density():
    # z = 0.1: A = 6 / 1.21; n = 2.17e-4 * 1.331; B = 1.21; B_CMB = 3.872; Psi = 1 / (1 + 3^-6).
    expected = power(
        area=6 / 1.21, electrons=2.17e-4 * 1.331, field=1.21, redshift=0.1, mach_cut=1.0
    )
    found = emission.element_power(
        element(field=1.21), 0.1, 1.4, amplitude(efficiency=0.05, cut=1.0)
    )
    assert found[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    "mach, overdensity, temperature, field, redshift, frequency",
    [
        (2.2, 150.0, 1.3, 0.4, 0.05, 1.4),
        (3.7, 900.0, 6.1, 2.0, 0.3, 0.9),
        (9.0, 8.0, 0.1, 0.02, 0.5, 3.0),
    ],
)
def test_an_element_against_the_formula_with_units(
    mach, overdensity, temperature, field, redshift, frequency
):
    """Hoeft & Brueggen (2007), equation 32, times psi; then what of it reaches us."""
    world = cosmology.astropy_cosmology()
    u = units
    side = u.Mpc / (1 + redshift)
    area = (2 * side) * (3 * side)
    # Hydrogen and helium, 24 % by mass, fully ionised: 0.88 electrons a nucleon.
    baryons = world.Ob0 * world.critical_density0 * (1 + redshift) ** 3 * overdensity
    electrons = 0.88 * baryons / constants.m_p
    slope = 2 * (mach**2 + 1) / (mach**2 - 1)
    b, cmb = field * u.uG, 3.24 * u.uG * (1 + redshift) ** 2
    efficiency, cut = 0.02, 2.5
    here = (
        6.4e34 * u.erg / u.s / u.Hz
        * (area / u.Mpc**2)
        * (electrons / (1e-4 / u.cm**3))
        * (efficiency / 0.05)
        * (frequency / 1.4) ** (-slope / 2)
        * (temperature / 7) ** 1.5
        * (b / u.uG) ** (1 + slope / 2) / ((cmb / u.uG) ** 2 + (b / u.uG) ** 2)
        / (1 + (cut / mach) ** 6)
    ).to("W/Hz")  # fmt: skip
    shock = element(field, mach, overdensity, temperature)
    found = emission.element_power(shock, redshift, frequency, amplitude(efficiency=efficiency))
    # Rounded constants: 3.2 uG for 3.24, 2.17e-7 electrons / cm^3.
    assert found[0] == pytest.approx(here.to_value("erg s-1 Hz-1"), rel=0.04)
    # Power at nu (1 + z) leaves where nu arrives: S = (1 + z) P(nu (1 + z)) / (4 pi D_L^2).
    emitted = here * (1 + redshift) ** (-slope / 2)
    seen = (1 + redshift) * emitted / (4 * np.pi * world.luminosity_distance(redshift) ** 2)
    distance = world.comoving_distance(redshift).value
    flux = emission.flux(found[0], mach, redshift, distance)
    assert flux == pytest.approx(seen.to_value("Jy"), rel=0.04)


def test_constants_are_what_they_are_called():
    field = np.sqrt(8 * np.pi * (4 * constants.sigma_sb / constants.c).cgs.value * 2.7255**4)
    assert pytest.approx(field * 1e6, rel=0.02) == emission.CMB_FIELD
    world = cosmology.astropy_cosmology()
    electrons = (0.88 * world.Ob0 * world.critical_density0 / constants.m_p).to_value("1/cm3")
    assert pytest.approx(electrons, rel=0.01) == emission.MEAN_ELECTRONS
    heat = (0.6 * constants.m_p * (units.km / units.s) ** 2).to_value("keV")
    assert pytest.approx(heat, rel=2e-3) == KEV_PER_DISPERSION
    assert pytest.approx(units.Mpc.to("cm"), rel=1e-12) == emission.MPC_IN_CM


@pytest.mark.parametrize("mach", [1.6, 2.0, 3.0, 8.0])
def test_the_spectrum_is_a_power_law_of_the_slope_of_the_electrons(mach):
    index = (mach**2 + 1) / (mach**2 - 1)  # s / 2
    at = [
        emission.element_power(element(1.0, mach), 0.1, f, amplitude())[0] for f in (0.7, 1.4, 2.8)
    ]
    assert np.log2(at[0] / at[1]) == pytest.approx(index, rel=1e-5)
    assert np.log2(at[1] / at[2]) == pytest.approx(index, rel=1e-5)


@pytest.mark.parametrize("mach", [2.0, 3.0, 8.0])
@pytest.mark.parametrize("redshift", [0.04, 0.2, 0.5])
def test_the_flux_at_a_frequency_is_that_emitted_at_a_higher_one(redshift, mach):
    world = cosmology.astropy_cosmology()
    observed = power(mach=mach, redshift=redshift)
    emitted = power(mach=mach, redshift=redshift, frequency=1.4 * (1 + redshift))
    reach = world.luminosity_distance(redshift).to("cm").value
    expected = (1 + redshift) * emitted / (4 * np.pi * reach**2) / 1e-23
    distance = world.comoving_distance(redshift).value
    assert emission.flux(observed, mach, redshift, distance) == pytest.approx(expected, rel=1e-9)


def test_dimming_by_hand():
    # M = 3, alpha = 1.25, z = 0.25, 1000 Mpc: D_L = 1250 Mpc = 3.85710e27 cm,
    # 4 pi D_L^2 = 1.86952e56 cm^2, (1.25)^-0.25 = 0.94574: 1e31 erg/s/Hz -> 5.0587e-26 cgs.
    found = float(emission.flux(1e31, 3.0, 0.25, 1000.0))
    assert found == pytest.approx(5.0587e-3, rel=1e-4)


def test_the_same_shock_at_two_redshifts_dims_as_luminosity_distances_say():
    # M = 3: alpha = 1.25.
    world = cosmology.astropy_cosmology()
    near, far = (emission.flux(1e31, 3.0, z, world.comoving_distance(z).value) for z in (0.1, 0.4))
    ratio = (world.luminosity_distance(0.4) / world.luminosity_distance(0.1)).value
    assert near / far == pytest.approx(ratio**2 * (1.4 / 1.1) ** 0.25, rel=1e-9)
