"""A shard gives back what was put in, or says which file, dataset and rows are damaged."""

import os
import re
import shutil
import zlib

import h5py
import numpy as np
import pytest

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io.checksum import BLOCK, checksums, crc32, joined
from cosmodeep_hpc.tiles.shard import CHECKED, Rows, open_shard, write_shard

N = 600  # two whole blocks and a part


def rows_of(n, seed=1, sky=True, size=10):
    random = np.random.default_rng(seed)
    tiles = random.normal(size=(n, size, size)).astype(np.float32)
    return Rows(
        tiles=tiles,
        counts=random.integers(0, 100, (n, 4)).astype(np.uint16),
        place=random.integers(0, 50, (n, 3)).astype(np.int32),
        sky=tiles * np.float32(1e-7) if sky else None,
    )


@pytest.fixture
def shard(tmp_path):
    write_shard(tmp_path / "shard-00000.h5", [rows_of(N)], {"tile_size": 10, "scaling": "asinh"})
    return tmp_path / "shard-00000.h5"


def read_all(path):
    with open_shard(path) as shard:
        return {name: shard.read(name, 0, shard.n_rows) for name in CHECKED if shard.has(name)}


def test_round_trip(tmp_path):
    parts = [rows_of(10, 1), rows_of(0, 2), rows_of(N, 3)]
    write_shard(tmp_path / "a.h5", parts, {"tile_size": 10, "sigma": np.array([1.0, 2.0])})
    found = read_all(tmp_path / "a.h5")
    for name in ("tiles", "counts", "sky"):
        whole = np.concatenate([getattr(p, name) for p in parts])
        np.testing.assert_array_equal(found[name], whole)
        assert found[name].dtype == whole.dtype
    place = np.concatenate([p.place for p in parts])
    for column, name in enumerate(("image", "row", "col")):
        np.testing.assert_array_equal(found[name], place[:, column])
    with open_shard(tmp_path / "a.h5") as shard:
        assert (shard.n_rows, shard.window) == (N + 10, 10)
        assert shard.attributes == {"format": 1, "tile_size": 10, "sigma": [1.0, 2.0]}


def test_without_sky(tmp_path):
    write_shard(tmp_path / "a.h5", [rows_of(5, sky=False)], {})
    with open_shard(tmp_path / "a.h5") as shard:
        assert not shard.has("sky") and shard.has("tiles")


def test_a_standard_tool_reads_it(shard):
    """Contiguous, little to learn: the format of the design."""
    with h5py.File(shard) as file:
        assert (file["tiles"].dtype, file["tiles"].shape) == (np.float32, (N, 10, 10))
        assert (file["counts"].dtype, file["counts"].shape) == (np.uint16, (N, 4))
        assert {file[n].dtype for n in ("image", "row", "col")} == {np.dtype(np.int32)}
        assert (file["crc32"].dtype, file["crc32"].shape) == (np.uint32, (3,))
        assert all(file[name].chunks is None for name in CHECKED)


def test_checksums_are_zlibs(tmp_path):
    rows = rows_of(N)
    in_index = write_shard(tmp_path / "a.h5", [rows], {})
    with h5py.File(tmp_path / "a.h5") as file:
        expected = [zlib.crc32(rows.tiles[s : s + 256].tobytes()) for s in (0, 256, 512)]
        assert file["crc32"][()].tolist() == expected
        for name, stored in CHECKED.items():
            assert in_index[name] == zlib.crc32(file[stored][()].tobytes())
    assert checksums(rows.tiles[:0]).tolist() == []


def test_the_same_rows_are_the_same_bytes(tmp_path):
    for name in ("a.h5", "b.h5"):
        write_shard(tmp_path / name, [rows_of(N)], {"tile_size": 10})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_parts_of_it(shard):
    with open_shard(shard) as opened:
        whole = opened.read("tiles", 0, N)
        np.testing.assert_array_equal(opened.read("tiles", BLOCK, 2 * BLOCK), whole[256:512])
        np.testing.assert_array_equal(opened.read("tiles", 2 * BLOCK, N), whole[512:])
        for start, stop in ((1, BLOCK), (0, 300)):
            with pytest.raises(ValueError, match="multiples of 256"):
                opened.read("tiles", start, stop)


