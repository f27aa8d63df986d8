"""An index that contradicts itself, or leads out of its folder, is refused."""

import json
import re

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
        (lambda i: i.update(format=2), "format 2; expected an index of format 1"),
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
