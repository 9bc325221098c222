"""The control socket: answers from memory, so that status, cancel and heartbeats never wait for work."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

import zmq

from gpu_server.server.dispatch import Dispatcher
from gpu_server.server.jobs import JobRecord, JobTable
from gpu_server.server.server_status import StatusCollector
from gpu_server.server.service import JobService
from gpu_server.server.settings import ServerSettings
from gpu_server.server.sockets import RouterLoop
from gpu_server.server.watchers import Watchers
from void_bridge.errors import ProtocolError
from void_bridge.protocol import messages as protocol
from void_bridge.protocol.framing import PART_BYTES, Envelope

log = logging.getLogger(__name__)

_LIST_MAX = 1000


@dataclass
class LatestPreview:
    frame: int
    png: bytes


class ControlLoop(RouterLoop):
    """`on_idle` is called once, when a server that leaves when idle should leave."""

    service: JobService
    dispatcher: Dispatcher
    status_collector: StatusCollector
    data_loop: RouterLoop  # the data socket's

    def __init__(
        self,
        router: zmq.Socket[bytes],
        welcome: Callable[[], protocol.Welcome],
        settings: ServerSettings,
        table: JobTable,
        on_idle: Callable[[], None],
    ) -> None:
        super().__init__("control", router, welcome, settings.memory_bytes)
        self._settings, self._table, self._on_idle = settings, table, on_idle
        self._watchers = Watchers()
        self._previews: dict[str, LatestPreview] = {}
        self._last_work = time.monotonic()
        self._leaving = False

    # --- messages --------------------------------------------------------------------------------

    def handle(self, client: bytes, envelope: Envelope) -> None:
        answer = partial(self.reply, client, envelope.number)
        refuse = partial(self.refuse, client, envelope.number)
        message = envelope.message
        if isinstance(message, protocol.Submit):
            self.service.submit(message, client, answer)
        elif isinstance(message, protocol.GetStatus):
            answer(protocol.StatusReply(self._table.get(message.id).status()))
        elif isinstance(message, protocol.Watch):
            self._watch(client, message, answer)
        elif isinstance(message, protocol.ListJobs):
            answer(self._list(message.limit))
        elif isinstance(message, protocol.Cancel):
            self.service.cancel(message.id, lambda record: answer(protocol.StatusReply(record.status())), refuse)
        elif isinstance(message, protocol.Free):
            self.dispatcher.free(lambda workers: answer(protocol.Freed(workers)))
        elif isinstance(message, protocol.GetResult):
            answer(self.service.result(message.id))
        elif isinstance(message, protocol.Fetched):
            answer(protocol.StatusReply(self.service.fetched(message.id).status()))
        elif isinstance(message, protocol.GetServerStatus):
            answer(self.status_collector.status())
        else:
            raise ProtocolError(f"got {message.type} on the control socket, where it is no request")

    def _watch(self, client: bytes, message: protocol.Watch, answer: Callable[[protocol.Message], bool]) -> None:
        record = self._table.get(message.id)
        answer(protocol.StatusReply(record.status()))
        if not record.is_final:
            self._watchers.add(message.id, client, message.previews, time.monotonic())

    def _list(self, limit: int) -> protocol.JobList:
        """The newest first."""
        records = sorted(self._table, key=lambda record: -record.created)
        return protocol.JobList(tuple(record.status() for record in records[: max(0, min(limit, _LIST_MAX))]))

    # --- what changes ----------------------------------------------------------------------------

    def changed(self, record: JobRecord) -> None:
        self._watchers.changed(record.id)
        if record.is_final:
            self._previews.pop(record.id, None)
            self.dispatcher.tidy(record)
            self.mailbox.post(self.service.keep_within_limit)  # once whoever ended it is through

    def previewed(self, job_id: str, frame: int, png: bytes) -> None:
        if len(png) <= PART_BYTES:
            self._previews[job_id] = LatestPreview(frame, png)
            self._watchers.previewed(job_id)

    def is_present(self, client: bytes) -> bool:
        last_heard = self.sessions.get(client, float("-inf"))
        return time.monotonic() - last_heard <= self._settings.ping_deadline_s

    def present_clients(self) -> int:
        """How many were heard of lately."""
        since = time.monotonic() - self._settings.ping_deadline_s
        return sum(1 for _ in takewhile(lambda heard: heard >= since, reversed(self.sessions.values())))

    def tick(self, now: float) -> None:
        self.dispatcher.tick(now)
        self.status_collector.tick(now)
        for job_id, client, status_due, preview_due in self._watchers.due(now, self.is_present):
            self._tell(job_id, client, status_due, preview_due)
        self._be_idle(now)

    def _tell(self, job_id: str, client: bytes, status_due: bool, preview_due: bool) -> None:
        record = self._table.get(job_id) if job_id in self._table else None
        if record is None:
            self._watchers.drop(job_id, client)
            return
        picture = self._previews.get(job_id)
        if preview_due and picture:
            self.reply(client, 0, protocol.Preview(job_id, picture.frame), picture.png)
        if status_due:
            self.reply(client, 0, protocol.StatusReply(record.status()))
            if record.is_final:
                self._watchers.drop(job_id, client)

    def _be_idle(self, now: float) -> None:
        if self.service.has_work:
            self._last_work = now
        if self._leaving or not self._settings.autostarted:
            return
        if now - self._last_work > self._settings.idle_free_s and any(w.is_idle for w in self.dispatcher.workers):
            log.info("idle: giving the workers' memory back")
            self.dispatcher.free(lambda _: None)
        if now - max(self._last_work, self.last_heard, self.data_loop.last_heard) > self._settings.idle_exit_s:
            self._leaving = True
            self._on_idle()
