"""The benchmarks' own pieces run, and time what they say."""

import json

import pytest

from benchmarks import tile_store, training
from cosmodeep_hpc.learn import gradient


@pytest.mark.parametrize("cores, way", [(True, "ByCores"), (False, "ByTensorFlow")])
def test_a_stretch_of_steps_in_each_way(tf, world, monkeypatch, cores, way):
    taken = []
    for name in ("ByCores", "ByTensorFlow"):
        kind = getattr(gradient, name)

        def rows(self, *given, name=name, plain=kind.rows):
            taken.append(name)
            return plain(self, *given)

        monkeypatch.setattr(kind, "rows", rows)
    stretch = training.resident(tf, world, cores=cores)
    assert stretch() > 0
    assert set(taken) == {way} and len(taken) == 2 * training.STEPS


def test_one_rank_times_what_it_fills(tiles, tmp_path):
    out = tmp_path / "found.json"
    tile_store.worker(tiles, out, rounds=1)
    found = json.loads(out.read_text())
    assert set(found["times"]) == {"fresh", "whole", "cached", "ours"} and found["kept"] > 0
    assert all(seconds > 0 for pair in found["times"].values() for seconds in pair)
