"""The stage `tiles`: which tiles are kept, what is written, and what is refused."""

import json
import shutil
import zlib

import h5py
import numpy as np
import pytest
from astropy.io import fits
from support.fields import NOISE, write, write_pairs

from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.tiles import make
from cosmodeep_hpc.tiles.make import fingerprint_of, split
from cosmodeep_hpc.tiles.shard import open_shard
from cosmodeep_hpc.tiles.tileset import read_tileset


@pytest.mark.parametrize(
    "n, share, count",
    [
        (10, 0.1, 1),
        (10, 0.3, 3),
        (203, 0.1, 20),
        (2, 0.1, 1),  # one at least, where a share is asked for
        (2, 0.99, 1),  # one at least is trained on
        (5, 0.99, 4),
        (1, 0.5, 0),  # a single image is trained on
        (10, 0.0, 0),
    ],
)
def test_split(n, share, count):
    chosen = split(n, share, seed=1)
    assert len(chosen) == count and chosen <= set(range(n))


def test_split_depends_on_the_seed_alone():
    assert split(50, 0.2, 1) == split(50, 0.2, 1) != split(50, 0.2, 2)


def test_tiles_of_a_pair_by_hand(tmp_path, world):
    """100 x 70 pixels: 2 x 1 whole tiles of 40, of which row 1 has a NaN in its Sky image."""
    random = np.random.default_rng(1)
    sky = np.zeros((100, 70), np.float32)
    sky[0, :41] = 2e-7  # 40 of these are in tile (0, 0)
    sky[50, 20] = np.nan
    noise = random.normal(0, NOISE, sky.shape).astype(np.float32)
    write(tmp_path / "sky-a.fits", sky)
    write(tmp_path / "noise-a.fits", noise)
    settings = configuration.load(None, [("tiles.keep_sky", "true")])
    tileset = make.run(settings, tmp_path, tmp_path / "out", world)
    (image,) = tileset.images
    assert (image.tiles, image.left_out, image.shape) == (1, 5, (100, 70))  # of 3 x 2
    assert image.fingerprint == fingerprint_of(noise)
    with open_shard(tmp_path / "out" / "shard-00000.h5") as shard:
        found = {n: shard.read(n, 0, 1) for n in ("tiles", "sky", "counts", "image", "row", "col")}
    assert (found["image"][0], found["row"][0], found["col"][0]) == (0, 0, 0)
    assert found["counts"].tolist() == [[40, 40, 40, 40]]
    np.testing.assert_array_equal(found["sky"][0], sky[:40, :40])
    expected = np.arcsinh(noise[:40, :40].astype(float) / image.level.sigma)
    np.testing.assert_allclose(found["tiles"][0], expected, rtol=1e-5, atol=1e-6)
    assert image.level.sigma == pytest.approx(NOISE, rel=0.05)


def test_tiles_with_their_surroundings(tmp_path, world):
    """The window of tile (0, 1) of an image of 40 x 80: what lies beyond it is an empty sky's 0."""
    sky = np.zeros((40, 80), np.float32)
    sky[0, :41] = 2e-7  # 40 pixels are tile (0, 0)'s: in the margin of (0, 1) they do not count
    noise = np.random.default_rng(1).normal(0, NOISE, sky.shape).astype(np.float32)
    write(tmp_path / "sky-a.fits", sky)
    write(tmp_path / "noise-a.fits", noise)
    settings = configuration.load(None, [("tiles.margin", "8"), ("tiles.keep_sky", "true")])
    tileset = make.run(settings, tmp_path, tmp_path / "out", world)
    assert (tileset.preprocessing.margin, tileset.preprocessing.window) == (8, 56)
    with open_shard(tmp_path / "out" / "shard-00000.h5") as shard:
        tiles, counts = shard.read("tiles", 0, 2), shard.read("counts", 0, 2)
        assert shard.window == 56 and shard.read("sky", 0, 2).shape == (2, 40, 40)
    assert counts[:, 0].tolist() == [40, 1]
    expected = np.arcsinh(noise / tileset.images[0].level.sigma)
    np.testing.assert_allclose(tiles[1, 8:48, :48], expected[:, 32:], rtol=1e-5, atol=1e-6)
    assert not tiles[1, :8].any() and not tiles[1, 48:].any() and not tiles[1, :, 48:].any()


def test_rows_stand_in_the_order_of_images_and_tiles(tiles, pairs):
    """Shards of two images; the images by name, their tiles row by row."""
    tileset = read_tileset(tiles)
    assert [s.images for s in tileset.shards] == [(0, 1), (2, 3), (4,)]
    assert [i.name for i in tileset.images] == [f"{n:05d}" for n in range(5)]
    assert (tileset.n_rows, tileset.first_rows) == (125, [0, 50, 100])
    with open_shard(tiles / "shard-00001.h5") as shard:
        place = np.stack([shard.read(n, 0, 50) for n in ("image", "row", "col")], axis=1)
        counts, tile = shard.read("counts", 0, 50), shard.read("tiles", 0, 50)[25 + 7]
    assert place.tolist() == [[i, r, c] for i in (2, 3) for r in range(5) for c in range(5)]
    # row 32 is tile (1, 2) of image 3
    sky = fits.getdata(pairs / "sky-00003.fits")[40:80, 80:120]
    assert counts[32].tolist() == [int((sky > np.float32(t)).sum()) for t in tileset.thresholds]
    noise = fits.getdata(pairs / "noise-00003.fits")[40:80, 80:120]
    sigma = tileset.images[3].level.sigma
    np.testing.assert_allclose(tile, np.arcsinh(noise / sigma), rtol=1e-5, atol=1e-6)