@pytest.mark.parametrize(
    "dataset, row, rows",
    [
        ("tiles", 0, "0 to 255"),
        ("tiles", 255, "0 to 255"),
        ("tiles", 256, "256 to 511"),
        ("tiles", 599, "512 to 599"),
        ("counts", 300, "256 to 511"),
        ("sky", 511, "256 to 511"),
        ("row", 5, "0 to 255"),
    ],
)
def test_a_flipped_byte_is_named(shard, dataset, row, rows):
    with h5py.File(shard) as file:
        data = file[dataset]
        at = data.id.get_offset() + row * data[0].nbytes
    content = bytearray(shard.read_bytes())
    content[at] ^= 1
    shard.write_bytes(content)
    with open_shard(shard) as opened, pytest.raises(InputError) as caught:
        opened.read(dataset, 0, N)
    assert f"{shard}: dataset '{dataset}', rows {rows}: checksum differs" in str(caught.value)


def test_no_flipped_byte_goes_unseen(tmp_path):
    """Anywhere in the file: the data is right, or an InputError says what is wrong."""
    shard = tmp_path / "a.h5"
    write_shard(shard, [rows_of(40)], {"tile_size": 10, "scaling": "asinh"})
    good, content = read_all(shard), shard.read_bytes()
    random = np.random.default_rng(1)
    header = random.integers(0, 2048, 100)  # where HDF5 keeps its own affairs
    anywhere = random.integers(0, len(content), 50)
    refused = 0
    for at in [*header.tolist(), *range(len(content) - 3000, len(content), 41), *anywhere.tolist()]:
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(random.integers(8))
        shard.write_bytes(damaged)
        try:
            found = read_all(shard)
        except InputError as error:
            assert str(shard) in str(error)
            refused += 1
            continue
        for name in set(good) - {"sky"}:
            np.testing.assert_array_equal(found[name], good[name])
    assert refused > 60


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_truncated(shard, share):
    content = shard.read_bytes()
    shard.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=rf"^{re.escape(str(shard))}: .*again"), open_shard(shard):
        pass


