"""The server's pure parts: records and states, the blob index, watchers, eviction, addresses."""

import pytest

from gpu_server.server.blob_index import BlobIndex
from gpu_server.server.eviction import plan_eviction
from gpu_server.server.jobs import JobRecord, JobTable, check_output_free
from gpu_server.server.settings import ServerSettings, is_loopback, split_bind
from gpu_server.server.watchers import EVENT_S, Watchers, WatchEvent
from void_bridge.config import Config
from void_bridge.errors import MissingFrames, ProtocolError, Refused, UnknownJob, UsageError
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource
from void_bridge.protocol.framing import PART_BYTES
from void_bridge.protocol.messages import InputFile, ResultFrame, Submit


def job(frames="1-3", **changes):
    matte = MatteSource("/m/m.####.exr")
    given = {"output": "/o/o.####.exr", "colour": Colour("ACEScg", "ocio://x"), "remove": matte, **changes}
    return Job(plate="/p/p.####.exr", frames=FrameRange.parse(frames), **given)


def record(job_id="a", state="queued", transport="inline", blobs=(), frame_bytes=0, **changes):
    inputs = tuple(InputFile(f"/p/{digest}", size, digest) for digest, size in blobs)
    made = JobRecord(job_id, changes.pop("job", job()), inputs, transport, state=state, **changes)
    if frame_bytes:
        made.frames = {1: ResultFrame(1, "", frame_bytes)}
    return made


# --- records and states -------------------------------------------------------------------------


def test_a_job_goes_through_its_states_and_counts_attempts():
    made = record(state="receiving")
    for state, attempt in [("queued", 0), ("running", 1), ("queued", 1), ("running", 2), ("done", 2)]:
        made.move(state)
        assert (made.state, made.attempt) == (state, attempt)
    assert made.is_final and made.started is None


@pytest.mark.parametrize(
    ("state", "following"),
    [("receiving", "running"), ("queued", "done"), ("done", "queued"), ("cancelled", "done"), ("failed", "running")],
)
def test_other_transitions_are_defects(state, following):
    with pytest.raises(AssertionError):
        record(state=state).move(following)


def test_only_the_latest_attempt_counts():
    made = record()
    made.move("running")
    made.move("queued")
    made.move("running")
    assert made.is_running_attempt(2) and not made.is_running_attempt(1)
    made.move("cancelled")
    assert not made.is_running_attempt(2)


def test_frames_to_come_are_counted_without_handles_unless_those_are_delivered():
    sent = tuple(InputFile(f"/p/p.{frame:04d}.exr", 1) for frame in range(0, 6))
    wide = job("2-3", handles=8)
    assert JobRecord("a", wide, sent, "path").delivered.frames == (2, 3)
    assert JobRecord("a", wide.replace(deliver_handles=True), sent, "path").delivered.frames == (0, 1, 2, 3, 4, 5)
    assert JobRecord("a", wide.replace(deliver_handles=True), sent, "path").status().frames == 6


def test_delivered_handles_follow_the_step():
    sent = tuple(InputFile(f"/p/p.{frame:04d}.exr", 1) for frame in range(0, 20))
    assert JobRecord("a", job("5-9x2", handles=2, deliver_handles=True), sent, "path").delivered.frames == (
        1,
        3,
        5,
        7,
        9,
        11,
        13,
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"id": "a/b"}, "job id"),
        ({"id": ""}, "job id"),
        ({"priority": 101}, "priority"),
        ({"inputs": (InputFile("p", 1, "xyz"),)}, "digest"),
        ({"inputs": (InputFile("p", -1, "ab" * 32),)}, "size"),
        ({"inputs": (InputFile("p", 1, "ab" * 32), InputFile("p", 1, "ab" * 32))}, "twice"),
    ],
)
def test_an_invalid_submission_is_refused(fields, words):
    submit = Submit(**{"id": "a", "job": job(), "inputs": (), "transport": "inline", **fields})
    with pytest.raises(ProtocolError, match=words):
        JobRecord.from_submit(submit, b"", 0.0)


