"""The control socket: answers from memory, so that status, cancel and heartbeats never wait for work."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import singledispatchmethod

from gpu_server.server.dispatch import Dispatcher
from gpu_server.server.job_store import JobStore
from gpu_server.server.mailbox import Mailbox
from gpu_server.server.server_status import StatusCollector
from gpu_server.server.service import JobService
from gpu_server.server.settings import ServerSettings
from gpu_server.server.sockets import ClientRequest, Clients, Listener, RouterLoop
from gpu_server.server.watchers import Watchers, WatchEvent
from void_bridge.errors import ProtocolError
from void_bridge.protocol import messages as protocol

log = logging.getLogger(__name__)

_LIST_MAX = 1000


class ControlLoop(RouterLoop):
    """The thread that owns the table of jobs; other threads post calls to its mailbox.

    Args:
        data_clients: the clients of the data socket: while they are active, the server is not idle.
        on_idle: called once, when a server that leaves when idle should leave.

    Attributes:
        store: the jobs.
        dispatcher: the workers.
        service: the answers to requests about jobs.
        status: the state of the server.
    """

    def __init__(
        self,
        listener: Listener,
        mailbox: Mailbox,
        settings: ServerSettings,
        store: JobStore,
        watchers: Watchers,
        dispatcher: Dispatcher,
        service: JobService,
        status: StatusCollector,
        data_clients: Clients,
        on_idle: Callable[[], None],
    ) -> None:
        super().__init__(listener, mailbox)
        self.store, self.dispatcher, self.service, self.status = store, dispatcher, service, status
        self._settings, self._watchers, self._data_clients, self._on_idle = settings, watchers, data_clients, on_idle
        self._last_work = time.monotonic()
        self._is_leaving = False

    # --- messages: a handler is found by the type of its argument ------------------------------------

    @singledispatchmethod
    def handle(self, message: protocol.Message, request: ClientRequest) -> protocol.Message | None:
        """Return the answer to a message, or None if it is given later through `request`.

        Raises:
            ProtocolError: there is no handler for it.
        """
        raise ProtocolError(f"got {message.type} on the control socket, which does not take it")

    @handle.register
    def _submit(self, message: protocol.Submit, request: ClientRequest) -> protocol.Submitted | None:
        return self.service.submit(message, request)

    @handle.register
    def _status(self, message: protocol.GetStatus, request: ClientRequest) -> protocol.StatusReply:
        return protocol.StatusReply(self.store.table.get(message.id).status())

    @handle.register
    def _watch(self, message: protocol.Watch, request: ClientRequest) -> protocol.StatusReply:
        record = self.store.table.get(message.id)
        if not record.is_final:
            self._watchers.add(message.id, request.client, message.previews, time.monotonic())
        return protocol.StatusReply(record.status())

    @handle.register
    def _list(self, message: protocol.ListJobs, request: ClientRequest) -> protocol.JobList:
        newest_first = sorted(self.store.table, key=lambda record: -record.created)
        listed = newest_first[: max(0, min(message.limit, _LIST_MAX))]
        return protocol.JobList(tuple(record.status() for record in listed))

    @handle.register
    def _cancel(self, message: protocol.Cancel, request: ClientRequest) -> protocol.StatusReply | None:
        return self.service.cancel(message.id, request)

    @handle.register
    def _free(self, message: protocol.Free, request: ClientRequest) -> None:
        self.dispatcher.free(lambda workers: request.answer(protocol.Freed(workers)))

    @handle.register
    def _result(self, message: protocol.GetResult, request: ClientRequest) -> protocol.Result:
        return self.service.result(message.id)

    @handle.register
    def _fetched(self, message: protocol.Fetched, request: ClientRequest) -> protocol.StatusReply:
        return self.service.fetched(message.id)

    @handle.register
    def _server_status(self, message: protocol.GetServerStatus, request: ClientRequest) -> protocol.ServerStatus:
        return self.status.collect()

    # --- time ------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Run the tasks due at monotonic time `now`."""
        self._clean_up_ended_jobs()
        self.dispatcher.tick(now)
        self.status.tick(now)
        for event in self._watchers.due(now, self.clients.is_present):
            self._send_event(event)
        self._be_idle(now)

    def _clean_up_ended_jobs(self) -> None:
        ended = self.store.take_ended()
        for record in ended:
            self._watchers.forget_preview(record.id)
            self.dispatcher.clean_up(record)
        if ended:
            self.service.keep_within_limit()

    def _send_event(self, event: WatchEvent) -> None:
        if event.job_id not in self.store.table:
            self._watchers.drop(event.job_id, event.client)
            return
        if event.preview:
            frame, png = event.preview
            self.send(event.client, 0, protocol.Preview(event.job_id, frame), png)
        if event.has_status:
            record = self.store.table.get(event.job_id)
            self.send(event.client, 0, protocol.StatusReply(record.status()))
            if record.is_final:
                self._watchers.drop(event.job_id, event.client)

    def _be_idle(self, now: float) -> None:
        """Give the workers' memory back, and later leave, if a client started this server and nothing happens."""
        if self.service.has_work:
            self._last_work = now
        if self._is_leaving or not self._settings.autostarted:
            return
        if now - self._last_work > self._settings.idle_free_s and any(slot.is_idle for slot in self.dispatcher.slots):
            log.info("idle: releasing the workers' memory")
            self.dispatcher.free()
        last_used = max(self._last_work, self.clients.last_heard, self._data_clients.last_heard)
        if now - last_used > self._settings.idle_exit_s:
            self._is_leaving = True
            self._on_idle()
