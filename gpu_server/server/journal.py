"""What must survive a crash, in SQLite: jobs, their inputs and published frames, blobs.

`Journal` is the database, for one thread at a time. `JournalThread` owns one, makes the changes it is
given in order, several to a commit, and reports each once it is durable.
"""

from __future__ import annotations

import json
import logging
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpu_server.server.jobs import JobRecord
from void_bridge.errors import DiskFull, InternalError, Refused, VoidBridgeError
from void_bridge.job import Job
from void_bridge.protocol.messages import Failure, InputFile, ResultFrame
from void_bridge.typed import from_plain, to_plain

log = logging.getLogger(__name__)

_COMMIT_MAX = 256  # changes in one commit

# One script for each version of the schema, never edited once released; PRAGMA user_version counts them.
_MIGRATIONS = (
    """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY, spec TEXT NOT NULL, resolved TEXT, transport TEXT NOT NULL, user TEXT NOT NULL,
        priority INTEGER NOT NULL, created REAL NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL DEFAULT 0,
        losses INTEGER NOT NULL DEFAULT 0, seconds REAL NOT NULL DEFAULT 0, error_code TEXT, error_message TEXT,
        report TEXT NOT NULL DEFAULT '{}', fetched INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE inputs (
        job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, path TEXT NOT NULL, size INTEGER NOT NULL,
        digest TEXT NOT NULL, mtime_ns INTEGER NOT NULL, local TEXT NOT NULL, PRIMARY KEY (job, path)
    ) WITHOUT ROWID;
    CREATE TABLE frames (
        job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, frame INTEGER NOT NULL, path TEXT NOT NULL,
        size INTEGER NOT NULL, digest TEXT NOT NULL, attempt INTEGER NOT NULL, PRIMARY KEY (job, frame)
    ) WITHOUT ROWID;
    CREATE TABLE blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID;
    """,
)
SCHEMA_VERSION = len(_MIGRATIONS)


