"""Conversion of messages to wire frames and back, and refusal of invalid frames."""

import contextlib
import dataclasses
from typing import get_type_hints

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from void_bridge.errors import ProtocolError, VoidBridgeError
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource
from void_bridge.protocol.framing import (
    HEADER_BYTES_MAX,
    PART_BYTES,
    Envelope,
    decode,
    encode,
    request_number,
)
from void_bridge.protocol.messages import (
    MESSAGES,
    Failure,
    GetStatus,
    InputFile,
    JobStatus,
    Part,
    Ping,
    Progress,
    Result,
    ResultFrame,
    SpoolStatus,
    Submit,
    WorkerStatus,
)

JOB = Job(
    "p.####.exr", FrameRange.parse("-5-9x2,20"), "o.####.exr", Colour("ACEScg", "ocio://x"), remove=MatteSource("m.exr")
)
STATUS = JobStatus("a", "failed", "auto", 5, 2, progress=Progress("fill", 1, 3, 2.5), error=Failure("engine", "no"))
EXAMPLES = {
    "Job": JOB,
    "JobStatus": STATUS,
    "Tuple[InputFile, ...]": (InputFile("p", 3, "ab"), InputFile("q", 2**40, mtime_ns=2**62)),
    "Tuple[JobStatus, ...]": (STATUS, STATUS),
    "Tuple[ResultFrame, ...]": (ResultFrame(-5, "ab", 9, "/x"),),
    "Dict[str, object]": {"enlarged": 1.5, "warnings": ["soft"], "stages": {"fill": 2}},
    "Dict[str, int]": {"queued": 2},
    "SpoolStatus": SpoolStatus(2**40, 10),
    "Tuple[WorkerStatus, ...]": (WorkerStatus(0, "running", 9, "cuda:0", "void", ("a",), 0.5, 2**33, 1),),
    "TransportName": "path",
    "Tuple[str, ...]": ("a", "é"),
    "str": "text",
    "int": 7,
    "float": 0.5,
    "Optional[float]": None,
    "bool": True,
}


def example(cls):
    return cls(**{field.name: EXAMPLES[field.type] for field in dataclasses.fields(cls)})


def raw(**fields):
    return msgpack.packb({"type": "ping", "n": 1, "body": {}, **fields})


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_comes_through_unchanged(name):
    envelope = Envelope(example(MESSAGES[name]), 12, (b"buffer",))
    assert decode(encode(envelope)) == envelope


def test_messages_are_registered_by_their_tag():
    assert all(name == cls.type for name, cls in MESSAGES.items())
    assert all(get_type_hints(cls) for cls in MESSAGES.values())


def test_a_buffer_is_passed_on_without_a_copy():
    block = bytearray(10)
    frames = encode(Envelope(Part(1, 0, 10), 1, (block,)))
    assert frames[1] is block


def test_unknown_fields_are_ignored_and_missing_ones_take_their_defaults():
    frames = [raw(type="watch", body={"id": "x", "later": 1}, later=2)]
    assert decode(frames).message.previews is False


def test_memory_views_are_read_like_bytes():
    frames = [memoryview(frame) for frame in encode(Envelope(GetStatus("x"), 3))]
    assert decode(frames) == Envelope(GetStatus("x"), 3)


BROKEN = {
    "no frames": [],
    "too many frames": [raw(), b"", b""],
    "an empty header": [b""],
    "no MessagePack": [b"\xc1"],
    "two objects": [raw() + raw()],
    "a list": [msgpack.packb([1])],
    "a number": [msgpack.packb(5)],
    "an extension": [msgpack.packb({"type": msgpack.ExtType(5, b"x")})],
    "deep nesting": [b"\x91" * 5000 + b"\xc0"],
    "a length that lies": [b"\xdf\xff\xff\xff\xff"],
    "keys that are numbers": [msgpack.packb({1: 2})],
    "an unknown type": [raw(type="pong_")],
    "a type that is no text": [raw(type=5)],
    "a negative number": [raw(n=-1)],
    "a huge number": [raw(n=2**63)],
    "a number that is true": [raw(n=True)],
    "a body that is text": [raw(body="x")],
    "a missing field": [raw(type="get_status")],
    "a field of another type": [raw(type="get_status", body={"id": 5})],
    "a literal that is none": [raw(type="submit", body={"id": "x", "job": {}, "inputs": [], "transport": "fax"})],
    "a header over the cap": [b"x" * (HEADER_BYTES_MAX + 1)],
    "a buffer over the cap": [raw(), bytes(PART_BYTES + 1)],
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_invalid_message_is_a_protocol_error(name):
    with pytest.raises(ProtocolError):
        decode(BROKEN[name])


def test_an_invalid_job_in_a_message_is_an_error_of_the_tree():
    body = decode(encode(Envelope(Submit("x", JOB, (), "inline")))) and {
        "id": "x",
        "job": {"plate": "p", "frames": "1-5", "output": "o", "colour": {"space": "a", "config": "b"}, "handles": -1},
        "inputs": [],
        "transport": "inline",
    }
    with pytest.raises(VoidBridgeError, match="handles: got -1"):
        decode([raw(type="submit", body=body)])


def test_a_misspelt_type_is_answered_with_the_nearest():
    with pytest.raises(ProtocolError, match="did you mean 'get_status'"):
        decode([raw(type="get_statsu")])


def test_the_number_of_an_invalid_request_is_found():
    assert request_number([raw(type="none", n=9)]) == 9
    assert request_number(encode(Envelope(Ping(), 4))) == 4


@pytest.mark.parametrize("frames", [[], [b"\xc1"], [raw(n="x")], [raw(n=-4)], [raw(n=True)]])
def test_a_request_without_a_number_has_the_number_0(frames):
    assert request_number(frames) == 0


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=200), max_size=3))
def test_random_bytes_raise_only_protocol_errors(frames):
    with contextlib.suppress(ProtocolError):
        decode(frames)
    assert request_number(frames) >= 0


_plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=8)
    | st.floats()
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(MESSAGES)),
    st.dictionaries(st.sampled_from(["id", "job", "size", "status", "frames", "inputs", "protocol", "digest"]), _plain),
)
def test_random_bodies_raise_only_protocol_errors(kind, body):
    with contextlib.suppress(ProtocolError):
        decode([raw(type=kind, body=body)])


def test_a_result_of_a_long_shot_fits_the_header_cap():
    frames = tuple(ResultFrame(i, "a" * 64, 60_000_000, "/var/spool/void-bridge/" + "x" * 100) for i in range(20_000))
    assert len(encode(Envelope(Result(STATUS, JOB, frames)))[0]) < HEADER_BYTES_MAX
