"""The journal: what was committed comes back, what failed leaves nothing, versions."""

import sqlite3
import threading

import pytest

from gpu_server.server.jobs import JobRecord
from gpu_server.server.journal import Journal, JournalThread
from gpu_server.server.schema import SCHEMA_VERSION
from void_bridge.errors import InternalError, Refused
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource
from void_bridge.protocol.messages import Failure, InputFile, ResultFrame

JOB = Job(
    "/p/p.####.exr",
    FrameRange.parse("1-3"),
    "/o/o.####.exr",
    Colour("ACEScg", "ocio://x"),
    remove=MatteSource("m", "A"),
)


def record(job_id="a", **changes):
    inputs = (InputFile("/p/p.0001.exr", 5, "ab" * 32), InputFile("/p/p.0002.exr", 6, mtime_ns=2**62))
    return JobRecord(job_id, JOB, inputs, "path", "ann", 60, 12.5, files={"/p/p.0001.exr": "/mnt/1"}, **changes)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path):
    journal = Journal(path)
    yield journal
    journal.close()


@pytest.fixture
def writer(journal):
    thread = JournalThread(journal)
    thread.start()
    yield thread
    thread.stop()
    thread.join()


def outcome_of(writer, change):
    """Return (result, error) of a change, once it is durable."""
    done, outcome = threading.Event(), []
    writer.do(change, lambda *how: (outcome.extend(how), done.set()))
    assert done.wait(10)
    return outcome


def test_a_job_comes_back_as_it_was(journal):
    journal.add_job(record(state="receiving"))
    journal.set_resolved("a", JOB.replace(engine="propagate"))
    journal.add_frame("a", 2, ResultFrame(-3, "cd" * 32, 9, "/spool/x"))
    facts = {"attempt": 2, "losses": 1, "seconds": 3.5, "error": Failure("engine", "no"), "report": {"made": [1, 2.5]}}
    journal.set_state("a", "failed", **facts)
    journal.set_fetched("a")
    (found,) = journal.jobs()
    expected = record(state="failed", fetched=True, resolved=JOB.replace(engine="propagate"), **facts)
    expected.frames, expected.touched = {-3: ResultFrame(-3, "cd" * 32, 9, "/spool/x")}, found.touched
    assert found == expected


def test_jobs_come_back_in_the_order_in_which_they_came_after_a_clock_change(journal):
    for job_id, created in (("b", 5.0), ("c", 1.0), ("a", 3.0)):
        job = record(job_id)
        job.created = created
        journal.add_job(job)
    assert [job.id for job in journal.jobs()] == ["b", "c", "a"]


def test_a_job_is_added_once(journal):
    journal.add_job(record())
    with pytest.raises(sqlite3.IntegrityError):
        journal.add_job(record())


def test_inputs_and_frames_go_with_their_job(journal):
    journal.add_job(record())
    journal.add_frame("a", 1, ResultFrame(1, "", 1))
    journal.remove_job("a")
    journal.add_job(record())
    (found,) = journal.jobs()
    assert found.frames == {} and len(found.inputs) == 2


def test_a_frame_of_no_job_is_refused(journal):
    with pytest.raises(sqlite3.IntegrityError):
        journal.add_frame("none", 1, ResultFrame(1, "", 1))


def test_blobs_are_remembered_until_they_are_removed(journal):
    journal.add_blob("a", 1)
    journal.add_blob("b", 2)
    journal.add_blob("b", 2)
    journal.remove_blobs({"a"})
    assert journal.blobs() == {"b": 2}


def test_uncommitted_changes_are_discarded(path, journal):
    journal.begin()
    journal.add_blob("a", 1)
    other = Journal(path)
    assert other.blobs() == {}
    other.close()
    journal.rollback()
    assert journal.blobs() == {}


