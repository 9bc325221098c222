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


class HostileClient(Peer):
    """A client with a key, which sends any frames."""

    def __init__(self, found: Connection, data: bool = False) -> None:
        address = found.data_address if data else found.control_address
        super().__init__(address, found.server_public, found.client_public, found.client_secret, hello=False)

    def send_frames(self, sent: Sequence[bytes]) -> None:
        """Send frames as they are."""
        self.socket.send_multipart(list(sent))

    def next_answer(self) -> dict[str, Any]:
        """Return the header of the next answer to any request."""
        while True:
            assert self.socket.poll(int(DEADLINE_S * 1000)), "a message was not answered"
            header = msgpack.unpackb(self.socket.recv_multipart()[0])
            if header["n"] or header["type"] not in _UNASKED:
                return dict(header)


class GoodClient:
    """A client that must be served despite the others; it connects again if it must."""

    def __init__(self, found: Connection) -> None:
        self.control, self.data = HostileClient(found), HostileClient(found, data=True)

    def check_served(self) -> None:
        """Check that ping on both sockets, and list_jobs on one, are answered.

        Raises:
            AssertionError: one is not.
        """
        assert isinstance(self.until_answered(self.data, Ping()), Pong)
        assert isinstance(self.until_answered(self.control, Ping()), Pong)
        eventually(self._is_listed)

    def _is_listed(self) -> bool:
        """Return False if the connection was shut between the two requests, so that hello has to be said again."""
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


class AttackedServer:
    """A server in a process of its own, a good client, and the answers that hostile ones got.

    Attributes:
        messages: number of messages that hostile clients sent.
        answers: to them, by type.
        refusals: of them, by code.
    """

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.settings = server_settings(folder, **changes)
        self.server = ServerProcess(self.settings)
        found = self.server.connection()
        assert found
        self.found = found
        self.good = GoodClient(found)
        self._leave_jobs()
        self.messages = 0
        self.answers: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()

    def _leave_jobs(self) -> None:
        """Submit a job for hostile messages to name: it waits for its blobs."""
        job = Job("/p/plate.#.exr", FrameRange([1, 2]), "/o/a.#.exr", Colour("x", "ocio://x"), remove=MatteSource("m"))
        inputs = tuple(InputFile(f"/p/{len(blob)}", len(blob), digest_of(blob)) for blob in BLOBS)
        with HostileClient(self.found) as peer:
            peer.ask(Hello(PROTOCOL_VERSION, "good"))
            peer.ask(Submit("job-1", job, inputs, "inline"))

    def exchange(self, peer: HostileClient, sent: Sequence[bytes]) -> dict[str, Any]:
        """Send a message, and return its answer, which is checked if it is an error."""
        peer.send_frames(sent)
        self.messages += 1
        answer = peer.next_answer()
        self.answers[answer["type"]] += 1
        if answer["type"] == "error":
            self.note_refusal(answer["body"])
        return answer

    def note_refusal(self, body: dict[str, Any]) -> None:
        """Check an error, and count it."""
        code, message = body["code"], body["message"]
        assert code in _CODES, f"refused with {code!r}: {message[:300]}"
        assert len(message) > 10 and len(message) < 5000 and "\n" not in message, message[:300]
        self.refusals[code] += 1

    def check_serves(self) -> None:
        """Check that the server lives and serves.

        Raises:
            AssertionError: it does not.
        """
        assert self.server.process.poll() is None, self.server.log_path.read_text()[-3000:]
        self.good.check_served()

    def memory_bytes(self) -> int:
        """Return the resident memory of the server process."""
        return int(psutil.Process(self.server.process.pid).memory_info().rss)

    def peak_bytes(self) -> int:
        """Return the most memory that the server process ever had resident."""
        status = Path(f"/proc/{self.server.process.pid}/status")
        if status.exists():
            line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
            return int(line.split()[1]) * 1024
        return self.memory_bytes()

    def close(self) -> None:
        """End client and server."""
        self.good.close()
        self.server.kill()


@contextmanager
def attacked_server(folder: Path, **changes: Any) -> Iterator[AttackedServer]:
    """Start a server to be attacked, and end it."""
    attacked = AttackedServer(folder, **changes)
    try:
        yield attacked
    finally:
        attacked.close()


def send_random_messages(attacked: AttackedServer, examples: int, start: int | None = None) -> None:
    """Send random and almost valid messages on both sockets, before and after hello, by four clients."""

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(steps)
    def attack(plan: list[tuple[int, bool, tuple[bytes, ...] | None]]) -> None:
        peers: dict[tuple[int, bool], HostileClient] = {}
        try:
            for who, on_control, sent in plan:
                if sent is None and (who, on_control) in peers:
                    peers.pop((who, on_control)).close()
                if (who, on_control) not in peers:
                    peers[who, on_control] = HostileClient(attacked.found, data=not on_control)
                    if who:  # number 0 comes in as it likes
                        attacked.exchange(peers[who, on_control], greeting())
                attacked.exchange(peers[who, on_control], sent or greeting())
                attacked.check_serves()
        finally:
            for peer in peers.values():
                peer.close()

    (attack if start is None else seed(start)(attack))()


def greeting() -> Sequence[bytes]:
    """Return the frames of a hello."""
    return [bytes(frame) for frame in encode(Envelope(Hello(PROTOCOL_VERSION, "hostile"), 1))]


def greeted(found: Connection, data: bool = False) -> HostileClient:
    """Return a client that has said hello."""
    peer = HostileClient(found, data)
    GoodClient.until_answered(peer, Hello(PROTOCOL_VERSION, "hostile"))  # it may be shut out once after another attack
    return peer


def client_that_reads_nothing(found: Connection) -> HostileClient:
    """Return a client on the data socket that takes almost nothing from its connection."""
    peer = HostileClient(found, data=True)
    peer.socket.disconnect(found.data_address)
    peer.socket.setsockopt(zmq.RCVHWM, 1)
    peer.socket.setsockopt(zmq.RCVBUF, 4096)
    peer.socket.connect(found.data_address)
    return peer
