"""Following a job through its states, across a server that goes away and comes back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable, Iterator, Optional, Union

from void_bridge.client.channel import Channel
from void_bridge.client.session import ClientSession
from void_bridge.errors import NoServer
from void_bridge.protocol.framing import Envelope
from void_bridge.protocol.messages import FINAL_STATES, JobStatus, Ping, Preview, StatusReply, Watch

PING_S = 1.0
SILENCE_S = 10.0
_RETRY_S = 0.5


@dataclass(frozen=True)
class FramePreview:
    """A picture of a frame in the making."""

    frame: int
    png: bytes


Event = Union[JobStatus, FramePreview]


def watch(session: ClientSession, id: str, previews: bool) -> Iterator[Event]:
    """Events of a job until it ends, over a channel of its own.

    Raises:
        UnknownJob. NoServer: none for a minute.
    """
    deadline: Optional[float] = None
    while True:
        try:
            for event in _watch_once(session, id, previews):
                deadline = None
                yield event
            return
        except NoServer as exc:
            if deadline is None:
                deadline = time.monotonic() + session.patience_s
                session.notice(f"{exc}; trying again for {session.patience_s:.0f} s")
            if time.monotonic() > deadline:
                raise
        time.sleep(_RETRY_S)


class Heartbeat:
    """Pings once in a while, however much the server says: they keep the watch alive and tell whether the server is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pinged = self._heard = clock()

    def heard(self) -> None:
        self._heard = self._clock()

    def wait_s(self) -> float:
        """Seconds until the next ping."""
        return max(0.0, self._pinged + PING_S - self._clock())

    def overslept(self) -> bool:
        """Whether nothing was sent for so long that the server may have given this client up."""
        return self._clock() - self._pinged > SILENCE_S

    def is_due(self) -> bool:
        """Whether to ping now; that is taken as done."""
        due = self.wait_s() <= 0
        if due:
            self._pinged = self._clock()
        return due

    def is_lost(self) -> bool:
        return self._clock() - self._heard > SILENCE_S


def _watch_once(session: ClientSession, id: str, previews: bool) -> Iterator[Event]:
    channel = session.link.control()
    try:
        request = Watch(id, previews)
        envelope: Optional[Envelope] = channel.request(request)
        beat = Heartbeat()
        while True:
            event = _event(envelope, id)
            if event is not None:
                yield event
            if isinstance(event, JobStatus) and event.state in FINAL_STATES:
                return
            envelope = _next(channel, beat, request)
    finally:
        channel.close()


def _event(envelope: Optional[Envelope], id: str) -> Optional[Event]:
    message = envelope.message if envelope else None
    if isinstance(message, StatusReply) and message.status.id == id:
        return message.status
    if envelope and isinstance(message, Preview) and message.id == id and envelope.buffers:
        return FramePreview(message.frame, bytes(envelope.buffers[0]))
    return None


def _next(channel: Channel, beat: Heartbeat, request: Watch) -> Optional[Envelope]:
    overslept = beat.overslept()  # whoever takes the events took long over the last one
    if beat.is_due():
        channel.send(request if overslept else Ping())
    envelope = channel.receive(beat.wait_s())
    if envelope is not None:
        beat.heard()
    elif beat.is_lost():
        raise NoServer(f"{channel.endpoint.address} has not answered for {SILENCE_S:.0f} s")
    return envelope
