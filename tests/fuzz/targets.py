"""What reads bytes that anybody may have written: one function each, which may raise a VoidBridgeError and no other."""

from __future__ import annotations

import atexit
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gpu_server.engines.void.checkpoint.safetensors_header import read_header
from void_bridge import config
from void_bridge.connection import read_connection
from void_bridge.errors import VoidBridgeError
from void_bridge.frames import FrameRange
from void_bridge.job import JobFile
from void_bridge.pathmap import PathMap
from void_bridge.pixels.exr_channels import channel_places
from void_bridge.pixels.exr_header import parse_info
from void_bridge.pixels.exr_refusals import refuse_unreadable, refused_attributes
from void_bridge.protocol.framing import decode, encode, request_number
from void_bridge.sequence import Sequence

SEEDS = Path(__file__).with_name("seeds")
_scratch = Path(tempfile.mkdtemp(prefix="fuzz-"))
atexit.register(shutil.rmtree, _scratch, ignore_errors=True)


def _file(data: bytes) -> Path:
    path = _scratch / str(os.getpid())
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def wire(data: bytes) -> None:
    """A header frame; what is read must read the same again."""
    assert request_number([data]) >= 0
    envelope = decode([data])
    (written,) = encode(envelope)
    assert encode(decode([written])) == [written], "it reads otherwise the second time"


def exr(data: bytes) -> None:
    """All that is decided before OpenEXR sees a file."""
    info = parse_info(io.BytesIO(data), "fuzzed.exr")
    refuse_unreadable(info, "fuzzed.exr")
    refused_attributes(info)
    channel_places(info)
    assert info.picture.data_window.height > 0 and info.picture.data_window.width > 0


def safetensors(data: bytes) -> None:
    header = read_header(_file(data))
    for tensor in header.tensors.values():
        assert header.data_begin <= tensor.begin <= tensor.end <= header.size


def job(data: bytes) -> None:
    found = JobFile.read(_file(data))
    assert len(found.job.frames) > 0
    found.write(_file(b""))
    assert JobFile.read(_file(_file_bytes())) == found


def _file_bytes() -> bytes:
    return (_scratch / str(os.getpid())).read_bytes()


def configuration(data: bytes) -> None:
    with _files_of(CONFIG=str(_file(data)), SITE_CONFIG=str(_scratch / "none")):
        loaded = config.load()
        config.as_environment(loaded.config)


def site_configuration(data: bytes) -> None:
    with _files_of(SITE_CONFIG=str(_file(data)), CONFIG=str(_scratch / "none")):
        config.load({"priority": 7})


@contextmanager
def _files_of(**paths: str) -> Iterator[None]:
    """The configuration is read from these meanwhile."""
    named = {f"VOID_BRIDGE_{name}": path for name, path in paths.items()}
    before = {name: os.environ.get(name) for name in named}
    os.environ.update(named)
    try:
        yield
    finally:
        for name, path in before.items():
            os.environ.pop(name) if path is None else os.environ.update({name: path})


def connection(data: bytes) -> None:
    read_connection(_file(data))


def path_mapping(data: bytes) -> None:
    """Lines FROM=TO, then a path; or the rules of a farm as JSON."""
    text = data.decode("utf-8", "replace")
    try:
        rules = PathMap.from_rules(json.loads(text))
    except (ValueError, RecursionError):
        *entries, path = text.split("\n")
        rules = PathMap.parse(entries)
        rules.to_local(path)
    rules.covers("/p/a.1.exr")
    assert isinstance(rules.to_local(r"P:\show\a.1001.exr"), str)


def frames(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        found = FrameRange.parse(text)
        assert FrameRange.parse(str(found)) == found
    except VoidBridgeError:
        pattern = Sequence.parse(text)
        assert Sequence.parse(str(pattern)) == pattern


TARGETS: dict[str, Callable[[bytes], None]] = {
    "wire": wire,
    "exr": exr,
    "safetensors": safetensors,
    "job": job,
    "config": configuration,
    "site_config": site_configuration,
    "connection": connection,
    "path_mapping": path_mapping,
    "frames": frames,
}


def seeds(target: str) -> list[Path]:
    return sorted(path for path in (SEEDS / target).glob("*") if path.is_file())


def is_refused(target: Callable[[bytes], None], data: bytes) -> bool:
    """Whether an input was refused with words, rather than read. Any other exception is a fault."""
    try:
        target(data)
    except VoidBridgeError as exc:
        assert exc.message and "\n" not in exc.message and len(exc.message) < 6000, exc.message[:200]
        return True
    return False
