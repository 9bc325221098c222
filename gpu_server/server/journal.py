"""The database of all that must survive a crash, in SQLite: jobs, their inputs and published frames, blobs.

`Journal` is the database, for one thread at a time. `JournalThread` owns one, makes the changes that it is given in
order, several to a commit, and reports each once it is durable.
"""

from __future__ import annotations

import json
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_server.server.jobs import JobRecord
from gpu_server.server.schema import disk_error, journal_error, migrate
from void_bridge.errors import Refused, VoidBridgeError
from void_bridge.job import Job
from void_bridge.protocol.messages import Failure, InputFile, ResultFrame
from void_bridge.typed import from_plain, to_plain

log = logging.getLogger(__name__)

_COMMIT_MAX = 256  # changes in one commit
_RETRY_S = 1.0


class Journal:
    """The database. Changes become durable at `commit`.

    Args:
        path: the file; it is made if it is not there.

    Attributes:
        path: the file.
        is_broken: whether its disk failed it, so that nothing that came since `begin` can be committed.

    Raises:
        Refused: it was written by a newer version, or is no journal.
        DiskFull: there is no room for it.
        OutputError: its disk cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_broken = False
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            migrate(self._db, path)
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                self._db.execute(f"PRAGMA {pragma}")
        except sqlite3.DatabaseError as exc:
            self._db.close()
            refusal = f"cannot read the journal {path}: {exc}; move the spool away or use another --spool"
            raise disk_error(exc, path) or Refused(refusal) from exc
        except BaseException:
            self._db.close()
            raise

    def begin(self) -> None:
        """Begin a transaction."""
        self.is_broken = False
        self._write("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make everything since `begin` durable."""
        self._write("COMMIT")

    def rollback(self) -> None:
        """Undo everything since `begin`, unless SQLite has done so already."""
        with suppress(sqlite3.Error):
            self._db.execute("ROLLBACK")

    def attempt(self, change: Change) -> tuple[Any, VoidBridgeError | None]:
        """Make a change, of which nothing stays if it fails. The changes before it stay then.

        Returns:
            Its result, and the error with which it failed or None.

        Raises:
            VoidBridgeError: the disk failed the journal, and with it everything since `begin`.
        """
        self._write("SAVEPOINT change")
        result, error = None, None
        try:
            result = change(self)
        except Exception as exc:  # of any kind: the next change must still be made
            if self.is_broken:
                raise
            self._db.execute("ROLLBACK TO change")
            error = journal_error(exc, self.path)
        self._write("RELEASE change")
        return result, error

    def _write(self, sql: str, values: tuple[object, ...] = ()) -> None:
        self._execute(self._db.execute, sql, values)

    def _write_many(self, sql: str, rows: list[tuple[object, ...]]) -> None:
        self._execute(self._db.executemany, sql, rows)

    def _execute(self, execute: Callable[[str, Any], object], sql: str, values: object) -> None:
        """Run a statement, and name the disk if that failed: SQLite may have ended the whole transaction then."""
        try:
            execute(sql, values)
        except sqlite3.Error as exc:
            error = disk_error(exc, self.path)
            if error is None:
                raise
            self.is_broken = True
            raise error from exc

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # --- changes ---------------------------------------------------------------------------------

    def add_job(self, record: JobRecord) -> None:
        """Add a job with its inputs."""
        self._write(
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
        self._write_many(
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
        """Keep the state of a job; the other values are those of `JobRecord.outcome`."""
        self._write(
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
        """Keep a job as it was filled in by a worker."""
        self._write("UPDATE jobs SET resolved = ? WHERE id = ?", (_dump(job), job_id))

    def set_fetched(self, job_id: str) -> None:
        """Keep that the result of a job has been fetched."""
        self._write("UPDATE jobs SET fetched = 1 WHERE id = ?", (job_id,))

    def add_frame(self, job_id: str, attempt: int, frame: ResultFrame) -> None:
        """Keep a published frame."""
        self._write(
            "INSERT OR REPLACE INTO frames VALUES (?, ?, ?, ?, ?, ?)",
            (job_id, frame.frame, frame.path, frame.size, frame.digest, attempt),
        )

    def remove_frame(self, job_id: str, frame: int) -> None:
        """Forget a published frame."""
        self._write("DELETE FROM frames WHERE job = ? AND frame = ?", (job_id, frame))

    def add_blob(self, digest: str, size: int) -> None:
        """Keep a blob of `size` bytes."""
        self._write("INSERT OR REPLACE INTO blobs VALUES (?, ?)", (digest, size))

    def remove_blobs(self, digests: set[str]) -> None:
        """Forget blobs."""
        self._write_many("DELETE FROM blobs WHERE digest = ?", [(digest,) for digest in digests])

    def remove_job(self, job_id: str) -> None:
        """Forget a job with its inputs and frames."""
        self._write("DELETE FROM jobs WHERE id = ?", (job_id,))

    # --- reading ---------------------------------------------------------------------------------

    def blobs(self) -> dict[str, int]:
        """Return digest -> size in bytes of every blob."""
        return dict(self._db.execute("SELECT digest, size FROM blobs"))

    def has_blob(self, digest: str) -> bool:
        """Return whether a blob is known."""
        return self._db.execute("SELECT 1 FROM blobs WHERE digest = ?", (digest,)).fetchone() is not None

    def jobs(self) -> list[JobRecord]:
        """Return every job as it was last committed, in the order in which they came."""
        columns = (
            "id, spec, resolved, transport, user, priority, created, state, attempt, losses, seconds, error_code, "
            "error_message, report, fetched"
        )
        rows = self._db.execute(f"SELECT {columns} FROM jobs ORDER BY rowid")  # the clock may have been set back
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
Committed = Callable[[Any, VoidBridgeError | None], object]


@dataclass(frozen=True)
class _Entry:
    """A change to be committed, or a barrier if there is none; and the call that waits for it."""

    change: Change | None
    then: Committed | None


class JournalThread(threading.Thread):
    """A thread that commits changes in the order given.

    A full or failing disk fails every change of a commit, as SQLite may have ended the transaction. A change without
    a `then` is owed in that case: it is made before any later one, as soon as there is room. So a job that was
    cancelled while the disk was full is cancelled after a restart too.

    Args:
        journal: the database; it belongs to this thread from now on.
        retry_s: how long to wait before owed changes are tried again.
    """

    def __init__(self, journal: Journal, retry_s: float = _RETRY_S) -> None:
        super().__init__(name="journal")
        self._journal, self._retry_s = journal, retry_s
        self._entries: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._owed: list[_Entry] = []

    def do(self, change: Change, then: Committed | None = None) -> None:
        """Queue a change for the next commit.

        Args:
            change: called with the journal, on this thread.
            then: called with the result and the error or None, on this thread, once the change is durable or failed.
        """
        self._entries.put(_Entry(change, then))

    def barrier(self, then: Callable[[], object]) -> None:
        """Call `then`, on this thread, after all earlier changes have committed or failed."""
        self._entries.put(_Entry(None, lambda *_: then()))

    def stop(self) -> None:
        """Commit what has been given, close the database and end."""
        self._entries.put(None)

    def run(self) -> None:
        """Commit until `stop`."""
        running = True
        while running:
            batch, running = self._next_batch()
            if batch or self._owed:
                self._commit([*self._owed, *batch])
        if self._owed:
            log.error("%d changes of the journal are lost, because the disk was full", len(self._owed))
        self._journal.close()

    def _next_batch(self) -> tuple[list[_Entry], bool]:
        """Return the entries of the next commit, and whether more may follow."""
        batch: list[_Entry] = []
        try:
            entry = self._entries.get(timeout=self._retry_s if self._owed else None)
        except queue.Empty:
            return batch, True
        while entry is not None:
            batch.append(entry)
            if len(batch) == _COMMIT_MAX or self._entries.empty():
                return batch, True
            entry = self._entries.get()
        return batch, False

    def _commit(self, batch: list[_Entry]) -> None:
        had_owed, self._owed = bool(self._owed), []
        try:
            outcomes = self._write(batch)
        except (sqlite3.Error, VoidBridgeError) as exc:
            self._journal.rollback()
            error = journal_error(exc, self._journal.path)
            outcomes = [(None, error)] * len(batch)
            self._owed = [entry for entry in batch if entry.then is None and self._journal.is_broken]
            if self._owed and not had_owed:
                log.error("%d changes of the journal wait for free disk space: %s", len(self._owed), error)
        else:
            if had_owed:
                log.info("the waiting changes of the journal are now written")
        for entry, (result, failure) in zip(batch, outcomes, strict=True):
            if failure and entry.change and (entry.then or not self._owed):
                log.error("a change of the journal failed: %s", failure)
            if entry.then:
                entry.then(result, failure)

    def _write(self, batch: list[_Entry]) -> list[tuple[Any, VoidBridgeError | None]]:
        """Make the changes in one transaction, and return the result and error of each entry."""
        if not any(entry.change for entry in batch):
            return [(None, None)] * len(batch)
        self._journal.begin()
        outcomes = [self._journal.attempt(entry.change) if entry.change else (None, None) for entry in batch]
        self._journal.commit()
        return outcomes
