"""Reading simulations: what is understood, in which units, and what is refused in one line."""

import os
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.sky.simulation import gridshocks, loading, ytgrid

FOLDER = Path(os.environ.get("REAL_GRIDS", Path(__file__).parents[3] / "shared" / "data" / "enzo"))
NATIVE = FOLDER / "native_64" / "RD0002"
N = 8
REDSHIFT = 0.5
BARYONS = 0.0478 * 1.8784e-29 * 0.678**2 * 1.5**3  # g/cm^3: mean density at that redshift
SUN, KPC = 1.98841e33, 3.0856776e21
ATTRIBUTES = {
    "redshift": REDSHIFT,
    "box_comoving_Mpc": 40.0,
    "OmegaM": 0.308,
    "Omegab": 0.0478,
    "h": 0.678,
}


def made(seed=1):
    """Fields of 8^3 cells and their units, gas of the mean density."""
    random = np.random.default_rng(seed)
    density = random.uniform(0.5, 1.5, (N,) * 3)
    fields = {
        "density": (density / density.mean() * BARYONS, "g/cm**3"),
        "temperature": (random.uniform(1e4, 1e6, (N,) * 3), "K"),
    }
    for x in "xyz":
        fields[f"velocity_{x}"] = (random.normal(0, 1e7, (N,) * 3), "cm/s")
    return fields


def write(path, fields=None, attributes=None, **changes):
    """An HDF5 cube; a change to None takes an attribute away."""
    attributes = {**(ATTRIBUTES if attributes is None else attributes), **changes}
    with h5py.File(path, "w") as file:
        for name, (values, unit) in (made() if fields is None else fields).items():
            file[name] = np.asarray(values, np.float32)
            if unit is not None:
                file[name].attrs["units"] = unit
        file.attrs.update({k: v for k, v in attributes.items() if v is not None})
    return path


def test_a_cube_is_read_as_it_stands(tmp_path):
    calls = []
    path = write(tmp_path / "cube.h5")
    grid = loading.load(path, progress=lambda *now: calls.append(now))
    assert (grid.n, grid.side, grid.redshift, grid.notes) == (N, 40.0, REDSHIFT, ())
    assert grid.cell == 5.0 and grid.source == str(path) and calls[-1] == (N, N)
    for name, (values, _) in made().items():
        np.testing.assert_array_equal(grid.planes(name, 0, N), values.astype(np.float32))


@pytest.mark.parametrize("start, stop", [(0, 3), (-2, 2), (6, 11), (-9, 20), (16, 17)])
def test_planes_beyond_the_box_are_those_of_the_other_side(tmp_path, start, stop):
    grid = loading.load(write(tmp_path / "cube.h5"))
    expected = made()["velocity_y"][0].astype(np.float32)[np.arange(start, stop) % N]
    np.testing.assert_array_equal(grid.planes("velocity_y", start, stop), expected)


@pytest.mark.parametrize(
    "field, spelling, unit, factor",
    [
        ("density", "Rho", "Msun / kpc3", SUN / KPC**3),
        ("density", "gas_density", "kg/m**3", 1e-3),
        ("temperature", "Temperature", "Kelvin", 1.0),
        ("velocity_x", "x-velocity", "km/s", 1e5),
        ("velocity_y", "vy", "m s^-1", 1e2),
        ("velocity_z", "velocity_z", "cm/s", 1.0),
    ],
)
def test_spellings_and_units_are_understood(tmp_path, field, spelling, unit, factor):
    fields = made()
    values, _ = fields.pop(field)
    fields[spelling] = (values / factor, unit)
    grid = loading.load(write(tmp_path / "cube.h5", fields))
    np.testing.assert_allclose(grid.planes(field, 0, N), values, rtol=1e-5)


@pytest.mark.parametrize(
    "spelling, unit, factor",
    [("B_x", "G", 1), ("Bx", "uG", 1e-6), ("magnetic_field_x", "nT", 1e-5)],
)
def test_a_magnetic_field_is_brought_to_gauss(tmp_path, spelling, unit, factor):
    fields = {**made(), spelling: (np.full((N,) * 3, 3.0), unit)}
    grid = loading.load(write(tmp_path / "cube.h5", fields))
    assert grid.planes("B_x", 0, 1) == pytest.approx(3 * factor)