class Journal:
    """The database. Changes become durable at `commit`."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            Refused: it was written by a newer version, or is no journal.
        """
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                self._db.execute(f"PRAGMA {pragma}")
            self._migrate(path)
        except sqlite3.DatabaseError as exc:
            raise Refused(f"cannot read the journal {path}: {exc}; move the spool away or use another --spool") from exc

    def _migrate(self, path: Path) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise Refused(
                f"journal {path} has version {version}, this void-bridge knows {SCHEMA_VERSION}; "
                "use the newer void-bridge or another --spool"
            )
        for number, script in enumerate(_MIGRATIONS[version:], version + 1):
            self._db.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")

    def begin(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._db.execute("COMMIT")

    def rollback(self) -> None:
        with suppress(sqlite3.Error):
            self._db.execute("ROLLBACK")

    def attempt_change(self, change: Callable[[Journal], Any]) -> Any:
        """Make a change of which nothing stays if it fails."""
        self._db.execute("SAVEPOINT change")
        try:
            return change(self)
        except BaseException:
            self._db.execute("ROLLBACK TO change")
            raise
        finally:
            self._db.execute("RELEASE change")

    def close(self) -> None:
        self._db.close()

    # --- changes ---------------------------------------------------------------------------------

    def add_job(self, record: JobRecord) -> None:
        self._db.execute(
            "INSERT INTO jobs (id, spec, transport, user, priority, created, state) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                record.id,
                _dump(record.job),
                record.transport,
                record.user,
                record.priority,
                record.created,
                record.state,
            ),
        )
        self._db.executemany(
            "INSERT INTO inputs VALUES (?, ?, ?, ?, ?, ?)",
            [(record.id, i.path, i.size, i.digest, i.mtime_ns, record.files.get(i.path, "")) for i in record.inputs],
        )

    def set_state(
        self,
        job_id: str,
        state: str,
        *,
        attempt: int,
        losses: int = 0,
        seconds: float = 0.0,
        error: Failure | None = None,
        report: dict[str, object] | None = None,
    ) -> None:
        self._db.execute(
            "UPDATE jobs SET state = ?, attempt = ?, losses = ?, seconds = ?, error_code = ?, error_message = ?, "
            "report = ? WHERE id = ?",
            (
                state,
                attempt,
                losses,
                seconds,
                error and error.code,
                error and error.message,
                json.dumps(report or {}),
                job_id,
            ),
        )

    def set_resolved(self, job_id: str, job: Job) -> None:
        self._db.execute("UPDATE jobs SET resolved = ? WHERE id = ?", (_dump(job), job_id))

    def set_fetched(self, job_id: str) -> None:
        self._db.execute("UPDATE jobs SET fetched = 1 WHERE id = ?", (job_id,))

    def add_frame(self, job_id: str, attempt: int, frame: ResultFrame) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO frames VALUES (?, ?, ?, ?, ?, ?)",
            (job_id, frame.frame, frame.path, frame.size, frame.digest, attempt),
        )

    def remove_frame(self, job_id: str, frame: int) -> None:
        self._db.execute("DELETE FROM frames WHERE job = ? AND frame = ?", (job_id, frame))

    def add_blob(self, digest: str, size: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO blobs VALUES (?, ?)", (digest, size))

    def remove_blobs(self, digests: set[str]) -> None:
        self._db.executemany("DELETE FROM blobs WHERE digest = ?", [(digest,) for digest in digests])

    def remove_job(self, job_id: str) -> None:
        self._db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

    # --- reading ---------------------------------------------------------------------------------

    def blobs(self) -> dict[str, int]:
        return dict(self._db.execute("SELECT digest, size FROM blobs"))

    def jobs(self) -> list[JobRecord]:
        """Every job as it was last committed, oldest first."""
        columns = (
            "id, spec, resolved, transport, user, priority, created, state, attempt, losses, seconds, error_code, "
            "error_message, report, fetched"
        )
        rows = self._db.execute(f"SELECT {columns} FROM jobs ORDER BY created, id")
        return [self._record(*row) for row in rows.fetchall()]

    def _record(self, job_id: str, spec: str, resolved: str | None, *rest: Any) -> JobRecord:
        transport, user, priority, created, state, attempt, losses, seconds, code, message, report, fetched = rest
        inputs = self._db.execute("SELECT path, size, digest, mtime_ns, local FROM inputs WHERE job = ?", (job_id,))
        rows = inputs.fetchall()
        frames = self._db.execute("SELECT frame, digest, size, path FROM frames WHERE job = ?", (job_id,))
        return JobRecord(
            id=job_id,
            job=_load(spec),
            inputs=tuple(InputFile(*row[:4]) for row in rows),
            transport=transport,
            user=user,
            priority=priority,
            created=created,
            state=state,
            files={row[0]: row[4] for row in rows if row[4]},
            attempt=attempt,
            losses=losses,
            seconds=seconds,
            fetched=bool(fetched),
            error=Failure(code, message or "") if code else None,
            report=json.loads(report),
            resolved=_load(resolved) if resolved else None,
            frames={row[0]: ResultFrame(*row) for row in frames},
        )


def _dump(job: Job) -> str:
    return json.dumps(to_plain(job), ensure_ascii=False)


def _load(text: str) -> Job:
    return from_plain(Job, json.loads(text), where="journal")


Change = Callable[[Journal], Any]
Done = Callable[[Any, VoidBridgeError | None], None]


class JournalThread(threading.Thread):
    """Commits changes in the order given. `then(result, error)` is called on this thread once each is durable."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(name="journal")
        self._journal = journal
        self._changes: queue.SimpleQueue[tuple[Change, Done | None] | None] = queue.SimpleQueue()

    def do(self, change: Change, then: Done | None = None) -> None:
        self._changes.put((change, then))

    def stop(self) -> None:
        """Commit what has been given, close the database and end."""
        self._changes.put(None)

    def run(self) -> None:
        running = True
        while running:
            batch, running = self._next_batch()
            if batch:
                self._commit(batch)
        self._journal.close()

    def _next_batch(self) -> tuple[list[tuple[Change, Done | None]], bool]:
        batch: list[tuple[Change, Done | None]] = []
        item = self._changes.get()
        while item is not None:
            batch.append(item)
            if len(batch) == _COMMIT_MAX or self._changes.empty():
                return batch, True
            item = self._changes.get()
        return batch, False

    def _commit(self, batch: list[tuple[Change, Done | None]]) -> None:
        outcomes: deque[tuple[Done | None, Any, VoidBridgeError | None]] = deque()
        try:
            self._journal.begin()
            outcomes.extend((then, *self._attempt(change)) for change, then in batch)
            self._journal.commit()
        except sqlite3.Error as exc:
            self._journal.rollback()
            named = _named(exc)
            outcomes = deque((then, None, named) for _, then in batch)
        for then, result, error in outcomes:
            if error:
                log.error("a change of the journal failed: %s", error)
            if then:
                then(result, error)

    def _attempt(self, change: Change) -> tuple[Any, VoidBridgeError | None]:
        try:
            return self._journal.attempt_change(change), None
        except VoidBridgeError as exc:
            return None, exc
        except Exception as exc:  # whatever it is, the next change must still be made
            return None, _named(exc)


def _named(exc: Exception) -> VoidBridgeError:
    if isinstance(exc, OSError) or "full" in str(exc):
        return DiskFull(f"cannot write to the server's spool: {exc}; free some space there and submit again")
    return InternalError(f"cannot write the server's journal: {exc}; see its log")
