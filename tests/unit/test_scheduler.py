"""The choice of the next job."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gpu_server.server.scheduler import next_job


@dataclass
class Queued:
    id: str
    user: str = "ann"
    priority: int = 50
    created: float = 0.0


def test_nothing_queued_is_nothing_to_do():
    assert next_job([], {}, {}) is None


def test_higher_priority_goes_before_longer_waiting():
    assert next_job([Queued("old", created=1), Queued("urgent", priority=51, created=9)], {}, {}) == "urgent"


def test_the_user_with_fewer_jobs_running_goes_first():
    jobs = [Queued("a", "ann", created=1), Queued("b", "bob", created=2)]
    assert next_job(jobs, {"ann": 2, "bob": 1}, {}) == "b"


def test_users_take_turns_on_one_worker():
    """If no job runs at the moment of choice, the user who was served last waits."""
    queued = [Queued(f"a{i}", "ann", created=i) for i in range(3)] + [
        Queued(f"b{i}", "bob", created=10 + i) for i in range(3)
    ]
    served, order = {}, []
    for turn in range(6):
        chosen = next_job(queued, {}, served)
        job = next(job for job in queued if job.id == chosen)
        served[job.user] = turn
        queued.remove(job)
        order.append(chosen)
    assert order == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_the_oldest_of_a_user_goes_first():
    assert next_job([Queued("b", created=2), Queued("a", created=1)], {}, {}) == "a"


def test_the_order_of_the_queue_does_not_matter():
    jobs = [Queued(f"{i}", "u" + str(i % 3), i % 2 * 10, created=7) for i in range(9)]
    assert next_job(jobs, {}, {}) == next_job(jobs[::-1], {}, {})


@given(
    st.lists(
        st.builds(Queued, st.uuids().map(str), st.sampled_from("abc"), st.integers(0, 100), st.floats(0, 9)), min_size=1
    )
)
def test_no_job_of_lower_priority_is_ever_chosen(jobs):
    chosen = next_job(jobs, {"a": 3}, {"b": 1.0})
    assert next(job for job in jobs if job.id == chosen).priority == max(job.priority for job in jobs)