NO_BOX = {k: v for k, v in ATTRIBUTES.items() if k != "box_comoving_Mpc"}


@pytest.mark.parametrize(
    "given, side",
    [
        ({"box_comoving_Mpc_over_h": 33.9}, 50.0),
        ({"box_proper_Mpc": 20.0}, 30.0),
        ({"cell_comoving_kpc": 500.0}, 4.0),
        ({"box": 50.0, "box_unit": "Mpc"}, 50.0),
        ({"BoxSize": 33900.0, "BoxSize_units": "kpc/h"}, 50.0),
        ({"side": 50.0, "side_unit": "Mpc (comoving)"}, 50.0),
        ({"box_size": 50.0, "box_size_unit": b"Mpccm"}, 50.0),
    ],
)
def test_the_side_of_the_box(tmp_path, given, side):
    grid = loading.load(write(tmp_path / "cube.h5", attributes=NO_BOX | given))
    assert grid.side == pytest.approx(side)


def test_a_scale_factor_is_a_redshift(tmp_path):
    path = write(tmp_path / "cube.h5", redshift=None, scale_factor=1 / 1.5)
    assert loading.load(path).redshift == pytest.approx(0.5)


@pytest.mark.parametrize(
    "changes, note",
    [
        ({"OmegaM": 0.315, "h": 0.674}, None),  # Planck 2018: within 3 %
        ({"OmegaM": 0.25}, "Omega_m = 0.25 (the light cone: 0.308)"),
        ({"h": None, "H0": 73.0}, "h = 0.73 (the light cone: 0.678)"),
        ({"OmegaM": None, "Omegab": None}, None),
    ],
)
def test_another_cosmology_is_noted(tmp_path, changes, note):
    notes = loading.load(write(tmp_path / "cube.h5", **changes)).notes
    assert notes == () if note is None else note in notes[0]


def changed(**columns):
    """The made fields with some replaced: (values, unit), or None to leave one out."""
    fields = made() | columns
    return {name: column for name, column in fields.items() if column is not None}


def spoilt(name, value):
    """The made fields with one bad value."""
    values, unit = made()[name]
    values[5, 2, 3] = value
    return changed(**{name: (values, unit)})


COMOVING = made()["density"][0] / 1.5**3
ALL_MATTER = made()["density"][0] * 0.308 / 0.0478


@pytest.mark.parametrize(
    "fields, changes, told",
    [
        (changed(temperature=None), {}, "no field temperature; a shock finder needs density"),
        (changed(velocity_x=None, velocity_z=None), {}, "no field velocity_x, velocity_z"),
        (changed(density=(made()["density"][0], None)), {}, "density has no attribute 'units'"),
        (changed(density=(made()["density"][0], "cm**-3")), {}, "which is not a unit of density"),
        (changed(velocity_x=(made()["velocity_x"][0], "K")), {}, "expected 'cm/s' or one like it"),
        (
            changed(temperature=(made()["temperature"][0], "code_T")),
            {},
            "temperature is in 'code_T'",
        ),
        (changed(density=(COMOVING, "g/cm**3")), {}, "mean gas density is 0.296 times"),
        (changed(density=(ALL_MATTER, "g/cm**3")), {}, "mean gas density is 6.44 times"),
        (changed(density=(made()["density"][0], "kg/m**3")), {}, "proper (not comoving)"),
        (changed(temperature=(np.ones((N, N, 4)), "K")), {}, "temperature has 8 x 8 x 4 cells"),
        (changed(density=(np.full((N, N, 4), BARYONS), "g/cm**3")), {}, "expected a cube"),
        (spoilt("density", np.nan), {}, "density, planes 0 to 7 along x: 1 of 512 values are NaN"),
        (spoilt("density", 0), {}, "density, planes 0 to 7 along x: 1 of 512 values are not pos"),
        (None, {"redshift": None}, "not a cosmological box; expected an attribute 'redshift'"),
        (None, {"redshift": -0.5}, "redshift -0.5, expected 0 or more"),
        (None, {"redshift": "half"}, "attribute redshift is 'half', expected a number"),
        (None, {"box_comoving_Mpc": None}, "no size of the box; expected an attribute"),
        (None, {"box_comoving_Mpc": 0.0}, "box of 0.0 Mpc, expected more than 0"),
        (None, {"box_comoving_Mpc": None, "box": 50.0}, "the unit '', expected an attribute"),
        (
            None,
            {"box_comoving_Mpc": None, "box": 50.0, "box_unit": "Mpc/h", "h": None},
            "for a unit with /h, give 'h' too",
        ),
        (None, {"axis_order": "array[iz,iy,ix]"}, "expected [ix, iy, iz]: axis 0 is x"),
    ],
)
def test_bad_cubes_are_refused_in_one_line(tmp_path, fields, changes, told):
    path = write(tmp_path / "cube.h5", fields, **changes)
    with pytest.raises(InputError) as error:
        loading.load(path)
    text = str(error.value)
    assert text.startswith(str(path)) and told in text and "\n" not in text


