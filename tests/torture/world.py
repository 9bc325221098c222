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
class World:
    """settings: of the server, which is started again with the same. env: of everything that is started."""

    settings: ServerSettings
    transport: str = "auto"
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    server: ServerProcess | None = None
    peer: Client | None = None

    def __enter__(self) -> World:
        os.environ[MARK] = self.mark  # inherited by the server, its workers and the clients
        self.start_server()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        os.environ.pop(MARK, None)

    # --- the server ------------------------------------------------------------------------------

    def start_server(self) -> None:
        self.server = ServerProcess(self.settings)
        self.peer = Client.of(self.settings)

    def kill_server(self) -> None:
        assert self.server and self.peer
        self.server.kill()
        self.peer.close()
        self.server = self.peer = None

    def stop(self) -> None:
        if self.peer:
            self.peer.close()
        if self.server:
            self.server.process.terminate()
            self.server.process.wait(DEADLINE_S)
        self.server = self.peer = None

    # --- clients and workers ---------------------------------------------------------------------

    def start_client(self, job_file: Path) -> subprocess.Popen[str]:
        words = [str(job_file), str(self.settings.runtime_dir), self.transport]
        command = [sys.executable, "-m", "tests.torture.client_process", *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def workers(self) -> list[psutil.Process]:
        assert self.server
        return [each for each in psutil.Process(self.server.process.pid).children() if still_runs(each)]

    def processes(self) -> list[psutil.Process]:
        """Everything of this world that runs, apart from this process."""
        return [each for each in psutil.process_iter() if each.pid != os.getpid() and _mark_of(each) == self.mark]

    # --- what is known ---------------------------------------------------------------------------

    def status(self, id: str) -> JobStatus | None:
        """None while the server does not know the job."""
        assert self.peer
        try:
            return self.peer.status(id)
        except VoidBridgeError:
            return None

    def acknowledged(self, id: str) -> dict[int, ResultFrame]:
        """The frames that the server has told its clients of."""
        assert self.peer
        try:
            return {frame.frame: frame for frame in self.peer.result_of(id).frames}
        except VoidBridgeError:
            return {}

    def memory(self) -> int:
        """PSS of the server and its workers, in bytes."""
        assert self.server
        root = psutil.Process(self.server.process.pid)
        return sum(each.memory_full_info().pss for each in (root, *self.workers()))

    def server_memory(self) -> int:
        """USS of the server process alone, in bytes."""
        assert self.server
        return int(psutil.Process(self.server.process.pid).memory_full_info().uss)


@dataclass(frozen=True)
class Order:
    """A job on disk, for a client process. expected: frame -> digest of the file that comes home."""

    file: Path
    job: Job
    id: str
    expected: dict[int, str]

    @classmethod
    def write(cls, folder: Path, job: Job, expected: dict[int, str]) -> Order:
        id = uuid.uuid4().hex[:12]
        path = folder / f"{id}.json"
        JobFile(job, id).write(path)
        return cls(path, job, id, expected)

    def frames_home(self) -> dict[int, str]:
        """Frame -> digest of what lies in the output folder."""
        folder = output_folder(self.job)
        found = folder.glob("*.exr") if folder.exists() else ()
        return {int(path.name.split(".")[-2]): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    def left_over(self) -> list[Path]:
        """Temporary files in the output folder."""
        folder = output_folder(self.job)
        return sorted(folder.glob(".*")) if folder.exists() else []


def ended(client: subprocess.Popen[str]) -> dict[str, Any]:
    """What a client process printed. Raises AssertionError: it failed."""
    output, said = client.communicate(timeout=DEADLINE_S)
    assert client.returncode == 0, said
    return dict(json.loads(output.strip().splitlines()[-1]))


def kill(process: psutil.Process | subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    if isinstance(process, subprocess.Popen):
        process.communicate()


def gone(processes: list[psutil.Process]) -> None:
    """Wait until none of them runs. Raises AssertionError."""
    eventually(lambda: not any(map(still_runs, processes)), 30)


def words_of(process: psutil.Process) -> str:
    """Its command line; empty once it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _mark_of(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARK, "") if still_runs(process) else ""
    except psutil.Error:
        return ""
