"""The allow-list of a running server, which is followed without a restart."""

import os
import shutil
import socket
from pathlib import Path

import pytest
import zmq

from gpu_server.server.app import Server
from tests.support.key_folders import make_key_folder
from tests.support.live_server import Peer, eventually, make_plate, make_submit, running, settings
from void_bridge.cli.keys import allow, make_pair
from void_bridge.client.channel import Channel
from void_bridge.client.endpoint import Endpoint
from void_bridge.connection import connection_path, read_connection
from void_bridge.errors import Refused, UsageError
from void_bridge.keyfiles import fingerprint, read_pair, read_public
from void_bridge.protocol.messages import GetStatus, ListJobs, Ping, Pong, Put, Watch

pytestmark = pytest.mark.skipif(os.name == "nt", reason="owners and modes are not looked at on Windows")
needs_root = pytest.mark.skipif(os.name == "nt" or os.getuid() != 0, reason="giving a file away needs root")


@pytest.fixture
def folder(tmp_path):
    """Return keys of a server that accepts one client, and the pair of another client."""
    folder = make_key_folder(tmp_path / "keys")
    make_pair(tmp_path / "bob", "client")
    return folder


@pytest.fixture
def server(tmp_path, folder):
    with running(settings(tmp_path, bind="tcp://0.0.0.0:*", keys=folder)) as server:
        yield server


@pytest.fixture
def anna(folder):
    return folder / "client.key_secret"


@pytest.fixture
def bob(tmp_path):
    return tmp_path / "bob" / "client.key_secret"


def peer_of(server, folder, secret, data=False):
    pair = read_pair(secret)
    address = read_connection(connection_path(server.settings.runtime_dir)).data_address
    return Peer(address if data else server.control_address, read_public(folder / "server.key"), *pair)


def comes_in(server, folder, secret):
    """Return whether a new connection with a key is accepted."""
    endpoint = Endpoint(server.control_address, read_public(folder / "server.key"), *read_pair(secret))
    context = zmq.Context()
    try:
        Channel(context, endpoint).close()
    except Refused as exc:
        assert "does not know this user's key" in exc.message
        return False
    finally:
        context.destroy(linger=0)
    return True


def let_in(folder, name, secret):
    allow(folder, name, secret.with_suffix(".key"))


def test_a_key_added_to_the_list_is_accepted_at_the_next_handshake(server, folder, anna, bob):
    assert comes_in(server, folder, anna) and not comes_in(server, folder, bob)
    let_in(folder, "bob", bob)
    assert comes_in(server, folder, bob)


def test_a_key_removed_from_the_list_is_refused_at_the_next_handshake(server, folder, anna, bob):
    let_in(folder, "bob", bob)
    assert comes_in(server, folder, bob)
    (folder / "clients" / "bob.key").unlink()
    assert not comes_in(server, folder, bob) and comes_in(server, folder, anna)


def test_a_replaced_key_of_the_same_name_is_another_key(server, folder, anna, bob):
    (folder / "clients" / "anna.key").write_text(bob.with_suffix(".key").read_text())
    assert comes_in(server, folder, bob) and not comes_in(server, folder, anna)


def is_refused(peer, message, *buffers):
    try:
        peer.ask(message, *buffers)
    except Refused as exc:
        return "no longer in the server's allow-list" in exc.message
    return False


def test_an_open_connection_is_refused_once_its_key_is_off_the_list(server, folder, anna, bob, tmp_path):
    """Keep the connection, which libzmq cannot end for one client, and refuse all of its requests."""
    let_in(folder, "bob", bob)
    submit = make_submit(make_plate(tmp_path / "plates"), gate=str(tmp_path / "gate"))
    with peer_of(server, folder, bob) as control, peer_of(server, folder, bob, data=True) as data:
        control.ask(submit)
        (folder / "clients" / "bob.key").unlink()
        assert eventually(lambda: is_refused(control, ListJobs()))
        assert is_refused(data, Put(submit.inputs[0].digest, submit.inputs[0].size, 0), b"x")
        assert is_refused(control, Ping()) and is_refused(control, GetStatus(submit.id))
        with peer_of(server, folder, anna) as other:
            assert other.ask(Ping()) == Pong()
            assert other.ask(GetStatus(submit.id)).status.state == "receiving"


def test_a_watch_ends_with_its_key(server, folder, anna, bob, tmp_path):
    let_in(folder, "bob", bob)
    submit = make_submit(make_plate(tmp_path / "plates"), gate=str(tmp_path / "gate"), preview="a picture")
    with peer_of(server, folder, bob) as watcher, peer_of(server, folder, anna) as other:
        other.ask(submit)
        watcher.ask(Watch(submit.id, previews=True))
        (folder / "clients" / "bob.key").unlink()
        assert eventually(lambda: is_refused(watcher, Ping()))
        with peer_of(server, folder, anna, data=True) as data:
            for item in submit.inputs:
                with open(item.path, "rb") as file:
                    data.ask(Put(item.digest, item.size, 0), file.read())
        (tmp_path / "gate").touch()
        eventually(lambda: other.ask(GetStatus(submit.id)).status.state == "done")
        watcher.events.clear()
        assert is_refused(watcher, Ping()) and watcher.events == [] and not watcher.socket.poll(300)


