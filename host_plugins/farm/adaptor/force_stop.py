"""`daemon stop` for cases in which the runtime's own stop does not work. It leaves nothing of a session behind.

openjd-adaptor-runtime 0.9.6 refuses to stop a daemon whose task still runs, as it does when `daemon run` was killed; it
leaves the daemon running when the stop reports a failure, also an earlier one; and it does nothing where the daemon has
died, although its server still runs then.
"""

from __future__ import annotations

import http.client
import json
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Optional

from host_plugins.farm import session
from host_plugins.farm.processes import import_psutil, wait_until_ended

_REQUEST_S = 10.0
_CANCEL_S = 45.0  # the server ends a worker that does not stop after at most 30
_EXIT_S = 5.0
_POLL_S = 0.5

Say = Callable[[str], None]


def session_folder(connection: Path) -> Path:
    """Return the folder of the session whose daemon has this connection file."""
    return connection.with_name(f"{connection.name}.session").absolute()


def force_stop(connection: Path, say: Say) -> None:
    """Cancel the daemon's task, end the daemon, its server and workers, and remove their files."""
    folder, daemon = session_folder(connection), _daemon(connection)
    if daemon is not None:
        _wait_or_kill(daemon, _EXIT_S if _answers(connection) else 0, say)
    elif folder.is_dir():
        say("the adaptor's daemon had already ended")
    else:
        say(f"nothing to stop: no daemon has the connection file {connection}")
    if folder.is_dir():
        session.stop(folder, say)
        shutil.rmtree(folder, ignore_errors=True)
    _remove_connection(connection)


def _daemon(connection: Path) -> Optional[Any]:
    for process in import_psutil().process_iter(["cmdline"]):
        words = process.info["cmdline"] or ()
        if "_serve" in words and str(connection.absolute()) in words:
            return process
    return None


def _answers(connection: Path) -> bool:
    try:
        _ask(connection)
    except Exception:  # of any class: the daemon is killed then
        return False
    return True


def _ask(connection: Path) -> None:
    from openjd.adaptor_runtime._background import FrontendRunner
    from openjd.adaptor_runtime._background.loaders import ConnectionSettingsFileLoader

    settings = ConnectionSettingsFileLoader(connection).load()
    frontend = FrontendRunner(connection_settings=settings, timeout_s=_REQUEST_S)
    try:
        frontend.cancel()  # does nothing without a task
        _stop(frontend)
    finally:
        frontend.shutdown()


def _stop(frontend: Any) -> None:
    deadline = time.monotonic() + _CANCEL_S
    while True:
        try:
            return frontend.stop()  # type: ignore[no-any-return]
        except http.client.HTTPException:  # refused: the task is not over yet
            if time.monotonic() > deadline:
                raise
        time.sleep(_POLL_S)


def _wait_or_kill(daemon: Any, timeout_s: float, say: Say) -> None:
    left = wait_until_ended([daemon], timeout_s)
    for process in left:
        say("the adaptor's daemon does not answer; killing it")
        process.kill()
    wait_until_ended(left, _EXIT_S)


def _remove_connection(connection: Path) -> None:
    """Remove the connection file and its socket, which a killed daemon leaves behind."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        socket = Path(json.loads(connection.read_text(encoding="utf-8"))["socket"])
        if socket.is_socket():
            socket.unlink()
    with suppress(OSError):
        connection.unlink()
