"""The data socket: blobs in, result frames out, in parts. Hashing and disks are a pool's; memory is bounded."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq

from gpu_server.server.background import Background
from gpu_server.server.blob_index import BlobIndex
from gpu_server.server.journal import Journal, JournalThread
from gpu_server.server.sockets import Mailbox, RouterLoop
from gpu_server.server.spool import Spool
from void_bridge.atomic import sync_file
from void_bridge.errors import InputError, ProtocolError, ServerError, VoidBridgeError, map_write_errors
from void_bridge.protocol.framing import PART_BYTES, Envelope
from void_bridge.protocol.messages import ErrorReply, Get, Message, Part, Put, PutDone, ResultFrame, Welcome

log = logging.getLogger(__name__)

WINDOW = 8
_BEGIN_ANEW = ErrorReply(ProtocolError.code, "this upload was given up; begin the blob anew, at offset 0")
_IN_MEMORY_BYTES = 96 * 2**20  # parts taken and not written yet, or read and not sent yet, of all clients together


@dataclass
class Upload:
    """A blob on its way from one client. Either the loop has it or, while `busy`, one task of the pool.

    accepted: bytes taken off the wire; last_part: when, monotonic. dropped: what its parts are answered
    with, once it is given up.
    """

    client: bytes
    digest: str
    size: int
    path: Path
    last_part: float
    accepted: int = 0
    written: int = 0
    busy: bool = False
    dropped: Message | None = None
    parts: deque[tuple[int, Any]] = field(default_factory=deque)
    hasher: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=32))


class DataLoop(RouterLoop):
    """`on_stored(digest, size)` is called on the control thread before the client is told."""

    def __init__(
        self,
        router: zmq.Socket[bytes],
        welcome: Callable[[], Welcome],
        blob_index: BlobIndex,
        spool: Spool,
        pool: Executor,
        writer: JournalThread,
        control: Mailbox,
        on_stored: Callable[[str, int], None],
        upload_patience_s: float,
        memory_bytes: int,
    ) -> None:
        super().__init__("data", router, welcome, memory_bytes)
        self._blob_index, self._spool = blob_index, spool
        self._background = Background(pool, self.mailbox)
        self._writer, self._control, self._on_stored = writer, control, on_stored
        self._upload_patience_s = upload_patience_s
        self._uploads: dict[tuple[bytes, str], Upload] = {}
        self._credits_used: dict[bytes, int] = {}
        self._in_memory_bytes = 0

    def takes_input(self) -> bool:
        return self._in_memory_bytes < _IN_MEMORY_BYTES

    def handle(self, client: bytes, envelope: Envelope) -> None:
        message, number = envelope.message, envelope.number
        if self._credits_used.get(client, 0) >= WINDOW and isinstance(message, (Put, Get)):
            raise ProtocolError(f"got more than {WINDOW} parts at once; wait for answers")
        if isinstance(message, Put):
            self._put(client, number, message, envelope.buffers)
        elif isinstance(message, Get):
            self._get(client, number, message)
        else:
            raise ProtocolError(f"got {message.type} on the data socket, where it is no request")

    # --- blobs in --------------------------------------------------------------------------------

    def _put(self, client: bytes, number: int, put: Put, buffers: tuple[Any, ...]) -> None:
        size = self._blob_index.wanted_size(put.digest)
        if size is None:
            done = PutDone(put.digest, put.size, True)
            self._drop(self._uploads.get((client, put.digest)), done)
            self.reply(client, number, done)
            return
        if len(buffers) != 1 or put.size != size:
            raise ProtocolError(f"got {len(buffers)} buffers and size {put.size} for a blob of {size} bytes")
        upload = self._upload_at(client, put)
        if put.offset + len(buffers[0]) > size or (size and not len(buffers[0])):
            self._drop(upload, _BEGIN_ANEW)
            raise ProtocolError(f"got {len(buffers[0])} bytes at {put.offset} of a blob of {size} bytes")
        upload.accepted += len(buffers[0])
        upload.last_part = time.monotonic()
        upload.parts.append((number, buffers[0]))
        self._use_credit(client, len(buffers[0]))
        self._write_next(upload)

    def _upload_at(self, client: bytes, put: Put) -> Upload:
        """The upload that a part continues; offset 0 begins anew."""
        upload = self._uploads.get((client, put.digest))
        if put.offset == 0:
            self._drop(upload, _BEGIN_ANEW)
            upload = Upload(client, put.digest, put.size, self._spool.new_upload(), time.monotonic())
            self._uploads[client, put.digest] = upload
        if upload is None or upload.accepted != put.offset:
            self._drop(upload, _BEGIN_ANEW)
            raise ProtocolError(
                f"got offset {put.offset} of blob {put.digest[:16]}, expected {upload.accepted if upload else 0}; "
                "send its parts in order, from 0"
            )
        return upload

    def _write_next(self, upload: Upload) -> None:
        if upload.parts and not upload.busy:
            upload.busy = True
            number, part = upload.parts.popleft()
            self._background.do(
                lambda: _write_part(upload, part), lambda error: self._written(upload, number, part, error)
            )

    def _written(self, upload: Upload, number: int, part: Any, error: VoidBridgeError | None) -> None:
        upload.busy = False
        self._return_credit(upload.client, len(part))
        if upload.dropped:
            self.reply(upload.client, number, upload.dropped)
            self._background.do(lambda: upload.path.unlink(missing_ok=True))
        elif error:
            self._drop(upload, _BEGIN_ANEW)
            self.refuse(upload.client, number, error)
        elif upload.written == upload.size:
            self._store(upload, number)
        else:
            self.reply(upload.client, number, PutDone(upload.digest, upload.written, False))
            self._write_next(upload)

    def _store(self, upload: Upload, number: int) -> None:
        self._uploads.pop((upload.client, upload.digest), None)

        def stored(_: object, error: VoidBridgeError | None) -> None:
            """On the journal's thread: the job table first, then the client."""
            if error:
                self._writer.do(lambda journal: self._remove_unknown(journal, upload.digest))
            else:
                self._control.post(self._on_stored, upload.digest, upload.size)
            self._control.post(self.mailbox.post, self._answer_stored, upload, number, error)

        def adopt(journal: Journal) -> None:
            self._spool.adopt(upload.path, upload.digest)
            journal.add_blob(upload.digest, upload.size)

        def checked(error: VoidBridgeError | None) -> None:
            if error:
                self._answer_stored(upload, number, error)
            else:
                self._writer.do(adopt, stored)

        self._background.do(lambda: _check_whole(upload), checked)

    def _remove_unknown(self, journal: Journal, digest: str) -> None:
        """On the journal's thread: a blob that could not be journaled takes no room, unless another upload was."""
        if not journal.has_blob(digest):
            self._spool.remove_blobs({digest})

    def _answer_stored(self, upload: Upload, number: int, error: VoidBridgeError | None) -> None:
        if error:
            self._background.do(lambda: upload.path.unlink(missing_ok=True))
            self.refuse(upload.client, number, error)
        else:
            self.reply(upload.client, number, PutDone(upload.digest, upload.size, True))

    def _drop(self, upload: Upload | None, answer: Message) -> None:
        """Give an upload up and answer its parts; one that a task works on goes when that is through."""
        if upload is None:
            return
        upload.dropped = answer
        del self._uploads[upload.client, upload.digest]
        while upload.parts:
            number, part = upload.parts.popleft()
            self._return_credit(upload.client, len(part))
            self.reply(upload.client, number, answer)
        if not upload.busy:
            self._background.do(lambda: upload.path.unlink(missing_ok=True))

    def tick(self, now: float) -> None:
        for upload in list(self._uploads.values()):
            if now - upload.last_part > self._upload_patience_s:
                log.info("an upload stopped at %d of %d bytes; dropped", upload.accepted, upload.size)
                self._drop(upload, _BEGIN_ANEW)

    # --- frames out ------------------------------------------------------------------------------

    def _get(self, client: bytes, number: int, get: Get) -> None:
        frame = self._blob_index.frame(get.id, get.frame)
        if not 0 <= get.offset <= frame.size:
            raise ProtocolError(f"got offset {get.offset} in frame {get.frame}, which has {frame.size} bytes")
        read: list[bytes] = []
        self._use_credit(client, PART_BYTES)

        def answer(error: VoidBridgeError | None) -> None:
            self._return_credit(client, PART_BYTES)
            if error:
                self.refuse(client, number, error)
            else:
                self.reply(client, number, Part(get.frame, get.offset, frame.size), read[0])

        self._background.do(lambda: read.append(_read_part(frame, get.offset)), answer)

    # --- shared ----------------------------------------------------------------------------------

    def _use_credit(self, client: bytes, size: int) -> None:
        self._credits_used[client] = self._credits_used.get(client, 0) + 1
        self._in_memory_bytes += size

    def _return_credit(self, client: bytes, size: int) -> None:
        self._in_memory_bytes -= size
        self._credits_used[client] -= 1
        if not self._credits_used[client]:
            del self._credits_used[client]


def _write_part(upload: Upload, part: Any) -> None:
    with map_write_errors("the server's spool"):
        upload.path.parent.mkdir(mode=0o700, exist_ok=True)
        with open(upload.path, "ab") as file:
            file.write(part)
    upload.hasher.update(part)
    upload.written += len(part)


def _check_whole(upload: Upload) -> None:
    with map_write_errors("the server's spool"):
        sync_file(upload.path)
    if upload.hasher.hexdigest() != upload.digest:
        raise InputError(f"the bytes put as blob {upload.digest[:16]} are not its own; the file changed: submit again")


def _read_part(frame: ResultFrame, offset: int) -> bytes:
    try:
        with open(frame.path, "rb") as handle:
            handle.seek(offset)
            return handle.read(PART_BYTES)
    except OSError as exc:
        raise ServerError(
            f"frame {frame.frame} has gone from the server's disk: {exc.strerror}; run the job again"
        ) from exc