def test_the_same_submission_is_recognised():
    made = record(blobs=[("ab" * 32, 5)])
    assert made.is_same(Submit("a", made.job, made.inputs, "inline"))
    assert made.is_same(Submit("a", made.job, (), "path"))
    assert not made.is_same(Submit("a", made.job, (), "inline"))
    assert not made.is_same(Submit("a", made.job.replace(seed=1), made.inputs, "inline"))


def test_an_output_is_held_however_it_is_written():
    held = [record("first")]
    with pytest.raises(Refused, match="first is queued"):
        check_output_free("/o\\o.####.exr", held)
    check_output_free("/o/other.####.exr", held)


def test_a_table_knows_its_jobs():
    table = JobTable([record("a", "running"), record("b", "done"), record("c", "receiving")])
    assert [made.id for made in table.active()] == ["a", "c"]
    assert "b" in table and "d" not in table
    table.remove("b")
    with pytest.raises(UnknownJob, match="'b'"):
        table.get("b")


# --- the blob index -----------------------------------------------------------------------------------


def test_a_blob_is_wanted_until_it_is_held():
    blob_index = BlobIndex()
    with pytest.raises(Refused):
        blob_index.wanted_size("d")
    blob_index.want({"d": 5})
    assert blob_index.wanted_size("d") == 5 and blob_index.lacks("d")
    blob_index.add("d", 5)
    assert blob_index.wanted_size("d") is None and not blob_index.lacks("d")
    blob_index.want({"d": 5})
    blob_index.remove({"d"})
    with pytest.raises(Refused):
        blob_index.wanted_size("d")


def test_frames_are_found_until_their_job_is_withdrawn():
    blob_index = BlobIndex()
    blob_index.publish("a", ResultFrame(1, "", 5))
    assert blob_index.frame("a", 1).size == 5
    blob_index.withdraw("a")
    with pytest.raises(MissingFrames):
        blob_index.frame("a", 1)


# --- watchers -----------------------------------------------------------------------------------


def present(_):
    return True


def test_many_changes_are_one_event_and_five_a_second_at_most():
    watchers = Watchers()
    watchers.add("job", b"c", False, now=0.0)
    events = 0
    for step in range(1000):
        watchers.changed("job")
        events += len(watchers.due(step / 100, present))
    assert 40 <= events <= 50


def test_there_is_no_event_without_a_change():
    watchers = Watchers()
    watchers.add("job", b"c", False, now=0.0)
    assert watchers.due(10.0, present) == []
    watchers.changed("other")
    assert watchers.due(20.0, present) == []


def test_previews_go_to_clients_that_asked_for_them():
    watchers = Watchers()
    watchers.add("job", b"plain", False, now=0.0)
    watchers.add("job", b"keen", True, now=0.0)
    watchers.due(1.0, present)
    watchers.previewed("job", 7, b"png")
    assert watchers.due(2.0, present) == [WatchEvent("job", b"keen", (7, b"png"), False)]


def test_a_late_watcher_gets_the_latest_preview():
    watchers = Watchers()
    watchers.previewed("job", 7, b"png")
    watchers.add("job", b"keen", True, now=0.0)
    assert watchers.due(EVENT_S, present) == [WatchEvent("job", b"keen", (7, b"png"), False)]


def test_a_preview_too_large_for_a_message_is_left_out():
    watchers = Watchers()
    watchers.previewed("job", 7, b"x" * (PART_BYTES + 1))
    watchers.add("job", b"keen", True, now=0.0)
    assert watchers.due(EVENT_S, present) == [WatchEvent("job", b"keen", None, False)]


def test_a_client_that_has_gone_is_dropped():
    watchers = Watchers()
    watchers.add("job", b"gone", False, now=0.0)
    watchers.changed("job")
    assert watchers.due(1.0, lambda _: False) == []
    assert watchers.due(2.0, present) == []


