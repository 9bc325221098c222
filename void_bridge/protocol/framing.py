"""Conversion between messages and wire frames: a MessagePack header, then raw buffers.

    [header, buffer, ...]    header = {"type": text, "n": request number, "body": fields}

Pixels never enter MessagePack. Caps are checked before anything is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence, Sized, Tuple, TypeVar

import msgpack

from void_bridge.errors import ProtocolError
from void_bridge.protocol.messages import MESSAGES, Message
from void_bridge.typed import from_plain, nearest, to_plain

HEADER_BYTES_MAX = 16 * 2**20
PART_BYTES = 2 * 2**20
BUFFERS_MAX = 1
# 16 MiB of empty lists would take 1.3 GB once read. The largest real message names 100 000 files.
_LIST_MAX, _TABLE_MAX, _VALUES_MAX = 2**18, 2**12, 2_000_000

_Table = TypeVar("_Table", bound=Sized)


@dataclass(frozen=True)
class Envelope:
    """A message with the number of its request and its buffers.

    Attributes:
        number: number of the request, which its answer repeats; 0 for an event.
        buffers: bytes-like objects.
    """

    message: Message
    number: int = 0
    buffers: Tuple[Any, ...] = ()


def encode(envelope: Envelope) -> Sequence[Any]:
    """Return the wire frames of an envelope; the buffers are passed on without a copy.

    Raises:
        ProtocolError: the header is over the cap, at which the other side would end the connection.
    """
    plain = {"type": envelope.message.type, "n": envelope.number, "body": to_plain(envelope.message)}
    header = msgpack.packb(plain)
    if len(header) > HEADER_BYTES_MAX:
        raise ProtocolError(
            f"{envelope.message.type} would be {len(header)} bytes, expected at most {HEADER_BYTES_MAX}: "
            "the job names too many files; split it into jobs with fewer frames"
        )
    return [header, *envelope.buffers]


def decode(frames: Sequence[Any]) -> Envelope:
    """Return the envelope in bytes-like wire frames.

    Raises:
        ProtocolError: too many or too large frames, not MessagePack, an unknown type, a wrong field.
    """
    if not 1 <= len(frames) <= 1 + BUFFERS_MAX:
        raise ProtocolError(f"got {len(frames)} frames in a message, expected 1 to {1 + BUFFERS_MAX}")
    if len(frames[0]) > HEADER_BYTES_MAX:
        raise ProtocolError(f"got a header of {len(frames[0])} bytes, expected at most {HEADER_BYTES_MAX}")
    if any(len(buffer) > PART_BYTES for buffer in frames[1:]):
        raise ProtocolError(f"got a buffer over {PART_BYTES} bytes; send larger files in parts")
    header = _unpack(frames[0])
    kind, number = header.get("type"), header.get("n", 0)
    if not isinstance(kind, str) or kind not in MESSAGES:
        raise ProtocolError(f"unknown message {str(kind)[:40]!r}{nearest(str(kind)[:40], MESSAGES)}")
    if not _is_request_number(number):
        raise ProtocolError(f"{kind}: got request number {str(number)[:40]!r}, expected a whole number")
    message = from_plain(MESSAGES[kind], header.get("body", {}), where=kind, error=ProtocolError)
    return Envelope(message, number, tuple(frames[1:]))


def request_number(frames: Sequence[Any]) -> int:
    """Return the request number of a message that may be invalid, so that its refusal can be matched; 0 without one."""
    try:
        number = _unpack(frames[0]).get("n", 0) if frames and len(frames[0]) <= HEADER_BYTES_MAX else 0
    except ProtocolError:
        return 0
    return number if _is_request_number(number) else 0


def _is_request_number(value: Any) -> bool:
    """Return whether a value can be a request number, which fits into 63 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _unpack(frame: Any) -> Any:
    """Return the header in a frame. Raises ProtocolError."""
    count = _ValueLimit()
    try:
        header = msgpack.unpackb(
            frame,
            strict_map_key=True,
            max_ext_len=0,
            max_array_len=_LIST_MAX,
            max_map_len=_TABLE_MAX,
            object_hook=count,
            list_hook=count,
        )
    except (ValueError, msgpack.UnpackException, RecursionError, MemoryError) as exc:
        raise ProtocolError(f"cannot read a message header: {exc or type(exc).__name__}") from exc
    if not isinstance(header, dict):
        raise ProtocolError(f"got a header of type {type(header).__name__}, expected a table")
    return header


class _ValueLimit:
    """A MessagePack hook that stops a header whose values would take far more memory than its bytes."""

    def __init__(self) -> None:
        self._left = _VALUES_MAX

    def __call__(self, table: _Table) -> _Table:
        self._left -= 1 + len(table)
        if self._left < 0:
            raise ValueError(f"it holds more than {_VALUES_MAX} values")
        return table
