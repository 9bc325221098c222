"""The unit and the recipe by which a system starts a server: their words are ours, and a server started by them obeys.

No systemd runs the unit here: its parser looks at it where there is one, and the test stands in for its manager, with
the signal and within the time that the unit names.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from gpu_server import services
from gpu_server.serve_command import COMMAND
from tests.support.client_jobs import config_for
from tests.support.live_server import REPOSITORY, eventually
from void_bridge.cli.command import Parser
from void_bridge.client import connect
from void_bridge.config import as_environment
from void_bridge.connection import connection_path, read_connection
from void_bridge.errors import ConfigError, Refused, UsageError

FOLDER = Path(services.__file__).parent
UNIT = FOLDER / "void-bridge.service"
SERVER_PATIENCE_S = 10.0  # of `Server.stop`, for telling the workers, for their end, and for that of those killed

Section = dict[str, list[str]]


def unit() -> dict[str, Section]:
    """Return the unit as section -> key -> values: a key may be there several times, which configparser refuses."""
    sections: dict[str, Section] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section.setdefault(key, []).append(value)
    return sections


def only(key: str) -> str:
    (value,) = unit()["Service"][key]
    return value


def words() -> list[str]:
    """Return the words of ExecStart, split as systemd does where there is nothing to escape."""
    assert not set(only("ExecStart")) & set("\\\"'$;")
    return only("ExecStart").split()


def seconds(key: str) -> float:
    assert re.fullmatch(r"\d+", only(key)), "plain seconds"
    return float(only(key))


def test_the_unit_says_what_a_server_needs():
    service = unit()["Service"]
    assert (only("Type"), only("Restart"), only("KillSignal")) == ("exec", "on-failure", "SIGTERM")
    assert only("KillMode") == "mixed", "workers are the server's to end"
    assert only("OOMPolicy") == "continue", "a worker that is killed for memory takes no server with it"
    assert seconds("TimeoutStopSec") > 3 * SERVER_PATIENCE_S
    assert unit()["Install"] == {"WantedBy": ["default.target"]}
    assert not set(service) & {"Environment", "EnvironmentFile", "LoadCredential", "PassEnvironment"}, "no secrets"
    takes_the_gpu_away = {"PrivateDevices", "DevicePolicy", "DeviceAllow", "ProtectClock", "MemoryDenyWriteExecute"}
    needs_root_or_namespaces = {"User", "Group", "PrivateTmp", "ProtectHome", "ProtectSystem", "PrivateUsers"}
    assert not set(service) & (takes_the_gpu_away | needs_root_or_namespaces)


@pytest.mark.parametrize("error", [UsageError, ConfigError])
def test_a_usage_error_is_not_restarted(error):
    assert str(error.exit_code) in only("RestartPreventExitStatus").split()
    assert str(Refused.exit_code) not in only("RestartPreventExitStatus").split()


def test_its_options_are_those_of_our_command_line():
    program, command, *options = words()
    assert program == "%h/.local/bin/void-bridge" and command == COMMAND.name
    parser = Parser()
    COMMAND.configure(parser)
    parsed = parser.parse_args(options)
    assert not parsed.autostarted, "a server that is started so does not leave when it is idle"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Make the home of a user, with void-bridge where the unit looks for it."""
    program = tmp_path / ".local" / "bin" / "void-bridge"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m void_bridge.cli "$@"\n')
    program.chmod(0o755)
    return tmp_path


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_understands_it(home):
    (home / "run").mkdir(mode=0o700)
    environment = {**os.environ, "HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}
    command = ["systemd-analyze", "verify", "--user", "--man=no"]
    done = subprocess.run([*command, UNIT], capture_output=True, text=True, env=environment, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    spoilt = home / "void-bridge.service"
    spoilt.write_text(UNIT.read_text().replace("OOMPolicy=continue", "OOMPolicy=never"))
    done = subprocess.run([*command, spoilt], capture_output=True, text=True, env=environment, timeout=60)
    assert "OOM policy" in done.stderr, "it looks at such things"


@pytest.mark.skipif(sys.platform == "win32", reason="a unit is for Linux")
def test_a_server_started_by_its_command_answers_and_stops_in_time(home):
    command = [word.replace("%h", str(home)) for word in words()]
    config = config_for(home)
    own = {name: value for name, value in as_environment(config).items() if name != "VOID_BRIDGE_AUTOSTART"}
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), **own}
    path = connection_path(config.runtime_dir)
    with subprocess.Popen(command, cwd=home, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            eventually(lambda: path.exists() or process.poll() is not None)
            assert process.poll() is None, process.stderr.read()
            assert read_connection(path).server_pid == process.pid, "the shell has made room for it"
            with connect(config) as client:
                assert client.ping() >= 0 and "propagate" in client.server.engines
            process.send_signal(getattr(signal, only("KillSignal")))
            _, log = process.communicate(timeout=seconds("TimeoutStopSec"))
        finally:
            process.kill()
    assert process.returncode == 0, "which systemd takes for a success"
    assert "stopping (SIGTERM)" in log, "the journal gets the log"
    assert not path.exists()


def test_the_windows_recipe_is_marked_and_says_the_same():
    for name in ("void-bridge.xml", "windows.md"):
        assert "UNTESTED" in (FOLDER / name).read_text(encoding="utf-8").splitlines()[0]
    service = ElementTree.parse(FOLDER / "void-bridge.xml").getroot()
    assert service.findtext("arguments").split() == words()[1:]
    assert service.findtext("stoptimeout") == f"{seconds('TimeoutStopSec'):.0f} sec"
    assert service.find("serviceaccount/password") is None


def test_the_service_files_come_with_the_wheel():
    """They are in a package; tests/integ/test_wheel.py checks that every file of the packages is in the wheel."""
    assert {path.name for path in FOLDER.iterdir() if path.suffix not in (".py", "")} == {
        "void-bridge.service",
        "void-bridge.xml",
        "windows.md",
    }
