"""The worker process: it takes jobs from its server's pipe, one on the device at a time.

While the last frames of a job are encoded, the next job may already run: `DeviceFree` tells the server so.
"""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import queue
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, NoReturn

import cv2

from gpu_server.device import claim_device
from gpu_server.engines import engine_names
from gpu_server.engines.registry import Engines
from gpu_server.logs import about_job, handler_to_server
from gpu_server.worker.messages import (
    CancelJob,
    DeviceFree,
    Ready,
    RunJob,
    WorkerMessage,
    receive,
    send,
)
from gpu_server.worker.run import JobRun
from void_bridge.processes import available_cores

log = logging.getLogger(__name__)

_DEVICE_LOST_EXIT = 75


def main() -> int:
    """Run the worker process and return its exit code."""
    commands, replies = _claim_pipes()
    logging.basicConfig(level=logging.INFO, handlers=[handler_to_server(sys.stderr)])
    faulthandler.enable()
    _die_with_parent()
    threads = int(os.environ.get("VOID_BRIDGE_THREADS") or 0) or available_cores()
    cv2.setNumThreads(threads)
    device = claim_device(int(os.environ.get("VOID_BRIDGE_WORKER") or 0))
    WorkerLoop(commands, replies, threads, device).serve()
    return 0


def _claim_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Return the message pipes. Output of libraries goes to the log from here on."""
    commands = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return commands, replies


def _die_with_parent() -> None:
    """Ask the kernel to end this process with its server, on Linux, even while a library holds the interpreter."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


class WorkerLoop:
    """The loop over commands. A thread of its own reads them, so that a cancel reaches a running job.

    Args:
        commands: pipe from the server.
        replies: pipe to the server.
        threads: threads for decoding, integration and encoding.
        device: name of the device.
    """

    def __init__(self, commands: BinaryIO, replies: BinaryIO, threads: int, device: str) -> None:
        self._commands, self._replies, self._threads, self._device = commands, replies, threads, device
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[RunJob] = queue.SimpleQueue()
        self._cancels: dict[str, threading.Event] = {}
        self._engines = Engines()
        self._finishing: threading.Thread | None = None

    def serve(self) -> None:
        """Run jobs until the server closes the pipe, which ends the process at once."""
        threading.Thread(target=self._read, name="commands", daemon=True).start()
        self._send(Ready(self._device, engines=engine_names()))
        with ThreadPoolExecutor(self._threads, "frames") as pool:
            while True:
                command = self._work.get()
                with about_job(command.id):
                    self._run(command, pool)

    def _read(self) -> None:
        for message in receive(self._commands):
            if isinstance(message, RunJob):
                self._cancels[message.id] = threading.Event()
                self._work.put(message)
            elif isinstance(message, CancelJob) and message.id in self._cancels:
                self._cancels[message.id].set()
        log.info("the server closed the pipe; ending")
        os._exit(0)

    def _run(self, command: RunJob, pool: ThreadPoolExecutor) -> None:
        log.info("attempt %d: started", command.attempt)
        run = JobRun(command, self._engines, self._send, self._cancels[command.id], pool, self._threads)
        run.produce()
        if run.lost_device:
            self._leave(run, command)
        self._send(DeviceFree(command.id, command.attempt))
        self._finishing = threading.Thread(target=self._conclude, args=(run, command), name=f"finish-{command.id}")
        self._finishing.start()

    def _conclude(self, run: JobRun, command: RunJob) -> None:
        with about_job(command.id):
            ended = run.conclude()
            message = ended.failure.message if ended.failure else ""
            log.info("attempt %d: %s", command.attempt, f"{ended.state} {message}".strip())
        self._cancels.pop(command.id, None)
        self._send(ended)

    def _leave(self, run: JobRun, command: RunJob) -> NoReturn:
        """End the process after the device was lost, once the frames of the job before are written.

        The device is never announced as free.
        """
        if self._finishing:
            self._finishing.join()
        self._conclude(run, command)
        log.error("the device was lost; ending, so that a new worker can look for it")
        os._exit(_DEVICE_LOST_EXIT)

    def _send(self, message: WorkerMessage) -> None:
        with self._lock:
            send(self._replies, message)
