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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpu_server.server.jobs import JobRecord
from gpu_server.server.schema import disk_error, migrate, named
from void_bridge.errors import DiskFull, Refused, VoidBridgeError
from void_bridge.job import Job
from void_bridge.protocol.messages import Failure, InputFile, ResultFrame
from void_bridge.typed import from_plain, to_plain

log = logging.getLogger(__name__)

_COMMIT_MAX = 256  # changes in one commit
_RETRY_S = 1.0


class Journal:
    """The database. Changes become durable at `commit`."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            Refused: it was written by a newer version, or is no journal.
            DiskFull, OutputError: there is no room for it, or its disk cannot be written.
        """
        self.path = path
        self.is_broken = False  # its disk failed it: nothing that came since `begin` can be committed
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            migrate(self._db, path)
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                self._db.execute(f"PRAGMA {pragma}")
        except sqlite3.DatabaseError as exc:
            self._db.close()
            told = f"cannot read the journal {path}: {exc}; move the spool away or use another --spool"
            raise disk_error(exc, path) or Refused(told) from exc
        except BaseException:
            self._db.close()
            raise

    def begin(self) -> None:
        self.is_broken = False
        self._write("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._write("COMMIT")

    def rollback(self) -> None:
        with suppress(sqlite3.Error):
            self._db.execute("ROLLBACK")

    def attempt_change(self, change: Callable[[Journal], Any]) -> Any:
        """Make a change of which nothing stays if it fails; `is_broken` says whether what came before it stays."""
        self._write("SAVEPOINT change")
        try:
            return change(self)
        except BaseException:
            if not self.is_broken:
                self._db.execute("ROLLBACK TO change")
            raise
        finally:
            if not self.is_broken:
                self._write("RELEASE change")

    def _write(self, sql: str, values: tuple[object, ...] = ()) -> None:
        self._naming_disk(lambda: self._db.execute(sql, values))

    def _write_many(self, sql: str, rows: list[tuple[object, ...]]) -> None:
        self._naming_disk(lambda: self._db.executemany(sql, rows))

    def _naming_disk(self, work: Callable[[], object]) -> None:
        """SQLite may end the whole transaction when its disk is full or fails."""
        try:
            work()
        except sqlite3.Error as exc:
            told = disk_error(exc, self.path)
            if told is None:
                raise
            self.is_broken = True
            raise told from exc

    def close(self) -> None:
        self._db.close()

    # --- changes ---------------------------------------------------------------------------------

    def add_job(self, record: JobRecord) -> None:
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
        self._write("UPDATE jobs SET resolved = ? WHERE id = ?", (_dump(job), job_id))

    def set_fetched(self, job_id: str) -> None:
        self._write("UPDATE jobs SET fetched = 1 WHERE id = ?", (job_id,))

    def add_frame(self, job_id: str, attempt: int, frame: ResultFrame) -> None:
        self._write(
            "INSERT OR REPLACE INTO frames VALUES (?, ?, ?, ?, ?, ?)",
            (job_id, frame.frame, frame.path, frame.size, frame.digest, attempt),
        )

    def remove_frame(self, job_id: str, frame: int) -> None:
        self._write("DELETE FROM frames WHERE job = ? AND frame = ?", (job_id, frame))

    def add_blob(self, digest: str, size: int) -> None:
        self._write("INSERT OR REPLACE INTO blobs VALUES (?, ?)", (digest, size))

    def remove_blobs(self, digests: set[str]) -> None:
        self._write_many("DELETE FROM blobs WHERE digest = ?", [(digest,) for digest in digests])

    def remove_job(self, job_id: str) -> None:
        self._write("DELETE FROM jobs WHERE id = ?", (job_id,))

    # --- reading ---------------------------------------------------------------------------------

    def blobs(self) -> dict[str, int]:
        return dict(self._db.execute("SELECT digest, size FROM blobs"))

    def has_blob(self, digest: str) -> bool:
        return self._db.execute("SELECT 1 FROM blobs WHERE digest = ?", (digest,)).fetchone() is not None

    def jobs(self) -> list[JobRecord]:
        """Every job as it was last committed, in the order in which they came, whatever the clock said."""
        columns = (
            "id, spec, resolved, transport, user, priority, created, state, attempt, losses, seconds, error_code, "
            "error_message, report, fetched"
        )
        rows = self._db.execute(f"SELECT {columns} FROM jobs ORDER BY rowid")
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
_Item = tuple[Change, Done | None]


class JournalThread(threading.Thread):
    """Commits changes in the order given. `then(result, error)` is called on this thread once each is durable.

    A full or failing disk fails every change of a commit, as SQLite may have ended the transaction. A change that
    nobody waits for is then owed: it is made before any later one, as soon as there is room. So a job that was
    cancelled while the disk was full is cancelled after a restart too.
    """

    def __init__(self, journal: Journal, retry_s: float = _RETRY_S) -> None:
        super().__init__(name="journal")
        self._journal, self._retry_s = journal, retry_s
        self._changes: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._owed: list[_Item] = []

    def do(self, change: Change, then: Done | None = None) -> None:
        self._changes.put((change, then))

    def stop(self) -> None:
        """Commit what has been given, close the database and end."""
        self._changes.put(None)

    def run(self) -> None:
        running = True
        while running:
            batch, running = self._next_batch()
            if batch or self._owed:
                self._commit([*self._owed, *batch])
        if self._owed:
            log.error("%d changes of the journal are lost, as there was no room for them", len(self._owed))
        self._journal.close()

    def _next_batch(self) -> tuple[list[_Item], bool]:
        batch: list[_Item] = []
        try:
            item = self._changes.get(timeout=self._retry_s if self._owed else None)
        except queue.Empty:
            return batch, True
        while item is not None:
            batch.append(item)
            if len(batch) == _COMMIT_MAX or self._changes.empty():
                return batch, True
            item = self._changes.get()
        return batch, False

    def _commit(self, batch: list[_Item]) -> None:
        was_owed, self._owed = bool(self._owed), []
        outcomes: list[tuple[Done | None, Any, VoidBridgeError | None]] = []
        try:
            self._journal.begin()
            outcomes.extend((then, *self._attempt(change)) for change, then in batch)
            self._journal.commit()
        except (sqlite3.Error, VoidBridgeError) as exc:
            self._journal.rollback()
            error = exc if isinstance(exc, VoidBridgeError) else named(exc, self._journal.path)
            outcomes = [(then, None, error) for _, then in batch]
            self._owed = [(change, then) for change, then in batch if then is None and self._journal.is_broken]
            if self._owed and not was_owed:
                log.error("%d changes of the journal wait for room: %s", len(self._owed), error)
        else:
            if was_owed:
                log.info("what the journal had no room for is in it now")
        for then, result, error_told in outcomes:
            if error_told and not (then is None and self._owed):
                log.error("a change of the journal failed: %s", error_told)
            if then:
                then(result, error_told)

    def _attempt(self, change: Change) -> tuple[Any, VoidBridgeError | None]:
        """Raises VoidBridgeError: the disk failed the journal."""
        try:
            return self._journal.attempt_change(change), None
        except Exception as exc:  # whatever it is, the next change must still be made
            if self._journal.is_broken:
                raise
            return None, exc if isinstance(exc, VoidBridgeError) else _named(exc, self._journal.path)


def _named(exc: Exception, path: Path) -> VoidBridgeError:
    """What a change failed with; it may write files too."""
    if isinstance(exc, OSError):
        return DiskFull(f"cannot write to the server's spool: {exc}; free some space there and submit again")
    return named(exc, path)
