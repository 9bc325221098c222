"""The spool's folders: blobs, attempts, what a start removes, one server at a time."""

from pathlib import Path

import pytest

from gpu_server.server.spool import Spool
from void_bridge.errors import OutputError, Refused
from void_bridge.protocol.messages import ResultFrame

DIGEST = "ab" * 32


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path / "spool")
    yield spool
    spool.close()


def put(spool, digest=DIGEST, data=b"bytes"):
    upload = spool.new_upload()
    upload.write_bytes(data)
    spool.adopt(upload, digest)


def test_an_upload_becomes_a_blob_under_its_digest(spool):
    put(spool)
    assert spool.blob_path(DIGEST).read_bytes() == b"bytes"
    assert spool.blob_path(DIGEST).relative_to(spool.root) == Path("blobs") / "ab" / DIGEST
    assert not list((spool.root / "incoming").iterdir())


def test_the_same_blob_twice_is_one(spool):
    put(spool)
    put(spool)
    assert len(list((spool.root / "blobs").glob("*/*"))) == 1


def test_uploads_do_not_share_a_file(spool):
    assert spool.new_upload() != spool.new_upload()


def test_an_attempt_starts_with_an_empty_folder_and_the_jobs_scratch(spool):
    spool.prepare_attempt("job", 1)
    (spool.scratch_dir("job") / "kept").write_text("from attempt 1")
    (spool.frames_dir("job", 2)).mkdir()
    (spool.frames_dir("job", 2) / "left.exr").write_text("of an attempt that was never journaled")
    spool.prepare_attempt("job", 2)
    assert not list(spool.frames_dir("job", 2).iterdir())
    assert (spool.scratch_dir("job") / "kept").exists()


def test_removing_a_job_or_its_scratch_leaves_the_rest(spool):
    for job in ("a", "b"):
        spool.prepare_attempt(job, 1)
    spool.remove_scratch("a")
    spool.remove_job("b")
    assert spool.frames_dir("a", 1).exists() and not spool.scratch_dir("a").exists()
    assert not (spool.root / "jobs" / "b").exists()
    spool.remove_job("b")


def test_a_sweep_removes_what_the_journal_does_not_know(spool):
    put(spool)
    put(spool, "cd" * 32)
    spool.new_upload().write_bytes(b"half")
    spool.prepare_attempt("known", 1)
    spool.prepare_attempt("unknown", 1)
    assert spool.sweep({DIGEST: 5}, ["known"]) == set()
    assert spool.blob_path(DIGEST).exists() and not spool.blob_path("cd" * 32).exists()
    assert [path.name for path in (spool.root / "jobs").iterdir()] == ["known"]
    assert not list((spool.root / "incoming").iterdir())


def test_a_sweep_names_blobs_that_are_lost_or_not_whole(spool):
    put(spool)
    assert spool.sweep({DIGEST: 6, "ee" * 32: 1}, []) == {DIGEST, "ee" * 32}


def test_a_frame_is_held_if_its_file_is_whole(spool, tmp_path):
    path = tmp_path / "1.exr"
    path.write_bytes(b"12345")
    assert spool.holds(ResultFrame(1, "", 5, str(path)))
    assert not spool.holds(ResultFrame(1, "", 6, str(path)))
    assert not spool.holds(ResultFrame(1, "", 5, str(path) + "x"))


def test_one_server_at_a_time_uses_it(spool):
    with pytest.raises(Refused, match="another server uses the spool"):
        Spool(spool.root)
    spool.close()
    Spool(spool.root).close()


def test_an_unusable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="file/spool"):
        Spool(tmp_path / "file" / "spool")
