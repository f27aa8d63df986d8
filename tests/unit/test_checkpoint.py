"""A checkpoint gives back a run's state bit for bit, or is passed over for an older one."""

import shutil

import h5py
import numpy as np
import pytest
from support.heard import heard

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io import files
from cosmodeep_hpc.learn import checkpoint
from cosmodeep_hpc.learn.checkpoint import State
from cosmodeep_hpc.learn.stopping import Standing


def state(total, recipe="r"):
    random = np.random.default_rng(total)
    return State(
        epoch=1,
        step=2,
        total_steps=total,
        recipe=recipe,
        weights=[random.normal(size=(3, 4)).astype(np.float32), np.array([1, 2], np.uint32)],
        optimizer=[np.array(total, np.int64), random.normal(size=2000).astype(np.float32)],
        seed=2**62 + 1,
        ranks=3,
        standing=Standing(
            epoch=4,
            best=2 / 3,
            best_epoch=2,
            since=2,
            best_weights=[random.normal(size=5).astype(np.float32)],
        ),
    )


def assert_same(a, b):
    for name in ("epoch", "step", "total_steps", "recipe", "seed", "ranks"):
        assert getattr(a, name) == getattr(b, name), name
    for name in ("epoch", "best", "best_epoch", "since"):
        assert getattr(a.standing, name) == getattr(b.standing, name), name
    arrays = [(s.weights, s.optimizer, s.standing.best_weights) for s in (a, b)]
    for one, other in zip(*arrays, strict=True):
        for x, y in zip(one, other, strict=True):
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y)


def latest(run):
    """The state of the checkpoint that a run goes on from."""
    found = checkpoint.latest(run)
    return found and found[1]


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_round_trip(tmp_path):
    path = checkpoint.write(tmp_path, state(7), keep=3)
    assert path == tmp_path / "checkpoints" / "step-00000007.h5"
    assert_same(checkpoint.read(path), state(7))


def test_more_than_ten_variables_keep_their_order(tmp_path):
    many = State(**{**vars(state(1)), "weights": [np.array([n], np.float32) for n in range(12)]})
    assert_same(checkpoint.read(checkpoint.write(tmp_path, many, keep=1)), many)


def test_the_newest_are_kept(tmp_path):
    for total in (5, 20, 100, 300):
        checkpoint.write(tmp_path, state(total), keep=2)
    assert [p.name for p in checkpoint.newest(tmp_path)] == ["step-00000300.h5", "step-00000100.h5"]
    assert_same(latest(tmp_path), state(300))


def test_no_run(tmp_path):
    assert latest(tmp_path) is None


def test_latest_names_the_newest_on_the_disk(tmp_path):
    for total in (5, 20):
        path = checkpoint.write(tmp_path, state(total), keep=3)
        assert (tmp_path / "checkpoints" / "latest").read_text() == f"{path.name}\n"


def test_latest_comes_first_and_any_other_after_it(tmp_path):
    """A job may have been killed between the two; or a disk may have lost the newest."""
    paths = [checkpoint.write(tmp_path, state(total), keep=3) for total in (5, 20, 30)]
    pointer = tmp_path / "checkpoints" / "latest"
    pointer.write_text("step-00000020.h5\n")
    assert_same(latest(tmp_path), state(20))
    paths[1].unlink()
    assert_same(latest(tmp_path), state(30))
    pointer.write_bytes(b"\xff")  # damaged
    assert_same(latest(tmp_path), state(30))
    pointer.write_text("../../elsewhere.h5")  # only names of checkpoints here count
    assert_same(latest(tmp_path), state(30))
    pointer.unlink()
    assert_same(latest(tmp_path), state(30))


def test_the_one_just_written_is_kept_whatever_lies_beside_it(tmp_path):
    """A damaged one of a later step was passed over, and the run goes on from an earlier one."""
    checkpoint.write(tmp_path, state(30), keep=1).write_bytes(b"")
    path = checkpoint.write(tmp_path, state(20), keep=1)
    assert checkpoint.newest(tmp_path) == [path]


