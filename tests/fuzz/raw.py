"""Plain TCP connections to a ZeroMQ server that do not complete the handshake. Layout: ZMTP 3.1 (rfc 37)."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32)
NULL_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
# A CURVE HELLO whose box is none: version 1.0, padding, a key, a nonce, a box.
HELLO = b"\x04" + bytes([200]) + b"\x05HELLO\x01\x00" + bytes(72) + b"\x11" * 32 + bytes(7) + b"\x01" + b"\x22" * 80


def long_command(size: int) -> bytes:
    """Return the head of a handshake command that claims `size` bytes."""
    return b"\x06" + struct.pack(">Q", size)


OPENINGS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "garbage": lambda: os.urandom(3000),
    "half a greeting": lambda: GREETING[:37],
    "a greeting, then nothing": lambda: GREETING,
    "a greeting without encryption": lambda: NULL_GREETING + b"\x04\x05READY",
    "a false hello": lambda: GREETING + HELLO,
    "hello over and over": lambda: GREETING + HELLO * 40,
    "a command that claims 2^62 bytes": lambda: GREETING + long_command(2**62) + b"x" * 1000,
    "a command of another name": lambda: GREETING + b"\x04\x0a\x09" + b"WHATEVERX",
    "an old protocol": lambda: b"\xff" + bytes(7) + b"\x01\x7f\x01\x05" + b"z" * 500,
    "a web request": lambda: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
}


def connect(address: str) -> socket.socket:
    """Connect to a `tcp://HOST:PORT`."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=10)
    connection.setblocking(False)
    return connection


def push(connection: socket.socket, data: bytes) -> int:
    """Send as much as goes without waiting. Returns the bytes sent, or -1 if the other side has closed."""
    try:
        return connection.send(data) if data else 0
    except BlockingIOError:
        return 0
    except OSError:
        return -1


def is_closed(connection: socket.socket) -> bool:
    """Return whether the other side has closed."""
    try:
        return connection.recv(65536) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
