"""The view of an attacker on the network between client and server."""

import socket

import numpy as np
import pytest
import zmq

from tests.support.live_server import Client, Peer, eventually, make_submit, running, settings
from tests.support.strangers import Wire
from void_bridge.client.channel import Channel
from void_bridge.client.endpoint import Endpoint
from void_bridge.connection import connection_path, read_connection
from void_bridge.errors import NoServer
from void_bridge.pixels.exr import write_simple
from void_bridge.protocol.framing import Envelope, encode
from void_bridge.protocol.messages import Cancel, GetResult, ListJobs, Ping, Put

PROMPT = "an empty street in Lisbon at night"
PLATE = "secret_show_010.1001.exr"


@pytest.fixture
def server(tmp_path):
    with running(settings(tmp_path)) as server:
        yield server


@pytest.fixture
def found(server):
    return read_connection(connection_path(server.settings.runtime_dir))


@pytest.fixture
def submit(tmp_path):
    """Return a job over one uncompressed EXR frame, and a row of its pixels."""
    path = tmp_path / PLATE
    row = np.linspace(0.125, 7.0, 96, dtype=np.float32)
    write_simple(path, {name: np.tile(row, (4, 1)) for name in "RGB"}, compression="none")
    job = make_submit(str(tmp_path / PLATE.replace("1001", "####")), frames="1001", text=PROMPT)
    return job, path.read_bytes(), row.tobytes()


def what_must_not_be_seen(submit):
    job, exr, row = submit
    return [PROMPT.encode(), PLATE.encode(), job.job.output.encode(), b"submit", b"chlist", exr[:24], row]


def test_recorded_traffic_with_curve_cannot_be_read(found, submit):
    job, exr, _ = submit
    assert exr[:4] == b"\x76\x2f\x31\x01"
    keys = (found.server_public, found.client_public, found.client_secret)
    with Wire(found.control_address) as control, Wire(found.data_address) as data:
        with Client(Peer(control.address, *keys), Peer(data.address, *keys)) as client:
            client.upload(job)
            client.reaches(job.id, "done")
            (frame,) = client.control.ask(GetResult(job.id)).frames
            assert exr in client.frame(job.id, frame.frame, frame.size)
        heard = control.heard + data.heard
    assert len(heard) > 2 * len(exr)  # it did pass here, both ways
    assert [text for text in what_must_not_be_seen(submit) if text in heard] == []
    assert found.client_secret.encode() not in heard


def test_recorded_traffic_without_curve_can_be_read(submit):
    """Send the same messages over plain sockets, to show that the test above would find the pixels."""
    job, exr, _ = submit
    context = zmq.Context()
    router, dealer = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    port = router.bind_to_random_port("tcp://127.0.0.1")
    with Wire(f"tcp://127.0.0.1:{port}") as wire:
        dealer.connect(wire.address)
        put = Put(job.inputs[0].digest, len(exr), 0)
        for envelope in (Envelope(job, 1), Envelope(put, 2, (exr,))):
            dealer.send_multipart(list(encode(envelope)))
            router.recv_multipart()
        context.destroy(linger=0)
    assert [text for text in what_must_not_be_seen(submit) if text not in wire.heard] == []


def test_replayed_traffic_is_refused_by_a_server(found, server, tmp_path):
    keys = (found.server_public, found.client_public, found.client_secret)
    (tmp_path / "p.1001.exr").write_bytes(b"x")
    job = make_submit(str(tmp_path / "p.####.exr"), frames="1001")
    with Wire(found.control_address) as wire, Peer(wire.address, *keys) as peer:
        peer.ask(job)
        assert peer.ask(Cancel(job.id)).status.state == "cancelled"
        recorded = b"".join(wire.sent)
    again = make_submit(str(tmp_path / "p.####.exr"), frames="1001", job_id="again")
    with Client.of(server.settings) as client:
        client.submit(again)
        with socket.create_connection(("127.0.0.1", int(found.control_address.rpartition(":")[2]))) as raw:
            raw.sendall(recorded)
            answer = b""
            while block := raw.recv(65536):  # until the server hangs up
                answer += block
        assert b"READY" not in answer  # the handshake ends at the proof of a key made for another connection
        assert client.status("again").state == "receiving"
        assert len(client.control.ask(ListJobs()).jobs) == 2


def channel_over(wire, found):
    context = zmq.Context()
    keys = (found.server_public, found.client_public, found.client_secret)
    return context, Channel(context, Endpoint(wire.address, *keys))


def is_broken(channel):
    try:
        channel.request(Ping(), timeout_s=1.0)
    except NoServer:
        return True
    return False


@pytest.mark.parametrize("what", ["a message said twice", "a bit of a message changed", "plain bytes put between"])
def test_changed_traffic_ends_the_connection(found, server, what):
    with Wire(found.control_address) as wire:
        context, channel = channel_over(wire, found)
        channel.request(ListJobs())
        if what == "a message said twice":
            wire.say_again()
        elif what == "a bit of a message changed":
            wire.spoil.set()
        else:
            wire.inject(b"\x00\x04ping")
        assert eventually(lambda: is_broken(channel))
        channel.close()
        context.term()
    with Client.of(server.settings) as client:
        assert client.control.ask(ListJobs()).jobs == ()


@pytest.mark.parametrize("curve", [True, False], ids=["with keys of its own", "without CURVE"])
def test_a_false_server_learns_nothing(found, curve):
    """Answer in the place of the server, whose key the client knows."""
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    if curve:
        router.curve_server = True
        router.curve_publickey, router.curve_secretkey = zmq.curve_keypair()
    port = router.bind_to_random_port("tcp://127.0.0.1")
    keys = (found.server_public, found.client_public, found.client_secret)
    with pytest.raises(NoServer):
        Channel(context, Endpoint(f"tcp://127.0.0.1:{port}", *keys), hello_s=1.0)
    assert not router.poll(0)
    context.destroy(linger=0)
