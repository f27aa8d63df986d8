"""Shocks on a grid: plane and round fronts of known Mach number, flows without a shock."""

import numpy as np
import pytest

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.sky.simulation import gridshocks, jump
from cosmodeep_hpc.sky.simulation.grid import Grid

CELLS = 48
SIDE = 24.0  # comoving Mpc
REDSHIFT = 0.2
MEAN = 0.0478 * 1.878e-29 * 0.678**2 * (1 + REDSHIFT) ** 3  # g/cm^3, of the baryons
COLD = 5e5  # K, before the shocks
SOUND = np.sqrt(5 / 3 * 1.3807e-16 * COLD / (0.6 * 1.6726e-24))  # cm/s, there
# Tabulated jumps of a gas with 5 heat capacities in 3 (NACA report 1135 gives their formulas):
JUMPS = {  # Mach number: downstream over upstream temperature, and density
    1.5: (1.4948, 1.7143),
    2.0: (2.0781, 2.2857),
    3.0: (3.6667, 3.0000),
    5.0: (8.6800, 3.5714),
    10.0: (32.1231, 3.8835),
}


def smooth(distance, width=1.0):
    """From 0 to 1 over about 2.2 widths."""
    return 0.5 * (1 + np.tanh(distance / width))


def positions():
    """Of the cells' middles [cells], three arrays."""
    return np.meshgrid(*[np.arange(CELLS) + 0.5] * 3, indexing="ij")


def grid_of(density, temperature, velocity, **more):
    """A grid of arrays: density in units of the mean, temperature [K], velocity [cm/s]."""
    fields = {"density": density * MEAN, "temperature": temperature, **more}
    fields |= {f"velocity_{x}": v for x, v in zip("xyz", velocity, strict=True)}
    return Grid("made", REDSHIFT, SIDE, {k: v.astype(np.float32) for k, v in fields.items()})


def plane_distance(waves, place):
    """Distance of the cells' middles from the front [cells]; the next front is `period` away."""
    waves = np.array(waves, float)
    period = CELLS / np.linalg.norm(waves)
    phase = np.tensordot(waves, np.stack(positions()) / CELLS, 1) - place
    return (np.mod(phase + 0.5, 1) - 0.5) * period, period


def plane_shock(mach, waves, place=0.5, width=1.0):
    """Gas that runs into a front across `waves`, and expands slowly back to where it began."""
    hot, dense = JUMPS[mach]
    distance, period = plane_distance(waves, place)
    back = np.cos(np.pi / 2 * np.clip(4 * distance / period - 1, 0, 1)) ** 2
    share = smooth(distance, width) * back
    normal = np.array(waves) / np.linalg.norm(waves)
    speed = mach * SOUND * (1 + share * (1 / dense - 1)) - 3e7
    field = 1e-7 * (1 + share * (dense - 1))  # across the flow: compressed like the gas
    return grid_of(
        2 * (1 + share * (dense - 1)),
        COLD * (1 + share * (hot - 1)),
        normal[:, None, None, None] * speed,
        B_x=0 * field,
        B_y=0.6 * field,
        B_z=0.8 * field,
    )


WAVES = [(1, 0, 0), (0, -1, 0), (0, 0, 1), (1, 1, 0), (1, -1, 1), (2, 1, 0), (-1, 2, 1)]


@pytest.mark.parametrize("mach, hot, dense", [(m, *jump) for m, jump in JUMPS.items()])
def test_jump_conditions(mach, hot, dense):
    assert jump.temperature_ratio(mach) == pytest.approx(hot, rel=1e-4)
    assert jump.density_ratio(mach) == pytest.approx(dense, rel=1e-4)
    assert jump.mach_of_temperature(hot) == pytest.approx(mach, rel=1e-4)
    # mass is conserved: v_up = M c, v_down = v_up / dense
    assert jump.mach_of_velocity(mach * (1 - 1 / dense)) == pytest.approx(mach, rel=1e-4)


