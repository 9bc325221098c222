"""Files that lie about their size or shape: refused with the reason, in a process whose memory is limited."""

from __future__ import annotations

import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from gpu_server.engines.void.checkpoint.safetensors_header import read_header
from tests.support.exrs import FLOAT, HALF, bare_header, openexr_bytes, planes, rgba, tiles, window, with_attribute
from tests.support.shots import disc, files_of, make_job, run_job, write_matte, write_plate
from void_bridge.errors import VoidBridgeError
from void_bridge.pixels.exr import read_frame

ROOT = Path(__file__).parents[2]
MODULE = "tests.unit.test_hostile_files"
ADDRESS_SPACE = 4 * 2**30  # of the child
PEAK_MB = 512  # that the child may ever have resident; Python with numpy, OpenEXR and OpenCV takes 110
FLIPS = 4000 if os.environ.get("VOID_BRIDGE_LONG_TESTS") else 300


def with_table(header: bytes, chunks: int, behind: bytes = bytes(64)) -> bytes:
    """Return a header, and a table of chunks that are all at one place."""
    return header + struct.pack("<Q", len(header) + 8 * chunks) * chunks + behind


def with_count(count: int) -> bytes:
    many = b"".join(b"a%d\0int\0\4\0\0\0\0\0\0\0" % number for number in range(count))
    return bare_header(4, 4)[:-1] + many + b"\0"


def parts_of(count: int) -> bytes:
    one = bare_header(4, 4)[8:]
    return struct.pack("<II", 20000630, 2 | 0x1000) + one * count + b"\0"