def test_index_says_what_the_shards_hold(tiles, settings):
    index = json.loads((tiles / "index.json").read_text())
    assert index["rows"] == sum(s["rows"] for s in index["shards"]) == 125
    assert [i["split"] for i in index["images"]].count("validation") == 1
    for entry in index["shards"]:
        with h5py.File(tiles / entry["file"]) as file:
            assert zlib.crc32(file["crc32"][()].tobytes()) == entry["crc32"]["tiles"]
            for name, value in index["preprocessing"].items():
                assert file.attrs[name] == value
            assert file.attrs["thresholds"].tolist() == index["thresholds"]
            assert file.attrs["pixel_scale_arcsec"] == pytest.approx([9.6] * len(entry["images"]))
            assert file.attrs["beam_arcsec"] == pytest.approx(
                np.full((len(entry["images"]), 2), 10)
            )
    assert configuration.load(tiles / "config.json") == settings


def test_an_index_reads_back(pairs, settings, world, tmp_path):
    made = make.run(settings, pairs, tmp_path, world)
    assert read_tileset(tmp_path) == made


@pytest.mark.parametrize("scaling", ["minmax", "range"])
def test_log_scalings_are_within_0_and_1(pairs, world, tmp_path, scaling):
    settings = configuration.load(None, [("tiles.scaling", scaling)])
    make.run(settings, pairs, tmp_path, world)
    with open_shard(tmp_path / "shard-00000.h5") as shard:
        found = shard.read("tiles", 0, shard.n_rows)
    assert found.min() == 0 and 0 < found.max() <= 1


def test_a_tile_set_is_not_overwritten_unasked(pairs, settings, world, tmp_path):
    make.run(settings, pairs, tmp_path, world)
    before = (tmp_path / "shard-00000.h5").read_bytes()
    with pytest.raises(InputError, match="holds a tile set already; .*--overwrite"):
        make.run(settings, pairs, tmp_path, world)
    assert (tmp_path / "shard-00000.h5").read_bytes() == before


def test_overwriting_leaves_nothing_of_the_earlier_set(pairs, settings, world, tmp_path):
    make.run(settings, pairs, tmp_path, world)
    fewer = configuration.load(None, [("tiles.images_per_shard", "5")])
    make.run(fewer, pairs, tmp_path, world, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "config.json",
        "index.json",
        "shard-00000.h5",
    ]


def test_bad_input_does_not_cost_the_earlier_set(pairs, settings, world, tmp_path):
    make.run(settings, pairs, tmp_path / "out", world)
    broken = shutil.copytree(pairs, tmp_path / "pairs")
    (broken / "sky-00004.fits").write_bytes(b"x")
    with pytest.raises(InputError, match="sky-00004.fits"):
        make.run(settings, broken, tmp_path / "out", world, overwrite=True)
    assert read_tileset(tmp_path / "out").n_rows == 125


def test_what_a_killed_job_left_is_removed(pairs, settings, world, tmp_path):
    (tmp_path / "shard-00009.h5").write_bytes(b"x")
    (tmp_path / ".shard-00000.123.part.h5").write_bytes(b"x")
    make.run(settings, pairs, tmp_path, world)
    assert len(list(tmp_path.iterdir())) == 5  # three shards, index and configuration


def test_the_index_is_written_last(pairs, settings, world, tmp_path, monkeypatch):
    """A job that dies after its second shard leaves no index: the set is not taken for whole."""
    write_shard, written = make.write_shard, []

    def die_at_the_third(path, *rest):
        if len(written) == 2:
            raise MemoryError
        written.append(path)
        return write_shard(path, *rest)

    monkeypatch.setattr(make, "write_shard", die_at_the_third)
    with pytest.raises(MemoryError):
        make.run(settings, pairs, tmp_path, world)
    assert (tmp_path / "shard-00001.h5").exists() and not (tmp_path / "index.json").exists()
    with pytest.raises(InputError, match="no such file; expected a finished tile set"):
        read_tileset(tmp_path)


def test_images_smaller_than_a_tile(world, tmp_path, settings):
    write_pairs(tmp_path, 2, (39, 100))
    with pytest.raises(InputError, match="no tile of 40 x 40 pixels that all have data"):
        make.run(settings, tmp_path, tmp_path / "out", world)


def test_a_blank_image_is_named(world, tmp_path, settings):
    write_pairs(tmp_path, 2, (80, 80))
    write(tmp_path / "noise-00001.fits", np.full((80, 80), np.nan, np.float32))
    with pytest.raises(InputError, match=r"noise-00001\.fits: no pixel with data"):
        make.run(settings, tmp_path, tmp_path / "out", world)
