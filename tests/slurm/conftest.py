"""A Slurm cluster for the tests of this folder, started once, where there can be one."""

import pytest
from cluster import Cluster
from installation import install, missing
from scripts import bash
from support.fields import write_pairs


@pytest.fixture(scope="session")
def cluster(request):
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        reason = install() or missing()
    if reason:
        pytest.skip(reason)
    with Cluster() as running:
        yield running


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs") / "images", 4, (240, 240))


@pytest.fixture(scope="session")
def tiles(images, tmp_path_factory):
    """A tile set of four shards, made by one rank."""
    folder = tmp_path_factory.mktemp("tiles")
    words = ("--images", images, "--out", "tiles", "--tiles.images_per_shard", "1")
    done = bash(folder, "tiles.sh", *words, RANKS="1")
    assert done.returncode == 0, done.stderr
    return folder / "tiles"
