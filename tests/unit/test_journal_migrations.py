"""Journals of every version: opened by today's code, nothing is lost; interrupted, nothing has happened."""

from __future__ import annotations

import hashlib
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from gpu_server.server import schema
from gpu_server.server.journal import Journal
from gpu_server.server.schema import MIGRATIONS, SCHEMA_VERSION, backup_path
from tests.support import journals
from tests.support.live_server import Client, make_plate, make_submit, running, settings
from void_bridge.errors import DiskFull, Refused
from void_bridge.protocol.messages import Failure

FIXTURES = Path(__file__).parents[1] / "data/journals"
RECORDED = {1: "72524610b284"}
"""Version -> digest of its tables. A version that was released is never changed: add the next one."""

UNENDED = {"running", "queued", "receiving"}
STEP_2 = "ALTER TABLE jobs ADD COLUMN label TEXT NOT NULL DEFAULT ''; CREATE TABLE notes (job TEXT PRIMARY KEY);"


def fixture(version: int, spool: Path) -> Path:
    """Put a journal of an old version below `spool`."""
    spool.mkdir(parents=True, exist_ok=True)
    path = spool / "journal.sqlite"
    with closing(sqlite3.connect(path)) as database:
        text = (FIXTURES / f"version-{version}.sql").read_text(encoding="utf-8")
        database.executescript(text.replace("{SPOOL}", spool.as_posix()))
    return path


def tables(path: Path) -> str:
    """Return the SQL of the tables, with single spaces."""
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    return "\n".join(re.sub(r"\s+", " ", sql) for (sql,) in rows)


def digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as database:
        return {
            name: database.execute(f"SELECT * FROM {name}").fetchall() for name in ("jobs", "inputs", "frames", "blobs")
        }


# --- no version without a step, a record and a fixture --------------------------------------------


def test_every_version_has_its_step_its_record_and_its_fixture():
    assert list(MIGRATIONS) == list(range(1, SCHEMA_VERSION + 1))
    assert sorted(RECORDED) == sorted(MIGRATIONS), "record the digest of the new version's tables"
    there = sorted(int(path.stem.partition("-")[2]) for path in FIXTURES.glob("version-*.sql"))
    assert there == sorted(MIGRATIONS), "keep a journal of every version: see tests/data/journals/README.md"


@pytest.mark.parametrize("version", sorted(RECORDED))
def test_a_version_that_was_released_is_not_edited(version, tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "MIGRATIONS", {n: step for n, step in MIGRATIONS.items() if n <= version})
    monkeypatch.setattr(schema, "SCHEMA_VERSION", version)
    Journal(tmp_path / "journal.sqlite").close()
    assert digest(tables(tmp_path / "journal.sqlite")) == RECORDED[version]
    old = fixture(version, tmp_path / "old")
    assert (digest(tables(old)), version_of(old)) == (RECORDED[version], version)


@pytest.mark.parametrize("version", sorted(RECORDED))
def test_an_old_journal_ends_with_the_tables_of_a_new_one(version, tmp_path):
    old = fixture(version, tmp_path / "old")
    Journal(old).close()
    Journal(tmp_path / "journal.sqlite").close()
    assert columns(old) == columns(tmp_path / "journal.sqlite")
    assert version_of(old) == SCHEMA_VERSION


def columns(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: database.execute(f"SELECT * FROM pragma_table_info('{name}')").fetchall() for name in names}


# --- everything comes back ------------------------------------------------------------------------


@pytest.mark.parametrize("version", sorted(RECORDED))
def test_jobs_in_every_state_come_back(version, tmp_path):
    journal = Journal(fixture(version, tmp_path))
    found = {record.id: record for record in journal.jobs()}
    blobs = journal.blobs()
    journal.close()
    assert list(found) == ["done-fetched", "done", "failed", "cancelled", "by-path", "running", "queued", "receiving"]
    states = {id: record.state for id, record in found.items()}
    assert states == {**{id: id for id in found}, "done-fetched": "done", "by-path": "failed"}
    for id, record in found.items():
        assert record.job == journals.job(id)
        assert record.inputs == journals.inputs(id, id == "by-path")
        assert record.resolved == (journals.resolved(id) if record.frames else None)
    frames = {id: sorted(record.frames) for id, record in found.items() if record.frames}
    assert frames == {
        "done-fetched": [1001, 1002, 1003],
        "done": [1001, 1002, 1003],
        "failed": [1001],
        "running": [1001],
    }
    done, failed = found["done"], found["failed"]
    assert (done.attempt, done.losses, done.report, done.fetched) == (2, 1, {"made": 2}, False)
    assert found["done-fetched"].fetched
    assert (failed.user, failed.error, failed.seconds) == ("böb", journals.FAILURE, 1.5)
    assert found["by-path"].error == Failure("input", "it has changed")
    assert found["by-path"].files == {item.path: item.path for item in journals.inputs("by-path", True)}
    assert (found["queued"].priority, found["cancelled"].priority) == (100, 0)
    assert blobs == {journals.digest(journals.blob(f)): len(journals.blob(f)) for f in journals.FRAMES}


