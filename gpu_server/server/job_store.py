"""Jobs in memory and in the journal, changed together. On the control thread; the journal follows in order.

A client or a worker relies on some changes (a job was accepted, a frame published, a job done): these show once they
are durable. Changes that merely stop work (cancelled, failed) show at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from gpu_server.logs import of_job
from gpu_server.server.blob_index import BlobIndex
from gpu_server.server.counters import Counters
from gpu_server.server.jobs import JobRecord, JobTable
from gpu_server.server.journal import Change, Committed, JournalThread
from gpu_server.server.mailbox import Mailbox
from void_bridge.errors import VoidBridgeError
from void_bridge.job import Job
from void_bridge.protocol.messages import Failure, JobState, Progress, ResultFrame

log = logging.getLogger(__name__)

_CREATED_STEP_S = 1e-5  # by which jobs differ in age at least


class JobStore:
    """The jobs of a server.

    Args:
        table: the jobs in memory.
        blob_index: the blobs and frames in the spool.
        writer: commits the changes.
        mailbox: of the control thread.
        on_change: called with the id of a job of which a watcher may want to see something new.
        counters: count the jobs that end and the frames.
    """

    def __init__(
        self,
        table: JobTable,
        blob_index: BlobIndex,
        writer: JournalThread,
        mailbox: Mailbox,
        on_change: Callable[[str], None],
        counters: Counters,
    ) -> None:
        self.table, self.blob_index = table, blob_index
        self._writer, self._mailbox, self._on_change, self._counters = writer, mailbox, on_change, counters
        self._latest_created = 0.0
        self._ended: list[JobRecord] = []

    def do(self, change: Change, then: Committed | None = None) -> None:
        """Make any change of the journal; `then` is called on the control thread once it is durable or failed."""
        self._writer.do(change, then and (lambda result, error: self._mailbox.post(then, result, error)))

    def barrier(self, then: Callable[[], object]) -> None:
        """Call `then`, on the control thread, after all earlier changes have committed or failed."""
        self._writer.barrier(lambda: self._mailbox.post(then))

    def take_ended(self) -> list[JobRecord]:
        """Return the jobs that have ended since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def admit(self, record: JobRecord) -> None:
        """Take a job that has been journaled as `receiving` or `queued` into the table.

        A clock that was set back does not make a job older than those that came before it.
        """
        record.created = self._latest_created = max(record.created, self._latest_created + _CREATED_STEP_S)
        self.table.add(record)
        if record.state == "receiving":
            self._expect_blobs(record)

    def _expect_blobs(self, record: JobRecord) -> None:
        """Find the blobs that a receiving job lacks, and queue it if there are none."""
        sizes = {digest: size for digest, size in record.blob_sizes.items() if self.blob_index.lacks(digest)}
        record.missing = set(sizes)
        self.blob_index.want(sizes)
        if not sizes:
            self.queue(record)

    def blob_stored(self, digest: str, size: int) -> None:
        """Note that a blob has become durable, and queue the jobs that waited for it alone."""
        self.blob_index.add(digest, size)
        for record in self.table.in_state("receiving"):
            record.receive_blob(digest)
            if not record.missing:
                self.queue(record)

    def queue(self, record: JobRecord) -> None:
        """Queue a job, for the first time or again."""
        record.progress = Progress()
        self._move(record, "queued")

    def begin(self, record: JobRecord, then: Callable[[], object]) -> None:
        """Start another attempt at a job.

        Args:
            record: the job.
            then: called once the number of the attempt is durable, or the job has failed as it cannot be. With a
                number that a restart forgets, the next attempt would use the folder of this one.
        """

        def journaled(_: object, error: VoidBridgeError | None) -> None:
            if error and record.is_running_attempt(attempt):
                self.fail(record, error)
            then()

        attempt = record.attempt + 1
        self._move(record, "running", journaled)

    def resolve(self, record: JobRecord, job: Job) -> None:
        """Keep a job as its worker has filled it in."""
        record.resolved = job
        self.do(lambda journal: journal.set_resolved(record.id, job))
        self._on_change(record.id)

    def advance(self, record: JobRecord, progress: Progress) -> None:
        """Show the progress of a job."""
        record.progress = progress
        self._on_change(record.id)

    def publish(
        self, record: JobRecord, attempt: int, frame: ResultFrame, on_failure: Callable[[VoidBridgeError], None]
    ) -> None:
        """Write a frame to the journal, then show it; `on_failure` is called if it cannot be written."""

        def committed(_: object, error: VoidBridgeError | None) -> None:
            if error:
                on_failure(error)
            elif record.id in self.table:
                record.frames[frame.frame] = frame
                self._counters.frames.inc()
                self.blob_index.publish(record.id, frame)
                self._on_change(record.id)

        self.do(lambda journal: journal.add_frame(record.id, attempt, frame), committed)

    def fail(self, record: JobRecord, error: VoidBridgeError) -> None:
        """End a job at once as failed. What had been published stays."""
        self.end(record, "failed", Failure.from_error(error))

    def end(self, record: JobRecord, state: JobState, failure: Failure | None = None) -> None:
        """End a job at once as `failed` or `cancelled`. What had been published stays."""
        self.blob_index.unwant(self._wanted_by_no_other(record))
        record.error, record.missing = failure, set()
        self._move(record, state)
        log.info("%s%s", state, f": {failure.message}" if failure else "", extra=of_job(record.id))

    def end_done(self, record: JobRecord, attempt: int, report: dict[str, object]) -> None:
        """Write a job to the journal as done, then show it so, unless it was cancelled in between."""
        outcome = {**record.outcome(), "report": report}

        def committed(_: object, error: VoidBridgeError | None) -> None:
            if not record.is_running_attempt(attempt):
                return
            if error:
                self.fail(record, error)
                return
            record.end_done(report, outcome["seconds"])
            log.info("done in %.1f s", record.seconds, extra=of_job(record.id))
            self._note_change(record)

        self.do(lambda journal: journal.set_state(record.id, "done", **outcome), committed)

    def set_fetched(self, record: JobRecord) -> None:
        """Keep that the result of a job has been fetched."""
        record.fetched = True
        self.do(lambda journal: journal.set_fetched(record.id))

    def remove(self, job_id: str) -> None:
        """Remove a job that has ended, with its frames."""
        self.table.remove(job_id)
        self.blob_index.withdraw(job_id)
        self.do(lambda journal: journal.remove_job(job_id))

    def _move(self, record: JobRecord, state: JobState, then: Committed | None = None) -> None:
        record.move(state)
        outcome = record.outcome()
        self.do(lambda journal: journal.set_state(record.id, state, **outcome), then)
        self._note_change(record)

    def _note_change(self, record: JobRecord) -> None:
        if record.is_final:
            self._counters.job_ended(record.state, record.engine, record.seconds)
            self._ended.append(record)
        self._on_change(record.id)

    def _wanted_by_no_other(self, record: JobRecord) -> set[str]:
        others = (other.missing for other in self.table.in_state("receiving") if other is not record)
        return record.missing.difference(*others)
