"""An index that contradicts itself, or leads out of its folder, is refused."""

import json
import re
import shutil

import pytest

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.tiles.tileset import read_tileset


def changed(tiles, tmp_path, change):
    """The index of a tile set after `change`, alone in a folder."""
    index = json.loads((tiles / "index.json").read_text())
    index = change(index) or index
    (tmp_path / "index.json").write_text(json.dumps(index))
    return tmp_path


@pytest.mark.parametrize(
    "change, line",
    [
        (lambda i: i.update(format=3), "format 3; expected an index of format 1 or 2"),
        (lambda i: i.pop("format"), "format None"),
        (lambda i: [1], "format list"),
        (lambda i: i.pop("images"), "not an index of a tile set ('images')"),
        (lambda i: i["shards"][0].pop("rows"), "not an index"),
        (lambda i: i["shards"][0].update(more=1), "not an index"),
        (lambda i: i["images"][0].update(level={}), "not an index"),
        (lambda i: i["images"].pop(), "not an index"),  # a shard of an image that is not there
        (lambda i: i["preprocessing"].update(scaling="sqrt"), "'sqrt': unknown"),
        (lambda i: i["preprocessing"].pop("floor"), "not an index"),
        (lambda i: i["shards"][0].update(file="../shard-00000.h5"), "outside the folder; refused"),
        (lambda i: i["shards"][0].update(file="/etc/passwd"), "outside the folder; refused"),
        (lambda i: i["shards"][0].update(file=".."), "'..' is outside the folder; refused"),
        (lambda i: i["shards"][0].update(file=""), "'' is outside the folder; refused"),
        (lambda i: i["shards"][0].update(file="a\0"), "outside the folder; refused"),
        (lambda i: i["shards"][0].update(file="sub/shard-00000.h5"), "outside the folder"),
        (lambda i: i["shards"][0].update(file=5), "(file of a shard = 5)"),
        (lambda i: i["shards"][0].update(rows=50.0), "(rows = 50.0)"),
        (lambda i: i["shards"][0].update(crc32={}), "not an index of a tile set ('tiles')"),
        (lambda i: i["shards"][0].update(crc32={"tiles": 1, "counts": "2"}), "'counts' = '2'"),
        (lambda i: i["shards"][0].update(images=[0, -4]), "each of its 5 images in one shard"),
        (lambda i: i["shards"].append(i["shards"][0]), "each of its 5 images in one shard"),
        (lambda i: i["images"][0].update(split="test"), "has split 'test'; expected train or"),
        (lambda i: i["images"][0].update(tiles=-25), "(tiles = -25)"),
        (lambda i: i["images"][0].update(pixel_scale="9.6"), "(pixel_scale = '9.6')"),
        (lambda i: i["images"][0].update(pixel_scale=float("nan")), "(pixel_scale = nan)"),
        (lambda i: i["images"][0]["level"].update(sigma=None), "(sigma = None)"),
        (lambda i: i["preprocessing"].update(floor=None), "(floor = None)"),
        (lambda i: i["preprocessing"].update(margin=0.5), "(margin = 0.5)"),
        (lambda i: i.update(thresholds="abc"), "(threshold 0 = 'a')"),
        (lambda i: i.update(thresholds=[1e-7, "1e-8"]), "(threshold 1 = '1e-8')"),
        (lambda i: i.update(shards=[], images=[]), "(no shard)"),
        (lambda i: i["shards"][1].update(rows=49), "of 49 rows, but its images have 50 tiles"),
    ],
)
def test_bad_index(tiles, tmp_path, change, line):
    def apply(index):
        result = change(index)
        return result if isinstance(result, list) and result == [1] else None

    with pytest.raises(InputError, match=re.escape(line)) as caught:
        read_tileset(changed(tiles, tmp_path, apply))
    assert str(caught.value).startswith(str(tmp_path / "index.json"))


def test_links_out_of_the_folder(tiles, tmp_path):
    """A shard that is a link to another place is refused; a folder that is one is not."""
    linked = tmp_path / "linked"
    linked.symlink_to(tiles)
    assert read_tileset(linked).n_rows == 125
    own = shutil.copytree(tiles, tmp_path / "own")
    shard = own / "shard-00001.h5"
    shard.rename(own / "renamed.h5")
    shard.symlink_to(own / "renamed.h5")
    assert read_tileset(own).n_rows == 125
    for target in (tiles / shard.name, shard):  # the same file elsewhere; itself
        shard.unlink()
        shard.symlink_to(target)
        with pytest.raises(InputError, match="'shard-00001.h5' is outside the folder; refused"):
            read_tileset(own)


def test_not_json(tmp_path):
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(InputError, match="index.json: not a JSON file"):
        read_tileset(tmp_path)


def test_no_index(tmp_path):
    with pytest.raises(InputError, match="index.json: no such file; expected a finished tile set"):
        read_tileset(tmp_path)


def test_column(tiles):
    tileset = read_tileset(tiles)
    assert [tileset.column(t) for t in (1e-7, 7.5e-8, 5e-8, 1e-8)] == [0, 1, 2, 3]
    with pytest.raises(InputError, match="index.json: no counts at F_th = 2e-07"):
        tileset.column(2e-7)
