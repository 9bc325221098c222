"""Attacks of strangers and hostile clients on a live server: it answers a good client, and stays within its memory."""

from __future__ import annotations

import os
from contextlib import contextmanager

import msgpack
import pytest

from gpu_server.server.connection_limiter import STRANGERS_MAX
from tests.fuzz.raw import GREETING, OPENINGS, connect, is_closed, long_command, push
from tests.fuzz.strategies import deep
from tests.fuzz.wire import (
    HostileClient,
    attacked_server,
    client_that_reads_nothing,
    greeted,
    greeting,
    send_random_messages,
)
from tests.support.live_server import Client, eventually, make_plate, make_submit
from void_bridge.protocol.framing import HEADER_BYTES_MAX, PART_BYTES, Envelope, encode
from void_bridge.protocol.messages import Get, GetStatus, Ping, Put, Submit

LONG = os.environ.get("VOID_BRIDGE_LONG_TESTS")
MEMORY = 320 * 2**20  # that these servers may take, besides what they start with
STARTS_WITH = 64 * 2**20  # about 36
PEAK = MEMORY + 416 * 2**20  # for the bytes between two checks at 1 GB/s, and one header of 16 MiB


@contextmanager
def watched(folder):
    """A server that must not exceed its memory, nor log an unexpected error."""
    with attacked_server(folder, memory_bytes=MEMORY) as attacked:
        yield attacked
        attacked.check_serves()
        assert attacked.peak_bytes() < PEAK
        lines = attacked.server.log_path.read_text().splitlines()
        assert not [line for line in lines if "Traceback" in line and "worker-" not in line]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    with watched(tmp_path_factory.mktemp("attacked")) as attacked:
        yield attacked


@pytest.fixture
def attacked_alone(tmp_path):
    """A server for one test, which takes it to its limit, where connections are shut for a while."""
    with watched(tmp_path) as attacked:
        yield attacked
        eventually(lambda: attacked.memory_bytes() < MEMORY + STARTS_WITH)


def test_random_and_almost_valid_messages_do_not_stop_the_server(attacked):
    send_random_messages(attacked, 3000 if LONG else 160, start=None if LONG else 1)
    assert attacked.messages > 200 and attacked.answers["error"] == attacked.refusals.total()
    assert len(attacked.refusals) > 2 and len(attacked.answers) > 4, (attacked.refusals, attacked.answers)


@pytest.mark.parametrize("opening", OPENINGS)
def test_a_crowd_of_strangers_does_not_stop_the_server(attacked, opening):
    crowd = [connect(attacked.found.control_address if n % 2 else attacked.found.data_address) for n in range(40)]
    for connection in crowd:
        push(connection, OPENINGS[opening]())
    attacked.check_serves()
    for connection in crowd:
        connection.close()
    attacked.check_serves()


def test_no_more_strangers_are_kept_than_the_server_has_files_for(attacked):
    attacked.check_serves()  # from here on the good client is no stranger
    crowd = [connect(attacked.found.control_address) for _ in range(400)]
    eventually(lambda: sum(map(is_closed, crowd)) >= 400 - STRANGERS_MAX)
    attacked.check_serves()
    left = 400 - sum(map(is_closed, crowd))
    assert left == STRANGERS_MAX, f"{left} are left"
    for connection in crowd:
        connection.close()


def test_strangers_that_come_and_go_do_not_stop_the_server(attacked):
    for _ in range(5000 if LONG else 200):
        connection = connect(attacked.found.control_address)
        push(connection, GREETING)
        connection.close()
    attacked.check_serves()


def test_strangers_cannot_fill_memory_with_a_handshake(attacked_alone):
    """ZeroMQ takes a command of any message's size from whoever connects: 100 of them would be 1.6 GB."""
    attacked = attacked_alone
    crowd = [connect(attacked.found.control_address) for _ in range(100)]
    rest = dict.fromkeys(crowd, HEADER_BYTES_MAX - 2)
    for connection in crowd:
        push(connection, GREETING + long_command(HEADER_BYTES_MAX))
    block = bytes(2**20)
    while rest:
        for connection in list(rest):
            sent = push(connection, block[: rest[connection]])
            rest[connection] -= max(sent, 0)
            if sent < 0 or not rest[connection]:
                del rest[connection]
        if any(map(is_closed, crowd)):
            break
    assert rest, "all of it was taken"
    attacked.check_serves()
    for connection in crowd:
        connection.close()


