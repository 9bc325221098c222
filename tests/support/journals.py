"""Write a journal with jobs in every state, by the code that runs this, as version-N.sql (see README.md).

python -m tests.support.journals OUT
"""

from __future__ import annotations

import hashlib
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any

from gpu_server.server.jobs import JobRecord
from gpu_server.server.journal import Journal
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource
from void_bridge.protocol.messages import Failure, InputFile, ResultFrame

FRAMES = (1001, 1002, 1003)
ALL = [(1, frame) for frame in FRAMES]
FAILURE = Failure("disk_full", "no space left for …; free some space")


def digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def blob(frame: int) -> bytes:
    return b"plate %d\n" % frame


def result(frame: int) -> bytes:
    return b"frame %d\n" % frame + blob(frame)


def job(name: str) -> Job:
    plate = f"/show/{name}/plate.####.exr"
    colour = Colour("ACEScg", "ocio://studio")
    matte = MatteSource(plate, "A")
    return Job(plate, FrameRange(FRAMES), f"/show/{name}/void/clean.####.exr", colour, remove=matte, seed=7)


def resolved(name: str) -> Job:
    return job(name).replace(engine="propagate", colour=Colour("ACEScg", "ocio://studio", exposure=-0.5))


def inputs(name: str, by_path: bool) -> tuple[InputFile, ...]:
    def described(frame: int) -> InputFile:
        path, data = f"/show/{name}/plate.{frame}.exr", blob(frame)
        if by_path:
            return InputFile(path, len(data), mtime_ns=10**18 + frame)
        return InputFile(path, len(data), digest(data))

    return tuple(described(frame) for frame in FRAMES)


class Writer:
    def __init__(self, journal: Journal) -> None:
        self._journal, self._created = journal, 1_700_000_000.0

    def add(
        self, id: str, state: str, made: list[tuple[int, int]] | None = None, fetched: bool = False, **facts: Any
    ) -> None:
        """Add a job; `made` has attempt and number of each published frame."""
        by_path, user, priority = id == "by-path", facts.pop("user", "ann"), facts.pop("priority", 50)
        read = inputs(id, by_path)
        files = {item.path: item.path for item in read} if by_path else {}
        transport: Any = "path" if by_path else "inline"
        record = JobRecord(id, job(id), read, transport, user, priority, self._created, "receiving", files)
        self._created += 100
        self._journal.add_job(record)
        if made:
            self._journal.set_resolved(id, resolved(id))
        for attempt, frame in made or ():
            path, data = f"{{SPOOL}}/jobs/{id}/attempt-{attempt}/{frame}.exr", result(frame)
            self._journal.add_frame(id, attempt, ResultFrame(frame, digest(data), len(data), path))
        self._journal.set_state(id, state, **{"attempt": 0, **facts})
        if fetched:
            self._journal.set_fetched(id)


def write(path: Path) -> None:
    """Write a journal of the version of the code."""
    journal = Journal(path)
    writer = Writer(journal)
    writer.add(
        "done-fetched", "done", ALL, fetched=True, attempt=1, seconds=12.5, report={"made": 3, "warnings": ["w"]}
    )
    writer.add("done", "done", [(1, 1001), *((2, f) for f in FRAMES[1:])], attempt=2, losses=1, report={"made": 2})
    writer.add("failed", "failed", ALL[:1], user="böb", attempt=1, seconds=1.5, error=FAILURE)
    writer.add("cancelled", "cancelled", priority=0, attempt=1)
    writer.add("by-path", "failed", attempt=1, error=Failure("input", "it has changed"))
    writer.add("running", "running", ALL[:1], attempt=1, seconds=3.0)
    writer.add("queued", "queued", priority=100)
    writer.add("receiving", "receiving")
    for frame in FRAMES:
        journal.add_blob(digest(blob(frame)), len(blob(frame)))
    journal.close()


def dump(path: Path) -> str:
    database = sqlite3.connect(path)
    (version,) = database.execute("PRAGMA user_version").fetchone()
    lines = [f"PRAGMA user_version = {version};", *database.iterdump()]
    database.close()
    return "\n".join(lines) + "\n"


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "journal.sqlite")
        out.write_text(dump(Path(folder) / "journal.sqlite"), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
