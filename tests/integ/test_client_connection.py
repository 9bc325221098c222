"""The client's connection: servers that are found, started, lost and refused."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import zmq

from tests.support.client_jobs import FRAMES, config_for, expected, make_job
from tests.support.live_server import ServerProcess, eventually, running, settings
from void_bridge.cli.keys import allow, make_pair
from void_bridge.client import connect
from void_bridge.client.connector import Connector
from void_bridge.client.launch import child_environment
from void_bridge.connection import (
    Connection,
    connection_path,
    installation_id,
    read_connection,
    write_connection,
)
from void_bridge.errors import NoServer, OutputError, Refused, VersionMismatch
from void_bridge.protocol.framing import Envelope, decode, encode
from void_bridge.protocol.messages import Welcome


def test_a_missing_server_is_reported(tmp_path):
    with pytest.raises(NoServer, match="void-bridge serve"):
        connect(config_for(tmp_path))


def test_an_address_without_keys_is_named(tmp_path):
    config = config_for(tmp_path, keys=tmp_path / "keys")
    with pytest.raises(NoServer, match=r"tcp://gpu1:5570.*keys new"):
        connect(config, "tcp://gpu1:5570")


def test_an_ended_server_is_recognised_at_once(tmp_path):
    with ServerProcess(settings(tmp_path)) as server:
        server.kill()
        with pytest.raises(NoServer, match="has ended"):
            connect(config_for(tmp_path))


def test_a_watch_and_a_fetch_survive_a_restart_of_the_server(tmp_path):
    gate = tmp_path / "gate"
    job = make_job(tmp_path, gate=str(gate), gate_at=1003)
    notices = []
    with ServerProcess(settings(tmp_path)) as server, connect(config_for(tmp_path), notice=notices.append) as client:
        id = client.submit(job, transport="inline").id
        events = client.watch(id)
        while next(events).frames_done < 2:
            pass
        client.fetch(id)
        server.kill()
        with ServerProcess(settings(tmp_path)):
            gate.touch()
            *_, last = events
            paths = client.fetch(id)
    assert (last.state, last.frames_done) == ("done", 4)
    assert [path.read_bytes() for path in paths] == [expected(job, frame) for frame in FRAMES]
    assert any("trying again" in notice for notice in notices)


def test_an_upload_survives_a_restart_of_the_server(tmp_path):
    restarted = []

    def kill_once(stage, done, total):
        if stage == "send" and not restarted:
            server.kill()
            restarted.append(ServerProcess(settings(tmp_path)))

    job = make_job(tmp_path, size=5_000_000)
    with ServerProcess(settings(tmp_path)) as server, connect(config_for(tmp_path)) as client:
        status = client.submit(job, transport="inline", on_progress=kill_once)
        with restarted[0]:
            *_, last = client.watch(status.id)
            assert last.state == "done"


def test_a_key_that_the_server_does_not_know_is_refused_at_once(tmp_path):
    with running(settings(tmp_path)):
        path = connection_path(tmp_path / "run")
        public, secret = (key.decode() for key in zmq.curve_keypair())
        stranger = dataclasses.replace(read_connection(path), client_public=public, client_secret=secret)
        write_connection(path, stranger)
        with pytest.raises(Refused, match="does not know this user's key"):
            connect(config_for(tmp_path))


def test_keys_new_makes_keys_for_servers_on_other_machines(tmp_path):
    ours, theirs = tmp_path / "server-keys", tmp_path / "client-keys"
    for folder, name in ((ours, "client"), (ours, "server"), (theirs, "client")):
        make_pair(folder, name)
    allow(ours, "operator")
    (ours / "clients" / "anna.key").write_bytes((theirs / "client.key").read_bytes())
    (theirs / "server.key").write_bytes((ours / "server.key").read_bytes())
    with running(settings(tmp_path, bind="tcp://0.0.0.0:*", keys=ours)):
        port = read_connection(connection_path(tmp_path / "run")).control_address.rpartition(":")[2]
        config = config_for(tmp_path, keys=theirs).replace(runtime_dir=tmp_path / "of another machine")
        with connect(config, f"tcp://127.0.0.1:{port}") as client:
            job = make_job(tmp_path)
            id = client.submit(job, transport="inline").id
            *_, last = client.watch(id)
            assert last.state == "done"
            assert client.fetch(id)[0].read_bytes() == expected(job, 1001)


@contextmanager
def impostor(tmp_path, **changes):
    """Run a server that answers hello with a given welcome."""
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    public, secret = zmq.curve_keypair()
    router.curve_server, router.curve_secretkey = True, secret
    address = f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}"
    client = [key.decode() for key in zmq.curve_keypair()]
    found = Connection(address, public.decode(), *client, os.getpid(), installation_id(), "0.1.0")
    write_connection(connection_path(tmp_path / "run"), found)
    welcome = Welcome("1.0", "void-bridge 9.9", installation_id(), "somewhere", address, window=4, part_bytes=1000)

    def answer():
        while router.poll(20_000):
            client, *frames = router.recv_multipart()
            if not frames[0]:
                return
            number = decode(frames).number
            router.send_multipart([client, *encode(Envelope(dataclasses.replace(welcome, **changes), number))])

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        stop = context.socket(zmq.DEALER)
        stop.curve_serverkey, (stop.curve_publickey, stop.curve_secretkey) = public, zmq.curve_keypair()
        stop.connect(address)
        stop.send(b"")
        thread.join()
        context.destroy(linger=0)


def test_a_server_of_another_protocol_is_refused(tmp_path):
    with (
        impostor(tmp_path, protocol="2.0"),
        pytest.raises(VersionMismatch, match=r"void-bridge 9.9.*protocol 2.0.*speaks 1.*same version"),
    ):
        connect(config_for(tmp_path))


def test_a_server_of_another_installation_is_not_used(tmp_path):
    with impostor(tmp_path, installation="other"), pytest.raises(NoServer, match="another installation"):
        connect(config_for(tmp_path))


@contextmanager
def autostarting(tmp_path):
    """Return a configuration, and end its local server after the test."""
    config = config_for(tmp_path).replace(autostart=True, idle_exit_s=20.0)
    try:
        yield config
    finally:
        pid = read_connection(connection_path(config.runtime_dir)).server_pid
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: not connection_path(config.runtime_dir).exists())


def test_concurrent_clients_start_one_server(tmp_path):
    with autostarting(tmp_path) as config, ThreadPoolExecutor(3) as pool:
        notices = []
        clients = list(pool.map(lambda _: connect(config, notice=notices.append), range(3)))
        ends = {client.server.data_address for client in clients}
        for client in clients:
            client.close()
        assert len(ends) == 1
        assert [notice for notice in notices if "starting a local server" in notice] == notices[:1]


def test_autostart_can_be_turned_off(tmp_path):
    with pytest.raises(NoServer):
        connect(config_for(tmp_path).replace(autostart=True), autostart=False)


def test_a_server_that_cannot_start_is_reported_with_the_reason(tmp_path):
    config = config_for(tmp_path, bind="tcp://0.0.0.0:5570", keys=tmp_path / "none").replace(autostart=True)
    with pytest.raises(NoServer, match=r"ended at once: .*keys new.*server.log"):
        connect(config)


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    config = config_for(tmp_path).replace(autostart=True)
    (config.runtime_dir / "server.log").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"cannot write .*server.log: Is a directory"):
        connect(config)


def test_a_server_does_not_inherit_the_hosts_python(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONHOME", "/opt/nuke")
    monkeypatch.setenv("QT_PLUGIN_PATH", "/opt/nuke/qt")
    monkeypatch.setenv("KEPT", "1")
    environment = child_environment(config_for(tmp_path))
    assert not {"PYTHONHOME", "QT_PLUGIN_PATH"} & set(environment)
    assert environment["KEPT"] == "1"
    assert environment["VOID_BRIDGE_SPOOL"] == str(tmp_path / "spool")


def test_a_socket_that_an_interrupt_left_open_does_not_hold_up_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("void_bridge.client.connector._CLOSE_S", 0.1)
    connector = Connector(config_for(tmp_path), False, print)
    left = zmq.Socket(connector._context, zmq.DEALER)  # as if Ctrl-C fell before the context knew of it
    connector.close()
    left.close(linger=0)
    ending = [thread for thread in threading.enumerate() if thread.name == "void-close"]
    eventually(lambda: not any(thread.is_alive() for thread in ending))
