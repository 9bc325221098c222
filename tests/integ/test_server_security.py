"""The keys of clients, and malformed messages of clients that have one."""

import json
import os
import stat
import time
from contextlib import suppress

import msgpack
import pytest
import zmq
import zmq.auth

from gpu_server.server.app import Server
from tests.support.key_folders import make_key_folder
from tests.support.live_server import Client, Peer, eventually, make_plate, make_submit, running, settings
from void_bridge import connection
from void_bridge.connection import connection_path, read_connection
from void_bridge.errors import OutputError, ProtocolError, Refused, UsageError, VersionMismatch
from void_bridge.protocol.messages import PROTOCOL_VERSION, GetStatus, Hello, ListJobs, Ping, Pong


@pytest.fixture
def server(tmp_path):
    with running(settings(tmp_path)) as server:
        yield server


@pytest.fixture
def found(server):
    return read_connection(connection_path(server.settings.runtime_dir))


def answers(address, configure):
    """Return whether a server answers a ping over a socket set up so."""
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    configure(socket)
    socket.connect(address)
    came = False
    with suppress(zmq.Again):  # the server has ended the connection before anything could be sent
        socket.send(msgpack.packb({"type": "ping", "n": 1, "body": {}}), zmq.NOBLOCK)
        came = bool(socket.poll(500))
    socket.close()
    context.term()
    return came


def with_keys(server_public, public, secret):
    def configure(socket):
        socket.curve_serverkey = server_public.encode()
        socket.curve_publickey, socket.curve_secretkey = public, secret

    return configure


def test_the_key_of_the_connection_file_lets_in(found):
    keys = with_keys(found.server_public, found.client_public.encode(), found.client_secret.encode())
    assert answers(found.control_address, keys) and answers(found.data_address, keys)


def test_without_a_key_nothing_is_answered(found):
    assert not answers(found.control_address, lambda socket: None)
    assert not answers(found.data_address, lambda socket: None)


def test_an_unknown_key_gets_no_answer(found):
    stranger = with_keys(found.server_public, *zmq.curve_keypair())
    assert not answers(found.control_address, stranger) and not answers(found.data_address, stranger)


def test_the_keys_of_another_server_do_not_open_this_one(tmp_path, found):
    with running(settings(tmp_path / "other")) as other:
        theirs = read_connection(connection_path(other.settings.runtime_dir))
        keys = with_keys(found.server_public, theirs.client_public.encode(), theirs.client_secret.encode())
        assert not answers(found.control_address, keys)


def test_the_connection_file_is_this_users_alone(server):
    path = connection_path(server.settings.runtime_dir)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_server_is_found_by_its_address_too(server):
    local = read_connection(connection_path(server.settings.runtime_dir))
    assert read_connection(connection_path(server.settings.runtime_dir, server.control_address)) == local
    assert local.installation == connection.installation_id() and local.server_pid == os.getpid()


def test_the_connection_files_go_with_the_server(tmp_path):
    with running(settings(tmp_path)) as server:
        assert len(list(server.settings.runtime_dir.glob("*.json"))) == 2
    assert not list(server.settings.runtime_dir.glob("*.json"))


def test_a_server_that_cannot_leave_its_file_ends_and_lets_go(tmp_path):
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(OutputError, match="run"), running(settings(tmp_path)):
        pass
    (tmp_path / "run").unlink()
    with running(settings(tmp_path)):
        pass


def test_one_server_at_a_time_uses_a_spool(server):
    with pytest.raises(Refused, match="another server uses the spool"):
        Server(server.settings)


def test_an_address_in_use_is_refused_and_the_spool_let_go(tmp_path, server):
    taken = settings(tmp_path / "second", bind=server.control_address)
    with pytest.raises(Refused, match="cannot listen on"):
        Server(taken)
    with running(settings(tmp_path / "second")):
        pass


@pytest.mark.parametrize(
    "bind", ["ipc:///tmp/x", "tcp://127.0.0.1", "127.0.0.1:5570", "tcp://:5570", "tcp://a:b", "tcp://h:0"]
)
def test_an_invalid_address_is_refused(tmp_path, bind):
    with pytest.raises(UsageError, match="expected tcp://HOST:PORT"):
        Server(settings(tmp_path, bind=bind))


# --- other machines -----------------------------------------------------------------------------


def test_an_address_open_to_others_needs_keys(tmp_path):
    with pytest.raises(Refused, match="keys new"):
        Server(settings(tmp_path, bind="tcp://0.0.0.0:*", keys=tmp_path / "none"))


