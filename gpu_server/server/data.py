"""The data socket: blobs in, result frames out, in parts. A pool hashes, reads and writes; memory is bounded."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import singledispatchmethod
from pathlib import Path
from typing import Any

from gpu_server.server.blob_index import BlobIndex
from gpu_server.server.journal import Journal, JournalThread
from gpu_server.server.mailbox import Background, Mailbox
from gpu_server.server.sockets import ClientRequest, Listener, RouterLoop
from gpu_server.server.spool import Spool
from void_bridge.atomic import sync_file
from void_bridge.errors import InputError, ProtocolError, ServerError, VoidBridgeError, map_write_errors
from void_bridge.protocol.framing import PART_BYTES
from void_bridge.protocol.messages import ErrorReply, Get, Message, Part, Put, PutDone, ResultFrame

log = logging.getLogger(__name__)

WINDOW = 8
_BEGIN_AGAIN = ErrorReply.from_error(ProtocolError("this upload was dropped; send the blob again from offset 0"))
_IN_MEMORY_BYTES = 96 * 2**20  # parts received and not written yet, or read and not sent yet, of all clients together


@dataclass
class Upload:
    """A blob on its way from one client. Either the loop uses it or, while `busy`, one task of the pool.

    Attributes:
        client: who sends it.
        digest: of the whole blob.
        size: of the whole blob, in bytes.
        path: the file that it is written to.
        last_part: monotonic time when a part came.
        accepted: bytes received.
        written: bytes on disk.
        busy: whether a task of the pool works on it.
        dropped: the answer to its parts, once it is given up.
        parts: requests with parts that are not written yet.
        hasher: of the bytes written.
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
    parts: deque[ClientRequest] = field(default_factory=deque)
    hasher: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=32))

    def accept(self, request: ClientRequest, length: int) -> None:
        """Queue a part that came."""
        self.accepted += length
        self.last_part = time.monotonic()
        self.parts.append(request)

    def write(self, part: Any) -> None:
        """Append a part to the file. In the pool."""
        with map_write_errors("the server's spool"):
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            with open(self.path, "ab") as file:
                file.write(part)
        self.hasher.update(part)
        self.written += len(part)

    def check_whole(self) -> None:
        """Make the whole file durable, and compare its bytes with the digest. In the pool."""
        with map_write_errors("the server's spool"):
            sync_file(self.path)
        if self.hasher.hexdigest() != self.digest:
            raise InputError(
                f"the bytes put as blob {self.digest[:16]} do not match its digest; the file has changed: submit again"
            )


