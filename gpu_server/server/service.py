"""The requests of clients about jobs. On the control thread; slow work goes to a pool."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from gpu_server.logs import of_job
from gpu_server.server.dispatch import Dispatcher
from gpu_server.server.eviction import plan_eviction
from gpu_server.server.inputs import resolve_inputs
from gpu_server.server.job_store import JobStore
from gpu_server.server.jobs import JobRecord, check_output_free, check_room_in_queue
from gpu_server.server.journal import Journal
from gpu_server.server.mailbox import Background
from gpu_server.server.settings import ServerSettings
from gpu_server.server.sockets import ClientRequest
from gpu_server.server.spool import Spool
from void_bridge.errors import Cancelled, DiskFull, Refused, UsageError, VoidBridgeError
from void_bridge.pathmap import PathMap
from void_bridge.protocol.messages import Result, StatusReply, Submit, Submitted
from void_bridge.typed import nearest

log = logging.getLogger(__name__)


@dataclass
class _Pending:
    """A submission that is not in the journal yet.

    Attributes:
        record: the job.
        requests: of the clients that wait for the answer.
        is_checked: whether its files have been looked at, on a disk that may stall, and its commit is on its way.
        cancels: requests to cancel it that came in the meantime.
    """

    record: JobRecord
    requests: list[ClientRequest]
    is_checked: bool = True
    cancels: list[ClientRequest] = field(default_factory=list)


class JobService:
    """The answers to requests about jobs, and the room that jobs take in the spool.

    Args:
        is_present: returns whether a client was heard lately.
    """

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
        self._is_closing = False

    def close(self) -> None:
        """Accept no more jobs."""
        self._is_closing = True

    # --- submitting ------------------------------------------------------------------------------

    def submit(self, submit: Submit, request: ClientRequest) -> Submitted | None:
        """Accept a job.

        Returns:
            The answer for a job that is known already. For another, None: it is answered once it is journaled.

        Raises:
            ProtocolError: fields that cannot be.
            UsageError: an engine that this server does not have.
            Refused: the id or the output belongs to another job, or the server is about to stop.
            DiskFull: the spool's limit.
        """
        pending = self._pending.get(submit.id)
        known = self._store.table.get(submit.id) if submit.id in self._store.table else None
        same_id = known or (pending.record if pending else None)
        if same_id and not same_id.is_same(submit):
            raise Refused(f"job id {submit.id} belongs to another job; remove the id from job.json to submit a new job")
        if known:
            known.client = request.client
            return _submitted(known)
        if pending:
            pending.requests.append(request)
        else:
            self._accept(submit, request)
        return None

    def _accept(self, submit: Submit, request: ClientRequest) -> None:
        record = JobRecord.from_submit(submit, request.client, time.time())
        if self._is_closing:
            raise Refused("this server is stopping; submit again when it has restarted")
        self._check_engine(submit.job.engine)
        self._cancel_abandoned(submit.job.output)
        active = [*self._store.table.active(), *(pending.record for pending in self._pending.values())]
        check_output_free(submit.job.output, active)
        check_room_in_queue(record, active)
        if submit.transport == "path":
            self._pending[record.id] = _Pending(record, [request], is_checked=False)
            self._background.do(partial(self._resolve, record), partial(self._resolved, record), record.id)
        else:
            self._make_room(record)
            self._pending[record.id] = _Pending(record, [request])
            self._journal(record)

    def _check_engine(self, name: str) -> None:
        if name != "auto" and name not in self._settings.engines:
            known = ", ".join(("auto", *self._settings.engines))
            raise UsageError(
                f"unknown engine {name[:40]!r}, this server has {known}{nearest(name[:40], self._settings.engines)}"
            )

    def _cancel_abandoned(self, output: str) -> None:
        """Cancel jobs whose submitter went away before they were uploaded, so that they do not hold an output."""
        for record in self._store.table.in_state("receiving"):
            is_still = time.monotonic() - record.touched > self._settings.upload_patience_s
            if record.job.output == output and is_still and not self._is_present(record.client):
                self._store.end(record, "cancelled")

    def _resolve(self, record: JobRecord) -> None:
        """Find the files of a job, in the pool: disks may be slow."""
        record.files = resolve_inputs(record.inputs, self._settings.allowed_roots, self._path_map)

    def _resolved(self, record: JobRecord, error: VoidBridgeError | None) -> None:
        pending = self._pending.get(record.id)
        if pending is None or pending.record is not record:  # it was cancelled in the meantime
            return
        pending.is_checked = True
        if error:
            self._journaled(record, error)
        else:
            self._journal(record)

    def _journal(self, record: JobRecord) -> None:
        self._store.do(lambda journal: journal.add_job(record), lambda _, error: self._journaled(record, error))

    def _journaled(self, record: JobRecord, error: VoidBridgeError | None) -> None:
        pending = self._pending.pop(record.id)
        if error:
            for request in pending.requests:
                request.refuse(error)
        else:
            log.info(
                "submitted by %s: %d files, %s",
                record.user,
                len(record.inputs),
                record.transport,
                extra=of_job(record.id),
            )
            self._store.admit(record)
            self._dispatcher.ensure_worker()
            for request in pending.requests:
                request.answer(_submitted(record))
        for request in pending.cancels:
            request.respond(self.cancel, record.id, request)
        self._dispatcher.fill()

    # --- everything else -------------------------------------------------------------------------

    def blob_stored(self, digest: str, size: int) -> None:
        """Note that a blob has become durable, and start the jobs that waited for it."""
        self._store.blob_stored(digest, size)
        self._dispatcher.fill()

    def cancel(self, job_id: str, request: ClientRequest) -> StatusReply | None:
        """Cancel a job that has not ended; the others stay as they are.

        Returns:
            The answer, or None if it is given once the job is journaled.

        Raises:
            UnknownJob: there is no such job.
        """
        pending = self._pending.get(job_id)
        if pending and pending.is_checked:
            pending.cancels.append(request)
            return None
        if pending:
            return self._forget(pending)
        record = self._store.table.get(job_id)
        if not record.is_final:
            self._store.end(record, "cancelled")
            self._dispatcher.cancel(record)
            self._dispatcher.fill()
        return StatusReply(record.status())

    def _forget(self, pending: _Pending) -> StatusReply:
        """Drop a submission of which nothing is journaled, however long its disk takes."""
        record = self._pending.pop(pending.record.id).record
        record.move("cancelled")
        for request in pending.requests:
            request.refuse(Cancelled(f"job {record.id} was cancelled before its files were read"))
        return StatusReply(record.status())

    def result(self, job_id: str) -> Result:
        """Return what a job has published, and its report."""
        record = self._store.table.get(job_id)
        frames = tuple(record.frames[number] for number in sorted(record.frames))
        return Result(record.status(), record.resolved or record.job, frames, record.report)

    def fetched(self, job_id: str) -> StatusReply:
        """Note that the result of a job has been fetched: it may be removed when room is needed."""
        record = self._store.table.get(job_id)
        if record.is_final and not record.fetched:
            self._store.set_fetched(record)
            self.keep_within_limit()
        return StatusReply(record.status())

    @property
    def has_work(self) -> bool:
        """Whether something runs or could run now."""
        return bool(self._pending or self._store.table.in_state("queued", "running"))

    # --- room ------------------------------------------------------------------------------------

    def _make_room(self, record: JobRecord) -> None:
        limit = self._settings.spool_limit_bytes
        if not limit:
            return
        needed = sum(size for digest, size in record.blob_sizes.items() if self._store.blob_index.lacks(digest))
        left = self._evict(limit - needed, record)
        if left + needed > limit:
            raise DiskFull(
                f"the job needs {needed / 1e9:.2f} GB and the server's spool holds {left / 1e9:.2f} of "
                f"{limit / 1e9:.2f} GB in jobs that run or are not fetched; fetch them, or raise spool_limit_gb"
            )

    def keep_within_limit(self) -> None:
        """Remove files that are no longer needed, should the spool have grown over its limit."""
        if self._settings.spool_limit_bytes:
            self._evict(self._settings.spool_limit_bytes)

    def _evict(self, limit_bytes: int, *accepted: JobRecord) -> int:
        """Remove what is no longer needed until the spool is within a limit. Returns the bytes left."""
        jobs = [*self._store.table, *(pending.record for pending in self._pending.values()), *accepted]
        plan = plan_eviction(jobs, self._store.blob_index.held(), limit_bytes, self._dispatcher.held_jobs())
        self._store.blob_index.remove(set(plan.blobs))
        for job_id in plan.jobs:
            self._store.remove(job_id)
            self._background.do(partial(self._spool.remove_job, job_id), job_id=job_id)
        if plan.blobs:
            self._store.do(partial(self._remove_blobs, set(plan.blobs)))
        return plan.left_bytes

    def _remove_blobs(self, digests: set[str], journal: Journal) -> None:
        """Remove blobs, on the journal's thread: if one of them is put again, it is stored after this."""
        journal.remove_blobs(digests)
        self._spool.remove_blobs(digests)


def _submitted(record: JobRecord) -> Submitted:
    return Submitted(record.status(), tuple(sorted(record.missing)))
