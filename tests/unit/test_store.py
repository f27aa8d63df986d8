"""The store holds the rows that a run needs, as the shards hold them, or says what is wrong."""

import json
import re
import shutil
import zlib
from dataclasses import replace

import h5py
import numpy as np
import pytest
from support.tilesets import write_tileset

from cosmodeep_hpc.config.learn import Train
from cosmodeep_hpc.config.tiles import Label
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn.store import fill
from cosmodeep_hpc.tiles.tileset import read_tileset

# blocks that are whole, cut short by the end of a shard, of one row, and a shard without rows
SHARDS = ((300, 340), (0,), (257,), (512, 1))
LABEL, TRAIN = Label(n_pix=40), Train(noise_pool=2.0)


@pytest.fixture(scope="module")
def tileset(tmp_path_factory):
    """1410 rows, the image of 257 for validation; do not write in it."""
    return write_tileset(tmp_path_factory.mktemp("set"), SHARDS, validation=frozenset({3}))


@pytest.fixture
def own(tileset, tmp_path):
    """A copy of it to be damaged."""
    return shutil.copytree(tileset.folder, tmp_path / "set")


def all_rows(folder):
    """Tiles and counts of the whole set, as h5py reads them."""
    parts = {"tiles": [], "counts": []}
    for path in sorted(folder.glob("shard-*.h5")):
        with h5py.File(path) as file:
            for name, found in parts.items():
                found.append(file[name][()])
    return [np.concatenate(parts[name]) for name in ("tiles", "counts")]


def rows_in(store, tiles):
    """Which rows of `tiles` the store holds, in its order: no two rows are alike."""
    number = {tile.tobytes(): row for row, tile in enumerate(tiles)}
    return np.array([number[tile.tobytes()] for tile in store.tiles.pixels])


@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("bright", [0.02, 0.3, 0.6])
def test_it_holds_what_a_run_needs(tmp_path, world, monkeypatch, bright, threads):
    """All signal tiles, twice as many noise tiles, all validation tiles; few or all of a block."""
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", threads)
    tileset = write_tileset(tmp_path, SHARDS, validation=frozenset({3}), bright=bright)
    tiles, counts = all_rows(tmp_path)
    store = fill(tileset, LABEL, TRAIN, world)
    held = rows_in(store, tiles)
    signal = counts[:, 0] > 40
    validating = np.zeros(len(tiles), bool)
    validating[640:897] = True  # the third shard
    assert (np.diff(held) > 0).all()
    np.testing.assert_array_equal(store.signal, signal[held])
    np.testing.assert_array_equal(held[store.validation], np.flatnonzero(validating))
    np.testing.assert_array_equal(held[store.sampler.signal], np.flatnonzero(signal & ~validating))
    noise = held[store.sampler.noise]
    assert not (signal | validating)[noise].any()
    n_signal, n_noise = (signal & ~validating).sum(), (~signal & ~validating).sum()
    assert len(noise) == min(2 * n_signal, n_noise)
    assert len(held) == n_signal + len(noise) + 257


def test_a_batch(tileset, world):
    store = fill(tileset, LABEL, TRAIN, world)
    positions = np.array([3, 3, 0, len(store.tiles.pixels) - 1])
    expected = np.stack([store.tiles.pixels[p] for p in (3, 3, 0, -1)])
    np.testing.assert_array_equal(store.tiles.batch(positions), expected)
    out = np.zeros((6, 10, 10), np.float32)
    np.testing.assert_array_equal(store.tiles.batch(positions, out), expected)
    np.testing.assert_array_equal(out[:4], expected)
    assert not out[4:].any()


def test_repacked_shards_fill_it_alike(tileset, own, world):
    for path in own.glob("shard-*.h5"):
        with h5py.File(path, "a") as file:
            for name in ("tiles", "counts"):
                rows = file[name][()]
                del file[name]
                storage = {"compression": "gzip"} if len(rows) else {}
                file.create_dataset(name, data=rows, **storage)
    one, other = (fill(t, LABEL, TRAIN, world) for t in (tileset, read_tileset(own)))
    np.testing.assert_array_equal(one.tiles.pixels, other.tiles.pixels)
    np.testing.assert_array_equal(one.signal, other.signal)


def index_changed(folder, change):
    path = folder / "index.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "change, line",
    [
        (lambda i: i["shards"][2]["crc32"].update(tiles=1), "CRC-32 of 'tiles' "),
        (lambda i: i["shards"][2]["crc32"].update(counts=1), "CRC-32 of 'counts' "),
        (
            lambda i: (i["shards"][2].update(rows=256), i["images"][3].update(tiles=256)),
            "rows 257; expected 256 as in the index",
        ),
        (lambda i: i["preprocessing"].update(floor=1e-12), "floor 1e-11; expected 1e-12"),
        (lambda i: i.update(thresholds=[1e-7, 2e-8]), "thresholds [1e-07, 1e-08]; expected"),
    ],
)
def test_a_shard_that_is_not_the_indexs(own, world, change, line):
    index_changed(own, change)
    with pytest.raises(InputError, match=re.escape(line)) as caught:
        fill(read_tileset(own), LABEL, TRAIN, world)
    assert "shard-0000" in str(caught.value) and "in the index" in str(caught.value)


