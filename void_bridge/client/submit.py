"""Submitting a job: choose its id by its output folder, describe its files, upload those that the server lacks."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import List, Optional, Tuple

from void_bridge.client.inputs import OnProgress, describe_files, hash_files, input_paths
from void_bridge.client.output import (
    check_inputs_not_overwritten,
    check_no_frames,
    check_writable,
    existing_frames,
    existing_job_file,
    output_folder,
)
from void_bridge.client.session import ClientSession
from void_bridge.client.transfer import upload_files
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
    """Submit a job and return its status. Arguments and errors: see `Client.submit`."""
    check_inputs_not_overwritten(job)
    paths = input_paths(job)
    id = id or (_choose_id(session, job, overwrite) if claim else new_job_id())
    folder = output_folder(job)
    check_writable(folder)
    by_path = transport == "path" or (transport == "auto" and _shares_disk(session, paths))
    files = describe_files(paths) if by_path else hash_files(paths, on_progress)
    message = Submit(id, job, files, "path" if by_path else "inline", session.config.user, priority)
    submitted = _submit_first(session, message)
    try:
        if claim:
            JobFile(job, id).write(folder / JOB_FILE_NAME)
        return _upload_missing(session, message, submitted, on_progress)
    except (Exception, KeyboardInterrupt):
        with suppress(Exception):  # cancelled, since the server would wait for the missing files
            session.ask(Cancel(id), StatusReply)
        raise


def _submit_first(session: ClientSession, message: Submit) -> Submitted:
    """Return the first answer to a submission. Raises OutputError if the server knows the job with other files."""
    try:
        return session.ask(message, Submitted)
    except Refused as exc:
        if not _job_state(session, message.id):
            raise
        raise OutputError(
            f"{output_folder(message.job)} holds job {message.id} of other files: the plate or a matte has "
            "changed; choose another place with -o, or give --overwrite"
        ) from exc


def _choose_id(session: ClientSession, job: Job, overwrite: bool) -> str:
    """Return the id of the same job in the output folder, or a new one. Raises OutputError if another job holds it."""
    if overwrite:
        return new_job_id()
    held = existing_job_file(job)
    if held is None or not held.id:
        check_no_frames(job)
        return new_job_id()
    state = _job_state(session, held.id)
    is_over = state in ("failed", "cancelled", "")
    if held.job == job:
        return new_job_id() if is_over else held.id
    if is_over and not existing_frames(held.job) and not existing_frames(job):
        return new_job_id()
    raise OutputError(
        f"{output_folder(job)} holds job {held.id} ({state or 'unknown to this server'}) with other settings; "
        "choose another place with -o, or give --overwrite"
    )


def _job_state(session: ClientSession, id: str) -> str:
    """Return the state of a job, or an empty string if the server does not know it."""
    try:
        return session.ask(GetStatus(id), StatusReply).status.state
    except UnknownJob:
        return ""


def _shares_disk(session: ClientSession, paths: Tuple[str, ...]) -> bool:
    """Return whether the server runs on this machine as this user and may read all paths."""
    roots = [os.path.realpath(root) for root in session.welcome.roots]
    real = (os.path.realpath(path) for path in paths)
    return session.is_same_host() and all(any(is_within(path, root) for root in roots) for path in real)


def _upload_missing(
    session: ClientSession, message: Submit, submitted: Submitted, on_progress: OnProgress
) -> JobStatus:
    """Upload files until the server lacks none, and return the job's status.

    More than one round is needed when the server restarts in between and has lost files that were not durable yet.
    """
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
    """Upload files over the data channel."""
    total = sum(file.size for file in files)
    sent, pinged = 0, time.monotonic()

    def on_bytes(count: int) -> None:
        nonlocal sent, pinged
        sent += count
        on_progress("send", sent, total)
        if time.monotonic() - pinged > _PING_S:  # else the server would drop this client on the control socket
            session.ask(Ping(), Pong)
            pinged = time.monotonic()

    with session.data_channel() as channel:
        upload_files(channel, files, on_bytes)
