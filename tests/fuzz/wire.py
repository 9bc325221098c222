"""Hostile clients of a live server, counted, with a good one served in between."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import psutil
import zmq
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.strategies import BLOBS, frames
from tests.support.live_server import DEADLINE_S, Peer, ServerProcess, digest_of, eventually
from tests.support.live_server import settings as server_settings
from void_bridge.connection import Connection
from void_bridge.errors import error_classes
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource
from void_bridge.protocol.framing import Envelope, decode, encode
from void_bridge.protocol.messages import (
    PROTOCOL_VERSION,
    Hello,
    InputFile,
    JobList,
    ListJobs,
    Message,
    Ping,
    Pong,
    Submit,
)

_UNASKED = ("status", "preview")
_CODES = set(error_classes()) - {"internal", "error"}
_on_control = st.tuples(st.integers(0, 3), st.just(True), frames(True) | st.none())
_on_data = st.tuples(st.integers(0, 3), st.just(False), frames(False) | st.none())
steps = st.lists(_on_control | _on_data, min_size=1, max_size=8)


class Hostile(Peer):
    """A client with a key that does not say hello unless told to."""

    def __init__(self, found: Connection, data: bool = False) -> None:
        address = found.data_address if data else found.control_address
        super().__init__(address, found.server_public, found.client_public, found.client_secret, hello=False)

    def say(self, sent: Sequence[bytes]) -> None:
        self.socket.send_multipart(list(sent))

    def heard(self) -> dict[str, Any]:
        """The next answer, whatever its number."""
        while True:
            assert self.socket.poll(int(DEADLINE_S * 1000)), "a message was not answered"
            header = msgpack.unpackb(self.socket.recv_multipart()[0])
            if header["n"] or header["type"] not in _UNASKED:
                return dict(header)


class Good:
    """A client that is served whatever the others do; it connects anew if it must."""

    def __init__(self, found: Connection) -> None:
        self.control, self.data = Hostile(found), Hostile(found, data=True)

    def is_served(self) -> None:
        """Ping on both sockets, and status on one, are answered. Raises AssertionError."""
        assert isinstance(self.until_answered(self.data, Ping()), Pong)
        assert isinstance(self.until_answered(self.control, Ping()), Pong)
        eventually(self._is_listed)

    def _is_listed(self) -> bool:
        """False if the connection was shut between the two, so that hello has to be said again."""
        self.until_answered(self.control, Hello(PROTOCOL_VERSION, "good"))
        return isinstance(self.until_answered(self.control, ListJobs(3)), JobList)

    @staticmethod
    def until_answered(peer: Peer, message: Message) -> Message:
        """Ask again while there is no answer, as a connection may have been shut in between."""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            number = peer.send(message)
            while peer.socket.poll(2000):
                came = decode(peer.socket.recv_multipart())
                if came.number == number:
                    return came.message
        raise AssertionError("the good client was not answered")

    def close(self) -> None:
        self.control.close()
        self.data.close()


class Siege:
    """A server in a process of its own, a good client, and what hostile ones got for an answer.

    messages: that were sent; answers: by type; refusals: by code.
    """

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.settings = server_settings(folder, **changes)
        self.server = ServerProcess(self.settings)
        found = self.server.connection()
        assert found
        self.found = found
        self.good = Good(found)
        self._leave_jobs()
        self.messages = 0
        self.answers: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()

    def _leave_jobs(self) -> None:
        """What hostile messages may be about: a job that waits for its blobs."""
        job = Job("/p/plate.#.exr", FrameRange([1, 2]), "/o/a.#.exr", Colour("x", "ocio://x"), remove=MatteSource("m"))
        inputs = tuple(InputFile(f"/p/{len(blob)}", len(blob), digest_of(blob)) for blob in BLOBS)
        with Hostile(self.found) as peer:
            peer.ask(Hello(PROTOCOL_VERSION, "good"))
            peer.ask(Submit("job-1", job, inputs, "inline"))

    def exchange(self, peer: Hostile, sent: Sequence[bytes]) -> dict[str, Any]:
        """Send a message, and check that its answer is one or says why not."""
        peer.say(sent)
        self.messages += 1
        answer = peer.heard()
        self.answers[answer["type"]] += 1
        if answer["type"] == "error":
            self.note_refusal(answer["body"])
        return answer

    def note_refusal(self, body: dict[str, Any]) -> None:
        code, words = body["code"], body["message"]
        assert code in _CODES, f"refused with {code!r}: {words[:300]}"
        assert len(words) > 10 and len(words) < 5000 and "\n" not in words, words[:300]
        self.refusals[code] += 1

    def holds(self) -> None:
        """The server lives and serves. Raises AssertionError."""
        assert self.server.process.poll() is None, self.server.log_path.read_text()[-3000:]
        self.good.is_served()

    def memory_bytes(self) -> int:
        return int(psutil.Process(self.server.process.pid).memory_info().rss)

    def peak_bytes(self) -> int:
        """The most memory that the server process ever had resident."""
        status = Path(f"/proc/{self.server.process.pid}/status")
        if status.exists():
            line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
            return int(line.split()[1]) * 1024
        return self.memory_bytes()

    def close(self) -> None:
        self.good.close()
        self.server.kill()


@contextmanager
def besieged(folder: Path, **changes: Any) -> Iterator[Siege]:
    siege = Siege(folder, **changes)
    try:
        yield siege
    finally:
        siege.close()


def throw_messages(siege: Siege, examples: int, start: int | None = None) -> None:
    """Random and almost valid messages on both sockets, before and after hello, over four clients, who come and go."""

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(steps)
    def attack(plan: list[tuple[int, bool, tuple[bytes, ...] | None]]) -> None:
        peers: dict[tuple[int, bool], Hostile] = {}
        try:
            for who, on_control, sent in plan:
                if sent is None and (who, on_control) in peers:
                    peers.pop((who, on_control)).close()
                if (who, on_control) not in peers:
                    peers[who, on_control] = Hostile(siege.found, data=not on_control)
                    if who:  # number 0 comes in as it likes
                        siege.exchange(peers[who, on_control], greeting())
                siege.exchange(peers[who, on_control], sent or greeting())
                siege.holds()
        finally:
            for peer in peers.values():
                peer.close()

    (attack if start is None else seed(start)(attack))()


def greeting() -> Sequence[bytes]:
    return [bytes(frame) for frame in encode(Envelope(Hello(PROTOCOL_VERSION, "hostile"), 1))]


def greeted(found: Connection, data: bool = False) -> Hostile:
    peer = Hostile(found, data)
    Good.until_answered(peer, Hello(PROTOCOL_VERSION, "hostile"))  # it may be shut out once after another attack
    return peer


def reader_of_nothing(found: Connection) -> Hostile:
    """A client on the data socket that takes almost nothing from its connection."""
    peer = Hostile(found, data=True)
    peer.socket.disconnect(found.data_address)
    peer.socket.setsockopt(zmq.RCVHWM, 1)
    peer.socket.setsockopt(zmq.RCVBUF, 4096)
    peer.socket.connect(found.data_address)
    return peer