@pytest.mark.parametrize("version", sorted(RECORDED))
def test_a_server_goes_on_with_an_old_journal(version, tmp_path):
    """Unfinished jobs are done, published frames stay, and a new job works."""
    spool = tmp_path / "spool"
    path = fixture(version, spool)
    lay_out(spool, rows(path)["frames"])
    with running(settings(tmp_path)) as server, Client.of(server.settings) as client:
        for id in UNENDED:
            client.reaches(id, "done")
        assert (client.status("running").attempt, client.status("queued").attempt) == (2, 1)
        for id in ("done", "done-fetched", "running", "queued"):
            frames = client.result_of(id).frames
            assert [client.frame(id, f.frame, f.size) for f in frames] == [journals.result(n) for n in journals.FRAMES]
        assert client.status("failed").error == journals.FAILURE
        new = make_submit(make_plate(tmp_path / "plate"))
        client.upload(new)
        client.reaches(new.id, "done")


def lay_out(spool: Path, frames: list[tuple[object, ...]]) -> None:
    """Make the files that a journal of the fixture names."""
    for number in journals.FRAMES:
        name = journals.digest(journals.blob(number))
        (spool / "blobs" / name[:2]).mkdir(parents=True, exist_ok=True)
        (spool / "blobs" / name[:2] / name).write_bytes(journals.blob(number))
    for _, number, path, *_ in frames:
        Path(str(path)).parent.mkdir(parents=True, exist_ok=True)
        Path(str(path)).write_bytes(journals.result(int(str(number))))


# --- the way there --------------------------------------------------------------------------------


@pytest.fixture
def next_version(monkeypatch):
    """Add a migration, as if the next version were released."""
    monkeypatch.setattr(schema, "MIGRATIONS", {**MIGRATIONS, SCHEMA_VERSION + 1: STEP_2})
    monkeypatch.setattr(schema, "SCHEMA_VERSION", SCHEMA_VERSION + 1)


def test_a_step_keeps_every_row_and_a_copy_of_the_old_journal(tmp_path, next_version):
    path = fixture(SCHEMA_VERSION, tmp_path)
    before = rows(path)
    Journal(path).close()
    after = rows(path)
    assert [row[:-1] for row in after.pop("jobs")] == before["jobs"]
    assert after == {name: held for name, held in before.items() if name != "jobs"}
    assert version_of(path) == SCHEMA_VERSION + 1
    copy = backup_path(path, SCHEMA_VERSION)
    assert (rows(copy), version_of(copy)) == (before, SCHEMA_VERSION)
    assert copy.stat().st_mode & 0o077 == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name, copy.name]


def test_a_journal_of_this_version_is_not_copied(tmp_path):
    path = fixture(SCHEMA_VERSION, tmp_path)
    Journal(path).close()
    Journal(tmp_path / "new.sqlite").close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["journal.sqlite", "new.sqlite"]


def test_a_step_that_fails_leaves_the_journal_as_it_was(tmp_path, monkeypatch):
    path = fixture(SCHEMA_VERSION, tmp_path)
    before, was = rows(path), tables(path)
    broken = {**MIGRATIONS, SCHEMA_VERSION + 1: STEP_2, SCHEMA_VERSION + 2: "DELETE FROM blobs; DROP TABLE absent;"}
    monkeypatch.setattr(schema, "MIGRATIONS", broken)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", SCHEMA_VERSION + 2)
    with pytest.raises(Refused, match=r"cannot read the journal .*no such table: absent"):
        Journal(path)
    assert (rows(path), tables(path), version_of(path)) == (before, was, SCHEMA_VERSION)


_KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from gpu_server.server import schema
path, version, step = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
schema.MIGRATIONS[version] = step + " DELETE FROM blobs; SELECT die(); "
schema.SCHEMA_VERSION = version
database = sqlite3.connect(path, isolation_level=None)
database.execute("PRAGMA journal_mode = WAL")
database.execute("PRAGMA cache_size = 1")
database.create_function("die", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
schema.migrate(database, path)
"""


def test_a_migration_that_is_killed_in_the_middle_never_was_and_is_made_by_the_next_start(tmp_path, next_version):
    path = fixture(SCHEMA_VERSION, tmp_path)
    before, was = rows(path), tables(path)
    words = [sys.executable, "-c", _KILLED, str(path), str(SCHEMA_VERSION + 1), STEP_2]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    assert (rows(path), tables(path), version_of(path)) == (before, was, SCHEMA_VERSION)
    Journal(path).close()
    assert version_of(path) == SCHEMA_VERSION + 1
    assert [row[:-1] for row in rows(path)["jobs"]] == before["jobs"]
    assert rows(backup_path(path, SCHEMA_VERSION)) == before


def test_without_room_for_the_copy_nothing_is_migrated(tmp_path, next_version, monkeypatch):
    path = fixture(SCHEMA_VERSION, tmp_path)
    before = path.read_bytes()

    def full(database, target):
        raise DiskFull(f"no space left for {target}")

    monkeypatch.setattr(schema, "_keep_copy", full)
    with pytest.raises(DiskFull):
        Journal(path)
    assert path.read_bytes() == before


def test_a_journal_of_a_newer_version_is_refused_and_not_touched(tmp_path):
    path = fixture(SCHEMA_VERSION, tmp_path)
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(Refused, match=f"has version {SCHEMA_VERSION + 1}, this void-bridge knows {SCHEMA_VERSION}"):
        Journal(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
