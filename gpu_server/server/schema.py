"""The journal's tables, version by version, and the migration of an older journal.

A new version is a step in `MIGRATIONS` and a fixture of the version before it in tests/data/journals; a test asks for
both. All the steps of a journal are one transaction, so that an interrupted migration leaves it as it was.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from void_bridge.atomic import replacing
from void_bridge.errors import DiskFull, InternalError, OutputError, Refused, VoidBridgeError, map_write_errors

MIGRATIONS: dict[int, str] = {
    1: """
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
}
"""Version -> the SQL that leads to it from the one before. Never edited once released."""

SCHEMA_VERSION = max(MIGRATIONS)
_ROOM_BYTES = 64 * 1024  # with less, SQLite says "disk I/O error" or "cannot open" of a full disk too
_READONLY, _IOERR, _FULL, _CANTOPEN = 8, 10, 13, 14  # sqlite.org/rescode.html


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring a journal to this version, and keep a copy of an older one in its folder, named after its version.

    Raises:
        Refused: it was written by a newer version. It is left as it is.
        sqlite3.Error: a step failed; nothing has changed.
        DiskFull: there is no room for the copy.
        OutputError: the copy cannot be written.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise Refused(
            f"journal {path} has version {version}, this void-bridge knows {SCHEMA_VERSION}; "
            "use the newer void-bridge or another --spool"
        )
    if version == SCHEMA_VERSION:
        return
    if version:
        _keep_copy(db, backup_path(path, version))
    steps = " ".join(MIGRATIONS[number] for number in range(version + 1, SCHEMA_VERSION + 1))
    try:
        db.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def backup_path(path: Path, version: int) -> Path:
    """Return where the copy of a journal of an older version lies."""
    return path.with_name(f"{path.name}.version-{version}")


def _keep_copy(db: sqlite3.Connection, target: Path) -> None:
    """Write a copy, over the one that an interrupted migration may have left."""
    with replacing(target, durable=True) as temporary:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with map_write_errors(target), closing(sqlite3.connect(temporary)) as copy:
            try:
                db.backup(copy)
            except sqlite3.Error as exc:
                raise journal_error(exc, target) from exc


def disk_error(exc: Exception, path: Path) -> VoidBridgeError | None:
    """Return the error for a database that cannot be written because of its disk; None for any other failure."""
    code = getattr(exc, "sqlite_errorcode", None)
    primary = _FULL if code is None and "is full" in str(exc) else (code or 0) & 0xFF
    if primary not in (_READONLY, _IOERR, _FULL, _CANTOPEN):
        return None
    if primary == _FULL or (primary != _READONLY and not _has_room(path.parent)):
        return DiskFull(f"no space left for the server's journal {path}; free some space there and submit again")
    return OutputError(f"cannot write the server's journal {path}: {exc}; look at its disk, or use another --spool")


def journal_error(exc: Exception, path: Path) -> VoidBridgeError:
    """Return the error of the tree for a failed change of the journal at `path`; a change may write files too."""
    if isinstance(exc, VoidBridgeError):
        return exc
    if isinstance(exc, OSError):
        return DiskFull(f"cannot write to the server's spool: {exc}; free some space there and submit again")
    return disk_error(exc, path) or InternalError(f"cannot write the server's journal: {exc}; look at its log")


def _has_room(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free >= _ROOM_BYTES
    except OSError:
        return True
