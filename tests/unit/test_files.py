"""A file with its final name is complete; a failure leaves the earlier one and no litter."""

import json
import os
import resource
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io.files import (
    left_beside,
    make_folder,
    read_json,
    replacing,
    replacing_hdf5,
    replacing_together,
    sha256,
    write_json,
)


@contextmanager
def disk_of(size):
    """Files cannot grow beyond `size` bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_replaces_the_earlier_file(tmp_path):
    write_json(tmp_path / "a.json", {"n": 1})
    write_json(tmp_path / "a.json", {"n": 2})
    assert read_json(tmp_path / "a.json") == {"n": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with path.open() as reader:
        with replacing(path) as temporary:
            temporary.write_text("ne")
            assert path.read_text() == "old"
            assert temporary.suffix == ".txt"  # some writers choose a format by it
        assert path.read_text() == "ne"
        assert reader.read() == "old"  # renamed over it, not written into it


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failure_keeps_the_earlier_file(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("ne")
        raise error
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_files_together_get_their_names_when_all_are_whole(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with replacing_together() as temporary_of:
        for name in ("a.txt", "b.txt"):
            temporary = temporary_of(tmp_path / name)
            temporary.write_text("new")
            assert temporary.suffix == ".txt"
        assert (tmp_path / "a.txt").read_text() == "old" and not (tmp_path / "b.txt").exists()
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.txt": "new", "b.txt": "new"}
    with replacing_together():
        pass  # no file at all


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_keeps_all_earlier_files(tmp_path, error):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(error), replacing_together() as temporary_of:
        temporary_of(tmp_path / "a.txt").write_text("new")
        temporary_of(tmp_path / "b.txt").write_text("ne")
        raise error
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.txt": "old"}


def test_what_a_killed_process_has_left_is_found(tmp_path):
    """And not what another writes of a file whose name begins or ends alike."""
    paths = [tmp_path / "a.mask.fits", tmp_path / "a.fits", tmp_path / "a.png"]
    others = [tmp_path / "a.b.fits", tmp_path / "ba.fits", tmp_path / "a.h5"]
    with replacing_together() as temporary_of:
        left = {temporary_of(path) for path in paths}
        for path in (*left, *map(temporary_of, others), *paths):
            path.touch()
        assert set(left_beside(paths)) == left


def test_a_disk_that_is_full_when_files_are_synced_together(tmp_path, monkeypatch):
    """Then alone do some file systems say so; none of the files gets its name."""
    (tmp_path / "a.txt").write_text("old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    refused = pytest.raises(InputError, match=r"a\.txt: cannot write it: No space left")
    with refused, replacing_together() as temporary_of:
        for name in ("a.txt", "b.txt"):
            temporary_of(tmp_path / name).write_text("new")
        monkeypatch.setattr(os, "fsync", full)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.txt": "old"}


def test_disk_full(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, [1])
    with pytest.raises(InputError, match=r"a\.json: cannot write it: "), disk_of(1000):
        write_json(path, list(range(10_000)))
    assert read_json(path) == [1]
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("size", [100, 5000, 200_000])
def test_disk_full_under_hdf5(tmp_path, size):
    """The HDF5 library crashes the process when it meets this itself."""
    path = tmp_path / "a.h5"
    with replacing_hdf5(path) as file:
        file["x"] = np.arange(3)
    refused = pytest.raises(InputError, match=r"a\.h5: cannot write it: ")
    with refused, disk_of(size), replacing_hdf5(path) as file:
        file["x"] = np.arange(100_000)
    with h5py.File(path) as file:
        assert file["x"][()].tolist() == [0, 1, 2]
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_hdf5_is_what_was_put_in(tmp_path):
    values = np.random.default_rng(1).normal(size=(300, 40)).astype(np.float32)
    with replacing_hdf5(tmp_path / "a.h5") as file:
        file["group/values"] = values
        file.attrs["unit"] = "Jy"
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["group/values"][()], values)
        assert file.attrs["unit"] == "Jy"


def test_a_file_in_place_of_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for write in (
        lambda: write_json(tmp_path / "file" / "a.json", 1),
        lambda: make_folder(tmp_path / "file"),
        lambda: make_folder(tmp_path / "file" / "sub"),
    ):
        with pytest.raises(InputError, match="file.*: cannot "):
            write()


def test_unwritable_folder():
    """/proc takes no files, not even from root."""
    with pytest.raises(InputError, match="^/proc/here: cannot make it: "):
        make_folder(Path("/proc/here"))
    with pytest.raises(InputError, match="^/proc: cannot write in it: "):
        make_folder(Path("/proc"))


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b""])
def test_not_json(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json: not a JSON file"):
        read_json(tmp_path / "a.json")


def test_sha256_of_a_known_text(tmp_path):
    """FIPS 180-2, appendix B.1."""
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_json_of_unicode(tmp_path):
    write_json(tmp_path / "a.json", {"unit": "µJy"})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"unit": "µJy"}
