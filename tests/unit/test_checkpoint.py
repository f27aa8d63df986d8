"""A checkpoint gives back a run's state bit for bit, or is passed over for an older one."""

import h5py
import numpy as np
import pytest

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn import checkpoint
from cosmodeep_hpc.learn.checkpoint import State


def state(total, recipe="r"):
    random = np.random.default_rng(total)
    return State(
        epoch=1,
        step=2,
        total_steps=total,
        recipe=recipe,
        weights=[random.normal(size=(3, 4)).astype(np.float32), np.array([1, 2], np.uint32)],
        optimizer=[np.array(total, np.int64), random.normal(size=2000).astype(np.float32)],
    )


def assert_same(a, b):
    assert (a.epoch, a.step, a.total_steps, a.recipe) == (b.epoch, b.step, b.total_steps, b.recipe)
    for part in ("weights", "optimizer"):
        for x, y in zip(getattr(a, part), getattr(b, part), strict=True):
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y)


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
    assert_same(checkpoint.latest(tmp_path, "r"), state(300))


def test_no_run(tmp_path):
    assert checkpoint.latest(tmp_path, "r") is None


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
    assert_same(checkpoint.latest(tmp_path, "r"), state(1))
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
    with pytest.raises(InputError, match="damaged checkpoint"):
        checkpoint.latest(tmp_path, "r")


def test_another_recipe(tmp_path):
    checkpoint.write(tmp_path, state(1), keep=3)
    with pytest.raises(InputError, match="another configuration or tile set; .*--restart"):
        checkpoint.latest(tmp_path, "other")


def test_what_a_killed_job_left_is_no_checkpoint(tmp_path):
    checkpoint.write(tmp_path, state(1), keep=3)
    (tmp_path / "checkpoints" / ".step-00000002.77.part.h5").write_bytes(b"x")
    assert_same(checkpoint.latest(tmp_path, "r"), state(1))
