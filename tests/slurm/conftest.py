"""A Slurm cluster for the tests of this folder, started once, where there can be one."""

import pytest
from cluster import Cluster, install, missing


@pytest.fixture(scope="session")
def cluster(request):
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        reason = install() or missing()
    if reason:
        pytest.skip(reason)
    with Cluster() as running:
        yield running
