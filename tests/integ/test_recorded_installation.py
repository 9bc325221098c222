"""A copy of the package under another Python, as inside a host: it starts the recorded server and finds it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import fileseq
import msgpack
import psutil
import pytest
import zmq

from tests.support.live_server import DEADLINE_S, REPOSITORY, eventually
from void_bridge.connection import connection_path, installation_id, read_connection
from void_bridge.errors import NoServer
from void_bridge.installation import FILE_NAME

OTHER_PYTHON = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
CONNECT = """
import sys
sys.path += sys.argv[1:]
import json
import void_bridge
from void_bridge.client import connect
from void_bridge.config import load
from void_bridge.connection import installation_id
from void_bridge.errors import VoidBridgeError
result = {"package": void_bridge.__file__, "python": sys.executable, "prefix": sys.prefix}
try:
    result["installation"] = installation_id()
    with connect(load().config) as client:
        result["server"] = client.server.installation
        client.ping()
except VoidBridgeError as error:
    result["error"] = [error.code, error.message]
print(json.dumps(result))
"""
needs_another_python = pytest.mark.skipif(
    not OTHER_PYTHON.exists() or Path(sys.prefix) == Path(sys.base_prefix), reason="this Python is in no environment"
)


@pytest.fixture
def plugin(tmp_path):
    """Copy the part that a host imports to a folder, and end the server that it starts."""
    python = tmp_path / "plugin" / "python"
    left_out = shutil.ignore_patterns("__pycache__", "pixels", "cli")
    shutil.copytree(REPOSITORY / "void_bridge", python / "void_bridge", ignore=left_out)
    for module in (zmq, msgpack, fileseq):
        source = Path(module.__file__).parent
        (python / source.name).symlink_to(source)
    yield python
    try:
        found = read_connection(connection_path(tmp_path / "run"))
    except NoServer:
        return
    os.kill(found.server_pid, signal.SIGTERM)
    eventually(lambda: not connection_path(tmp_path / "run").exists())


def record(plugin, **changes):
    facts = {"executable": sys.executable, "installation": installation_id(), "version": "0.1.0", **changes}
    (plugin / FILE_NAME).write_text(json.dumps(facts))


def asked(plugin, tmp_path, **variables):
    """Return the output of a client in the other Python, which sees only third-party packages of this one."""
    named = {"RUNTIME_DIR": tmp_path / "run", "SPOOL": tmp_path / "spool", "IDLE_EXIT_S": 20, **variables}
    named.update(CONFIG=tmp_path / "none.toml", SITE_CONFIG=tmp_path / "none.toml")
    environment = {f"VOID_BRIDGE_{name}": str(value) for name, value in named.items()}
    environment["HOME"] = str(tmp_path)
    command = [str(OTHER_PYTHON), "-I", "-S", "-c", CONNECT, str(plugin)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["package"].startswith(str(plugin)) and result["prefix"] != sys.prefix
    return result


@needs_another_python
def test_a_plug_in_starts_the_recorded_server_and_uses_it(plugin, tmp_path):
    record(plugin)
    result = asked(plugin, tmp_path)
    assert result["installation"] == result["server"] == installation_id()
    found = read_connection(connection_path(tmp_path / "run"))
    assert psutil.Process(found.server_pid).cmdline()[0] == sys.executable


@needs_another_python
def test_a_plug_in_uses_the_server_that_runs(plugin, tmp_path):
    record(plugin)
    asked(plugin, tmp_path)
    first = read_connection(connection_path(tmp_path / "run"))
    record(plugin, executable="/nowhere/python")
    assert asked(plugin, tmp_path)["server"] == installation_id()
    assert read_connection(connection_path(tmp_path / "run")) == first


@needs_another_python
def test_a_server_of_another_version_ends_at_once_with_advice(plugin, tmp_path):
    record(plugin, installation="0123456789ab")
    code, message = asked(plugin, tmp_path)["error"]
    assert code == NoServer.code
    assert "ended at once: void-bridge: the plug-in was installed by another version or installation" in message
    assert "void-bridge install nuke" in message and "0123456789ab" in message and installation_id() in message
    assert not list((tmp_path / "run").glob("local-*"))


@needs_another_python
def test_a_missing_recorded_python_is_named(plugin, tmp_path):
    record(plugin, executable="/nowhere/python")
    code, message = asked(plugin, tmp_path)["error"]
    assert code == NoServer.code
    assert "cannot start a server with /nowhere/python: No such file" in message and "install again" in message


@needs_another_python
def test_the_configured_python_wins_over_the_recorded(plugin, tmp_path):
    record(plugin, executable="/nowhere/python")
    assert asked(plugin, tmp_path, EXECUTABLE=sys.executable)["server"] == installation_id()


def test_a_server_started_with_its_own_id_stays(tmp_path):
    process = serve(tmp_path, installation_id())
    try:
        eventually(lambda: connection_path(tmp_path / "run").exists() or process.poll() is not None)
        assert process.poll() is None, process.stderr.read()
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)


def test_a_server_started_with_another_id_ends(tmp_path):
    _, errors = (process := serve(tmp_path, "0123456789ab")).communicate(timeout=DEADLINE_S)
    assert process.returncode == 3 and len(errors.strip().splitlines()) == 1 and "0123456789ab" in errors
    assert not (tmp_path / "run").exists() and not (tmp_path / "spool").exists()


def serve(tmp_path, name):
    folders = {"RUNTIME_DIR": tmp_path / "run", "SPOOL": tmp_path / "spool", "CONFIG": tmp_path / "none.toml"}
    variables = {f"VOID_BRIDGE_{key}": str(value) for key, value in folders.items()}
    command = [sys.executable, "-m", "void_bridge.cli", "serve", "--autostarted", "--installation", name]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **variables}
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