BOMBS = {
    "empty tables": b"\xdd\x00\xff\xff\xff" + b"\x80" * (HEADER_BYTES_MAX - 5),
    "empty lists in lists": (b"\xdd\x00\x04\x00\x00" + b"\x90" * (2**18 - 1)) * 60,
    "short texts": (b"\xdd\x00\x04\x00\x00" + b"\xa2ab" * (2**18 - 1)) * 20,
    "lists that claim all there is": b"\xdd\x00\x03\xff\xff" * 3_000_000,
    "depth": deep(10_000_000),
    "one text": msgpack.packb({"type": "submit", "n": 1, "body": {"id": "\0" * (HEADER_BYTES_MAX - 100)}}),
    "a text that would be quoted": msgpack.packb(
        {"type": "submit", "n": 1, "body": {"id": "a", "job": {"plate": "p", "frames": "\1" * (HEADER_BYTES_MAX - 99)}}}
    ),
    "frames again and again": msgpack.packb(
        {"type": "submit", "n": 1, "body": {"id": "a", "job": {"plate": "p", "frames": "1-100000x1," * 5000 + "1"}}}
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_header_that_unfolds_is_refused(attacked, bomb):
    with greeted(attacked.found) as peer:
        assert attacked.exchange(peer, [BOMBS[bomb]])["type"] == "error"
    attacked.check_serves()


def test_a_header_over_the_cap_ends_the_connection(attacked):
    """What the wire does not take at all; the client sees its connection go and its next message answered."""
    with greeted(attacked.found) as peer:
        peer.send_frames([bytes(HEADER_BYTES_MAX + 2**20)])
        attacked.good.until_answered(peer, Ping())
    attacked.check_serves()


def test_a_message_of_very_many_parts_does_not_stop_the_server(attacked_alone):
    """ZeroMQ hands a message over once it is whole, and has no limit for its parts."""
    attacked = attacked_alone
    with greeted(attacked.found, data=True) as peer:
        assert attacked.exchange(peer, [b""] * 100_000)["type"] == "error"
        for _ in range(2):
            peer.socket.send_multipart([bytes(PART_BYTES)] * 400, copy=False)  # 800 MB
        attacked.good.until_answered(peer, Ping())
    attacked.check_serves()


def test_clients_that_read_nothing_do_not_stop_the_server(attacked_alone, tmp_path):
    attacked = attacked_alone
    submit = make_submit(make_plate(tmp_path / "plate", "1-2", PART_BYTES), "inline", "1-2")
    with Client.of(attacked.settings) as client:
        client.upload(submit)
        client.reaches(submit.id, "done")
    deaf = [client_that_reads_nothing(attacked.found) for _ in range(12)]
    for peer in deaf:
        peer.send_frames(greeting())
    for _ in range(80):
        for peer in deaf:
            peer.send(Get(submit.id, 1, 0))
    attacked.check_serves()
    for peer in deaf:
        peer.close()
    attacked.check_serves()


def test_a_flood_of_small_requests_from_one_client_does_not_stop_the_server(attacked):
    with greeted(attacked.found) as control, greeted(attacked.found, data=True) as data:
        for number in range(20_000 if LONG else 4_000):
            control.send(GetStatus("none") if number % 2 else Ping())
            data.send(Put("0" * 64, 5, 0), b"12345")
            if number % 400 == 0:
                attacked.check_serves()
        attacked.check_serves()
        assert data.next_answer()["type"] == "error" and control.next_answer()["type"] in ("pong", "error")


def test_more_work_than_the_server_keeps_is_refused(attacked, tmp_path):
    plate = make_plate(tmp_path, "1", 100)
    submits = [
        Submit(f"flood-{n}", _long_job(plate, n), (), "path") for n in range(12)
    ]  # of 100 000 frames each, a million being the most
    with greeted(attacked.found) as peer:
        answers = [attacked.exchange(peer, _frames(submit)) for submit in submits]
        refused = [answer["body"] for answer in answers if answer["type"] == "error"]
        assert refused and all(body["code"] == "refused" and "expected at most" in body["message"] for body in refused)
        for submit in submits:
            attacked.exchange(peer, [msgpack.packb({"type": "cancel", "n": 1, "body": {"id": submit.id}})])
    attacked.check_serves()


def _long_job(plate, number):
    return make_submit(plate, "path", "1", output=f"/out/flood-{number}.####.exr").job.replace(
        frames=make_range("1-100000")
    )


def make_range(text):
    from void_bridge.frames import FrameRange

    return FrameRange.parse(text)


def _frames(submit):
    return [bytes(frame) for frame in encode(Envelope(submit, 1))]


def test_a_client_that_never_says_hello_is_only_ponged(attacked):
    with HostileClient(attacked.found) as peer:
        assert attacked.exchange(peer, _frames(Ping()))["type"] == "pong"
        assert "hello" in attacked.exchange(peer, _frames(GetStatus("x")))["body"]["message"]
