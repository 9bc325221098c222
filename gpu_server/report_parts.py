"""The parts of `void-bridge report` from a server's spool: its logs, and its journal without the inputs.

They need no running server, and change none of its files.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from void_bridge.config import Config

_LOG_BYTES = 5 * 2**20  # of each file, its end
_JOBS = 200
_COLUMNS = (
    "id, state, user, priority, transport, created, attempt, losses, seconds, error_code, error_message, spec, report"
)
_JSON_COLUMNS = ("spec", "report")


def spool_parts(config: Config) -> Iterator[tuple[str, str]]:
    """Yield name and text of each part."""
    for path in sorted((config.spool / "logs").glob("*.log*")):
        yield f"logs/{path.name}", _end_of(path)
    started = config.runtime_dir / "server.log"
    if started.exists():
        yield "logs/started/server.log", _end_of(started)
    journal = config.spool / "journal.sqlite"
    if journal.exists():
        yield "journal.json", _journal(journal)


def _end_of(path: Path) -> str:
    """Return the end of a log, or why it cannot be read: logs may be renamed between listing and reading."""
    try:
        with open(path, "rb") as log:
            size = log.seek(0, 2)
            log.seek(max(0, size - _LOG_BYTES))
            return log.read(_LOG_BYTES).decode("utf-8", "replace")
    except OSError as exc:
        return f"cannot read {path}: {exc.strerror or exc}\n"


def _journal(path: Path) -> str:
    """Return the newest jobs of a journal as JSON, the newest first."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)) as db:
        db.row_factory = sqlite3.Row
        [version] = db.execute("PRAGMA user_version").fetchone()
        counts = dict(db.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())
        rows = db.execute(f"SELECT {_COLUMNS} FROM jobs ORDER BY created DESC LIMIT {_JOBS}").fetchall()
    jobs = [{name: _plain(name, row[name]) for name in row.keys()} for row in rows]  # noqa: SIM118  a Row's keys
    return (
        json.dumps({"version": version, "jobs_by_state": counts, "newest": jobs}, indent=1, ensure_ascii=False) + "\n"
    )


def _plain(name: str, value: object) -> object:
    return json.loads(value) if name in _JSON_COLUMNS and isinstance(value, str) else value
