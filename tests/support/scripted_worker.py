"""A stand-in for `python -m gpu_server.worker`: speaks its pipe, needs no engine, does what the job's prompt says.

A result frame is the plate's bytes behind a line with its number. The prompt is JSON (or empty):
    gate       path; wait for that file before the frame `gate_at` (default: the first) or for a cancel
    end_gate   path; wait for that file after the device is free and before the end
    stubborn   ignore cancels
    die_at     frame before which the process kills itself, at the first `deaths` attempts (default 1)
    fail       [code, message] to end with, after every frame
    lose       frame that is never written
    stray      path to write the first frame at
    resolve    exposure to fill in
    preview    text to show as a picture before every frame
    say        text for the log
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from gpu_server.worker.messages import (
    Advance,
    CancelJob,
    DeviceFree,
    Ended,
    FrameWritten,
    Ready,
    Resolved,
    RunJob,
    WorkerPreview,
    receive,
    send,
)
from void_bridge.protocol.messages import Failure

_send_lock = threading.Lock()
_cancelled: dict[str, threading.Event] = {}


class Stopped(Exception):
    """The job was cancelled."""


def say(message):
    with _send_lock:
        send(sys.stdout.buffer, message)


def wait_for(gate: str, cancelled: threading.Event, stubborn: bool) -> None:
    while gate and not Path(gate).exists():
        if not stubborn and cancelled.is_set():
            raise Stopped
        time.sleep(0.005)


def run(command: RunJob) -> None:
    script = json.loads(command.job.prompt or "{}")
    key = (command.id, command.attempt)
    if "say" in script:
        sys.stderr.write(script["say"] + "\n")
    if "resolve" in script and command.job.colour.exposure is None:
        colour = type(command.job.colour)(
            command.job.colour.space, command.job.colour.config, exposure=script["resolve"]
        )
        say(Resolved(*key, command.job.replace(colour=colour, engine="scripted")))
    try:
        report = write_frames(command, script, key)
        say(DeviceFree(*key))
        wait_for(script.get("end_gate", ""), _cancelled[command.id], script.get("stubborn", False))
        code, message = script.get("fail", ("", ""))
        say(Ended(*key, "failed" if code else "done", Failure(code, message) if code else None, {} if code else report))
    except Stopped:
        say(Ended(*key, "cancelled"))


def write_frames(command: RunJob, script: dict, key: tuple[str, int]) -> dict:
    frames = [frame for frame in command.job.frames if frame not in command.finished]
    gate_at = script.get("gate_at", frames[0] if frames else None)
    for done, frame in enumerate(frames):
        if frame == gate_at:
            wait_for(script.get("gate", ""), _cancelled[command.id], script.get("stubborn", False))
        if not script.get("stubborn") and _cancelled[command.id].is_set():
            raise Stopped
        if frame == script.get("die_at") and command.attempt <= script.get("deaths", 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if frame != script.get("lose"):
            write_frame(command, script, key, frame)
        if "preview" in script:
            say(WorkerPreview(*key, frame, script["preview"].encode()))
        say(Advance(*key, "fill", done + 1, len(frames), seconds_left=float(len(frames) - done - 1)))
    return {"made": len(frames), "attempt": command.attempt}


def write_frame(command: RunJob, script: dict, key: tuple[str, int], frame: int) -> None:
    data = result_bytes(frame, Path(command.files[command.job.plate.replace("####", str(frame))]).read_bytes())
    path = Path(script.get("stray", "") or Path(command.frames_dir) / f"{frame}.exr")
    path.write_bytes(data)
    say(FrameWritten(*key, frame, str(path), len(data), hashlib.blake2b(data, digest_size=32).hexdigest()))


def result_bytes(frame: int, plate: bytes) -> bytes:
    return b"frame %d\n" % frame + plate


def main() -> None:
    say(Ready("cpu", ("scripted",)))
    for message in receive(sys.stdin.buffer):
        if isinstance(message, RunJob):
            _cancelled[message.id] = threading.Event()
            threading.Thread(target=run, args=(message,), daemon=True).start()
        elif isinstance(message, CancelJob) and message.id in _cancelled:
            _cancelled[message.id].set()


if __name__ == "__main__":
    main()
