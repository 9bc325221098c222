"""Damaged files: an error that names the file, never a frame with a hole, never a crash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from tests.support.exrs import FLOAT, UINT, attributes, frame, openexr_bytes, part, planes, rgba, tiles, write
from void_bridge.errors import UnreadableFile
from void_bridge.pixels.exr import decode_frame, encode_frame, read_frame

ROOT = Path(__file__).parents[2]
MODULE = "tests.unit.test_exr_damage"
COMPRESSIONS = ["NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "DWAA", "DWAB", "HTJ2K32", "ZSTD"]
TILED = {"type": OpenEXR.tiledimage, "tiles": tiles(32, 32)}


def member(name):
    return getattr(OpenEXR, f"{name}_COMPRESSION")


@pytest.mark.parametrize("storage", [{}, TILED], ids=["scanline", "tiled"])
@pytest.mark.parametrize("name", COMPRESSIONS)
def test_a_file_cut_off_anywhere_is_unreadable(name, storage):
    data = openexr_bytes(rgba((40, 40)), compression=member(name), **storage)
    cuts = [*range(0, len(data) - 1, len(data) // 23), len(data) - 1]
    for cut in cuts:
        with pytest.raises(UnreadableFile, match=r"plate.exr"):
            decode_frame(data[:cut], "plate.exr")


def test_a_frame_that_lacks_its_last_part_is_unreadable():
    data = encode_frame(frame(part(rgba((40, 40)), "a"), part(planes((40, 40), Z=FLOAT), "b")))
    with pytest.raises(UnreadableFile, match="1 of its 2 parts can be decoded"):
        decode_frame(data[:-10])


@pytest.mark.parametrize("storage", [{}, TILED], ids=["scanline", "tiled"])
def test_a_frame_whose_writer_died_is_unreadable(storage):
    """The table of chunks is written last: it holds zeros, behind it only the first lines."""
    data = bytearray(openexr_bytes(rgba((100, 40)), **storage))
    _, end = attributes(bytes(data))
    count = (int.from_bytes(data[end : end + 8], "little") - end) // 8
    assert count > 1
    data[end : end + 8 * count] = bytes(8 * count)
    with pytest.raises(UnreadableFile):
        decode_frame(bytes(data[: len(data) // 2]))


def test_the_file_on_disk_is_named(tmp_path):
    data = openexr_bytes(rgba((40, 40)))
    path = write(tmp_path / "plate.1001.exr", data[: len(data) // 2])
    with pytest.raises(UnreadableFile, match=r"plate.1001.exr"):
        read_frame(path)


def test_a_good_frame_is_read_after_a_bad_one():
    data = openexr_bytes(rgba((40, 40)))
    with pytest.raises(UnreadableFile):
        decode_frame(data[:-5])
    assert sorted(decode_frame(data).picture.channels) == ["A", "B", "G", "R"]


def test_flipped_bytes_never_bring_the_process_down():
    """A process of its own decodes, so that a crash of the decoder shows as a failed test."""
    done = subprocess.run([sys.executable, "-m", MODULE], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "all frames or errors"


def _flip_bytes_in_many_files() -> None:
    rng = np.random.default_rng(7)
    channels = planes((40, 40), R=np.float16, Z=FLOAT, id=UINT)
    for name in COMPRESSIONS:
        for storage in ({}, TILED):
            data = openexr_bytes(channels, compression=member(name), **storage)
            for _ in range(40):
                _decode_damaged(data, rng)
    print("all frames or errors")  # noqa: T201


def _decode_damaged(data: bytes, rng: np.random.Generator) -> None:
    """Damage one to eight bytes, half the time in the header and the table of chunks."""
    damaged = np.frombuffer(data, np.uint8).copy()
    reach = len(damaged) if rng.random() < 0.5 else 600
    damaged[rng.integers(0, reach, rng.integers(1, 9))] = rng.choice([0, 1, 127, 128, 255, rng.integers(256)])
    try:
        read = decode_frame(damaged.tobytes())
    except UnreadableFile:
        return
    for found in read.parts:
        assert all(array.shape == found.data_window.shape for array in found.channels.values())


if __name__ == "__main__":
    _flip_bytes_in_many_files()
