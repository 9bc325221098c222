"""What clients may ask of a server, without the wire. On the control thread; slow work goes to a pool."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from gpu_server.logs import of_job
from gpu_server.server.background import Background
from gpu_server.server.dispatch import Dispatcher
from gpu_server.server.eviction import plan_eviction
from gpu_server.server.inputs import resolve_inputs
from gpu_server.server.job_store import JobStore
from gpu_server.server.jobs import JobRecord, check_output_free, check_room_in_queue
from gpu_server.server.journal import Journal
from gpu_server.server.settings import ServerSettings
from gpu_server.server.spool import Spool
from void_bridge.errors import Cancelled, DiskFull, Refused, UsageError, VoidBridgeError
from void_bridge.pathmap import PathMap
from void_bridge.protocol.messages import ErrorReply, Message, Result, Submit, Submitted
from void_bridge.typed import nearest

log = logging.getLogger(__name__)

Answer = Callable[[Message], object]


@dataclass
class _Pending:
    """A submission whose commit is on its way. afterwards: what came for it in the meantime.

    is_looked_at: its files are still looked at, on a disk that may stall; nothing of it is journaled yet.
    """

    record: JobRecord
    answers: list[Answer]
    is_looked_at: bool = False
    afterwards: list[Callable[[], None]] = field(default_factory=list)


class JobService:
    """`is_present(client)` tells whether a client has been heard of lately."""

    def __init__(
        self,
        settings: ServerSettings,
        store: JobStore,
        dispatcher: Dispatcher,
        spool: Spool,
        background: Background,
        is_present: Callable[[bytes], bool],
    ) -> None:
        self._settings, self._store, self._dispatcher = settings, store, dispatcher
        self._spool, self._background, self._is_present = spool, background, is_present
        self._path_map = PathMap.parse(settings.path_map)
        self._pending: dict[str, _Pending] = {}
        self.is_closing = False

    # --- submitting ------------------------------------------------------------------------------

    def submit(self, submit: Submit, client: bytes, answer: Answer) -> None:
        """Accept a job; `answer` gets `submitted` once it is journaled, or the error.

        Raises:
            ProtocolError: fields that cannot be.
            UsageError: an engine that this server does not have.
            Refused: the id or the output belongs to another job, or the server is about to stop.
            DiskFull: the spool's limit.
        """
        known = self._known(submit)
        if known is not None:
            known.client = client
            answer(_submitted(known))
        elif submit.id in self._pending:
            self._pending[submit.id].answers.append(answer)
        else:
            self._accept(submit, client, answer)

    def _known(self, submit: Submit) -> JobRecord | None:
        pending = self._pending.get(submit.id)
        known = self._store.table.get(submit.id) if submit.id in self._store.table else None
        found = known or (pending.record if pending else None)
        if found and not found.is_same(submit):
            raise Refused(f"job id {submit.id} belongs to another job; leave the id out of job.json to submit anew")
        return known

    def _accept(self, submit: Submit, client: bytes, answer: Answer) -> None:
        record = JobRecord.from_submit(submit, client, time.time())
        if self.is_closing:
            raise Refused("this server is about to stop; submit again in a moment")
        self._check_engine(submit.job.engine)
        self._cancel_abandoned(submit.job.output)
        active = [*self._store.table.active(), *(pending.record for pending in self._pending.values())]
        check_output_free(submit.job.output, active)
        check_room_in_queue(record, active)
        self._pending[record.id] = _Pending(record, [answer])
        if submit.transport == "path":
            self._pending[record.id].is_looked_at = True
            self._background.do(partial(self._resolve, record), partial(self._resolved, record), record.id)
        else:
            record.state = "receiving"
            try:
                self._make_room(record)
            except VoidBridgeError:
                del self._pending[record.id]
                raise
            self._journal(record)

    def _check_engine(self, name: str) -> None:
        if name != "auto" and name not in self._settings.engines:
            known = ", ".join(("auto", *self._settings.engines))
            raise UsageError(
                f"unknown engine {name[:40]!r}, this server has {known}{nearest(name[:40], self._settings.engines)}"
            )

    def _cancel_abandoned(self, output: str) -> None:
        """A job whose submitter went away before it was uploaded does not hold its output."""
        for record in self._store.table.in_state("receiving"):
            is_still = time.monotonic() - record.touched > self._settings.upload_patience_s
            if record.job.output == output and is_still and not self._is_present(record.client):
                self._store.finish(record, "cancelled")

    def _resolve(self, record: JobRecord) -> None:
        """In the pool: disks may be slow."""
        record.files = resolve_inputs(record.inputs, self._settings.allowed_roots, self._path_map)

    def _resolved(self, record: JobRecord, error: VoidBridgeError | None) -> None:
        pending = self._pending.get(record.id)
        if pending is None or pending.record is not record:  # it was cancelled in the meantime
            return
        pending.is_looked_at = False
        if error:
            self._admitted(record, error)
        else:
            self._journal(record)

    def _journal(self, record: JobRecord) -> None:
        self._store.do(lambda journal: journal.add_job(record), lambda _, error: self._admitted(record, error))

    def _admitted(self, record: JobRecord, error: VoidBridgeError | None) -> None:
        pending = self._pending.pop(record.id)
        if error:
            for answer in pending.answers:
                answer(ErrorReply(error.code, error.message))
        else:
            told = (record.user, len(record.inputs), record.transport)
            log.info("submitted by %s: %d files, %s", *told, extra=of_job(record.id))
            self._store.admit(record)
            self._dispatcher.warm_up()
            for answer in pending.answers:
                answer(_submitted(record))
        for call in pending.afterwards:
            call()
        self._dispatcher.fill()

    # --- everything else -------------------------------------------------------------------------

    def blob_stored(self, digest: str, size: int) -> None:
        self._store.blob_stored(digest, size)
        self._dispatcher.fill()

    def cancel(
        self, job_id: str, answer: Callable[[JobRecord], object], fail: Callable[[VoidBridgeError], object]
    ) -> None:
        """Cancel a job that has not ended; the others stay as they are."""
        pending = self._pending.get(job_id)
        if pending and pending.is_looked_at:
            self._forget(pending)
            answer(pending.record)
            return
        if pending:
            pending.afterwards.append(lambda: self.cancel(job_id, answer, fail))
            return
        try:
            record = self._store.table.get(job_id)
        except VoidBridgeError as exc:
            fail(exc)
            return
        if not record.is_final:
            self._store.finish(record, "cancelled")
            self._dispatcher.cancel(record)
            self._dispatcher.fill()
        answer(record)

    def _forget(self, pending: _Pending) -> None:
        """Drop a submission of which nothing is journaled, whatever its disk does."""
        del self._pending[pending.record.id]
        pending.record.move("cancelled")
        for told in pending.answers:
            told(ErrorReply(Cancelled.code, f"job {pending.record.id} was cancelled before its files were looked at"))
        for call in pending.afterwards:
            call()

    def result(self, job_id: str) -> Result:
        record = self._store.table.get(job_id)
        frames = tuple(record.frames[number] for number in sorted(record.frames))
        return Result(record.status(), record.resolved or record.job, frames, record.report)

    def fetched(self, job_id: str) -> JobRecord:
        record = self._store.table.get(job_id)
        if record.is_final and not record.fetched:
            self._store.set_fetched(record)
            self.keep_within_limit()
        return record

    @property
    def has_work(self) -> bool:
        """Something runs or could run now."""
        return bool(self._pending or self._store.table.in_state("queued", "running"))

    # --- room ------------------------------------------------------------------------------------

    def _make_room(self, record: JobRecord) -> None:
        limit = self._settings.spool_limit_bytes
        if not limit:
            return
        coming = sum(size for digest, size in record.blob_sizes.items() if self._store.blob_index.lacks(digest))
        left = self.collect(limit - coming)
        if left + coming > limit:
            raise DiskFull(
                f"the job needs {coming / 1e9:.2f} GB and the server's spool holds {left / 1e9:.2f} of "
                f"{limit / 1e9:.2f} GB in jobs that run or were not fetched; fetch those, or raise spool_limit_gb"
            )

    def keep_within_limit(self) -> None:
        """Remove what nobody needs any more, should the spool have grown over its limit."""
        if self._settings.spool_limit_bytes:
            self.collect(self._settings.spool_limit_bytes)

    def collect(self, limit_bytes: int) -> int:
        """Remove what is no longer needed until the spool is within a limit. Returns the bytes left."""
        jobs = [*self._store.table, *(pending.record for pending in self._pending.values())]
        plan = plan_eviction(jobs, self._store.blob_index.held(), limit_bytes, self._dispatcher.held_jobs())
        self._store.blob_index.drop(set(plan.blobs))
        for job_id in plan.jobs:
            self._remove_job(job_id)
        if plan.blobs:
            self._store.do(partial(self._remove_blobs, set(plan.blobs)))
        return plan.left_bytes

    def _remove_job(self, job_id: str) -> None:
        self._store.table.remove(job_id)
        self._store.blob_index.withdraw(job_id)
        self._store.do(lambda journal: journal.remove_job(job_id))
        self._background.do(lambda: self._spool.remove_job(job_id), about=job_id)

    def _remove_blobs(self, digests: set[str], journal: Journal) -> None:
        """On the journal's thread, so that the same blob put again is stored behind this."""
        journal.remove_blobs(digests)
        self._spool.remove_blobs(digests)


def _submitted(record: JobRecord) -> Submitted:
    return Submitted(record.status(), tuple(sorted(record.missing)))
