"""Handing a job over: whose the output folder is, how the files travel, and which the server lacks."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import List, Optional, Tuple

from void_bridge.client import output as places
from void_bridge.client.inputs import OnProgress, describe_files, hash_files, input_paths
from void_bridge.client.session import ClientSession
from void_bridge.client.transfer import upload
from void_bridge.errors import OutputError, ProtocolError, Refused, UnknownJob
from void_bridge.job import JOB_FILE_NAME, Job, JobFile, new_job_id
from void_bridge.protocol.messages import (
    Cancel,
    GetStatus,
    InputFile,
    JobStatus,
    Ping,
    Pong,
    StatusReply,
    Submit,
    Submitted,
)
from void_bridge.real_paths import is_within

_UPLOADS_MAX = 5
_PING_S = 5.0


def submit(
    session: ClientSession,
    job: Job,
    id: Optional[str],
    transport: str,
    priority: int,
    overwrite: bool,
    claim: bool,
    on_progress: OnProgress,
) -> JobStatus:
    """What `Client.submit` says."""
    places.check_inputs_not_overwritten(job)
    paths = input_paths(job)
    id = id or (_number(session, job, overwrite) if claim else new_job_id())
    folder = places.output_folder(job)
    places.check_writable(folder)
    by_path = transport == "path" or (transport == "auto" and _shares_disk(session, paths))
    files = describe_files(paths) if by_path else hash_files(paths, on_progress)
    message = Submit(id, job, files, "path" if by_path else "inline", session.config.user, priority)
    submitted = _first_answer(session, message)
    try:
        if claim:
            JobFile(job, id).write(folder / JOB_FILE_NAME)
        return _complete(session, message, submitted, on_progress)
    except (Exception, KeyboardInterrupt):
        with suppress(Exception):  # else the server would wait for the rest of it
            session.ask(Cancel(id), StatusReply)
        raise


def _first_answer(session: ClientSession, message: Submit) -> Submitted:
    try:
        return session.ask(message, Submitted)
    except Refused as exc:
        if not _state(session, message.id):
            raise
        raise OutputError(
            f"{places.output_folder(message.job)} holds job {message.id} of other files: the plate or a matte has "
            "changed; choose another place with -o, or give --overwrite"
        ) from exc


def _number(session: ClientSession, job: Job, overwrite: bool) -> str:
    """The number for a job, after a look at who holds its output folder. Raises OutputError."""
    if overwrite:
        return new_job_id()
    held = places.existing_job_file(job)
    if held is None or not held.id:
        places.check_no_frames(job)
        return new_job_id()
    state = _state(session, held.id)
    is_over = state in ("failed", "cancelled", "")
    if held.job == job:
        return new_job_id() if is_over else held.id
    if is_over and not places.count_existing_frames(held.job) and not places.count_existing_frames(job):
        return new_job_id()
    raise OutputError(
        f"{places.output_folder(job)} holds job {held.id} ({state or 'unknown to this server'}) with other settings; "
        "choose another place with -o, or give --overwrite"
    )


def _state(session: ClientSession, id: str) -> str:
    try:
        return session.ask(GetStatus(id), StatusReply).status.state
    except UnknownJob:
        return ""


def _shares_disk(session: ClientSession, paths: Tuple[str, ...]) -> bool:
    roots = [os.path.realpath(root) for root in session.welcome.roots]
    real = (os.path.realpath(path) for path in paths)
    return session.is_same_host() and all(any(is_within(path, root) for root in roots) for path in real)


def _complete(session: ClientSession, message: Submit, submitted: Submitted, on_progress: OnProgress) -> JobStatus:
    """Upload until the server lacks nothing: it may forget what it had when it starts again in between."""
    by_digest = {file.digest: file for file in message.inputs}
    for _ in range(_UPLOADS_MAX):
        if not submitted.missing:
            return submitted.status
        unknown = [digest for digest in submitted.missing if digest not in by_digest]
        if unknown:
            raise ProtocolError(f"the server asks for {unknown[0][:16]}, which the job does not read")
        missing = [by_digest[digest] for digest in submitted.missing]
        session.retry(lambda: _upload(session, missing, on_progress))  # noqa: B023  called at once
        submitted = session.ask(message, Submitted)
    raise ProtocolError(f"the server still lacks {len(submitted.missing)} files; look at its log")


def _upload(session: ClientSession, files: List[InputFile], on_progress: OnProgress) -> None:
    total = sum(file.size for file in files)
    sent, pinged = 0, time.monotonic()

    def count(more: int) -> None:
        nonlocal sent, pinged
        sent += more
        on_progress("send", sent, total)
        if time.monotonic() - pinged > _PING_S:  # the control socket must not take this client for gone
            session.ask(Ping(), Pong)
            pinged = time.monotonic()

    with session.data_channel() as channel:
        upload(channel, files, count)
