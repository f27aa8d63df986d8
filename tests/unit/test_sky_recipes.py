"""What boxes are made of: which are needed, what tells them apart, and what is in them."""

import dataclasses
import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.simulations import cube

from cosmodeep_hpc.config.configuration import Sky
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.sky import box, recipes
from cosmodeep_hpc.sky.simulation.loading import load

SKY = Sky(mesh=24, sides=(40.0, 60.0), reach=6.0, steps=6, snapshots=(0.05, 0.1), z_far=0.1)


def changed(**options):
    return dataclasses.replace(SKY, **options)


def digests(sky, *, test=False):
    return [recipe.digest for recipe in recipes.particle_meshes(sky, test=test)]


def test_every_side_has_every_seed():
    names = [recipe.name for recipe in recipes.particle_meshes(SKY, test=False)]
    assert names == ["box-40-1", "box-40-2", "box-60-1", "box-60-2"]


def test_no_box_serves_training_and_testing():
    train, test = (recipes.particle_meshes(Sky(), test=test) for test in (False, True))
    assert {r.seed for r in train} == {1, 2} and {r.seed for r in test} == {101, 102}
    assert not {r.name for r in train} & {r.name for r in test}
    assert not {r.digest for r in train} & {r.digest for r in test}
    assert len({r.digest for r in train + test}) == 12


@pytest.mark.parametrize(
    "options, sides",
    [
        # 0.04 to 0.1: 175 to 432 Mpc. 50 Mpc boxes serve up to 400, 100 Mpc boxes from there.
        ({}, {50.0, 100.0}),
        ({"z_far": 0.08}, {50.0}),
        ({"z_far": 0.08, "reach": 4.0}, {50.0, 100.0}),
        ({"z_near": 0.095, "reach": 8.0}, {100.0}),
        ({"sides": (200.0,), "z_far": 0.5}, {200.0}),
    ],
)
def test_boxes_and_snapshots_that_no_slab_needs_are_not_made(options, sides):
    sky = Sky(**{"z_far": 0.1, "seeds": (1,), **options})
    found = {r.side: r.snapshots for r in recipes.particle_meshes(sky, test=False)}
    assert found.keys() == sides
    used = {side: set() for side in found}
    for slab in recipes.slabs_of(sky, sky.sides):
        used[slab.side].add(min(sky.snapshots, key=lambda z: abs(z - slab.redshift)))
    assert {side: tuple(sorted(zs, reverse=True)) for side, zs in used.items()} == found


def test_the_light_cone_to_redshift_a_half_needs_all_snapshots():
    found = {r.side: r.snapshots for r in recipes.particle_meshes(Sky(), test=False)}
    assert found == {50.0: (0.06,), 100.0: (0.13,), 200.0: (0.4, 0.24)}


@pytest.mark.parametrize(
    "options",
    [
        {"seeds": (3, 4)},
        {"mesh": 26},
        {"start": 40.0},
        {"steps": 7},
        {"snapshots": (0.05, 0.11)},
        {"smoothing": 2.0},
        {"refinement": 2},
        {"scale": 2.0},
        {"field": 2.0},
        {"field_density": 0.9},
        {"halo_gas": 0.3},
        {"field_temperature": 0.4},
        {"field_limit": 5.0},
    ],
)
def test_what_changes_a_box_changes_its_digest(options):
    last = digests(changed(**options))[-1]  # of the 60 Mpc box, whose slabs take both snapshots
    assert last != digests(SKY)[-1]


@pytest.mark.parametrize(
    "options", [{"seed": 2}, {"efficiency": 0.1}, {"mach_cut": 2.0}, {"blur": 5.0}, {"faintest": 0}]
)
def test_what_changes_images_alone_keeps_the_boxes(options):
    assert digests(changed(**options)) == digests(SKY)


