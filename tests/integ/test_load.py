"""Many clients and jobs at once. The long form is `make torture`; figures are in docs/reference/reliability.md."""

from __future__ import annotations

import pytest

from tests.support.live_server import eventually, settings
from tests.torture.killable_server import KillableServer
from tests.torture.load import measure_memory_over, run_long_queue
from void_bridge.protocol.messages import ListJobs

LIMIT = 1_000_000


@pytest.fixture
def killable(tmp_path):
    with KillableServer(settings(tmp_path, spool_limit_bytes=LIMIT)) as made:
        yield made


def test_a_long_queue_of_many_users_is_served_in_turns_and_by_priority(killable, tmp_path):
    load = run_long_queue(killable, tmp_path, clients=8, jobs=64)
    assert load.overtaken == 0
    assert load.unfair <= 1


def test_the_server_forgets_what_has_ended_and_was_fetched(killable, tmp_path):
    measure_memory_over(killable, tmp_path, jobs=60)
    one_job = 12 * 3100

    def stored():
        files = (path for place in ("jobs", "blobs") for path in (tmp_path / "spool" / place).rglob("*"))
        return sum(path.stat().st_size for path in files if path.is_file())

    eventually(lambda: 0 < stored() <= LIMIT + one_job)
    known = killable.peer.control.ask(ListJobs(1000)).jobs
    assert len(known) < 60, "jobs that were fetched are forgotten over the limit"
