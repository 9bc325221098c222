"""Real servers on loopback with scripted workers, a plain client for them, and jobs to give them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import zmq

from gpu_server.server.app import Server
from gpu_server.server.settings import ServerSettings
from void_bridge.connection import Connection, connection_path, read_connection
from void_bridge.errors import NoServer
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource, new_job_id
from void_bridge.protocol.framing import PART_BYTES, Envelope, decode, encode
from void_bridge.protocol.messages import (
    FINAL_STATES,
    PROTOCOL_VERSION,
    Cancel,
    ErrorReply,
    Get,
    GetResult,
    GetStatus,
    Hello,
    InputFile,
    JobStatus,
    Message,
    Put,
    Submit,
    Submitted,
)

DEADLINE_S = 20.0
REPOSITORY = Path(__file__).resolve().parents[2]
WORKER = (sys.executable, str(Path(__file__).with_name("scripted_worker.py")))
T = TypeVar("T")


def eventually(probe: Callable[[], T], deadline_s: float = DEADLINE_S) -> T:
    """Call `probe` until its result is true, and return that."""
    end = time.monotonic() + deadline_s
    while not (found := probe()):
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.005)
    return found


def settings(tmp_path: Path, **changes: Any) -> ServerSettings:
    base: dict[str, Any] = {
        "spool": tmp_path / "spool",
        "runtime_dir": tmp_path / "run",
        "engines": ("scripted", "propagate"),
        "worker_command": WORKER,
        "roots": (str(tmp_path),),
    }
    return ServerSettings(**{**base, **changes})


@contextmanager
def running(settings: ServerSettings):
    """Run a server in this process."""
    server = Server(settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()


_LAUNCH = """
import json, sys
from pathlib import Path
from gpu_server.logs import ServerLogs
from gpu_server.server.app import run
from gpu_server.server.settings import ServerSettings
fields = json.loads(sys.argv[1])
for name in ("spool", "runtime_dir", "keys", "models"):
    fields[name] = fields[name] and Path(fields[name])
fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
with ServerLogs(sys.argv[2], sys.stderr) as logs:
    run(ServerSettings(**fields), logs.keep_in)
