"""`void-bridge serve` as people and clients start it."""

import os
import signal
import subprocess
import sys

import pytest

from gpu_server.server.app import Server
from tests.support.live_server import DEADLINE_S, REPOSITORY, eventually, running, settings
from void_bridge.connection import connection_path, read_connection


@pytest.fixture
def start(tmp_path):
    """Start `serve` with these options; it ends with the test."""
    started = []

    def start(*options, **variables):
        folders = {"RUNTIME_DIR": tmp_path / "run", "SPOOL": tmp_path / "spool", "CONFIG": tmp_path / "none.toml"}
        named = {f"VOID_BRIDGE_{name}": str(value) for name, value in {**folders, **variables}.items()}
        command = [sys.executable, "-m", "void_bridge.cli", "serve", *options]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **named}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def is_up(tmp_path, process):
    eventually(lambda: connection_path(tmp_path / "run").exists() or process.poll() is not None)
    assert process.poll() is None, process.stderr.read()


def test_a_server_that_a_client_starts_logs_to_its_spool_and_is_silent(start, tmp_path):
    process = start("--autostarted")
    is_up(tmp_path, process)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=DEADLINE_S) == ("", "")
    assert process.returncode == 0
    log = (tmp_path / "spool" / "logs" / "server.log").read_text()
    assert "listening on tcp://127.0.0.1:" in log and "stopping (SIGTERM)" in log


def test_options_win_over_variables(start, tmp_path):
    process = start("--autostarted", "--spool", str(tmp_path / "mine"), SPOOL=tmp_path / "theirs")
    is_up(tmp_path, process)
    assert (tmp_path / "mine").exists() and not (tmp_path / "theirs").exists()
    assert read_connection(connection_path(tmp_path / "run")).server_pid == process.pid


def test_a_second_server_on_a_spool_says_so_and_ends(start, tmp_path):
    is_up(tmp_path, start("--autostarted"))
    second = start("--autostarted")
    _, said = second.communicate(timeout=DEADLINE_S)
    assert second.returncode == 1 and "another server uses the spool" in said
    assert len(said.strip().splitlines()) == 1


def test_an_open_address_without_keys_says_so_and_ends(start, tmp_path):
    process = start("--autostarted", "--bind", "tcp://0.0.0.0:*", KEYS=tmp_path / "none")
    _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1 and "keys new" in said
    assert not (tmp_path / "run").exists()


def test_a_server_that_never_started_can_be_stopped(tmp_path):
    Server(settings(tmp_path)).stop()
    with running(settings(tmp_path)) as server:  # it has let its spool go
        pass
    server.stop()


def test_the_server_needs_no_arrays_and_no_torch():
    program = (
        "import gpu_server.server.app, gpu_server.serve_command, sys;"
        "heavy = {'numpy', 'torch', 'cv2', 'OpenEXR', 'PyOpenColorIO'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