def test_the_journal_is_durable_at_every_commit(path, journal):
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_opening_again_keeps_everything(path, journal):
    journal.add_job(record())
    again = Journal(path)
    assert [job.id for job in again.jobs()] == ["a"]
    again.close()


def test_a_new_file_has_the_version_of_the_code(path, journal):
    assert journal._db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_a_newer_version_is_refused(path, journal):
    journal._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(Refused, match=f"version {SCHEMA_VERSION + 1}.*knows {SCHEMA_VERSION}"):
        Journal(path)


def test_a_file_that_is_no_journal_is_refused(path):
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(Refused, match="cannot read the journal"):
        Journal(path)


# --- the thread ---------------------------------------------------------------------------------


def test_a_change_is_reported_once_others_can_see_it(path, writer):
    assert outcome_of(writer, lambda journal: journal.add_blob("a", 1)) == [None, None]
    other = Journal(path)
    assert other.blobs() == {"a": 1}
    other.close()


def test_changes_are_made_and_reported_in_order(writer):
    reported, done = [], threading.Event()
    for i in range(600):
        writer.do(lambda journal, i=i: journal.add_blob(str(i), i), lambda *_, i=i: reported.append(i))
    writer.do(lambda journal: len(journal.blobs()), lambda count, _: (reported.append(count), done.set()))
    assert done.wait(30) and reported == [*range(600), 600]


def test_a_change_that_fails_leaves_nothing_and_does_not_touch_its_neighbours(journal):
    writer = JournalThread(journal)
    outcomes = {}

    def half(journal):
        journal.add_blob("half", 1)
        raise sqlite3.IntegrityError("on purpose")

    done = threading.Event()
    writer.do(lambda journal: journal.add_blob("before", 1), lambda *how: outcomes.update(before=how))
    writer.do(half, lambda *how: outcomes.update(half=how))
    writer.do(lambda journal: journal.blobs(), lambda *how: (outcomes.update(after=how), done.set()))
    writer.start()  # the three are one commit
    assert done.wait(10)
    writer.stop()
    writer.join()
    assert outcomes["before"] == (None, None) and outcomes["after"] == ({"before": 1}, None)
    assert isinstance(outcomes["half"][1], InternalError)


def test_a_barrier_comes_after_the_changes_before_it_are_durable(path, writer):
    seen, done = [], threading.Event()
    for i in range(300):
        writer.do(lambda journal, i=i: journal.add_blob(str(i), i))

    def look():
        other = Journal(path)
        seen.append(len(other.blobs()))
        other.close()
        done.set()

    writer.barrier(look)
    assert done.wait(30) and seen == [300]


def test_a_barrier_comes_after_a_change_that_failed(writer):
    order, done = [], threading.Event()

    def refuse(journal):
        raise Refused("no")

    writer.do(refuse, lambda _, error: order.append(error.code))
    writer.barrier(lambda: (order.append("barrier"), done.set()))
    assert done.wait(10) and order == ["refused", "barrier"]


def test_a_barrier_alone_writes_nothing(journal, writer, monkeypatch):
    monkeypatch.setattr(journal, "begin", lambda: pytest.fail("nothing is to be written"))
    done = threading.Event()
    writer.barrier(done.set)
    assert done.wait(10)


def test_our_own_errors_come_through(writer):
    def refuse(journal):
        raise Refused("no")

    _, error = outcome_of(writer, refuse)
    assert isinstance(error, Refused)


def test_a_full_disk_is_named(writer):
    def full(journal):
        raise sqlite3.OperationalError("database or disk is full")

    _, error = outcome_of(writer, full)
    assert error.code == "disk_full" and "free some space" in error.message


def test_stopping_commits_what_was_given(path, journal):
    writer = JournalThread(journal)
    for i in range(5):
        writer.do(lambda journal, i=i: journal.add_blob(str(i), i))
    writer.stop()
    writer.start()
    writer.join()
    again = Journal(path)
    assert len(again.blobs()) == 5
    again.close()
