"""Watching a job until it ends, also across a restart of the server."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable, Iterator, Optional, Union

from void_bridge.client.channel import Channel
from void_bridge.client.session import ClientSession, Retries
from void_bridge.errors import NoServer
from void_bridge.protocol.framing import Envelope
from void_bridge.protocol.messages import FINAL_STATES, JobStatus, Ping, Preview, StatusReply, Watch

PING_S = 1.0
SILENCE_S = 10.0


@dataclass(frozen=True)
class FramePreview:
    """A PNG of an unfinished frame."""

    frame: int
    png: bytes


Event = Union[JobStatus, FramePreview]


def watch(session: ClientSession, id: str, previews: bool) -> Iterator[Event]:
    """Yield the events of a job until it ends, over a channel of its own.

    Args:
        session: the session with the server.
        id: the job.
        previews: whether to yield previews too.

    Raises:
        UnknownJob: the server does not know the job.
        NoServer: no server answers for the session's `patience_s`.
    """
    retries = Retries(session)
    while True:
        try:
            for event in _watch_once(session, id, previews):
                retries.reset()
                yield event
            return
        except NoServer as exc:
            retries.wait(exc)


class Heartbeat:
    """The rhythm of pings, which keep the watch alive and show whether the server is.

    Pings are sent at the same interval regardless of the server's own messages.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pinged = self._heard = clock()

    def mark_heard(self) -> None:
        """Record that the server has sent a message."""
        self._heard = self._clock()

    def seconds_to_ping(self) -> float:
        """Return the seconds until the next ping is due."""
        return max(0.0, self._pinged + PING_S - self._clock())

    def is_late(self) -> bool:
        """Return whether the last ping was so long ago that the server may have dropped this client."""
        return self._clock() - self._pinged > SILENCE_S

    def take_due_ping(self) -> bool:
        """Return whether a ping is due, and count it as sent."""
        due = self.seconds_to_ping() <= 0
        if due:
            self._pinged = self._clock()
        return due

    def is_lost(self) -> bool:
        """Return whether the server has been silent for too long."""
        return self._clock() - self._heard > SILENCE_S


def _watch_once(session: ClientSession, id: str, previews: bool) -> Iterator[Event]:
    """Yield the events of a job. Raises NoServer if the server stops answering."""
    channel = session.connector.open_control()
    try:
        request = Watch(id, previews)
        envelope: Optional[Envelope] = channel.request(request)
        heartbeat = Heartbeat()
        while True:
            event = _event(envelope, id)
            if event is not None:
                yield event
            if isinstance(event, JobStatus) and event.state in FINAL_STATES:
                return
            envelope = _next(channel, heartbeat, request)
    finally:
        channel.close()


def _event(envelope: Optional[Envelope], id: str) -> Optional[Event]:
    """Return the event of a job in a message, or None if it is not about the job."""
    message = envelope.message if envelope else None
    if isinstance(message, StatusReply) and message.status.id == id:
        return message.status
    if envelope and isinstance(message, Preview) and message.id == id and envelope.buffers:
        return FramePreview(message.frame, bytes(envelope.buffers[0]))
    return None


def _next(channel: Channel, heartbeat: Heartbeat, request: Watch) -> Optional[Envelope]:
    """Return the next message, or None when the next ping is due. Raises NoServer."""
    late = heartbeat.is_late()  # when the consumer took long over the last event
    if heartbeat.take_due_ping():
        channel.send(request if late else Ping())
    envelope = channel.receive(heartbeat.seconds_to_ping())
    if envelope is not None:
        heartbeat.mark_heard()
    elif heartbeat.is_lost():
        raise NoServer(f"{channel.endpoint.address} has not answered for {SILENCE_S:.0f} s")
    return envelope