def test_an_address_open_to_others_needs_an_allow_list(tmp_path):
    folder = make_key_folder(tmp_path / "keys")
    (folder / "clients" / "anna.key").unlink()
    with pytest.raises(Refused, match=r"clients/\*\.key"):
        Server(settings(tmp_path, bind="tcp://0.0.0.0:*", keys=folder))


def test_a_key_that_cannot_be_read_is_named(tmp_path):
    folder = make_key_folder(tmp_path / "keys")
    (folder / "clients" / "anna.key").write_text("nonsense")
    with pytest.raises(Refused, match=r"anna\.key"):
        Server(settings(tmp_path, bind="tcp://0.0.0.0:*", keys=folder))


def test_a_secret_key_that_others_can_read_is_refused(tmp_path):
    folder = make_key_folder(tmp_path / "keys")
    (folder / "server.key_secret").chmod(0o640)
    with pytest.raises(Refused, match="others can read"):
        Server(settings(tmp_path, bind="tcp://0.0.0.0:*", keys=folder))


def test_a_key_on_the_allow_list_lets_in_and_another_does_not(tmp_path):
    folder = make_key_folder(tmp_path / "keys")
    public, secret = zmq.auth.load_certificate(folder / "client.key_secret")
    server_public, _ = zmq.auth.load_certificate(folder / "server.key")
    with running(settings(tmp_path, bind="tcp://0.0.0.0:*", keys=folder, roots=())) as server:
        with Peer(server.control_address, server_public.decode(), public.decode(), secret.decode()) as artist:
            assert artist.welcome.data_address.startswith("tcp://*:")
            assert artist.welcome.roots == ()
            with pytest.raises(Refused, match="use --transport inline"):
                artist.ask(make_submit(make_plate(tmp_path / "plates"), "path"))
        assert not answers(server.control_address, with_keys(server_public.decode(), *zmq.curve_keypair()))


def test_this_users_own_clients_reach_a_server_with_keys_too(tmp_path):
    open_to_all = settings(tmp_path, bind="tcp://0.0.0.0:*", keys=make_key_folder(tmp_path / "keys"))
    with running(open_to_all), Client.of(open_to_all) as client:
        assert client.control.ask(Ping()) == Pong()


# --- what is said -------------------------------------------------------------------------------


@pytest.fixture
def peer(found):
    with Peer(
        found.control_address, found.server_public, found.client_public, found.client_secret, hello=False
    ) as peer:
        yield peer


@pytest.mark.parametrize("version", ["2.0", "0.9", "", "one"])
def test_another_protocol_version_is_refused(peer, version):
    with pytest.raises(VersionMismatch, match="this server " + PROTOCOL_VERSION):
        peer.ask(Hello(version, "void-bridge 9"))
    with pytest.raises(ProtocolError, match="say hello first"):
        peer.ask(ListJobs())


def test_another_minor_version_is_welcome(peer):
    assert peer.ask(Hello(PROTOCOL_VERSION.split(".")[0] + ".99", "void-bridge 9")).protocol == PROTOCOL_VERSION


def test_a_request_before_hello_is_an_error_and_a_ping_is_not(peer):
    assert peer.ask(Ping()) == Pong()
    with pytest.raises(ProtocolError, match="got get_status before hello"):
        peer.ask(GetStatus("x"))


def header(**fields):
    return msgpack.packb({"type": "ping", "n": 7, "body": {}, **fields})


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"\xc1garbage"],
        [msgpack.packb([1, 2, 3])],
        [msgpack.packb({"type": 5, "n": 1})],
        [header(type="no_such")],
        [header(n=-1)],
        [header(n="x")],
        [header(type="get_status", body={"id": 5})],
        [header(type="get_status", body={})],
        [header(type="submit", body={"id": "x"})],
        [header(type="list_jobs", body={"limit": 2**70 % 2**64 - 2**63})] * 3,
        [header(), b"", b""],
        [header(), *[b"x"] * 1000],
        [b"\x81" * 100_000],
    ],
    ids=lambda frames: f"{len(frames)}x{bytes(frames[0])[:24]!r}",
)
def test_an_invalid_message_gets_an_error_and_the_server_continues(server, peer, frames):
    peer.socket.send_multipart(frames)
    assert peer.receive().message.code == "protocol"
    assert peer.ask(Ping()) == Pong()


