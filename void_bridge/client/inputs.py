"""The files that a job reads, with their sizes and digests."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, Iterable, Tuple

from void_bridge.errors import UnreadableFile
from void_bridge.frames import FrameRange
from void_bridge.job import Job
from void_bridge.protocol.messages import InputFile
from void_bridge.sequence import Sequence

READ_BYTES = 2**20
_THREADS = 4

OnProgress = Callable[[str, int, int], None]  # stage, done, total


def frames_read(job: Job) -> FrameRange:
    """Return the delivered frames and the handles that the plate and every matte have on disk.

    Raises:
        MissingFrames: a delivered frame of the plate or of a matte is not there.
    """
    sequences = [Sequence.parse(pattern) for pattern in _patterns(job)]
    for sequence in sequences:
        sequence.require(job.frames)
    if not job.handles:
        return job.frames
    held = [set(sequence.frames_on_disk()) for sequence in sequences if not sequence.is_still]
    return job.frames.with_handles(job.handles, set.intersection(*held) if held else ())


def possible_output_frames(job: Job) -> FrameRange:
    """Return the frames that a job writes if all its handles are on disk."""
    frames = job.frames
    if job.deliver_handles and job.handles:
        steps = [after - before for before, after in zip(frames.frames, frames.frames[1:])]
        reach = job.handles * max(steps, default=1)
        frames = frames.with_handles(job.handles, range(frames.first - reach, frames.last + reach + 1))
    return FrameRange(frame for frame in frames if job.wants(frame))


def input_paths(job: Job) -> Tuple[str, ...]:
    """Return each file that the job reads once, as the job names it. Raises MissingFrames."""
    frames = frames_read(job)
    sequences = [Sequence.parse(pattern) for pattern in _patterns(job)]
    return tuple(dict.fromkeys(str(sequence.path(frame)) for sequence in sequences for frame in frames))


def _patterns(job: Job) -> Tuple[str, ...]:
    """Return the patterns of the plate and the mattes, once each."""
    return tuple(dict.fromkeys((job.plate, *(matte.sequence for matte in job.mattes.values()))))


def describe_files(paths: Iterable[str]) -> Tuple[InputFile, ...]:
    """Return files with size and time of change, for `path` transport. Raises UnreadableFile."""
    return tuple(_stat(path) for path in paths)


def hash_files(paths: Tuple[str, ...], on_progress: OnProgress) -> Tuple[InputFile, ...]:
    """Return files with size and digest, for `inline` transport. Raises UnreadableFile."""
    files = []
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="void-hash") as pool:
        pending = [pool.submit(_digest, path) for path in paths]
        try:
            for done, future in enumerate(pending):
                on_progress("hash", done, len(paths))
                files.append(future.result())
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    on_progress("hash", len(paths), len(paths))
    return tuple(files)


def file_digest(path: Path) -> str:
    """Return the blake2b-256 of a file's bytes in hex. Raises OSError."""
    digest = hashlib.blake2b(digest_size=32)
    with open(path, "rb") as handle:
        while block := handle.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _digest(path: str) -> InputFile:
    """Return a file with size and digest. Raises UnreadableFile."""
    facts = _stat(path)
    try:
        return InputFile(path, facts.size, file_digest(Path(path)))
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def _stat(path: str) -> InputFile:
    """Return a file with size and time of change. Raises UnreadableFile."""
    try:
        facts = Path(path).stat()
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    return InputFile(path, facts.st_size, mtime_ns=facts.st_mtime_ns)


def _unreadable(path: str, exc: OSError) -> UnreadableFile:
    """Return the error for a file that cannot be read."""
    return UnreadableFile(f"cannot read {path}: {exc.strerror or exc}; check the file and its permissions")
