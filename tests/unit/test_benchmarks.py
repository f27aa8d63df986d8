"""The benchmarks' own pieces run, and time what they say."""

import pytest

from benchmarks import training
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
