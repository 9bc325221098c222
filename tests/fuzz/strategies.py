"""Messages that are almost right: every message of the protocol, with fields of wrong types, sizes and depths."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgpack
from hypothesis import strategies as st

from void_bridge.frames import FrameRange
from void_bridge.protocol.framing import PART_BYTES
from void_bridge.protocol.messages import MESSAGES

BLOBS = [b"", b"x", b"y" * 5000]
_WORDS = ["", "a", "job-1", "job-2", "job-3", "\0", "../../etc/passwd", "x" * 70, "é" * 40, "\u202e", "%s%n", "{}"]
_RANGES = [
    "1-4",
    "1-4",
    "1-4",
    "3",
    "1-2",
    "1",
    "1-9x2",
    "5-1",
    "1-100000",
    "1-99999999:3",
    "1-1000000,1-1000000",
    "1-2x0.1",
    "-",
    "1 2",
]
_INTS = [0, 1, -1, 50, 101, 2**31, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), PART_BYTES, 5000]
_USUAL = {
    "protocol": ["1.0", "1.9", "2.0", ""],
    "transport": ["inline", "path"],
    "engine": ["auto", "scripted", "auto", "scripted", "none"],
    "id": [*["job-1"] * 20, *(f"job-{number}" for number in range(2, 40))],
    "frame": [1, 2],
    "offset": [0, 1],
    "size": [len(blob) for blob in BLOBS],
    "threshold": [0.5],
    "canvas": ["384x672"],
    "handles": [0, 0, 8, 10_000],
    "dilate": [0],
    "condition_dilate": [0],
    "seed": [0, 2**63 - 1],
    "guidance": [None, 1.0],
    "quadmask": [None],
    "only": [None, None, "1", "1-100000"],
    "steps": [30],
    "feather": [4],
    "priority": [50, 99],
    "plate": ["/p/plate.####.exr"],
    "output": [f"/o/{number}.####.exr" for number in range(40)],
    "prompt": ["", '{"die_at": 1}'],
}

junk = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from(_INTS)
    | st.floats()
    | st.sampled_from(_WORDS)
    | st.binary(max_size=40)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=4))
    | st.builds(lambda n: "z" * n, st.sampled_from([300, 70_000])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_WORDS) | st.integers(0, 9), inner),
    max_leaves=6,
)


def deep(depth: int, opener: bytes = b"\x91") -> bytes:
    """MessagePack of lists (or what `opener` opens) within lists."""
    return opener * depth + b"\xc0"


def digests() -> list[str]:
    import hashlib

    return [hashlib.blake2b(blob, digest_size=32).hexdigest() for blob in BLOBS] + ["0" * 64, "A" * 64]


def value(hint: Any, name: str) -> st.SearchStrategy[Any]:
    """Plain data that may stand in a field of this type, most of the time."""
    return st.integers(0, 59).flatmap(lambda draw: junk if draw == 7 else _right(hint, name))


def _right(hint: Any, name: str) -> st.SearchStrategy[Any]:
    origin, inner = get_origin(hint), [each for each in get_args(hint) if each is not type(None)]
    if name in _USUAL:
        return st.sampled_from(_USUAL[name])
    if name == "digest":
        return st.sampled_from(digests())
    if name == "remove":
        return fields(hint if not inner else inner[0])
    if origin is Union:
        return st.none() | value(inner[0], name)
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is tuple:
        return st.lists(value(inner[0], name), max_size=3)
    if dataclasses.is_dataclass(hint):
        return fields(hint)
    if hint is FrameRange:
        return st.sampled_from(_RANGES)
    return {
        str: st.sampled_from(_WORDS),
        int: st.sampled_from(_INTS),
        bool: st.booleans(),
        float: st.sampled_from([0.5, 1.0, -1.0, float("nan"), float("inf")]),
    }.get(hint, junk)


def fields(cls: Any) -> st.SearchStrategy[dict[str, Any]]:
    """The fields of a message or of a value in one, with some left out and some that nobody knows."""
    known = {name: value(hint, name) for name, hint in get_type_hints(cls).items() if name != "type"}
    required = {spec.name for spec in dataclasses.fields(cls) if _is_required(spec) or spec.name == "remove"}
    few = st.fixed_dictionaries(
        {name: known[name] for name in required},
        optional={name: known[name] for name in known if name not in required},
    )
    loose = st.fixed_dictionaries({}, optional={**known, "unknown": junk})
    return st.integers(0, 9).flatmap(lambda draw: loose if draw == 7 else few)


def _is_required(spec: dataclasses.Field[Any]) -> bool:
    return spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING


def _packed(header: Any) -> bytes:
    try:
        return msgpack.packb(header)
    except (OverflowError, ValueError, TypeError):  # what MessagePack has no room for
        return b"\xc1"


_CONTROL = ["submit", "submit", "submit", "get_status", "watch", "cancel", "get_result", "fetched", "list_jobs", "free"]
_CONTROL += ["get_server_status"]
_DATA = ["put", "put", "get"]


def _headers(kinds: list[str]) -> st.SearchStrategy[bytes]:
    return st.sampled_from([*kinds * 9, *sorted(MESSAGES)]).flatmap(
        lambda kind: st.fixed_dictionaries(
            {"type": st.just(kind), "n": st.integers(1, 2**20), "body": fields(MESSAGES[kind])}
        ).map(_packed)
    )


_broken = st.fixed_dictionaries(
    {}, optional={"type": st.sampled_from(sorted(MESSAGES)) | junk, "n": junk, "body": junk, "more": junk}
).map(_packed)
_bombs = [deep(600), deep(200_000), deep(3000, b"\x81\xa1a"), b"\xdd\xff\xff\xff\xff", b"", b"\x80" * 9]


def frames(on_control: bool) -> st.SearchStrategy[tuple[bytes, ...]]:
    """A message of 1 to 5 frames for one of the sockets: nearly right most of the time."""
    right = _headers(_CONTROL if on_control else _DATA)
    alone, with_buffer = st.tuples(right), st.tuples(right, st.sampled_from(BLOBS))
    usual, unusual = (alone, with_buffer) if on_control else (with_buffer, alone)
    other = [
        unusual,
        st.tuples(_broken),
        st.lists(st.binary(max_size=60), min_size=1, max_size=5).map(tuple),
        st.tuples(st.sampled_from(_bombs)),
        st.tuples(right, st.just(b"p" * (PART_BYTES // 2)), st.just(b"")),
    ]
    return st.integers(0, 19).flatmap(lambda draw: other[draw] if draw < len(other) else usual)
