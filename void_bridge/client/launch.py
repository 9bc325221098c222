"""Starting a local server: detached, with a log file, and independent of the program that starts it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

from void_bridge.config import Config, as_environment
from void_bridge.connection import connection_path, installation_id, make_private_folder
from void_bridge.errors import NoServer, map_write_errors
from void_bridge.installation import recorded_installation

START_S = 90.0
_POLL_S = 0.05
_HOST_VARIABLES = ("PYTHON", "QT_", "QML", "__PYVENV")
_INSTALL_AGAIN = "run void-bridge install again"
_started: List[subprocess.Popen[bytes]] = []  # kept, so that Python does not warn of a process that still runs


def start_server(config: Config, is_running: Callable[[], bool], notice: Callable[[str], None]) -> None:
    """Start the local server of this installation, unless another client just has.

    If two clients call this at the same time, one starts the server and the other waits for it.

    Args:
        config: the configuration.
        is_running: returns whether the server answers.
        notice: called with a line of text when the server is started.

    Raises:
        NoServer: no Python to start it with, or it did not come up; the log is named.
        Refused: the folder of connection files is another user's.
        OutputError, DiskFull: its log cannot be written.
    """
    serve = ["-m", "void_bridge.cli", "serve", "--autostarted", "--installation", installation_id()]
    command = [server_python(config), *serve]
    log = config.runtime_dir / "server.log"
    make_private_folder(config.runtime_dir)  # the server's working folder, from which Python would import
    with _exclusive_lock(config.runtime_dir / "start.lock"):
        if is_running():
            return
        notice(f"starting a local server; its log is {log}")
        before = file_stamp(connection_path(config.runtime_dir))
        process = _spawn(command, config, log)
        wait_until_ready(process, config, before, log)


def server_python(config: Config) -> str:
    """Return the Python that runs servers and commands: the configured one, the recorded one, or else this one.

    Raises:
        NoServer: this is a host's Python, or the recorded one is of another system.
        ConfigError: the recorded installation cannot be read.
    """
    if config.executable:
        return config.executable
    record = recorded_installation()
    path = Path(record.executable if record else sys.executable or "")
    if record and not path.is_absolute():
        raise NoServer(f"cannot start {path} on this system; {_INSTALL_AGAIN}, or set `executable`")
    if record:
        return str(path)
    if path.name.lower().startswith(("python", "pypy")):
        return str(path)
    raise NoServer(f"no server runs, and {path.name or 'this program'} cannot start one; run void-bridge serve")


def child_environment(config: Config) -> Dict[str, str]:
    """Return the environment of a server: without the host's Python and Qt, with this client's configuration."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(_HOST_VARIABLES)}
    return {**kept, **as_environment(config)}


def _spawn(command: List[str], config: Config, log: Path) -> subprocess.Popen[bytes]:
    """Start a detached process. Raises NoServer if it cannot be started, OutputError if its log cannot be written."""
    detached: Dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW | subprocess.DETACHED_PROCESS
        detached = {"creationflags": flags}
    with map_write_errors(log):
        output = open(log, "ab")  # noqa: SIM115  closed below
    try:
        with output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                close_fds=True,
                cwd=str(config.runtime_dir),
                env=child_environment(config),
                **detached,
            )
    except OSError as exc:
        why = f"cannot start a server with {command[0]}: {exc.strerror or exc}"
        raise NoServer(f"{why}; {_INSTALL_AGAIN}, or set `executable`") from exc
    _started[:] = [child for child in _started if child.poll() is None] + [process]
    return process


def wait_until_ready(process: subprocess.Popen[bytes], config: Config, before: int, log: Path) -> None:
    """Wait until a server that has just been started has written its connection file.

    Args:
        process: the server.
        config: its configuration.
        before: the `file_stamp` of its connection file before the start, as a killed server leaves its own.
        log: its log file.

    Raises:
        NoServer: it ended, or is not ready in time; the log is named.
    """
    path = connection_path(config.runtime_dir)
    deadline = time.monotonic() + START_S
    while file_stamp(path) in (0, before):
        if process.poll() is not None:
            raise NoServer(f"the started server ended at once: {_last_line(log)}; see {log}")
        if time.monotonic() > deadline:
            raise NoServer(f"the started server is not ready after {START_S:.0f} s; see {log}")
        time.sleep(_POLL_S)


def file_stamp(path: Path) -> int:
    """Return a number that differs for every new file at `path`, or 0 without one."""
    try:
        facts = path.stat()
    except OSError:
        return 0
    return facts.st_mtime_ns + facts.st_ino


def _last_line(log: Path) -> str:
    """Return the last line of a log."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "its log is empty"


@contextmanager
def _exclusive_lock(path: Path) -> Iterator[None]:
    """Hold a file lock during the block. The system releases it if this process ends."""
    with open(path, "a+b") as handle:
        if sys.platform == "win32":
            import msvcrt

            handle.seek(0)
            msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
