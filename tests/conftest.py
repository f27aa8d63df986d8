"""Fixtures of all tests. This folder is on the path: `from support.fields import write_pairs`."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when NumPy and TensorFlow are imported

import pytest
from support.fields import write_pairs

from cosmodeep_hpc.config import configuration
from cosmodeep_hpc.parallel import runtime
from cosmodeep_hpc.parallel.world import open_world
from cosmodeep_hpc.tiles import make


@pytest.fixture(scope="session")
def world():
    """The world of a process started alone."""
    return open_world()


@pytest.fixture(scope="session")
def tf(world):
    """TensorFlow, imported once."""
    return runtime.start_tensorflow(world)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    """A folder of five pairs of 200 x 200 pixels; do not write in it."""
    return write_pairs(tmp_path_factory.mktemp("pairs"), 5, (200, 200), seed=3)


@pytest.fixture(scope="session")
def settings():
    """A configuration with two images a shard, one for validation, and labels met by blobs."""
    changes = {"tiles.images_per_shard": "2", "tiles.validation": "0.2"}
    return configuration.load(None, list(changes.items()))


@pytest.fixture(scope="session")
def tiles(pairs, settings, world, tmp_path_factory):
    """The tile set of `pairs`: 125 tiles in three shards; do not write in it."""
    folder = tmp_path_factory.mktemp("tiles")
    make.run(settings, pairs, folder, world)
    return folder