def test_digests_of_one_configuration_differ():
    every = digests(SKY) + digests(SKY, test=True)
    assert len(set(every)) == len(every) == 8


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A small box of the particle mesh, and what was told on the way."""
    calls = []
    recipe = recipes.particle_meshes(changed(field=2.0), test=False)[-1]
    path = tmp_path_factory.mktemp("boxes") / "box.h5"
    recipe.make(path, 1, lambda *call: calls.append(call))
    return recipe, box.opened(path, recipe.digest), calls


def test_a_particle_mesh_fills_its_box(simulated):
    recipe, made, calls = simulated
    assert (made.side, made.redshifts) == (60.0, (0.1, 0.05))
    assert [done for done, _ in calls] == list(range(1, calls[-1][1] + 1))
    for redshift in made.redshifts:
        elements, halos = made.elements(redshift), made.halos(redshift)
        assert len(elements) > 100 and len(halos.mass) > 1
        for position in (elements.position, halos.position):
            assert position.min() >= 0 and position.max() < 60
        assert (elements.mach >= 1).all() and (elements.temperature > 0).all()
        assert (np.diff(halos.mass) <= 0).all()
        assert elements.halo.min() >= -1 and elements.halo.max() < len(halos.mass)
        assert made.density(redshift).mean(dtype=float) == pytest.approx(1, abs=1e-3)


def test_members_lie_inside_their_halo(simulated):
    _, made, _ = simulated
    elements, halos = made.elements(0.1), made.halos(0.1)
    inside = elements.halo >= 0
    assert 0 < inside.sum() < len(elements)
    gap = elements.position[inside] - halos.position[elements.halo[inside]]
    gap -= 60 * np.round(gap / 60)
    assert (np.linalg.norm(gap, axis=1) <= halos.radius[elements.halo[inside]] * 1.0001).all()


def test_the_field_is_that_of_the_relation(simulated):
    _, made, _ = simulated
    elements = made.elements(0.1)
    density = elements.overdensity.astype(float) * 1.1**3 / 1000
    expected = 2.0 * density**SKY.field_density
    expected *= (elements.temperature.astype(float) / 5) ** SKY.field_temperature
    np.testing.assert_allclose(elements.field, np.minimum(expected, SKY.field_limit), rtol=1e-5)


def test_threads_do_not_change_a_box(simulated, tmp_path):
    recipe, made, _ = simulated
    recipe.make(tmp_path / "box.h5", 2)
    assert (tmp_path / "box.h5").read_bytes() == made.path.read_bytes()


def of_simulations(*paths, sky=None):
    return recipes.simulations(sky or Sky(), [(path, load(path)) for path in paths])


def test_outputs_of_one_side_are_the_snapshots_of_a_run(tmp_path):
    paths = [
        cube(tmp_path / f"{side}-{z}-{run}.h5", side, z)
        for side, z, run in ((50, 0.2, 0), (50, 0.05, 0), (100, 0.05, 0), (50, 0.05, 1))
    ]
    found = of_simulations(*paths)
    told = [(r.name, r.side, [output.path.name for output in r.outputs]) for r in found]
    assert told == [
        ("simulation-50-0", 50.0, ["50-0.05-0.h5", "50-0.2-0.h5"]),
        ("simulation-50-1", 50.0, ["50-0.05-1.h5"]),
        ("simulation-100-0", 100.0, ["100-0.05-0.h5"]),
    ]


def test_sides_that_differ_by_rounding_are_one(tmp_path):
    paths = [cube(tmp_path / f"{z}.h5", side, z) for side, z in ((50.0, 0.05), (50.0004, 0.2))]
    (recipe,) = of_simulations(*paths)
    assert [output.redshift for output in recipe.outputs] == [0.05, 0.2]


def test_outputs_that_no_slab_needs_are_left_out(tmp_path):
    paths = [cube(tmp_path / f"{side}.h5", side, 0.05) for side in (50, 200)]
    assert [r.side for r in of_simulations(*paths)] == [50.0, 200.0]
    assert [r.side for r in of_simulations(*paths, sky=Sky(z_far=0.08))] == [50.0]


def test_a_recipe_travels_between_ranks(tmp_path):
    """It says where the output is: its fields, of gigabytes or in an open file, stay behind."""
    (recipe,) = of_simulations(cube(tmp_path / "a.h5", 50, 0.05, n=32))
    parcel = pickle.dumps(recipe)
    assert pickle.loads(parcel) == recipe
    assert len(parcel) < 2000
    recipe.make(tmp_path / "one.h5")
    pickle.loads(parcel).make(tmp_path / "two.h5")
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def other_time(path: Path):
    os.utime(path, (1e9, 1e9))


def other_name(path: Path):
    return path.rename(path.with_name("b.h5"))


@pytest.mark.parametrize("change", [other_time, other_name])
def test_another_file_is_another_box(tmp_path, change):
    path = cube(tmp_path / "a.h5", 50, 0.05)
    (before,) = of_simulations(path)
    (after,) = of_simulations(change(path) or path)
    assert before.digest != after.digest


def test_options_of_the_field_are_part_of_the_digest(tmp_path):
    path = cube(tmp_path / "a.h5", 50, 0.05)
    assert of_simulations(path)[0].digest != of_simulations(path, sky=Sky(field=2.0))[0].digest
    assert of_simulations(path)[0].digest == of_simulations(path, sky=Sky(mesh=64))[0].digest


@pytest.mark.parametrize("magnetic", [None, 0.3e-6])
def test_the_field_is_the_simulations_where_it_has_one(tmp_path, magnetic):
    """3 components of 0.3 uG make 0.52 uG; without, B follows density and temperature."""
    (recipe,) = of_simulations(cube(tmp_path / "a.h5", 50, 0.05, magnetic=magnetic))
    recipe.make(tmp_path / "box.h5")
    made = box.opened(tmp_path / "box.h5", recipe.digest)
    elements = made.elements(0.05)
    assert len(elements) > 50
    if magnetic is not None:
        np.testing.assert_allclose(elements.field, 0.3 * np.sqrt(3), rtol=1e-5)
    else:
        expected = (elements.overdensity.astype(float) * 1.05**3 / 1000) ** Sky().field_density
        expected *= (elements.temperature.astype(float) / 5) ** Sky().field_temperature
        np.testing.assert_allclose(elements.field, expected, rtol=1e-5)
    with h5py.File(tmp_path / "box.h5") as file:
        assert list(file.attrs["sources"]) == ["a.h5"]  # by name: where it lay is nobody's business


def test_the_density_of_a_simulation_is_rebinned(tmp_path, monkeypatch):
    monkeypatch.setattr(box, "DENSITY_MESH", 8)
    path = cube(tmp_path / "a.h5", 50, 0.05, n=32)
    (recipe,) = of_simulations(path)
    recipe.make(tmp_path / "box.h5")
    density = box.opened(tmp_path / "box.h5", recipe.digest).density(0.05)
    with h5py.File(path) as file:
        fine = file["density"][:] / file["density"][:].mean(dtype=float)
    expected = fine.reshape(8, 4, 8, 4, 8, 4).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(density, expected, rtol=2e-3)


def test_a_damaged_output_leaves_no_box(tmp_path):
    path = cube(tmp_path / "a.h5", 50, 0.05, spoil={"temperature": np.nan})
    (recipe,) = of_simulations(path)
    with pytest.raises(InputError, match="a.h5: temperature, .* are NaN"):
        recipe.make(tmp_path / "boxes.h5")
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_another_field_needs_no_new_simulation(tmp_path, monkeypatch):
    sky = Sky(mesh=16, sides=(60.0,), seeds=(1,), steps=4, snapshots=(0.1,), z_far=0.08)
    other = dataclasses.replace(sky, field_density=0.3)
    (first,), (second,) = (recipes.particle_meshes(s, test=False) for s in (sky, other))
    anew, path = tmp_path / "anew.h5", tmp_path / "box.h5"
    second.make(anew)
    first.make(path)
    assert path.read_bytes() != anew.read_bytes()
    monkeypatch.setattr(recipes.nbody, "evolve", None)
    second.make(path)
    assert path.read_bytes() == anew.read_bytes()