def test_a_field_is_checked_when_it_is_read(tmp_path):
    """Only the density is passed through at once; the others are checked by the planes."""
    grid = loading.load(write(tmp_path / "cube.h5", spoilt("temperature", np.inf)))
    with pytest.raises(InputError, match="cube.h5: temperature, .*: 1 of 512 values are NaN"):
        gridshocks.find(grid)
    zeros = changed(temperature=(np.zeros((N,) * 3), "K"))
    grid = loading.load(write(tmp_path / "zero.h5", zeros))
    with pytest.raises(InputError, match="zero.h5: temperature, .*: all zero"):
        gridshocks.find(grid)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="none.h5: no such file"):
        loading.load(tmp_path / "none.h5")


def test_a_file_that_was_cut_short(tmp_path):
    path = write(tmp_path / "cube.h5")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cube.h5: .*truncated"):
        loading.load(path)


@pytest.mark.parametrize("name, content", [("a.txt", b"not a simulation\n"), ("b.h5", None)])
def test_a_file_that_nobody_knows(tmp_path, name, content):
    path = tmp_path / name
    if content is None:
        with h5py.File(path, "w") as file:
            file["something"] = np.zeros(3)
    else:
        path.write_bytes(content)
    pytest.importorskip("yt")
    with pytest.raises(InputError) as error:
        loading.load(path)
    assert str(error.value).startswith(f"{path}: neither an HDF5 cube with a dataset 'density'")
    assert "\n" not in str(error.value)


def test_without_yt_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yt", None)
    (tmp_path / "RD0000").write_text("CurrentTime = 0\n")
    with pytest.raises(InputError, match=r"RD0000: .* pip install .*simulations"):
        loading.load(tmp_path / "RD0000")


def dataset_of(fields, width=40.0, redshift=REDSHIFT):
    """A dataset of yt in memory, with the cosmology that yt keeps beside it."""
    yt = pytest.importorskip("yt")
    yt.set_log_level("error")
    data = {("gas", name): (values, unit) for name, (values, unit) in fields.items()}
    cm = width / (1 + redshift) * 1e3 * KPC
    dataset = yt.load_uniform_grid(data, (N,) * 3, length_unit=(cm, "cm"), nprocs=8)
    dataset.cosmological_simulation = 1
    dataset.current_redshift = redshift
    dataset.hubble_constant = 0.678
    dataset.omega_matter, dataset.omega_lambda = 0.308, 0.692
    dataset.unit_registry.modify("h", 0.678)
    for unit in ("Mpc", "kpc", "cm"):
        dataset.unit_registry.add(
            f"{unit}cm",
            float(yt.units.unyt_quantity(1, unit).in_mks()) / (1 + redshift),
            yt.units.dimensions.length,
        )
    return dataset


