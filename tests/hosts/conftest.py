"""One server and one shot for all tests of hosts: each job has a folder and a version of its own."""

from __future__ import annotations

import pytest

from tests.hosts.shots_on_disk import make_footage, point_hosts_at, propagate_server


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch):
    """Look for a farm's frames more often than a host does."""
    monkeypatch.setattr("host_plugins.control.job_follower.DISK_POLL_S", 0.1)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Start a real server with the real propagate engine."""
    with propagate_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def served(server, monkeypatch):
    """Point the hosts of this test at that server; they start none."""
    point_hosts_at(server, monkeypatch)
    return server


@pytest.fixture(scope="session")
def footage(tmp_path_factory):
    return make_footage(tmp_path_factory.mktemp("shot"))
