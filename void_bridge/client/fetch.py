"""Fetching published frames: each is checked and written atomically, once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import BinaryIO, Callable, List, Optional

from void_bridge import hooks
from void_bridge.atomic import remove_abandoned, replacing
from void_bridge.client.output import (
    WrittenFrames,
    check_inputs_not_overwritten,
    existing_job_file,
    output_folder,
    write_report,
)
from void_bridge.client.session import ClientSession
from void_bridge.client.transfer import copy_frame, download_frame
from void_bridge.errors import Cancelled, OutputError
from void_bridge.job import JOB_FILE_NAME, Job, JobFile
from void_bridge.pathmap import PathMap
from void_bridge.protocol.messages import Fetched, GetResult, Result, ResultFrame, StatusReply
from void_bridge.sequence import Sequence

_STOP_S = 10.0

OnFrame = Callable[[int, Path], None]


class Fetcher:
    """Writes frames and remembers them, so that fetching repeatedly while a job runs costs little."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self._map = PathMap.parse(session.config.path_map)
        self._written = WrittenFrames()
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def stop(self) -> bool:
        """End a fetch that runs in another thread. Returns False if it does not end within seconds."""
        self._stopping.set()
        idle = self._lock.acquire(timeout=_STOP_S)
        if idle:
            self._lock.release()
        return idle

    def fetch(self, id: str, output: Optional[str], overwrite: bool, claim: bool, on_frame: OnFrame) -> List[Path]:
        """Write the published frames of a job and return their paths. Arguments and errors: see `Client.fetch`."""
        with self._lock:
            self._check_open()
            result = self._session.ask(GetResult(id), Result)
            job = result.job.replace(output=output or self._map.to_local(result.job.output))
            if claim:
                self._claim(job, id, overwrite)
            remove_abandoned(output_folder(job))
            sequence = Sequence.parse(job.output)
            paths = [Path(str(sequence.path(frame.frame))) for frame in result.frames]
            for frame, path in zip(result.frames, paths):
                self._check_open()
                if not self._written.contains(path, frame):
                    self._write(id, frame, path, overwrite)
                    on_frame(frame.frame, path)
            if result.status.state == "done":
                if claim:
                    write_report(output_folder(job), result)
                self._session.ask(Fetched(id), StatusReply)
                if claim:
                    hooks.announce_result(job, paths, result.report, self._session.config)
            return paths

    def _check_open(self) -> None:
        """Raise Cancelled if the client has been closed."""
        if self._stopping.is_set():
            raise Cancelled("the client was closed while it fetched; fetch again to get the rest")

    def _claim(self, job: Job, id: str, overwrite: bool) -> None:
        """Make the output folder the job's own. Raises OutputError if it belongs to another job."""
        folder = output_folder(job)
        held = existing_job_file(job, unreadable_is_none=overwrite)
        if held and held.id not in ("", id) and not overwrite:
            raise OutputError(f"{folder} holds job {held.id}; choose another place with -o, or give --overwrite")
        check_inputs_not_overwritten(job)
        if held is None or held.id != id:
            JobFile(job, id).write(folder / JOB_FILE_NAME)

    def _write(self, id: str, frame: ResultFrame, path: Path, overwrite: bool) -> None:
        """Write one frame. Raises OutputError if there is another file."""
        if path.exists() and not overwrite:
            raise OutputError(f"{path} is not frame {frame.frame} of job {id}; move it, or give --overwrite")

        def transfer() -> None:
            with replacing(path) as temporary, open(temporary, "wb") as target:
                if not self._copy_from_disk(frame, target):
                    with self._session.data_channel() as channel:
                        download_frame(channel, id, frame, target)

        self._session.retry(transfer)
        self._written.add(path, frame)

    def _copy_from_disk(self, frame: ResultFrame, target: BinaryIO) -> bool:
        """Copy a frame from the server's disk. Returns False where this machine cannot read it."""
        if self._session.config.transport == "inline" or not frame.path or not self._session.is_same_host():
            return False
        try:
            source = open(self._map.to_local(frame.path), "rb")  # noqa: SIM115  closed below
        except OSError:
            return False
        with source:
            copy_frame(source, frame, target)
        return True