def spoil(content):
    """A byte in the middle of the longest run of weights differs from what was meant."""
    at = content.index(state(2).optimizer[1].tobytes()) + 4000
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("wrong", [spoil, lambda content: content[:-5000], lambda content: b""])
def test_what_the_disk_does_not_keep_is_no_checkpoint(tmp_path, monkeypatch, wrong):
    """It is read back before it gets its name: the earlier ones stay, and `latest` names them."""
    checkpoint.write(tmp_path, state(1), keep=1)
    write_bytes = files.Path.write_bytes
    monkeypatch.setattr(
        files.Path, "write_bytes", lambda p, content: write_bytes(p, wrong(content))
    )
    with pytest.raises(InputError, match="step-00000002"):
        checkpoint.write(tmp_path, state(2), keep=1)
    monkeypatch.undo()
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [
        "latest",
        "step-00000001.h5",
    ]
    assert_same(latest(tmp_path), state(1))


def test_a_checkpoint_of_an_earlier_version(tmp_path):
    path = checkpoint.write(tmp_path, state(1), keep=1)
    with h5py.File(path, "a") as file:
        del file.attrs["format"]
    with pytest.raises(InputError, match="format None; expected 3"):
        checkpoint.latest(tmp_path)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "not HDF5"])
def test_a_damaged_one_is_passed_over(tmp_path, damage):
    checkpoint.write(tmp_path, state(1), keep=3)
    path = checkpoint.write(tmp_path, state(2), keep=3)
    with h5py.File(path) as file:
        at = file["optimizer/001"].id.get_offset() + 100
    content = path.read_bytes()
    if damage == "flipped":
        flip(path, at)
    else:
        left = {"truncated": content[: len(content) // 2], "empty": b"", "not HDF5": b"x" * 5000}
        path.write_bytes(left[damage])
    with heard() as told:
        good, found = checkpoint.latest(tmp_path)
    assert_same(found, state(1))
    assert good.name == "step-00000001.h5"
    (line,) = told
    assert f"{path}: damaged checkpoint" in line and "passed over for step-00000001.h5" in line
    with pytest.raises(InputError, match=r"step-00000002\.h5: damaged checkpoint"):
        checkpoint.read(path)


def test_no_flipped_byte_goes_unseen(tmp_path):
    path = checkpoint.write(tmp_path, state(1), keep=1)
    content, refused = path.read_bytes(), 0
    random = np.random.default_rng(1)
    for at in random.integers(0, len(content), 150).tolist():
        path.write_bytes(content)
        flip(path, at)
        try:
            found = checkpoint.read(path)
        except InputError:
            refused += 1
        else:
            assert_same(found, state(1))
    assert refused > 50


def test_all_damaged(tmp_path):
    path = checkpoint.write(tmp_path, state(1), keep=3)
    path.write_bytes(b"")
    with pytest.raises(
        InputError, match=r"damaged checkpoint \(.*; no checkpoint loads; .*--restart"
    ):
        checkpoint.latest(tmp_path)


@pytest.mark.parametrize(
    "name, how, line",
    [
        ("weights/000", "external link", "'000' is an external link; refused"),
        ("weights", "soft link", "'weights' is a soft link; refused"),
        ("weights/000", "external data", "'000' has its data in another file; refused"),
    ],
)
def test_a_checkpoint_of_which_a_part_is_in_another_file(tmp_path, name, how, line):
    """The other file has the right bytes: the checksum alone would let it pass."""
    path = checkpoint.write(tmp_path, state(1), keep=3)
    values, raw = state(1).weights[0], tmp_path / "raw"
    raw.write_bytes(values.tobytes())
    copy = shutil.copy(path, tmp_path / "copy.h5")
    with h5py.File(path, "r+") as file:
        del file[name]
        if how == "external data":
            where = [(str(raw), 0, values.nbytes)]
            file.create_dataset(name, values.shape, values.dtype, external=where)
        else:
            external = how == "external link"
            file[name] = h5py.ExternalLink(copy, name) if external else h5py.SoftLink("/optimizer")
    with pytest.raises(InputError, match=f"damaged checkpoint .*{line}"):
        checkpoint.read(path)


def test_what_a_killed_job_left_is_no_checkpoint(tmp_path):
    checkpoint.write(tmp_path, state(1), keep=3)
    (tmp_path / "checkpoints" / ".step-00000002.77.part.h5").write_bytes(b"x")
    assert_same(latest(tmp_path), state(1))
