"""A server, its worker and a client, each a process of its own that may be killed, around one job after the other."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from gpu_server.server.settings import ServerSettings
from host_plugins.farm.processes import still_runs
from tests.support.live_server import Client, ServerProcess, eventually
from void_bridge.client.output import output_folder
from void_bridge.errors import VoidBridgeError
from void_bridge.job import Job, JobFile
from void_bridge.protocol.messages import JobStatus, ResultFrame

MARK = "VOID_TORTURE"
DEADLINE_S = 180.0


@dataclass
class KillableServer:
    """A server with its workers and clients, each a process of its own that may be killed.

    Attributes:
        settings: of the server, which is started again with the same.
        transport: of the clients.
        mark: value of an environment variable that all the processes inherit.
        server: the server's process, while it runs.
        peer: a client of it in this process, while it runs.
    """

    settings: ServerSettings
    transport: str = "auto"
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    server: ServerProcess | None = None
    peer: Client | None = None

    def __enter__(self) -> KillableServer:
        os.environ[MARK] = self.mark  # inherited by the server, its workers and the clients
        self.start_server()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        os.environ.pop(MARK, None)

    # --- the server ------------------------------------------------------------------------------

    def start_server(self) -> None:
        """Start the server, and connect to it."""
        self.server = ServerProcess(self.settings)
        self.peer = Client.of(self.settings)

    def kill_server(self) -> None:
        """Kill the server with SIGKILL."""
        assert self.server and self.peer
        self.server.kill()
        self.peer.close()
        self.server = self.peer = None

    def stop(self) -> None:
        """End the server in order."""
        if self.peer:
            self.peer.close()
        if self.server:
            self.server.process.terminate()
            self.server.process.wait(DEADLINE_S)
        self.server = self.peer = None

    # --- clients and workers ---------------------------------------------------------------------

    def start_client(self, job_file: Path) -> subprocess.Popen[str]:
        """Start a client process that submits a job and fetches its frames."""
        words = [str(job_file), str(self.settings.runtime_dir), self.transport]
        command = [sys.executable, "-m", "tests.torture.client_process", *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def workers(self) -> list[psutil.Process]:
        """Return the running worker processes."""
        assert self.server
        return [each for each in psutil.Process(self.server.process.pid).children() if still_runs(each)]

    def processes(self) -> list[psutil.Process]:
        """Return the running processes of this setup, apart from this one."""
        return [each for each in psutil.process_iter() if each.pid != os.getpid() and _mark_of(each) == self.mark]

    # --- observations ----------------------------------------------------------------------------

    def status(self, id: str) -> JobStatus | None:
        """Return the status of a job; None while the server does not know it."""
        assert self.peer
        try:
            return self.peer.status(id)
        except VoidBridgeError:
            return None

    def acknowledged(self, id: str) -> dict[int, ResultFrame]:
        """Return the frames that the server has published."""
        assert self.peer
        try:
            return {frame.frame: frame for frame in self.peer.result_of(id).frames}
        except VoidBridgeError:
            return {}

    def memory(self) -> int:
        """Return the PSS of the server and its workers, in bytes."""
        assert self.server
        root = psutil.Process(self.server.process.pid)
        return sum(each.memory_full_info().pss for each in (root, *self.workers()))

    def server_memory(self) -> int:
        """Return the USS of the server process alone, in bytes."""
        assert self.server
        return int(psutil.Process(self.server.process.pid).memory_full_info().uss)


@dataclass(frozen=True)
class JobOnDisk:
    """A job on disk, for a client process.

    Attributes:
        file: its job.json.
        job: the job.
        id: its id.
        expected: frame -> digest of the result file.
    """

    file: Path
    job: Job
    id: str
    expected: dict[int, str]

    @classmethod
    def write(cls, folder: Path, job: Job, expected: dict[int, str]) -> JobOnDisk:
        """Write the job.json of a job into a folder."""
        id = uuid.uuid4().hex[:12]
        path = folder / f"{id}.json"
        JobFile(job, id).write(path)
        return cls(path, job, id, expected)

    def fetched_frames(self) -> dict[int, str]:
        """Return frame -> digest of the files in the output folder."""
        folder = output_folder(self.job)
        found = folder.glob("*.exr") if folder.exists() else ()
        return {int(path.name.split(".")[-2]): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    def temporary_files(self) -> list[Path]:
        """Return the temporary files in the output folder."""
        folder = output_folder(self.job)
        return sorted(folder.glob(".*")) if folder.exists() else []


def outcome_of(client: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a client process, and return the object that it printed.

    Raises:
        AssertionError: it failed.
    """
    output, errors = client.communicate(timeout=DEADLINE_S)
    assert client.returncode == 0, errors
    return dict(json.loads(output.strip().splitlines()[-1]))


def kill(process: psutil.Process | subprocess.Popen[str]) -> None:
    """Kill a process with SIGKILL, and wait for its end."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    if isinstance(process, subprocess.Popen):
        process.communicate()


def wait_until_gone(processes: list[psutil.Process]) -> None:
    """Wait until none of the processes runs.

    Raises:
        AssertionError: one still does after 30 seconds.
    """
    eventually(lambda: not any(map(still_runs, processes)), 30)


def command_line_of(process: psutil.Process) -> str:
    """Return the command line of a process; empty once it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _mark_of(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARK, "") if still_runs(process) else ""
    except psutil.Error:
        return ""