@pytest.mark.parametrize("method", ["temperature", "velocity"])
@pytest.mark.parametrize("waves", WAVES)
@pytest.mark.parametrize("mach", JUMPS)
def test_a_plane_shock_has_its_mach_number_and_state(mach, waves, method):
    grid = plane_shock(mach, waves)
    found = gridshocks.shock_elements(grid, method=method)
    hot, dense = JUMPS[mach]
    tolerance = 0.06
    assert len(found) > 0
    np.testing.assert_allclose(found.mach, mach, rtol=tolerance)
    assert np.median(found.temperature) == pytest.approx(COLD * hot * 8.6173e-8, rel=tolerance)
    assert np.median(found.overdensity) == pytest.approx(2 * dense, rel=tolerance)
    assert np.median(found.field) == pytest.approx(0.1 * dense, rel=tolerance)  # uG
    assert (found.halo == -1).all()


@pytest.mark.parametrize("place", [0.0, 0.5, 0.51, 0.3])  # 0: on the edge of the box
@pytest.mark.parametrize("waves", WAVES)
def test_a_plane_shock_is_found_once_and_in_its_place(waves, place):
    grid = plane_shock(3.0, waves, place)
    found = gridshocks.shock_elements(grid)
    # |waves| sheets of the side squared, each column of the main axis cut once by each
    assert len(found) == max(map(abs, waves)) * CELLS**2
    steep = np.linalg.norm(waves)
    assert found.area.sum() == pytest.approx(steep * SIDE**2, rel=0.01)
    normal = np.cross(found.first, found.second) / found.area[:, None]
    assert (normal @ (np.array(waves) / steep)).min() > 0.999  # to the hot side, within 3 degrees
    phase = found.position @ np.array(waves) / SIDE - place
    off = (np.mod(phase + 0.5, 1) - 0.5) * CELLS / steep
    assert np.abs(off).max() < 0.5
    assert np.sqrt(np.mean(off**2)) < 0.25  # finer than the cells' own 1 / sqrt(12)
    assert found.position.min() >= 0 and found.position.max() < SIDE


def test_the_elements_of_a_plane_leave_no_gap():
    grid = plane_shock(3.0, (2, 1, 0))
    found = gridshocks.shock_elements(grid)
    # seen along x, they cover every column of cells once: projected sides are the cell's
    for side, axis in ((found.first, 1), (found.second, 2)):
        across = np.abs(side[:, 1:]).sum(axis=1)
        np.testing.assert_allclose(across, SIDE / CELLS, rtol=1e-5)
        np.testing.assert_allclose(np.abs(side[:, axis]), SIDE / CELLS, rtol=1e-5)


@pytest.mark.parametrize("width", [0.7, 1.0, 1.5])
def test_smearing_moves_the_mach_number_little(width):
    found = gridshocks.find(plane_shock(3.0, (1, 1, 0), width=width))
    assert np.median(found.mach) == pytest.approx(3, rel=0.1)
    assert len(found) == CELLS**2


def round_shock(radius, mach):
    """Cold gas that falls on a hot ball at rest; the front is its surface."""
    hot, dense = JUMPS[mach]
    x = np.stack(positions()) - CELLS / 2
    r = np.maximum(np.linalg.norm(x, axis=0), 1e-3)
    outside = smooth(r - radius)
    still = np.clip((22 - r) / 4, 0, 1)  # at rest again at the faces of the box
    speed = -mach * SOUND * (1 - 1 / dense) * outside * still
    temperature = COLD * (hot + outside * (1 - hot))
    return grid_of(2 * (dense + outside * (1 - dense)), temperature, x / r * speed)


@pytest.mark.parametrize("radius", [8.0, 12.0, 15.0])
def test_a_round_shock_has_the_area_of_a_sphere(radius):
    found = gridshocks.shock_elements(round_shock(radius, 3.0))
    expected = 4 * np.pi * (radius * SIDE / CELLS) ** 2
    assert found.area.sum() == pytest.approx(expected, rel=0.03)
    vector = np.cross(found.first, found.second)
    assert np.abs(vector.sum(axis=0)).max() < 0.03 * expected  # closed
    away = found.position - SIDE / 2
    r = np.linalg.norm(away, axis=1)
    assert np.median(r) == pytest.approx(radius * SIDE / CELLS, abs=0.5 * SIDE / CELLS)
    assert (np.sum(vector * away, axis=1) < 0).all()  # the hot side is inside
    assert np.median(found.mach) == pytest.approx(3, rel=0.1)


