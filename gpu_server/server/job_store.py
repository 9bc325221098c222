"""Jobs in memory and in the journal, changed together. On the control thread; the journal follows in order.

What a client or a worker relies on (a job was accepted, a frame published, a job done) shows once it
is durable. What merely stops work (cancelled, failed) shows at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from gpu_server.logs import of_job
from gpu_server.server.blob_index import BlobIndex
from gpu_server.server.counters import Counters
from gpu_server.server.jobs import JobRecord, JobTable
from gpu_server.server.journal import Change, JournalThread
from gpu_server.server.sockets import Mailbox
from void_bridge.errors import VoidBridgeError
from void_bridge.job import Job
from void_bridge.protocol.messages import Failure, JobState, Progress, ResultFrame

log = logging.getLogger(__name__)

_TICK_S = 1e-5  # by which jobs differ in age at least

Then = Callable[[Any, VoidBridgeError | None], None]


class JobStore:
    """`on_change(record)` is told of everything that a watcher may want to see."""

    def __init__(
        self,
        table: JobTable,
        blob_index: BlobIndex,
        writer: JournalThread,
        mailbox: Mailbox,
        on_change: Callable[[JobRecord], None],
        counters: Counters | None = None,
    ) -> None:
        self.table = table
        self.blob_index = blob_index
        self._writer = writer
        self._mailbox = mailbox
        self._on_change = on_change
        self.counters = counters or Counters()
        self._latest = 0.0

    def do(self, change: Change, then: Then | None = None) -> None:
        """Make any change of the journal; `then` is called on the control thread once it is durable."""
        self._writer.do(change, then and (lambda result, error: self._mailbox.post(then, result, error)))

    def admit(self, record: JobRecord) -> None:
        """Take a job that has been journaled as `receiving` or `queued` into the table.

        A clock that was set back does not make a job older than those that came before it.
        """
        record.created = self._latest = max(record.created, self._latest + _TICK_S)
        self.table.add(record)
        if record.state == "receiving":
            self.expect_blobs(record)

    def expect_blobs(self, record: JobRecord) -> None:
        """Work out what a receiving job lacks; queue it if that is nothing."""
        sizes = {d: s for d, s in record.blob_sizes.items() if self.blob_index.lacks(d)}
        record.missing = set(sizes)
        self.blob_index.want(sizes)
        if not sizes:
            self.queue(record)

    def blob_stored(self, digest: str, size: int) -> None:
        """A blob has become durable."""
        self.blob_index.hold(digest, size)
        for record in self.table.in_state("receiving"):
            if digest in record.missing:
                record.touched = time.monotonic()
            record.missing.discard(digest)
            if not record.missing:
                self.queue(record)

    def queue(self, record: JobRecord) -> None:
        record.progress = Progress()
        self._move(record, "queued")

    def begin(self, record: JobRecord, then: Then) -> None:
        """Start another attempt; `then` once its number is durable, or the job has failed as it cannot be.

        With a number that a restart forgets, the next attempt would use the folder of this one.
        """

        def journaled(result: object, error: VoidBridgeError | None) -> None:
            if error and record.is_running_attempt(attempt):
                self.finish(record, "failed", Failure(error.code, error.message))
            then(result, error)

        attempt = record.attempt + 1
        self._move(record, "running", journaled)

    def resolve(self, record: JobRecord, job: Job) -> None:
        record.resolved = job
        self.do(lambda journal: journal.set_resolved(record.id, job))
        self._on_change(record)

    def advance(self, record: JobRecord, progress: Progress) -> None:
        record.progress = progress
        self._on_change(record)

    def publish(self, record: JobRecord, attempt: int, frame: ResultFrame, failed: Callable[[Failure], None]) -> None:
        """Journal a frame, then show it; `failed` if it cannot be journaled."""

        def committed(_: object, error: VoidBridgeError | None) -> None:
            if error:
                failed(Failure(error.code, error.message))
            elif record.id in self.table:
                record.frames[frame.frame] = frame
                self.counters.frames += 1
                self.blob_index.publish(record.id, frame)
                self._on_change(record)

        self.do(lambda journal: journal.add_frame(record.id, attempt, frame), committed)

    def finish(self, record: JobRecord, state: JobState, error: Failure | None = None) -> None:
        """End a job at once as failed or cancelled. What had been published stays."""
        self.blob_index.unwant(self._wanted_by_nobody_else(record))
        record.error, record.missing = error, set()
        self._move(record, state)
        log.info("%s%s", state, f": {error.message}" if error else "", extra=of_job(record.id))

    def finish_done(self, record: JobRecord, attempt: int, report: dict[str, object]) -> None:
        """Journal a job as done, then show it so, unless it was cancelled in between."""
        facts = {**record.outcome(), "report": report}

        def committed(_: object, error: VoidBridgeError | None) -> None:
            if not record.is_running_attempt(attempt):
                return
            if error:
                self.finish(record, "failed", Failure(error.code, error.message))
                return
            record.report, record.seconds, record.started = report, facts["seconds"], None
            record.move("done")
            self.counters.end("done", record.engine, record.seconds)
            log.info("done in %.1f s", record.seconds, extra=of_job(record.id))
            self._on_change(record)

        self.do(lambda journal: journal.set_state(record.id, "done", **facts), committed)

    def set_fetched(self, record: JobRecord) -> None:
        record.fetched = True
        self.do(lambda journal: journal.set_fetched(record.id))

    def _move(self, record: JobRecord, state: JobState, then: Then | None = None) -> None:
        record.move(state)
        if record.is_final:
            self.counters.end(state, record.engine, record.seconds)
        facts = record.outcome()
        self.do(lambda journal: journal.set_state(record.id, state, **facts), then)
        self._on_change(record)

    def _wanted_by_nobody_else(self, record: JobRecord) -> set[str]:
        others = (other.missing for other in self.table.in_state("receiving") if other is not record)
        return record.missing.difference(*others)