class DataLoop(RouterLoop):
    """The thread that moves files.

    Args:
        pool: of threads that hash, read and write.
        control: the mailbox of the control thread.
        on_stored: called with digest and size on the control thread, before the client gets its answer.
        upload_patience_s: an upload without a part for so long is given up.
    """

    def __init__(
        self,
        listener: Listener,
        blob_index: BlobIndex,
        spool: Spool,
        pool: Executor,
        writer: JournalThread,
        control: Mailbox,
        on_stored: Callable[[str, int], None],
        upload_patience_s: float,
    ) -> None:
        super().__init__(listener, Mailbox())
        self._blob_index, self._spool = blob_index, spool
        self._background = Background(pool, self.mailbox)
        self._writer, self._control, self._on_stored = writer, control, on_stored
        self._upload_patience_s = upload_patience_s
        self._uploads: dict[tuple[bytes, str], Upload] = {}
        self._credits_used: dict[bytes, int] = {}
        self._in_memory_bytes = 0

    def takes_input(self) -> bool:
        """Return False while parts fill the memory set aside for them."""
        return self._in_memory_bytes < _IN_MEMORY_BYTES

    @singledispatchmethod
    def handle(self, message: Message, request: ClientRequest) -> Message | None:
        """Return the answer to a message, or None if it is given later through `request`.

        Raises:
            ProtocolError: there is no handler for it.
        """
        raise ProtocolError(f"got {message.type} on the data socket, which does not take it")

    # --- blobs in --------------------------------------------------------------------------------

    @handle.register
    def _put(self, put: Put, request: ClientRequest) -> PutDone | None:
        self._check_credit(request)
        size = self._blob_index.wanted_size(put.digest)
        if size is None:
            done = PutDone(put.digest, put.size, True)
            self._drop(self._uploads.get((request.client, put.digest)), done)
            return done
        if len(request.buffers) != 1 or put.size != size:
            raise ProtocolError(f"got {len(request.buffers)} buffers and size {put.size} for a blob of {size} bytes")
        upload, length = self._upload_at(request.client, put), len(request.buffers[0])
        if put.offset + length > size or (size and not length):
            self._drop(upload)
            raise ProtocolError(f"got {length} bytes at {put.offset} of a blob of {size} bytes")
        upload.accept(request, length)
        self._use_credit(request, length)
        self._write_next(upload)
        return None

    def _upload_at(self, client: bytes, put: Put) -> Upload:
        """Return the upload that a part continues; offset 0 begins a new one."""
        upload = self._uploads.get((client, put.digest))
        if put.offset == 0:
            self._drop(upload)
            upload = Upload(client, put.digest, put.size, self._spool.new_upload(), time.monotonic())
            self._uploads[client, put.digest] = upload
        if upload is None or upload.accepted != put.offset:
            self._drop(upload)
            raise ProtocolError(
                f"got offset {put.offset} of blob {put.digest[:16]}, expected {upload.accepted if upload else 0}; "
                "send its parts in order, from 0"
            )
        return upload

    def _write_next(self, upload: Upload) -> None:
        if upload.parts and not upload.busy:
            upload.busy = True
            request = upload.parts.popleft()
            self._background.do(
                lambda: upload.write(request.buffers[0]), lambda error: self._written(upload, request, error)
            )

    def _written(self, upload: Upload, request: ClientRequest, error: VoidBridgeError | None) -> None:
        upload.busy = False
        self._return_credit(request, len(request.buffers[0]))
        if upload.dropped:
            request.answer(upload.dropped)
            self._remove_file(upload)
        elif error:
            self._drop(upload)
            request.refuse(error)
        elif upload.written == upload.size:
            self._store(upload, request)
        else:
            request.answer(PutDone(upload.digest, upload.written, False))
            self._write_next(upload)

    def _store(self, upload: Upload, request: ClientRequest) -> None:
        self._uploads.pop((upload.client, upload.digest), None)

        def stored(_: object, error: VoidBridgeError | None) -> None:
            """Update the job table, then answer the client. On the journal's thread."""
            if error:
                self._writer.do(lambda journal: self._remove_unknown(journal, upload.digest))
            else:
                self._control.post(self._on_stored, upload.digest, upload.size)
            self._control.post(self.mailbox.post, self._answer_stored, upload, request, error)

        def adopt(journal: Journal) -> None:
            self._spool.adopt(upload.path, upload.digest)
            journal.add_blob(upload.digest, upload.size)

        def checked(error: VoidBridgeError | None) -> None:
            if error:
                self._answer_stored(upload, request, error)
            else:
                self._writer.do(adopt, stored)

        self._background.do(upload.check_whole, checked)

    def _remove_unknown(self, journal: Journal, digest: str) -> None:
        """Remove a blob that could not be journaled, unless another upload of it was. On the journal's thread."""
        if not journal.has_blob(digest):
            self._spool.remove_blobs({digest})

    def _answer_stored(self, upload: Upload, request: ClientRequest, error: VoidBridgeError | None) -> None:
        if error:
            self._remove_file(upload)
            request.refuse(error)
        else:
            request.answer(PutDone(upload.digest, upload.size, True))

    def _drop(self, upload: Upload | None, answer: Message = _BEGIN_AGAIN) -> None:
        """Give an upload up, if there is one, and answer its parts. A task that works on it removes its file later."""
        if upload is None:
            return
        upload.dropped = answer
        del self._uploads[upload.client, upload.digest]
        while upload.parts:
            request = upload.parts.popleft()
            self._return_credit(request, len(request.buffers[0]))
            request.answer(answer)
        if not upload.busy:
            self._remove_file(upload)

    def _remove_file(self, upload: Upload) -> None:
        self._background.do(lambda: upload.path.unlink(missing_ok=True))

    def tick(self, now: float) -> None:
        """Give up the uploads that have stopped."""
        for upload in list(self._uploads.values()):
            if now - upload.last_part > self._upload_patience_s:
                log.info("an upload stopped at %d of %d bytes; dropped", upload.accepted, upload.size)
                self._drop(upload)

    # --- frames out ------------------------------------------------------------------------------

    @handle.register
    def _get(self, get: Get, request: ClientRequest) -> None:
        self._check_credit(request)
        frame = self._blob_index.frame(get.id, get.frame)
        if not 0 <= get.offset <= frame.size:
            raise ProtocolError(f"got offset {get.offset} in frame {get.frame}, which has {frame.size} bytes")
        read: list[bytes] = []
        self._use_credit(request, PART_BYTES)

        def answer(error: VoidBridgeError | None) -> None:
            self._return_credit(request, PART_BYTES)
            if error:
                request.refuse(error)
            else:
                request.answer(Part(get.frame, get.offset, frame.size), read[0])

        self._background.do(lambda: read.append(_read_part(frame, get.offset)), answer)

    # --- credit ----------------------------------------------------------------------------------

    def _check_credit(self, request: ClientRequest) -> None:
        if self._credits_used.get(request.client, 0) >= WINDOW:
            raise ProtocolError(f"got more than {WINDOW} parts at once; wait for answers")

    def _use_credit(self, request: ClientRequest, size: int) -> None:
        self._credits_used[request.client] = self._credits_used.get(request.client, 0) + 1
        self._in_memory_bytes += size

    def _return_credit(self, request: ClientRequest, size: int) -> None:
        self._in_memory_bytes -= size
        self._credits_used[request.client] -= 1
        if not self._credits_used[request.client]:
            del self._credits_used[request.client]


def _read_part(frame: ResultFrame, offset: int) -> bytes:
    try:
        with open(frame.path, "rb") as handle:
            handle.seek(offset)
            return handle.read(PART_BYTES)
    except OSError as exc:
        raise ServerError(
            f"frame {frame.frame} is no longer on the server's disk: {exc.strerror}; run the job again"
        ) from exc
