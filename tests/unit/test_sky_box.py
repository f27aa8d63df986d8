"""The file of a box: what was written is read, and nothing else is taken for it."""

from dataclasses import fields

import h5py
import numpy as np
import pytest

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.sky import box
from cosmodeep_hpc.sky.halos import Halos
from cosmodeep_hpc.sky.shocks import Elements

SIDE = 40.0
UNITS = {
    "position": "Mpc (comoving)",
    "first": "Mpc (comoving)",
    "second": "Mpc (comoving)",
    "mach": "",
    "overdensity": "mean density",
    "temperature": "keV",
    "field": "uG",
    "halo": "row of halos",
    "halos/position": "Mpc (comoving)",
    "halos/mass": "solMass",
    "halos/radius": "Mpc (comoving)",
    "density": "mean density",
}


def content(redshift, count=5, halos=3):
    """Made-up elements and halos, other ones at each redshift."""
    random = np.random.default_rng(round(1000 * redshift))
    vectors = random.uniform(0, SIDE, (3, count, 3)).astype(np.float32)
    scalars = random.uniform(1, 9, (4, count)).astype(np.float32)
    member = random.integers(-1, halos, count).astype(np.int32)
    mass = np.sort(10 ** random.uniform(12, 15, halos))[::-1]
    return box.Content(
        redshift,
        Elements(*vectors, *scalars, halo=member),
        Halos(random.uniform(0, SIDE, (halos, 3)).astype(np.float32), mass,
              random.uniform(0.1, 2, halos).astype(np.float32)),
        random.uniform(0.1, 30, (4, 4, 4)).astype(np.float32),
    )  # fmt: skip


def written(folder, redshifts=(0.4, 0.1), recipe="abc"):
    path = folder / "box.h5"
    box.write(path, recipe, SIDE, {"seed": 7}, (content(z) for z in redshifts))
    return path


def same(one, other):
    for field in fields(one):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


# ten and more: as text, snapshot-10 stands before snapshot-2
@pytest.mark.parametrize(
    "redshifts", [(0.1,), (0.4, 0.1), tuple(0.05 * i for i in range(12, 0, -1))]
)
def test_what_was_written_is_read(tmp_path, redshifts):
    found = box.opened(written(tmp_path, redshifts), "abc")
    assert (found.side, found.redshifts) == (SIDE, redshifts)
    for redshift in redshifts:
        expected = content(redshift)
        same(found.elements(redshift), expected.elements)
        same(found.halos(redshift), expected.halos)
        np.testing.assert_allclose(found.density(redshift), expected.density, rtol=1e-3)


def test_a_box_without_shocks_and_halos_is_a_box(tmp_path):
    path = tmp_path / "box.h5"
    box.write(path, "abc", SIDE, {}, [content(0.1, 0, 0)])
    found = box.opened(path, "abc")
    assert len(found.elements(0.1)) == 0 and len(found.halos(0.1).mass) == 0


def test_the_file_says_units_and_where_it_is_from(tmp_path):
    with h5py.File(written(tmp_path)) as file:
        assert file.attrs["side"] == SIDE and file.attrs["side_unit"] == "Mpc (comoving)"
        assert file.attrs["seed"] == 7 and file.attrs["recipe"] == "abc"
        assert file.attrs["writer"].startswith("cosmodeep_hpc ")
        for group, redshift in (("snapshot-0", 0.4), ("snapshot-1", 0.1)):
            assert file[group].attrs["redshift"] == redshift
            told = {name: file[group][name].attrs["unit"] for name in UNITS}
            assert told == UNITS


@pytest.mark.parametrize(
    "redshift, nearest", [(0.0, 0.1), (0.24, 0.1), (0.26, 0.4), (0.4, 0.4), (3.0, 0.4)]
)
def test_the_nearest_snapshot(tmp_path, redshift, nearest):
    assert box.opened(written(tmp_path), "abc").nearest(redshift) == nearest


def test_the_same_content_gives_the_same_bytes(tmp_path):
    (tmp_path / "again").mkdir()
    assert written(tmp_path).read_bytes() == written(tmp_path / "again").read_bytes()


def test_only_the_whole_box_of_the_recipe_counts_as_made(tmp_path):
    assert not box.is_made(tmp_path / "box.h5", "abc")
    path = written(tmp_path)
    assert box.is_made(path, "abc") and not box.is_made(path, "other")
    path.write_bytes(path.read_bytes()[:900])
    assert not box.is_made(path, "abc")
    path.write_text("hello")
    assert not box.is_made(path, "abc")


def test_a_failure_leaves_no_file_and_an_earlier_one_untouched(tmp_path):
    def snapshots():
        yield content(0.4)
        raise InputError("a cube that ends here")

    for before in (None, b"an earlier one"):
        path = tmp_path / "box.h5"
        if before is not None:
            path.write_bytes(before)
        with pytest.raises(InputError, match="a cube that ends here"):
            box.write(path, "abc", SIDE, {}, snapshots())
        assert [p.read_bytes() for p in tmp_path.iterdir()] == ([] if before is None else [before])


def cut(path):
    path.write_bytes(path.read_bytes()[:900])


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda path: path.unlink(), "box.h5: no such box; run the same command again"),
        (lambda path: path.write_text("hello"), "box.h5: cannot read it: "),
        (cut, "box.h5: cannot read it: "),
        (lambda path: box.write(path, "other", SIDE, {}, []), "not made by this configuration"),
    ],
)
def test_what_is_not_the_box_is_refused_in_one_line(tmp_path, spoil, message):
    path = written(tmp_path)
    spoil(path)
    with pytest.raises(InputError, match=message) as refusal:
        box.opened(path, "abc")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("read", ["elements", "halos", "density"])
def test_a_box_that_goes_while_it_is_read_is_named(tmp_path, read):
    path = written(tmp_path)
    found = box.opened(path, "abc")
    path.unlink()
    with pytest.raises(InputError, match="box.h5: cannot read it: ") as refusal:
        getattr(found, read)(0.1)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("other", [{"a": 2}, {"b": 1}, {"a": 1.5}, {"a": "1"}, {}])
def test_a_digest_tells_values_apart(other):
    assert box.digest({"a": 1}) == box.digest({"a": 1}) != box.digest(other)
    assert len(box.digest({"a": 1})) == 16