# --- eviction -------------------------------------------------------------------------------


def test_under_the_limit_everything_stays():
    plan = plan_eviction([record(state="failed", frame_bytes=10)], {"x": 10}, 20)
    assert (plan.blobs, plan.jobs, plan.left_bytes) == (frozenset(), (), 20)


def test_unneeded_inputs_go_first():
    jobs = [record("old", "done", blobs=[("x", 10)], frame_bytes=10, fetched=True), record("new", blobs=[("y", 10)])]
    plan = plan_eviction(jobs, {"x": 10, "y": 10}, 20)
    assert (plan.blobs, plan.jobs, plan.left_bytes) == (frozenset({"x"}), (), 20)


def test_ended_jobs_go_oldest_first_and_no_more_than_needed():
    jobs = [record(name, "done", frame_bytes=10, fetched=True) for name in ("a", "b", "c")]
    assert plan_eviction(jobs, {}, 20).jobs == ("a",)
    assert plan_eviction(jobs, {}, 5).jobs == ("a", "b", "c")


def test_ended_jobs_are_kept_up_to_a_limit():
    jobs = [record(name, "failed") for name in ("a", "b", "c")]
    jobs[1:1] = [record("runs", "running"), record("unfetched", "done")]
    assert plan_eviction(jobs, {}, 1000, ended_max=2).jobs == ("a",)
    assert plan_eviction(jobs, {}, 1000, ended_max=0).jobs == ("a", "b", "c")
    assert plan_eviction(jobs, {}, 1000, frozenset({"a"}), ended_max=1).jobs == ("b",)


@pytest.mark.parametrize("state", ["receiving", "queued", "running", "done"])
def test_needed_inputs_and_unfetched_results_stay_over_the_limit(state):
    plan = plan_eviction([record("a", state, frame_bytes=10, blobs=[("x", 10)])], {"x": 10}, 0)
    assert plan.jobs == ()
    assert plan.blobs == (frozenset({"x"}) if state == "done" else frozenset())


def test_a_job_that_a_worker_still_holds_stays():
    assert plan_eviction([record("a", "cancelled", frame_bytes=10)], {}, 0, frozenset({"a"})).jobs == ()


# --- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("tcp://127.0.0.1:*", ("127.0.0.1", None)),
        ("tcp://*:5570", ("*", 5570)),
        ("tcp://gpu-1.site:5570", ("gpu-1.site", 5570)),
    ],
)
def test_an_address_has_a_host_and_a_port(url, parts):
    assert split_bind(url) == parts


@pytest.mark.parametrize(
    "url", ["", "tcp://", "tcp://x", "tcp://x:0", "tcp://x:65535", "tcp://x:1/y", "udp://x:1", "tcp://x:1:2"]
)
def test_another_address_is_refused(url):
    with pytest.raises(UsageError, match="expected tcp://HOST:PORT"):
        split_bind(url)


def test_loopback_addresses_are_recognised():
    assert is_loopback("tcp://127.0.0.1:*") and is_loopback("tcp://localhost:1")
    assert not any(is_loopback(f"tcp://{host}:1") for host in ("0.0.0.0", "*", "127.0.0.1.evil.example", "gpu1"))


def test_settings_come_from_a_configuration(tmp_path):
    config = Config(spool=tmp_path, bind="tcp://gpu1:5570", roots=("/shots",), workers=3, spool_limit_gb=1.5)
    settings = ServerSettings.from_config(config, autostarted=True)
    assert (settings.workers, settings.spool_limit_bytes, settings.autostarted) == (3, 1_500_000_000, True)
    assert settings.allowed_roots == ("/shots",)


def test_without_roots_loopback_reads_what_its_user_may_and_others_nothing(tmp_path):
    config = Config(spool=tmp_path)
    assert ServerSettings.from_config(config).allowed_roots == ("/",)
    assert ServerSettings.from_config(config.replace(bind="tcp://0.0.0.0:5570")).allowed_roots == ()