"""


class ServerProcess:
    """A server in a process of its own, to be killed."""

    def __init__(self, settings: ServerSettings, log_format: str = "text") -> None:
        self._path = connection_path(settings.runtime_dir)
        before = self.connection()
        self.log_path = settings.runtime_dir.parent / "server-process.log"
        fields = json.dumps(asdict(settings), default=str)
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        with open(self.log_path, "ab") as log:
            command = [sys.executable, "-c", _LAUNCH, fields, log_format]
            self.process = subprocess.Popen(command, stderr=log, env=environment)
        eventually(lambda: self.connection() not in (None, before) or self.process.poll() is not None)
        assert self.process.poll() is None, self.log_path.read_text()

    def connection(self) -> Connection | None:
        try:
            return read_connection(self._path)
        except NoServer:
            return None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        self.process.terminate()
        return self.process.wait(DEADLINE_S)

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Peer:
    """One encrypted DEALER socket: requests with numbers, and events as they come."""

    def __init__(self, address: str, server_public: str, public: str, secret: str, hello: bool = True) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.curve_serverkey = server_public.encode()
        self.socket.curve_publickey = public.encode()
        self.socket.curve_secretkey = secret.encode()
        self.socket.linger = 0
        self.socket.sndtimeo = int(DEADLINE_S * 1000)
        self.socket.connect(address)
        self.number = 0
        self.events: list[Envelope] = []
        self._answers: dict[int, Envelope] = {}
        if hello:
            self.welcome = self.ask(Hello(PROTOCOL_VERSION, "test"))

    def send(self, message: Message, *buffers: bytes) -> int:
        self.number += 1
        self.socket.send_multipart(list(encode(Envelope(message, self.number, buffers))))
        return self.number

    def receive(self, deadline_s: float = DEADLINE_S) -> Envelope:
        assert self.socket.poll(int(deadline_s * 1000)), "no answer in time"
        return decode(self.socket.recv_multipart())

    def answer(self, number: int) -> Envelope:
        while number not in self._answers:
            came = self.receive()
            if came.number:
                self._answers[came.number] = came
            else:
                self.events.append(came)
        envelope = self._answers.pop(number)
        if isinstance(envelope.message, ErrorReply):
            raise envelope.message.to_error()
        return envelope

    def ask(self, message: Message, *buffers: bytes) -> Any:
        return self.answer(self.send(message, *buffers)).message

    def event(self) -> Envelope:
        return self.events.pop(0) if self.events else self.receive()

    def close(self) -> None:
        self.socket.close()
        self.context.term()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Client:
    """Both sockets, and the usual ways to use them."""

    control: Peer
    data: Peer

    @classmethod
    def of(cls, settings: ServerSettings) -> Client:
        found = read_connection(connection_path(settings.runtime_dir))
        keys = (found.server_public, found.client_public, found.client_secret)
        control = Peer(found.control_address, *keys)
        return cls(control, Peer(control.welcome.data_address.replace("*", "127.0.0.1"), *keys))

    def submit(self, submit: Submit) -> Submitted:
        return self.control.ask(submit)

    def put(self, data: bytes, digest: str = "") -> Any:
        """Put a blob in parts, and return the last answer."""
        digest = digest or digest_of(data)
        for offset in range(0, max(len(data), 1), PART_BYTES):
            answer = self.data.ask(Put(digest, len(data), offset), data[offset : offset + PART_BYTES])
        return answer

    def upload(self, submit: Submit) -> Submitted:
        """Submit, and put what is missing."""
        submitted = self.submit(submit)
        for item in submit.inputs:
            if item.digest in submitted.missing:
                self.put(Path(item.path).read_bytes(), item.digest)
        return submitted

    def status(self, job_id: str) -> JobStatus:
        return self.control.ask(GetStatus(job_id)).status

    def cancel(self, job_id: str) -> JobStatus:
        return self.control.ask(Cancel(job_id)).status

    def reaches(self, job_id: str, *states: str) -> JobStatus:
        """Wait until a job is in one of these states, and return its status."""

        def probe() -> JobStatus | None:
            status = self.status(job_id)
            assert status.state not in FINAL_STATES or status.state in states, status
            return status if status.state in states else None

        return eventually(probe)

    def result_of(self, job_id: str) -> Any:
        return self.control.ask(GetResult(job_id))

    def frame(self, job_id: str, frame: int, size: int) -> bytes:
        numbers = [self.data.send(Get(job_id, frame, offset)) for offset in range(0, max(size, 1), PART_BYTES)]
        return b"".join(bytes(self.data.answer(number).buffers[0]) for number in numbers)

    def close(self) -> None:
        self.control.close()
        self.data.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def digest_of(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def make_plate(folder: Path, frames: str = "1001-1004", size: int = 3000) -> str:
    """Write files of bytes that look random and differ, and return their pattern."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame in FrameRange.parse(frames):
        seed = hashlib.blake2b(str(frame).encode()).digest()
        (folder / f"plate.{frame}.exr").write_bytes((seed * (size // len(seed) + 1))[:size])
    return str(folder / "plate.####.exr")


def make_submit(
    plate: str,
    transport: str = "inline",
    frames: str = "1001-1004",
    output: str = "",
    job_id: str = "",
    user: str = "",
    priority: int = 50,
    **script: Any,
) -> Submit:
    """Return a job over a plate of `make_plate`; `script` goes to the scripted worker."""
    range_ = FrameRange.parse(frames)
    job = Job(
        plate=plate,
        frames=range_,
        output=output or f"/out/{new_job_id()}.####.exr",
        colour=Colour("ACEScg", "ocio://studio"),
        remove=MatteSource(plate, "A"),
        prompt=json.dumps(script) if script else "",
    )
    inputs = tuple(input_file(plate.replace("####", str(frame)), transport) for frame in range_)
    return Submit(job_id or new_job_id(), job, inputs, transport, user, priority)


def input_file(path: str, transport: str) -> InputFile:
    facts = Path(path).stat()
    if transport == "path":
        return InputFile(path, facts.st_size, mtime_ns=facts.st_mtime_ns)
    return InputFile(path, facts.st_size, digest_of(Path(path).read_bytes()))
