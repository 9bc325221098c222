"""Bytes to and from a server's data socket, in parts, with as many on their way as it gives credit for."""

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


def upload(channel: Channel, files: Iterable[InputFile], on_bytes: Callable[[int], None]) -> None:
    """Send files whole, in order. Returns once the server holds each of them durably.

    Args:
        on_bytes: told how many more bytes the server has taken.

    Raises:
        InputError: a file has changed since it was hashed. UnreadableFile: it cannot be read.
        NoServer: no answer for a minute.
    """
    credits = channel.welcome.window
    sizes: Dict[str, int] = {}
    received: Dict[str, int] = {}
    stored: Set[str] = set()

    def take_answer() -> None:
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
                take_answer()
                credits += 1
            channel.send(put, [block])
            credits -= 1
    for _ in range(channel.welcome.window - credits):
        take_answer()
    if len(stored) < len(sizes):
        raise ProtocolError(f"the server stored {len(stored)} of {len(sizes)} files; submit the job again")


def _parts(file: InputFile, part_bytes: int) -> Iterator[Tuple[Put, bytes]]:
    try:
        with open(file.path, "rb") as handle:
            for offset in range(0, max(file.size, 1), part_bytes):
                block = handle.read(part_bytes)
                if len(block) != min(part_bytes, file.size - offset):
                    raise InputError(f"{file.path} has changed while it was sent; submit again once it is written")
                yield Put(file.digest, file.size, offset), block
    except OSError as exc:
        raise UnreadableFile(f"cannot read {file.path}: {exc.strerror or exc}; check the disk") from exc


def download(channel: Channel, job_id: str, frame: ResultFrame, target: BinaryIO) -> None:
    """Write a published frame to `target`, checked against its digest.

    Raises:
        MissingFrames, UnknownJob: the server does not hold it any more.
        ProtocolError: the bytes are not those that were published.
        NoServer: no answer for a minute.
    """
    offsets = iter(range(0, max(frame.size, 1), channel.welcome.part_bytes))
    early: Dict[int, Any] = {}
    digest, written = hashlib.blake2b(digest_size=32), 0
    on_their_way = sum(_ask(channel, job_id, frame, offsets) for _ in range(channel.welcome.window))
    while on_their_way:
        envelope = _next(channel)
        part = envelope.message
        if not isinstance(part, Part) or part.frame != frame.frame or not envelope.buffers:
            raise ProtocolError(f"got {part.type} in answer to get, expected a part of frame {frame.frame}")
        early[part.offset] = envelope.buffers[0]
        on_their_way += _ask(channel, job_id, frame, offsets) - 1
        while written in early:
            block = early.pop(written)
            target.write(block)
            digest.update(block)
            written += len(block)
            if not len(block):
                break
    _check_digest(frame, digest.hexdigest())


def _ask(channel: Channel, job_id: str, frame: ResultFrame, offsets: Iterator[int]) -> int:
    for offset in offsets:
        channel.send(Get(job_id, frame.frame, offset))
        return 1
    return 0


def copy(source: BinaryIO, frame: ResultFrame, target: BinaryIO) -> None:
    """Write a published frame from the server's own file, which the worker synced to this machine's disk.

    Raises:
        ProtocolError: it is not as long as what was published.
    """
    shutil.copyfileobj(source, target, READ_BYTES)
    if target.tell() != frame.size:
        raise ProtocolError(f"frame {frame.frame} has {target.tell()} bytes, expected {frame.size}; fetch again")


def _check_digest(frame: ResultFrame, found: str) -> None:
    if found != frame.digest:
        raise ProtocolError(
            f"frame {frame.frame} arrived damaged (digest {found[:12]}, expected {frame.digest[:12]}); fetch again"
        )


def _next(channel: Channel) -> Envelope:
    envelope = channel.receive(SILENCE_S)
    if envelope is None:
        raise NoServer(f"no answer from {channel.endpoint.address} for {SILENCE_S:.0f} s; is the server running?")
    return envelope
