"""People who have no business here: other users of this machine, and those who listen on the wire."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import zmq

from tests.support.live_server import REPOSITORY

ANNA, BOB = 61001, 61002  # user ids that nobody has
ANSWER_S = 30.0


@cache
def python_for_all() -> str:
    """Return a Python that every user may run with this one's packages; empty if there is none, or this is not root."""
    if sys.platform == "win32" or os.getuid() != 0:
        return ""
    for python in (sys.executable, f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"):
        with suppress(OSError):
            probe = [python, "-c", "import msgpack, zmq, gpu_server.server.app"]
            if subprocess.run(probe, capture_output=True, **_as(ANNA, Path("/"))).returncode == 0:
                return python
    return ""


WHY_NOT = "a second user id needs root, and a Python that every user may run"


def _as(user: int, home: Path, **variables: object) -> dict[str, Any]:
    packages = Path(zmq.__file__).parents[1]
    environment = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "LOGNAME": f"user{user}",
        "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{packages}",
        "PYTHONDONTWRITEBYTECODE": "1",
        **{name: str(value) for name, value in variables.items()},
    }
    return {"user": user, "group": user, "extra_groups": [], "cwd": "/", "env": environment, "umask": 0o022}


class User:
    """A user with a home that all may enter, so that the product alone keeps others out."""

    def __init__(self, user: int, home: Path) -> None:
        self.id, self.home = user, home
        home.mkdir(mode=0o755)
        os.chown(home, user, user)

    def start(self, code: str, *words: object, **variables: object) -> subprocess.Popen[str]:
        command = [python_for_all(), "-c", code, *map(str, words)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, **pipes, **_as(self.id, self.home, **variables))

    def does(self, code: str, *words: object, **variables: object) -> Any:
        """Run `code`, and return the JSON that it prints last."""
        process = self.start(code, *words, **variables)
        output, said = _ended(process)
        assert process.returncode == 0, said
        return json.loads(output.splitlines()[-1])

    def runs(self, *words: str, **variables: object) -> tuple[int, str]:
        """Run a command line, and return its exit code and output."""
        process = self.start("from void_bridge.cli.main import main; raise SystemExit(main())", *words, **variables)
        output, said = _ended(process)
        return process.returncode, output + said


def _ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return the output of a process, which is ended if it runs for long."""
    try:
        return process.communicate(timeout=ANSWER_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()


@contextmanager
def two_users() -> Iterator[tuple[User, User, Path]]:
    """Make Anna, Bob, and a folder like /tmp that both may write to."""
    base = Path(tempfile.mkdtemp(prefix="void-users-"))
    try:
        base.chmod(0o755)
        shared = base / "shared"
        shared.mkdir()
        shared.chmod(0o1777)
        yield User(ANNA, base / "anna"), User(BOB, base / "bob"), shared
    finally:
        shutil.rmtree(base, ignore_errors=True)


class Wire:
    """A TCP relay on loopback that keeps every byte, in front of a server."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent: list[bytes] = []  # by clients
        self.answered: list[bytes] = []
        self.spoil = threading.Event()  # change a bit of what a client sends next
        self._sockets: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def heard(self) -> bytes:
        return b"".join(self.sent) + b"".join(self.answered)

    def say_again(self) -> None:
        """Send the server what it was sent last, once more, on the same connection."""
        self._sockets[-1].sendall(self.sent[-1])

    def inject(self, data: bytes) -> None:
        self._sockets[-1].sendall(data)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                for source, target, kept in ((near, far, self.sent), (far, near, self.answered)):
                    self._threads.append(threading.Thread(target=self._carry, args=(source, target, kept)))
                    self._threads[-1].start()

    def _carry(self, source: socket.socket, target: socket.socket, kept: list[bytes]) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                kept.append(data)
                if kept is self.sent and self.spoil.is_set():
                    self.spoil.clear()
                    data = data[:-1] + bytes([data[-1] ^ 1])
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._sockets:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in list(self._threads):
            thread.join()
        for end in self._sockets:
            end.close()