def flow(kind):
    """Flows without a shock."""
    x = np.stack(positions()) * 2 * np.pi / CELLS
    one = np.ones((CELLS,) * 3)
    rest = np.zeros((3, CELLS, CELLS, CELLS))
    if kind == "uniform":
        return one, COLD * one, rest + 1e7
    if kind == "converging, adiabatic":
        density = np.exp(1.5 * np.cos(x[0]) * np.cos(x[1]))
        return density, COLD * density ** (2 / 3), -3e7 * np.sin(x)
    if kind == "expanding fronts":  # a shock's jumps, but the flow runs apart
        distance, _ = plane_distance((1, 0, 0), 0.5)
        hot = smooth(12 - np.abs(distance))
        velocity = rest.copy()
        velocity[0] = 2e7 * (smooth(distance - 12) + smooth(distance + 12) - 1 - distance / 24)
        return 1 + 2 * hot, COLD * (1 + 2.7 * hot), velocity
    if kind == "contact":  # hot and thin beside cold and dense, in a converging flow
        hot = smooth(10 - np.abs(plane_distance((1, 0, 0), 0.5)[0]))
        return 1 / (1 + 9 * hot), COLD * (1 + 9 * hot), 1e5 * np.sin(x)
    raise AssertionError(kind)


@pytest.mark.parametrize(
    "kind, method",
    [
        ("uniform", "temperature"),
        ("converging, adiabatic", "temperature"),
        ("converging, adiabatic", "velocity"),
        ("expanding fronts", "temperature"),
        ("contact", "temperature"),  # the density falls where the temperature rises
        ("contact", "velocity"),
    ],
)
def test_a_flow_without_a_shock_has_none(kind, method):
    assert len(gridshocks.find(grid_of(*flow(kind)), method=method)) == 0


def test_the_floor_is_under_the_temperature_before_a_shock():
    """Ten times hotter across the front, but from 3 kelvin: no shock; from 3000: as from 10^4."""
    grid = plane_shock(5.0, (1, 0, 0))
    fields = dict(grid.fields)
    for kelvin, expected in ((3.0, None), (3e3, 8.68 * 3e3 / 1e4)):
        fields["temperature"] = grid.fields["temperature"] * np.float32(kelvin / COLD)
        found = gridshocks.find(Grid("made", REDSHIFT, SIDE, fields))
        if expected is None:
            assert len(found) == 0
        else:
            ratio = jump.temperature_ratio(np.median(found.mach))
            assert ratio == pytest.approx(expected, rel=0.05)
            np.testing.assert_allclose(found.temperature, 1e4, rtol=1e-6)


