"""A server with a spool of its own, which `demo`, `bench` and tests start and end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from void_bridge.client.launch import child_environment, file_stamp, wait_until_ready
from void_bridge.config import Config, load
from void_bridge.connection import connection_path

STOP_S = 30.0


@dataclass(frozen=True)
class PrivateServer:
    """A running server.

    Attributes:
        config: the configuration by which a client reaches it.
        process: the server; its workers are its children.
    """

    config: Config
    process: subprocess.Popen[bytes]


@contextmanager
def private_server(folder: Path, **settings: object) -> Iterator[PrivateServer]:
    """Run `void-bridge serve` with all its files below a folder, and end it when the block is left.

    Args:
        folder: the folder; it is made.
        settings: settings of `void_bridge.config.Config` that replace those of the machine.

    Yields:
        The server.

    Raises:
        NoServer: the server ended, or did not come up; the message names its log.
    """
    places = {"spool": folder / "spool", "runtime_dir": folder / "run"}
    own = {**places, "connect": "", "autostart": False, "metrics_port": 0}
    config = load({**own, **settings}).config
    folder.mkdir(parents=True, exist_ok=True)
    before = file_stamp(connection_path(config.runtime_dir))
    with open(folder / "server.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "void_bridge.cli", "serve"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=child_environment(config),
        )
    try:
        wait_until_ready(process, config, before, folder / "server.log")
        yield PrivateServer(config, process)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
