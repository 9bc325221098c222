"""Keys in no log, no message, no output, no file but their own."""

import base64
import logging
import os
from pathlib import Path

import pytest
import zmq
from zmq.utils import z85

from gpu_server.server.app import Server
from tests.support.key_folders import make_key_folder
from tests.support.live_server import Client, Peer, make_plate, make_submit, running, settings
from void_bridge.cli.main import main
from void_bridge.connection import connection_path, read_connection
from void_bridge.errors import Refused
from void_bridge.keyfiles import read_pair, read_public

COMMANDS = [
    "config show",
    "config show --json",
    "doctor --connect ADDRESS",
    "doctor --connect ADDRESS --json",
    "jobs --connect ADDRESS",
    "jobs --connect ADDRESS --json",
    "status --connect ADDRESS none --json",
    "jobs --connect nonsense",
    "keys list",
    "keys list --json",
    "keys new --server --json",
    "keys allow eve client.key_secret --json",
    "keys revoke nobody --json",
]


def shapes_of(key):
    """Return a key in the forms in which it may be written."""
    raw = z85.decode(key)
    texts = (key, raw.hex(), raw.hex().upper(), base64.b64encode(raw).decode(), repr(raw)[2:-1])
    return [raw, *(text.encode() for text in texts)]


def assert_nowhere(secrets, text):
    for name, key in secrets.items():
        assert not any(shape in text for shape in shapes_of(key)), f"the secret of {name} shows"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = make_key_folder(tmp_path / "keys")
    for name, value in {"KEYS": folder, "RUNTIME_DIR": tmp_path / "elsewhere", "DEBUG": 1, "AUTOSTART": "off"}.items():
        monkeypatch.setenv(f"VOID_BRIDGE_{name}", str(value))
    return folder


def test_secrets_show_nowhere(tmp_path, folder, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with running(settings(tmp_path, bind="tcp://0.0.0.0:*", keys=folder)) as server:
        found = read_connection(connection_path(server.settings.runtime_dir))
        secrets = {
            "the server": read_pair(folder / "server.key_secret").secret,
            "the client": read_pair(folder / "client.key_secret").secret,
            "the connection file": found.client_secret,
        }
        stranger = zmq.curve_keypair()[1].decode()
        own = (zmq.curve_public(stranger.encode()).decode(), stranger)
        with Peer(found.control_address, found.server_public, *own, hello=False) as peer:
            peer.socket.send(b"x")
            assert not peer.socket.poll(300)
        submit = make_submit(make_plate(tmp_path / "plates"), fail=["engine", "no"], say="words of the worker")
        with Client.of(server.settings) as client:
            client.upload(submit)
            client.reaches(submit.id, "failed")
        codes = []
        for line in COMMANDS:
            words = [word.replace("ADDRESS", server.control_address) for word in line.split()]
            codes.append(main([str(folder / word) if word.startswith("client.") else word for word in words]))
        assert_nowhere(secrets, repr((server._keys, found, vars(server))).encode())
    said = "".join(capfd.readouterr())
    assert codes[4:6] == [0, 0] and 1 in codes, said  # some got through to the server, some failed
    assert "refused a client" in caplog.text and "words of the worker" in caplog.text
    assert_nowhere(secrets, said.encode() + caplog.text.encode())
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(written) > 8
    for path, data in written.items():
        if path.suffix != ".key_secret":
            assert_nowhere(secrets, data)


@pytest.mark.skipif(os.name == "nt", reason="modes are not looked at on Windows")
@pytest.mark.parametrize("spoil", ["mode", "pair", "cut off", "public alone"])
def test_a_key_that_is_refused_is_not_shown(tmp_path, folder, spoil, caplog):
    path = folder / "server.key_secret"
    secret, text = read_pair(path).secret, path.read_text()
    if spoil == "mode":
        path.chmod(0o644)
    elif spoil == "pair":
        path.write_text(text.replace(read_pair(path).public, read_public(folder / "client.key")))
    elif spoil == "cut off":
        path.write_text(text[: text.index(secret) + 39])
    else:
        path.write_text(text.replace("secret-key", "other-key"))
    with pytest.raises(Refused) as error:
        Server(settings(tmp_path, bind="tcp://0.0.0.0:*", keys=folder))
    assert secret[:39] not in error.value.message + caplog.text
    assert Path(path).name in error.value.message


def test_a_worker_gets_no_key(tmp_path, folder):
    """The environment and the command line of the worker hold no key."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("this system does not show what a process was started with")
    with running(settings(tmp_path, bind="tcp://0.0.0.0:*", keys=folder)) as server:
        found = read_connection(connection_path(server.settings.runtime_dir))
        with Client.of(server.settings) as client:
            gate = tmp_path / "gate"
            submit = make_submit(make_plate(tmp_path / "plates"), gate=str(gate))
            client.upload(submit)
            client.reaches(submit.id, "running")
            workers = [slot.process._process.pid for slot in server._dispatcher.slots]
            shown = b"".join(
                Path(f"/proc/{pid}/{name}").read_bytes() for pid in workers for name in ("environ", "cmdline")
            )
            gate.touch()
            client.reaches(submit.id, "done")
    assert len(shown) > 100
    secrets = {"the server": read_pair(folder / "server.key_secret").secret, "the client": found.client_secret}
    assert_nowhere(secrets, shown)