@pytest.mark.parametrize("planes", [5, 48, 100])
def test_slabs_do_not_change_the_shocks(planes):
    expected = gridshocks.shock_elements(plane_shock(3.0, (-1, 2, 1), 0.0))
    calls = []
    found = gridshocks.shock_elements(
        plane_shock(3.0, (-1, 2, 1), 0.0), slab=planes, progress=lambda *now: calls.append(now)
    )
    for name in ("position", "first", "second", "mach", "overdensity", "temperature", "field"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert calls[-1] == (CELLS, CELLS)


def test_no_magnetic_field_gives_nan():
    fields = {k: v for k, v in plane_shock(3.0, (1, 0, 0)).fields.items() if k[0] != "B"}
    found = gridshocks.shock_elements(Grid("made", REDSHIFT, SIDE, fields))
    assert len(found) and np.isnan(found.field).all()


def with_stored(grid, planes, mach, kelvin, density):
    """The grid with the fields of a shock finder, set in whole planes of x."""
    stored = {}
    columns = {
        "mach": mach,
        "preshock_temperature": kelvin,
        "preshock_density": density * MEAN,
    }
    for name, value in columns.items():
        stored[name] = np.zeros((CELLS,) * 3, np.float32)
        stored[name][planes] = value
    return Grid("made", REDSHIFT, SIDE, {**grid.fields, **stored})


def test_stored_mach_numbers_are_taken_with_the_state_before_the_shock():
    """The cell's own temperature, half the one behind the shock, plays no part."""
    grid = with_stored(plane_shock(3.0, (1, 0, 0)), [24], 10.0, 2e6, 0.5)
    found = gridshocks.shock_elements(grid)
    hot, dense = JUMPS[10.0]
    assert len(found) == CELLS**2
    np.testing.assert_allclose(found.mach, 10, rtol=1e-6)
    np.testing.assert_allclose(found.temperature, 2e6 * hot * 8.6173e-8, rtol=1e-3)
    np.testing.assert_allclose(found.overdensity, 0.5 * dense, rtol=1e-3)
    assert np.median(found.field) == pytest.approx(0.1 * JUMPS[3.0][1], rel=0.06)
    measured = gridshocks.shock_elements(grid, stored=False)
    assert np.median(measured.mach) == pytest.approx(3, rel=0.06)


def test_a_front_stored_in_two_layers_counts_once():
    """Enzo marks an oblique front in up to three cells of a column: its area is not tripled."""
    grid = with_stored(plane_shock(3.0, (1, 0, 0)), [23, 24], 3.0, COLD, 2.0)
    found = gridshocks.shock_elements(grid)
    assert len(found) == CELLS**2
    weak = with_stored(plane_shock(3.0, (1, 0, 0)), [24], 1.2, COLD, 2.0)
    assert len(gridshocks.find(weak)) == 0


def test_what_a_plane_must_not_hold_is_named():
    grid = plane_shock(3.0, (1, 0, 0))
    bad = np.array(grid.fields["velocity_y"])
    bad[40, 3, 4] = np.nan
    with pytest.raises(InputError, match=r"made: velocity_y, planes .* along x: 1 of .* NaN"):
        gridshocks.find(Grid("made", REDSHIFT, SIDE, {**grid.fields, "velocity_y": bad}))
    cold = np.zeros((CELLS,) * 3, np.float32)
    with pytest.raises(InputError, match=r"made: temperature, .*: all zero"):
        gridshocks.find(Grid("made", REDSHIFT, SIDE, {**grid.fields, "temperature": cold}))


def enzo_mark(grid):
    """Cells marked by the rule of Enzo's finder, in which steps along the normal are truncated.

    For a round front alone: a cell is marked if the first other cell on either side converges less.
    """
    v = np.stack([grid.fields[f"velocity_{x}"] for x in "xyz"])
    t = grid.fields["temperature"]

    def slope(field, axis):
        return np.roll(field, -1, axis) - np.roll(field, 1, axis)

    divergence = sum(slope(v[axis], axis) for axis in range(3))
    normal = np.stack([slope(t, axis) for axis in range(3)])
    length = np.linalg.norm(normal, axis=0)
    marked = np.zeros(t.shape, bool)
    for cell in zip(*np.nonzero((divergence < 0) & (length > 0.05 * t.max())), strict=True):
        step = normal[(slice(None), *cell)] / length[cell]
        count = next(c for c in range(1, 9) if np.trunc(c * step).any())
        ahead = tuple((np.array(cell) + np.trunc(count * step).astype(int)) % CELLS)
        back = tuple((np.array(cell) - np.trunc(count * step).astype(int)) % CELLS)
        marked[cell] = divergence[cell] <= min(divergence[ahead], divergence[back])
    return marked


def test_a_round_front_marked_as_enzo_does_has_the_area_of_a_sphere():
    """Half as many cells again are marked than columns are cut; the area is that of one front."""
    grid = round_shock(12.0, 3.0)
    marked = enzo_mark(grid)
    alone = len(gridshocks.find(grid))
    assert marked.sum() > 1.3 * alone
    stored = {
        "mach": np.where(marked, 3, 0),
        "preshock_temperature": np.where(marked, COLD, 0),
        "preshock_density": np.where(marked, 2 * MEAN, 0),
    }
    stored = {k: x.astype(np.float32) for k, x in stored.items()}
    found = gridshocks.shock_elements(Grid("made", REDSHIFT, SIDE, {**grid.fields, **stored}))
    expected = 4 * np.pi * (12.0 * SIDE / CELLS) ** 2
    assert found.area.sum() == pytest.approx(expected, rel=0.03)
