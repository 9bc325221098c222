"""Transfer of files over a server's data socket, in parts, as many in flight as the server gives credit for."""

from __future__ import annotations

import hashlib
import shutil
from typing import Any, BinaryIO, Callable, Dict, Iterable, Iterator, Set, Tuple

from void_bridge.client.channel import Channel
from void_bridge.client.inputs import READ_BYTES
from void_bridge.errors import InputError, NoServer, ProtocolError, UnreadableFile
from void_bridge.protocol.framing import Envelope
from void_bridge.protocol.messages import Get, InputFile, Part, Put, PutDone, ResultFrame

SILENCE_S = 60.0


def upload_files(channel: Channel, files: Iterable[InputFile], on_bytes: Callable[[int], None]) -> None:
    """Send files in order. Returns once the server has stored all of them durably.

    Args:
        channel: a data channel.
        files: the files with their digests.
        on_bytes: called with the number of bytes of each part that the server has received.

    Raises:
        InputError: a file has changed since it was hashed.
        UnreadableFile: a file cannot be read.
        NoServer: no answer for a minute.
    """
    credits = channel.welcome.window
    sizes: Dict[str, int] = {}
    received: Dict[str, int] = {}
    stored: Set[str] = set()

    def receive_answer() -> None:
        answer = _next(channel).message
        if not isinstance(answer, PutDone):
            raise ProtocolError(f"got {answer.type} in answer to put, expected put_done")
        on_bytes(answer.received - received.get(answer.digest, 0))
        received[answer.digest] = answer.received
        if answer.stored:
            stored.add(answer.digest)

    for file in files:
        sizes[file.digest] = file.size
        for put, block in _parts(file, channel.welcome.part_bytes):
            if not credits:
                receive_answer()
                credits += 1
            channel.send(put, [block])
            credits -= 1
    for _ in range(channel.welcome.window - credits):
        receive_answer()
    if len(stored) < len(sizes):
        raise ProtocolError(f"the server stored {len(stored)} of {len(sizes)} files; submit the job again")


def _parts(file: InputFile, part_bytes: int) -> Iterator[Tuple[Put, bytes]]:
    """Yield the messages that carry a file, each with its bytes. Raises InputError, UnreadableFile."""
    try:
        with open(file.path, "rb") as handle:
            for offset in range(0, max(file.size, 1), part_bytes):
                block = handle.read(part_bytes)
                if len(block) != min(part_bytes, file.size - offset):
                    raise InputError(f"{file.path} has changed while it was sent; submit again once it is written")
                yield Put(file.digest, file.size, offset), block
    except OSError as exc:
        raise UnreadableFile(f"cannot read {file.path}: {exc.strerror or exc}; check the disk") from exc


def download_frame(channel: Channel, job_id: str, frame: ResultFrame, target: BinaryIO) -> None:
    """Write a published frame to a file and check it against its digest.

    Args:
        channel: a data channel.
        job_id: the job.
        frame: the published frame.
        target: an open file.

    Raises:
        MissingFrames: the server no longer has the frame.
        UnknownJob: the server no longer has the job.
        ProtocolError: the bytes are not those that were published.
        NoServer: no answer for a minute.
    """
    offsets = iter(range(0, max(frame.size, 1), channel.welcome.part_bytes))
    early: Dict[int, Any] = {}
    digest, written = hashlib.blake2b(digest_size=32), 0
    in_flight = sum(_request_part(channel, job_id, frame, offsets) for _ in range(channel.welcome.window))
    while in_flight:
        envelope = _next(channel)
        part = envelope.message
        if not isinstance(part, Part) or part.frame != frame.frame or not envelope.buffers:
            raise ProtocolError(f"got {part.type} in answer to get, expected a part of frame {frame.frame}")
        early[part.offset] = envelope.buffers[0]
        in_flight += _request_part(channel, job_id, frame, offsets) - 1
        while written in early:
            block = early.pop(written)
            target.write(block)
            digest.update(block)
            written += len(block)
            if not len(block):
                break
    if digest.hexdigest() != frame.digest:
        raise ProtocolError(
            f"frame {frame.frame} arrived damaged (digest {digest.hexdigest()[:12]}, expected {frame.digest[:12]}); "
            "fetch again"
        )


def _request_part(channel: Channel, job_id: str, frame: ResultFrame, offsets: Iterator[int]) -> int:
    """Request the part at the next offset. Returns the number of requests sent, which is 0 after the last offset."""
    for offset in offsets:
        channel.send(Get(job_id, frame.frame, offset))
        return 1
    return 0


def copy_frame(source: BinaryIO, frame: ResultFrame, target: BinaryIO) -> None:
    """Copy a published frame from the server's file, which the worker has synced to this machine's disk.

    Args:
        source: the server's file.
        frame: the published frame.
        target: an open file.

    Raises:
        ProtocolError: the file's size is not that of the published frame.
    """
    shutil.copyfileobj(source, target, READ_BYTES)
    if target.tell() != frame.size:
        raise ProtocolError(f"frame {frame.frame} has {target.tell()} bytes, expected {frame.size}; fetch again")


def _next(channel: Channel) -> Envelope:
    """Return the next message. Raises NoServer after a minute without one."""
    envelope = channel.receive(SILENCE_S)
    if envelope is None:
        raise NoServer(f"no answer from {channel.endpoint.address} for {SILENCE_S:.0f} s; check that it is running")
    return envelope