def test_a_shard_that_may_not_be_read(shard, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Unable to synchronously open file")

    monkeypatch.setattr(h5py, "File", refuse)
    line = r"\.h5: cannot read it: Permission denied$"
    with pytest.raises(InputError, match=line), open_shard(shard):
        pass


def test_missing(tmp_path):
    with pytest.raises(InputError, match=r"a\.h5: no such file"), open_shard(tmp_path / "a.h5"):
        pass


def test_another_hdf5_file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
    with (
        pytest.raises(InputError, match="no dataset 'tiles'; expected a tile shard of format 1"),
        open_shard(tmp_path / "a.h5"),
    ):
        pass


def test_another_format(shard):
    with h5py.File(shard, "a") as file:
        file.attrs["format"] = 2
    with pytest.raises(InputError, match="format 2; expected"), open_shard(shard):
        pass


def test_fewer_counts_than_tiles(shard):
    with h5py.File(shard, "a") as file:
        counts = file["counts"][:100]
        del file["counts"]
        file["counts"] = counts
    with pytest.raises(InputError, match="'counts' of 100 rows for 600"), open_shard(shard):
        pass


@pytest.mark.parametrize("n", [1, 256, 257, 600])
def test_what_stands_for_a_dataset_tells_any_two_apart(n):
    """Another row, rows less, and blocks in another order."""
    rows = np.random.default_rng(n).integers(0, 2**16, (n, 7)).astype(np.uint16)
    other = rows.copy()
    other[n // 2, 3] ^= 1
    blocks = checksums(rows)
    all_of_them = [blocks, checksums(other), checksums(rows[:-1])]
    if len(blocks) > 1:
        all_of_them.append(blocks[::-1])
    assert len({joined(each) for each in all_of_them}) == len(all_of_them)


@pytest.mark.parametrize("n", [0, 1, 100, 10_000, 1_638_400])
def test_the_fast_checksum_is_zlibs(n):
    data = np.random.default_rng(n).bytes(n)
    assert crc32(data) == zlib.crc32(data)


def repacked(shard, to, **storage):
    """The shard rewritten with another storage, as `h5repack` does."""
    userblock = storage.pop("userblock_size", 0)
    with h5py.File(shard) as old, h5py.File(to, "w", userblock_size=userblock) as new:
        for name, dataset in old.items():
            new.create_dataset(name, data=dataset[()], **storage)
        new.attrs.update(old.attrs)
    return to


@pytest.mark.parametrize(
    "storage",
    [
        {"chunks": True},
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        {"compression": "lzf"},
        {"userblock_size": 512},  # what lies before the HDF5 file moves every offset
    ],
)
def test_a_repacked_shard_is_read(shard, tmp_path, storage):
    good, found = read_all(shard), read_all(repacked(shard, tmp_path / "b.h5", **storage))
    for name in good:
        np.testing.assert_array_equal(found[name], good[name])


def test_a_flipped_byte_of_a_chunk_is_named(shard, tmp_path):
    other = repacked(shard, tmp_path / "b.h5", chunks=True)
    with h5py.File(other) as file:
        at = file["tiles"].id.get_chunk_info(0).byte_offset
    content = bytearray(other.read_bytes())
    content[at] ^= 1
    other.write_bytes(content)
    with (
        open_shard(other) as opened,
        pytest.raises(InputError, match="b.h5: dataset 'tiles', rows 0 to 255"),
    ):
        opened.read("tiles", 0, N)


def test_a_file_that_shrinks_after_it_was_opened(shard):
    with open_shard(shard) as opened:
        location = opened.location("tiles")
    shard.write_bytes(shard.read_bytes()[: location.offset + 300 * location.row_bytes])
    with location.opened() as read_block:
        into = np.empty((256, 10, 10), np.float32)
        read_block(0, into)
        with pytest.raises(InputError, match="'tiles', rows 256 to 511: the file ends before them"):
            read_block(1, into)
    shard.unlink()
    with pytest.raises(InputError, match="a shard|No such file"), location.opened():
        pass


def relinked(shard, how):
    """Replace the dataset `tiles` by one whose data lies in another file; that file."""
    other = shard.with_name("other.h5")
    shutil.copy(shard, other)
    raw = shard.with_name("raw.bin")
    with h5py.File(shard, "a") as file:
        tiles = file["tiles"][()]
        del file["tiles"]
        raw.write_bytes(tiles.tobytes())
        if how == "external link":
            file["tiles"] = h5py.ExternalLink(str(other), "tiles")
        elif how == "soft link":
            file["pixels"] = tiles
            file["tiles"] = h5py.SoftLink("/pixels")
        elif how == "external storage":
            file.create_dataset("tiles", tiles.shape, tiles.dtype, external=str(raw))
        else:
            layout = h5py.VirtualLayout(tiles.shape, tiles.dtype)
            layout[:] = h5py.VirtualSource(str(other), "tiles", tiles.shape)
            file.create_virtual_dataset("tiles", layout)
    with h5py.File(shard) as file:
        np.testing.assert_array_equal(file["tiles"][()], tiles)  # HDF5 itself would follow
    return other


@pytest.mark.parametrize(
    "how, line",
    [
        ("external link", "'tiles' is an external link; refused"),
        ("soft link", "'tiles' is a soft link; refused"),
        ("external storage", "dataset 'tiles' has its data in another file; refused"),
        ("virtual", "dataset 'tiles' has its data in another file; refused"),
    ],
)
def test_data_of_another_file_is_refused(shard, how, line):
    relinked(shard, how)
    with pytest.raises(InputError, match=re.escape(line)) as caught, open_shard(shard):
        pass
    assert str(caught.value).startswith(str(shard))


@pytest.mark.parametrize("name", ["tiles", "more"])
def test_a_link_is_not_followed(shard, name):
    """Not even to see whether it leads anywhere: a pipe at its end would be waited for."""
    pipe = shard.with_name("pipe")
    os.mkfifo(pipe)
    with h5py.File(shard, "a") as file:
        if name in file:
            del file[name]
        file[name] = h5py.ExternalLink(str(pipe), "x")
    with (
        pytest.raises(InputError, match=f"'{name}' is an external link; refused"),
        open_shard(shard),
    ):
        pass


def test_a_pipe_is_no_shard(tmp_path):
    os.mkfifo(tmp_path / "shard-00000.h5")
    with pytest.raises(InputError, match="not a file"), open_shard(tmp_path / "shard-00000.h5"):
        pass


def test_a_group_is_no_dataset(shard):
    with h5py.File(shard, "a") as file:
        del file["tiles"]
        file.create_group("tiles")
    with pytest.raises(InputError, match="dataset 'tiles': cannot be read"), open_shard(shard):
        pass