SPOILED = {
    "others can change it": lambda key: key.chmod(0o666),
    "it is a link": lambda key: (key.rename(key.with_suffix(".real")), key.symlink_to(key.with_suffix(".real"))),
    "it holds nothing": lambda key: key.write_text(""),
    "it is a pipe": lambda key: (key.unlink(), os.mkfifo(key)),
    "the folder is open": lambda key: key.parent.chmod(0o777),
    "the folder above is open": lambda key: key.parents[1].chmod(0o777),
    "the folder is gone": lambda key: shutil.rmtree(key.parent),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_key_that_others_may_have_added_is_refused(server, folder, anna, how, tmp_path):
    assert comes_in(server, folder, anna)
    SPOILED[how](folder / "clients" / "anna.key")
    assert not comes_in(server, folder, anna)
    found = read_connection(connection_path(server.settings.runtime_dir))
    own = (found.server_public, found.client_public, found.client_secret)
    with Peer(found.control_address, *own) as peer:  # this user's own clients are no matter of the list
        assert peer.ask(Ping()) == Pong()


@pytest.mark.parametrize("how", SPOILED)
def test_a_server_does_not_start_with_a_list_that_others_may_have_written(tmp_path, folder, how):
    SPOILED[how](folder / "clients" / "anna.key")
    with pytest.raises(Refused, match=r"anna\.key|keys"):
        Server(settings(tmp_path, bind="tcp://0.0.0.0:*", keys=folder))


@pytest.mark.parametrize("spoil", ["mode", "link", "folder", pytest.param("owner", marks=needs_root)])
def test_a_server_does_not_start_with_a_key_that_others_can_read(tmp_path, folder, spoil):
    secret = folder / "server.key_secret"
    if spoil == "mode":
        secret.chmod(0o604)
    elif spoil == "link":
        secret.rename(tmp_path / "elsewhere")
        secret.symlink_to(tmp_path / "elsewhere")
    elif spoil == "folder":
        folder.chmod(0o770)
    else:
        os.chown(secret, 12345, -1)
    with pytest.raises(Refused):
        Server(settings(tmp_path, bind="tcp://0.0.0.0:*", keys=folder))


def test_accepted_and_refused_clients_are_in_the_log(server, folder, bob, caplog):
    caplog.set_level("INFO")
    assert not comes_in(server, folder, bob)
    let_in(folder, "bob", bob)
    assert comes_in(server, folder, bob)
    (folder / "clients" / "bob.key").unlink()
    assert not comes_in(server, folder, bob)
    name = fingerprint(read_pair(bob).public)
    lines = [record.getMessage() for record in caplog.records if name in record.getMessage()]
    assert lines[0] == f"refused a client: its key {name} is not in the allow-list"
    assert lines[1:3] == [f"bob may connect now, key {name}", f"bob may no longer connect, key {name}"]
    assert read_pair(bob).secret not in caplog.text


# --- addresses ------------------------------------------------------------------------------------

OPEN = "0.0.0.0 * 127.0.0.2 localhost.evil localhost. LOCALHOST 127.0.0.1.evil 127.1 0 0x7f.0.0.1 gpu1 lo eth0"


@pytest.mark.parametrize("host", OPEN.split())
@pytest.mark.parametrize("port", ["*", "5570"])
def test_every_address_but_loopback_needs_keys(tmp_path, host, port):
    with pytest.raises(Refused, match="is open to other machines"):
        Server(settings(tmp_path, bind=f"tcp://{host}:{port}", keys=tmp_path / "none"))


BAD = "tcp://[::]:1 tcp://[::1]:1 tcp://:::1 tcp://::1:* tcp://127.0.0.1:1;0.0.0.0:2 tcp://127.0.0.1:1@0.0.0.0:2"


@pytest.mark.parametrize(
    "bind",
    [*BAD.split(), "tcp://127.0.0.1:*\n", "tcp://127.0.0.1 :*", "ws://0.0.0.0:1", "udp://127.0.0.1:1", "inproc://x"],
)
def test_an_address_of_another_kind_is_refused(tmp_path, bind):
    with pytest.raises(UsageError, match="expected tcp://HOST:PORT"):
        Server(settings(tmp_path, bind=bind))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux answers on all of 127.0.0.0/8")
def test_a_server_on_loopback_listens_only_there(tmp_path, host):
    with running(settings(tmp_path, bind=f"tcp://{host}:*")) as server:
        found = read_connection(connection_path(server.settings.runtime_dir))
        for address in (found.control_address, found.data_address):
            port = int(address.rpartition(":")[2])
            socket.create_connection(("127.0.0.1", port)).close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.2", port))