def test_an_invalid_job_gets_an_error_and_the_server_continues(server):
    job = {"plate": "p", "frames": "1", "output": "o", "colour": {"space": "a", "config": "b"}, "handles": -1}
    body = {"id": "x", "job": job, "inputs": [], "transport": "inline"}
    with Client.of(server.settings) as client:
        client.control.socket.send(header(type="submit", body=body))
        answer = client.control.receive()
        assert (answer.number, answer.message.code) == (7, "usage")
        assert client.control.ask(Ping()) == Pong()


def test_an_error_repeats_the_number_of_its_request(peer):
    peer.socket.send(header(type="get_status", body={"id": 5}))
    assert peer.receive().number == 7


def test_an_oversized_frame_ends_the_connection_and_the_server_goes_on(server, found, peer):
    peer.ask(Hello(PROTOCOL_VERSION, "large"))
    peer.socket.send(b"x" * (17 * 2**20))
    with Client.of(server.settings) as other:
        assert other.control.ask(ListJobs()).jobs == ()
    assert not peer.socket.poll(200)


@pytest.mark.parametrize("job_id", ["", "../../etc", "a/b", "x" * 65, ".", "-x", "a b", "é"])
def test_an_id_that_could_be_a_path_is_refused(server, tmp_path, job_id):
    submit = make_submit(make_plate(tmp_path / "plates"))
    with Client.of(server.settings) as client, pytest.raises(ProtocolError, match="job id"):
        client.control.ask(type(submit)(job_id, submit.job, submit.inputs, "inline"))


def test_a_digest_that_could_be_a_path_is_refused(server, tmp_path):
    submit = make_submit(make_plate(tmp_path / "plates"))
    bad = type(submit.inputs[0])(submit.inputs[0].path, 5, "../../etc/passwd")
    with Client.of(server.settings) as client, pytest.raises(ProtocolError, match="digest"):
        client.control.ask(type(submit)("x", submit.job, (bad,), "inline"))


@pytest.mark.parametrize("step", ["read_events", "tick", "send"])
def test_an_unexpected_error_at_one_step_ends_no_loop(server, monkeypatch, caplog, step):
    owner = server._control._limiter if step == "read_events" else server._control
    as_it_is = getattr(owner, step)

    def unforeseen(*given):
        monkeypatch.setattr(owner, step, as_it_is)
        raise RuntimeError("nobody thought of that")

    with Client.of(server.settings) as client:
        monkeypatch.setattr(owner, step, unforeseen)
        client.control.send(GetStatus("nobody"))
        with Client.of(server.settings) as other:
            assert other.control.ask(ListJobs(limit=1)).jobs == ()
        eventually(lambda: "nobody thought of that" in caplog.text)


def test_a_client_that_reads_nothing_does_not_hold_up_others(server, tmp_path):
    plate = make_plate(tmp_path / "plates")
    with Client.of(server.settings) as deaf, Client.of(server.settings) as client:
        for _ in range(3000):
            deaf.control.send(ListJobs(limit=1000))
        submit = make_submit(plate)
        client.upload(submit)
        assert client.reaches(submit.id, "done").frames_done == 4


def test_many_requests_at_once_are_all_answered(server, tmp_path):
    """The client is slower than the server: answers that it does not take yet wait."""
    with Client.of(server.settings) as client:
        plate = make_plate(tmp_path / "plate")
        for number in range(60):
            client.submit(make_submit(plate, output=f"/out/{number}.####.exr"))
        slow = client.control.socket
        slow.disconnect(slow.last_endpoint)
        slow.setsockopt(zmq.RCVHWM, 1)
        slow.setsockopt(zmq.RCVBUF, 4096)
        slow.connect(server.control_address)
        client.control.ask(Hello(PROTOCOL_VERSION, "slow"))
        numbers = [client.control.send(ListJobs(limit=1000)) for _ in range(500)]
        time.sleep(1.0)
        assert all(len(client.control.answer(number).message.jobs) == 60 for number in numbers)


def test_a_connection_file_that_others_can_read_is_not_used(server):
    path = connection_path(server.settings.runtime_dir)
    path.chmod(0o644)
    with pytest.raises(Refused, match="can be read by others"):
        read_connection(path)
    path.chmod(0o600)


def test_the_connection_file_is_plain_json(server):
    data = json.loads(connection_path(server.settings.runtime_dir).read_text())
    assert set(data) == {
        "control_address",
        "data_address",
        "server_public",
        "client_public",
        "client_secret",
        "server_pid",
        "installation",
        "version",
    }