def test_a_dataset_of_yt_is_the_cube_it_was_made_of(tmp_path):
    fields = made()
    fields["velocity_y"] = (fields["velocity_y"][0] / 1e5, "km/s")
    grid = ytgrid.of_dataset(dataset_of(fields))
    assert grid.side == pytest.approx(40) and grid.redshift == REDSHIFT and grid.n == N
    grid.check_density()
    for name, (values, _) in made().items():
        for start, stop in ((0, N), (3, 5), (-1, 2), (0, 1), (5, 6), (N - 1, N)):
            expected = values[np.arange(start, stop) % N]
            assert grid.planes(name, start, stop) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "change, told",
    [
        ({"cosmological_simulation": 0}, "not a cosmological simulation"),
        ({"_periodicity": (True, True, False)}, "expected a periodic box"),
        ({"dimensionality": 2}, "of three dimensions"),
        ({"level": 3}, "no level 3 of refinement; expected 0 to 0"),
        ({"temperature": None}, "no field temperature"),
    ],
)
def test_bad_datasets_of_yt_are_refused(change, told):
    fields = made()
    if "temperature" in change:
        del fields["temperature"]
    dataset = dataset_of(fields)
    level = change.pop("level", 0)
    for name, value in change.items():
        setattr(dataset, name, value)
    with pytest.raises(InputError, match=told):
        ytgrid.of_dataset(dataset, level)


@pytest.mark.parametrize("cut", [None, 0.5])
def test_a_dump_with_files_missing_or_cut_short(tmp_path, cut):
    if not NATIVE.exists():
        pytest.skip(f"no Enzo data in {FOLDER}; set REAL_GRIDS to their folder")
    pytest.importorskip("yt")
    for file in NATIVE.parent.iterdir():
        if cut is None and "cpu" in file.name:
            continue
        content = file.read_bytes()
        size = int(len(content) * cut) if cut and "cpu" in file.name else len(content)
        (tmp_path / file.name).write_bytes(content[:size])
    with pytest.raises(InputError) as error:
        loading.load(tmp_path / "RD0002")
    assert "RD0002" in str(error.value) and "\n" not in str(error.value)


needs_dumps = pytest.mark.skipif(
    not NATIVE.exists(), reason=f"no Enzo data in {FOLDER}; set REAL_GRIDS to their folder"
)


@needs_dumps
def test_an_enzo_dump_is_read_by_yt():
    """Against h5py on the files of the dump; Enzo's unit of density is the mean of all matter."""
    pytest.importorskip("yt")
    grid = loading.load(NATIVE)
    assert (grid.n, grid.redshift) == (64, 0.05) and grid.side == pytest.approx(50, rel=1e-6)
    assert grid.notes == ()
    with h5py.File(NATIVE.with_name("RD0002.cpu0000")) as file:
        part = file["Grid00000001"]
        code = {name: np.transpose(part[name][...]) for name in part if part[name].ndim == 3}
    corner = tuple(slice(0, n) for n in code["Density"].shape)
    matter = 0.308 * 1.8784e-29 * 0.678**2 * 1.05**3
    for name, stored, unit in (
        ("density", "Density", matter),
        ("temperature", "Temperature", 1.0),
        ("mach", "Mach", 1.0),
        ("preshock_density", "PreShock_Density", matter),
        ("preshock_temperature", "PreShock_Temperature", 1.0),
    ):
        read = grid.planes(name, 0, 64)[corner]
        np.testing.assert_allclose(read, code[stored] * unit, rtol=2e-3, err_msg=name)
    total = grid.planes("density", 0, 64).mean() + grid.planes("dark_matter_density", 0, 64).mean()
    assert total == pytest.approx(matter, rel=0.01)
    assert np.mean(grid.planes("B_y", 0, 64)) == pytest.approx(1e-9 * 1.05**2, rel=0.01)


@needs_dumps
@pytest.mark.parametrize(
    "name, n, side, redshift",
    [
        ("enzo_mhd96_b050_RD0000.h5", 96, 50, 0.5),
        ("enzo_mhd96_b050_RD0002.h5", 96, 50, 0.05),
        ("enzo_mhd64_b200_RD0002.h5", 64, 200, 0.05),
    ],
)
def test_the_real_cubes(name, n, side, redshift):
    grid = loading.load(FOLDER / name)
    assert grid.n == n and grid.side == pytest.approx(side)
    assert grid.redshift == pytest.approx(redshift, abs=1e-5) and grid.notes == ()
    found = gridshocks.shock_elements(grid)
    assert len(found) > 5000
    assert found.field.max() < 0.36  # uG: what the data's README says is the largest
    assert 1 < found.temperature.max() < 4  # keV: the hottest cells have 2e7 to 3e7 K