def test_shards_that_changed_places(own, world):
    """The same rows, attributes and row checksums: only the index knows."""
    other = write_tileset(own / "other", ((512, 1),), bright=0.02)
    shutil.move(other.folder / "shard-00000.h5", own / "shard-00003.h5")
    with pytest.raises(InputError, match=r"shard-00003\.h5: CRC-32 of 'tiles' \d+; expected \d+"):
        fill(read_tileset(own), LABEL, TRAIN, world)


@pytest.fixture
def format_1(own):
    """A tile set of an earlier version: its index holds the CRC-32 of all bytes of a dataset."""

    def change(index):
        index["format"] = 1
        for entry in index["shards"]:
            with h5py.File(own / entry["file"]) as file:
                for name in entry["crc32"]:
                    entry["crc32"][name] = zlib.crc32(file[name][()].tobytes())

    index_changed(own, change)
    return own


def test_a_tile_set_of_format_1_is_read(tileset, format_1, world):
    earlier = read_tileset(format_1)
    one, other = (fill(t, LABEL, TRAIN, world) for t in (tileset, earlier))
    np.testing.assert_array_equal(one.tiles.pixels, other.tiles.pixels)
    np.testing.assert_array_equal(one.signal, other.signal)
    before = json.loads((format_1 / "index.json").read_text())
    earlier.write()
    assert json.loads((format_1 / "index.json").read_text()) == before


@pytest.mark.parametrize(
    "shard, dataset, row, line",
    [
        ("shard-00000.h5", "tiles", 639, "dataset 'tiles', rows 512 to 639: checksum differs"),
        ("shard-00003.h5", "counts", 300, "dataset 'counts', rows 256 to 511: checksum differs"),
        ("shard-00000.h5", "crc32", 1, "dataset 'tiles', rows 256 to 511: checksum differs"),
    ],
)
def test_a_flipped_byte_in_a_tile_set_of_format_1(format_1, world, shard, dataset, row, line):
    path = damage(format_1, shard, dataset, row)
    with pytest.raises(InputError, match=re.escape(line)) as caught:
        fill(read_tileset(format_1), LABEL, TRAIN, world)
    assert str(caught.value).startswith(str(path))


def damage(folder, shard, dataset, row):
    path = folder / shard
    with h5py.File(path) as file:
        at = file[dataset].id.get_offset() + row * file[dataset][0].nbytes
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "shard, dataset, row, line",
    [
        ("shard-00000.h5", "tiles", 639, "dataset 'tiles', rows 512 to 639: checksum differs"),
        ("shard-00002.h5", "tiles", 256, "dataset 'tiles', rows 256 to 256: checksum differs"),
        ("shard-00003.h5", "counts", 300, "dataset 'counts', rows 256 to 511: checksum differs"),
        ("shard-00000.h5", "crc32", 1, "CRC-32 of 'tiles'"),
        ("shard-00000.h5", "crc32_counts", 2, "CRC-32 of 'counts'"),
    ],
)
@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("held", ["memory", "disk"])
def test_a_flipped_byte_is_named(own, world, monkeypatch, shard, dataset, row, line, threads, held):
    """Before the first step, wherever the tiles are held."""
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", threads)
    path = damage(own, shard, dataset, row)
    with pytest.raises(InputError, match=re.escape(line)) as caught:
        fill(read_tileset(own), LABEL, replace(TRAIN, store=held), world)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("image, row, where", [(3, 256, 256), (1, 5, 305)])
@pytest.mark.parametrize("held", ["memory", "disk"])
def test_a_pixel_that_is_no_number(tmp_path, world, image, row, where, held):
    """In a tile that was written so: its checksum is right. All tiles are kept here."""
    tileset = write_tileset(
        tmp_path, SHARDS, validation=frozenset({3}), bright=0.6, spoil={image: row}
    )
    shard = "shard-00002.h5" if image == 3 else "shard-00000.h5"
    line = f"{tmp_path / shard}: dataset 'tiles', rows {where} to {where}: a pixel is not finite"
    with pytest.raises(InputError, match=re.escape(line)):
        fill(tileset, LABEL, replace(TRAIN, store=held), world)


def test_a_shard_that_is_a_link_to_other_data(own, world):
    with h5py.File(own / "shard-00002.h5", "a") as file:
        del file["tiles"]
        file["tiles"] = h5py.ExternalLink("shard-00003.h5", "tiles")
    with pytest.raises(InputError, match="shard-00002.h5: 'tiles' is an external link; refused"):
        fill(read_tileset(own), LABEL, TRAIN, world)
