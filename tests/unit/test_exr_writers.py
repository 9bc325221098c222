"""Files of another build of OpenEXR, and ours as it reads them. Debian's package `openexr` has the tools."""

from __future__ import annotations

import shutil
import subprocess

import OpenEXR
import pytest

from tests.support.exrs import FLOAT, HALF, UINT, assert_same_pixels, frame, part, planes, rgba, tiles
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import read_frame, write_frame

pytestmark = pytest.mark.skipif(not shutil.which("exrheader"), reason="needs the tools of the package openexr")


def run(*command):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def plate(tmp_path):
    """Return the frame and the path of a comp's file."""
    channels = {**rgba((60, 100)), **planes((60, 100), **{"depth.Z": FLOAT, "id": UINT})}
    written = part(channels, "", Box(-3, -4, 57, 96), Box(0, 0, 50, 90), owner="me", pixelAspectRatio=2.0)
    write_frame(frame(written), tmp_path / "plate.exr")
    return frame(written), tmp_path / "plate.exr"


def test_another_reader_sees_our_headers(plate):
    seen = run("exrheader", plate[1])
    assert 'owner (type string): "me"' in seen
    assert "dataWindow (type box2i): (-4 -3) - (95 56)" in seen
    assert "displayWindow (type box2i): (0 0) - (89 49)" in seen
    assert "pixelAspectRatio (type float): 2" in seen
    assert "depth.Z, 32-bit floating-point" in seen
    assert "id, 32-bit unsigned integer" in seen


@pytest.mark.parametrize("levels", [["-o"], ["-m"], ["-r"]], ids=["one", "mip", "rip"])
def test_tiles_of_another_writer_are_read_and_written(plate, tmp_path, levels):
    run("exrmaketiled", *levels, "-t", 32, 16, plate[1], tmp_path / "tiled.exr")
    read = read_frame(tmp_path / "tiled.exr")
    assert_same_pixels(read, plate[0])
    write_frame(read, tmp_path / "again.exr")
    assert "tile size 32 by 16 pixels" in run("exrheader", tmp_path / "again.exr")
    assert_same_pixels(read_frame(tmp_path / "again.exr"), plate[0])


def test_parts_put_together_by_another_writer_are_read_and_written(plate, tmp_path):
    both = tmp_path / "both.exr"
    run("exrmultipart", "-combine", "-i", f"{plate[1]}::left", f"{plate[1]}::right", "-o", both)
    read = read_frame(both)
    assert [p.name for p in read.parts] == ["left", "right"]
    for found in read.parts:
        found.name = ""
        assert_same_pixels(frame(found), plate[0])


def test_our_parts_are_taken_apart_by_another_reader(tmp_path):
    beauty = part(rgba((40, 30)), "beauty", view="left")
    depth = part(planes((40, 30), Z=FLOAT), "depth", type=OpenEXR.tiledimage, tiles=tiles(16, 16))
    write_frame(frame(beauty, depth), tmp_path / "parts.exr")
    run("exrmultipart", "-separate", "-i", tmp_path / "parts.exr", "-o", tmp_path / "single")
    found = {next(iter(sorted(p.channels))): p for f in tmp_path.glob("single*.exr") for p in read_frame(f).parts}
    assert_same_pixels(frame(found["A"], found["Z"]), frame(beauty, depth))


@pytest.mark.parametrize("name", ["NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24"])
def test_another_reader_decodes_every_pixel(tmp_path, name):
    written = part(
        {**rgba((40, 30)), **planes((40, 30), extra=HALF)}, compression=getattr(OpenEXR, f"{name}_COMPRESSION")
    )
    write_frame(frame(written), tmp_path / "f.exr")
    run("exrmaketiled", "-o", "-t", 40, 40, tmp_path / "f.exr", tmp_path / "decoded.exr")
    assert_same_pixels(read_frame(tmp_path / "decoded.exr"), frame(written))