GOOD = openexr_bytes(rgba((32, 48)))
TILED = openexr_bytes(rgba((32, 48)), type=OpenEXR.tiledimage, tiles=tiles(16, 16))
EXRS: dict[str, tuple[bytes, str]] = {
    "100k x 100k": (bare_header(100_000, 100_000), "claims 100000x100000 pixels"),
    "the largest window, no pixels": (with_table(bare_header(16384, 16384), 1024), "cannot decode"),
    "two thousand million channels' worth": (
        with_table(bare_header(16384, 16384, [(f"c{n}", FLOAT, 1) for n in range(64)]), 1024),
        "claims 64 GiB",
    ),
    "one line of 2^27 pixels": (with_table(bare_header(2**27, 1), 1), "cannot decode"),
    "2^27 lines of one pixel": (bare_header(1, 2**27), "cannot decode"),
    "a window that ends before it begins": (bare_header(-5, 4), "is not valid"),
    "a window beyond 30 bits": (
        with_attribute(GOOD, "dataWindow", "box2i", struct.pack("<4i", 0, 0, 2**31 - 1, 3)),
        "is not valid",
    ),
    "a window of other pixels than it has": (
        with_attribute(GOOD, "dataWindow", "box2i", struct.pack("<4i", 0, 0, 4000, 4000)),
        "cannot decode",
    ),
    "100 000 channels": (
        with_table(bare_header(1, 1, [(f"c{n}", HALF, 1) for n in range(100_000)]), 1),
        "100000 channels",
    ),
    "a million attributes": (with_count(1_000_000), "16385 attributes"),
    "5000 parts": (parts_of(5000), "1025 parts"),
    "a name of a mile": (b"v/1\1\2\0\0\0" + b"n" * 100_000, "more than 255 bytes"),
    "a string that claims 2 GB": (bare_header(4, 4)[:-1] + b"s\0string\0" + struct.pack("<i", 2**31 - 1), "cut off"),
    "a negative size": (bare_header(4, 4)[:-1] + b"s\0string\0" + struct.pack("<i", -1), "negative size"),
    "channels that are cut off": (with_attribute(GOOD, "channels", "chlist", b"R\0\1\0"), "channel list is cut off"),
    "no channels": (with_attribute(GOOD, "channels", "chlist", b"\0"), "no channels"),
    "a pixel type that is none": (
        with_attribute(GOOD, "channels", "chlist", b"R\0" + struct.pack("<iB3xii", 9, 0, 1, 1) + b"\0"),
        "is not valid",
    ),
    "deep pixels": (bare_header(8, 8, version=2 | 0x800), "deep pixels"),
    "subsampled": (bare_header(8, 8, [("Y", HALF, 1), ("RY", HALF, 2)]), "subsampling"),
    "tiles larger than all": (
        with_attribute(TILED, "tiles", "tiledesc", struct.pack("<IIB", 2**31, 2**31, 0)),
        "claims tiles",
    ),
    "tiles of no size": (with_attribute(TILED, "tiles", "tiledesc", struct.pack("<IIB", 0, 0, 0)), "claims tiles"),
    "tiles with levels": (with_attribute(TILED, "tiles", "tiledesc", struct.pack("<IIB", 16, 16, 2)), "cannot decode"),
    "another magic": (b"\x89PNG\r\n\x1a\n" + bytes(500), "not an EXR file"),
    "another version": (struct.pack("<II", 20000630, 9) + GOOD[8:], "version"),
    "nothing": (b"", "empty"),
    "half of it": (GOOD[: len(GOOD) // 2], "cannot decode"),
    "half of its header": (GOOD[:90], "cut off"),
    "a table that points behind the end": (with_table(bare_header(64, 64), 4, b""), "cannot decode"),
}


def tensors(header: object, behind: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + behind


def one(**changes: object) -> dict[str, object]:
    return {"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2], **changes}}


CHECKPOINTS: dict[str, tuple[bytes, str]] = {
    "a header of 2^63 bytes": (struct.pack("<Q", 2**63) + b"{}", "header of 9,223,372,036,854,775,808 bytes"),
    "a header over the limit": (struct.pack("<Q", 90_000_000) + b"{" + bytes(20), "header of 90,000,000 bytes"),
    "a header longer than the file": (struct.pack("<Q", 5000) + b"{}", "cut short"),
    "lists in lists": (tensors(b'{"a":' + b"[" * 100_000), "damaged header"),
    "millions of empty lists": (tensors(b'{"a":[' + b"[]," * 2_600_000 + b"[]]}"), "damaged header"),
    "a number of a million digits": (tensors(b'{"a":' + b"9" * 1_000_000 + b"}"), "damaged header"),
    "not JSON": (tensors(b"{]"), "damaged header"),
    "a list": (tensors(b"{}"[:1] + b' "a": []}'), "damaged header"),
    "a name twice": (tensors(b'{"a":{},"a":{}}'), "a name twice"),
    "overlap": (tensors({**one(), "b": {"dtype": "U8", "shape": [2], "data_offsets": [1, 3]}}, b"abc"), "overlap"),
    "a gap": (tensors(one(data_offsets=[1, 3]), b"abc"), "leave gaps"),
    "negative": (tensors(one(data_offsets=[-2, 0]), b"ab"), "not a whole number"),
    "a negative shape": (tensors(one(shape=[-2])), "not a whole number"),
    "backwards": (tensors(one(data_offsets=[2, 0])), "bytes for shape"),
    "fractions": (tensors(one(shape=[1.5])), "not a whole number"),
    "true": (tensors(one(shape=[True, 2])), "not a whole number"),
    "a shape beyond counting": (tensors(one(shape=[2**62] * 50)), "bytes for shape"),
    "a type that is none": (tensors(one(dtype="F1024")), "damaged header"),
    "a type that is a list": (tensors(one(dtype=["U8"])), "damaged header"),
    "three offsets": (tensors(one(data_offsets=[0, 1, 2])), "damaged header"),
    "more than the file has": (tensors(one(shape=[2**40], data_offsets=[0, 2**40])), "the download stopped"),
    "more than it says": (tensors(one(), b"abcdef"), "more than its header says"),
}


def refusals_of(files: dict[str, tuple[bytes, str]], read: Callable[[Path], object]) -> int:
    """Return files that were refused with the expected words. Raises AssertionError if another was not."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lies.bin"
        for name, (data, reason) in files.items():
            path.write_bytes(data)
            try:
                read(path)
            except VoidBridgeError as exc:
                assert reason in exc.message and len(exc.message) < 600, f"{name}: {exc}"
                assert "lies.bin" in exc.message, f"{name}: {exc}"
            else:
                raise AssertionError(f"{name} was read")
    return len(files)


def flips(data: bytes, start: int, end: int, rng: np.random.Generator) -> tuple[int, int]:
    """Return how many copies with one flipped bit, between two offsets, were read, and how many refused."""
    counts = [0, 0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flipped.exr"
        for place in rng.integers(8 * start, 8 * end, FLIPS):
            flipped = bytearray(data)
            flipped[place // 8] ^= 1 << (place % 8)
            path.write_bytes(flipped)
            try:
                frame = read_frame(path)
            except VoidBridgeError as exc:
                assert exc.message.count("flipped.exr"), exc.message
                counts[1] += 1
                continue
            for part in frame.parts:
                assert all(plane.shape == part.data_window.shape for plane in part.channels.values())
            counts[0] += 1
    return counts[0], counts[1]


def all_flips() -> dict[str, int]:
    rng, read, refused = np.random.default_rng(11), 0, 0
    channels = planes((40, 50), R=HALF, Z=FLOAT)
    for compression in ("ZIP", "PIZ", "DWAA", "NO"):
        member = getattr(OpenEXR, f"{compression}_COMPRESSION")
        data = openexr_bytes(channels, compression=member, displayWindow=window(0, 0, 49, 39))
        for start, end in ((0, 400), (400, len(data))):
            some = flips(data, start, end, rng)
            read, refused = read + some[0], refused + some[1]
    return {"read": read, "refused": refused}


def with_window(data: bytes, x1: int, y1: int, at: int = 0) -> bytes:
    return with_attribute(data, "dataWindow", "box2i", struct.pack("<4i", at, at, x1, y1))


LIES_OF_A_PLATE: tuple[Callable[[bytes], bytes], ...] = (
    lambda good: with_window(good, 99_999, 99_999),
    lambda good: with_window(good, 4095, 4095),
    lambda good: with_window(good, 2**29 + 63, 2**29 + 47, at=2**29),
    lambda good: with_window(good, 3, 3),
    lambda good: with_window(good, -3, 3),
    lambda good: good[: len(good) // 2],
    lambda good: b"RIFF" + good[4:],
    lambda good: b"",
)


def worker_refusals() -> int:
    """Run a job whose second frame has a false header; it fails with the reason, and a good one runs afterwards."""
    shape, frames = (48, 64), range(1001, 1004)
    hole, refused = disc(shape, (24, 30), 9), 0
    for lie in LIES_OF_A_PLATE:
        with tempfile.TemporaryDirectory() as folder:
            plate, roto = write_plate(Path(folder), frames, shape), write_matte(Path(folder), frames, hole)
            good = Path(plate.path(1002)).read_bytes()
            Path(plate.path(1002)).write_bytes(lie(good))
            ended, _, _ = run_job(make_job(plate, frames, roto), files_of(plate, roto), Path(folder))
            assert ended.state == "failed" and ended.failure.code in ("unreadable", "size_mismatch"), ended
            assert "plate." in ended.failure.message, ended
            refused += 1
            Path(plate.path(1002)).write_bytes(good)
            ended, _, _ = run_job(make_job(plate, frames, roto), files_of(plate, roto), Path(folder))
            assert ended.state == "done", ended
    return refused


CHILDREN: dict[str, Callable[[], object]] = {
    "exr": lambda: refusals_of(EXRS, read_frame),
    "safetensors": lambda: refusals_of(CHECKPOINTS, read_header),
    "flips": all_flips,
    "worker": worker_refusals,
}


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are set with setrlimit")
@pytest.mark.parametrize("kind", CHILDREN)
def test_a_process_of_little_memory_refuses_them_all(kind):
    done = subprocess.run([sys.executable, "-m", MODULE, kind], cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["peak_mb"] < PEAK_MB, said
    if kind == "flips":
        counts = said["counts"]
        assert counts["read"] + counts["refused"] == 8 * FLIPS and min(counts.values()) > FLIPS / 4, counts
    else:
        assert (
            said["counts"] == {"exr": len(EXRS), "safetensors": len(CHECKPOINTS), "worker": len(LIES_OF_A_PLATE)}[kind]
        )


def _child(kind: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    counts = CHILDREN[kind]()
    print("\n" + json.dumps({"counts": counts, "peak_mb": peak_mb()}))  # noqa: T201


def peak_mb() -> int:
    """Return the largest resident memory of this process. Linux counts that of its parent into ru_maxrss."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) >> 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 20


if __name__ == "__main__":
    _child(sys.argv[1])
