"""Frames through files: what a comp needs comes back bit for bit."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from tests.support.exrs import (
    FLOAT,
    HALF,
    UINT,
    assert_same_pixels,
    attributes,
    frame,
    openexr_bytes,
    part,
    plane,
    planes,
    rgba,
    same_bits,
    tiles,
    window,
    with_attribute,
)
from void_bridge.errors import DiskFull, OutputError
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import (
    decode_frame,
    encode_frame,
    read_frame,
    write_frame,
    write_simple,
)
from void_bridge.pixels.exr_header import read_info

ROOT = Path(__file__).parents[2]
SHAPE = (37, 53)
LOSSLESS = ["NO", "RLE", "ZIPS", "ZIP", "PIZ", "HTJ2K256", "HTJ2K32", "ZSTD"]


def compression(name):
    return getattr(OpenEXR, f"{name}_COMPRESSION")


def round_trip(*parts):
    return decode_frame(encode_frame(frame(*parts)))


def test_every_layer_keeps_its_pixel_type(tmp_path):
    channels = {**rgba(SHAPE), **planes(SHAPE, **{"depth.Z": FLOAT, "crypto00.r": FLOAT, "id.object": UINT})}
    written = frame(part(channels))
    write_frame(written, tmp_path / "f.exr")
    assert_same_pixels(read_frame(tmp_path / "f.exr"), written)


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_compression_stays_as_it_came(name):
    written = part({**rgba(SHAPE), **planes(SHAPE, Z=FLOAT, id=UINT)}, compression=compression(name))
    read = round_trip(written)
    assert read.parts[0].header["compression"] == compression(name)
    assert_same_pixels(read, frame(written))


@pytest.mark.parametrize("name", ["B44", "B44A", "DWAA", "DWAB", "LJ2K", "PXR24"])
def test_what_came_in_lossy_is_written_lossless(name):
    plate = decode_frame(openexr_bytes(planes(SHAPE, R=FLOAT, G=FLOAT, B=FLOAT), compression=compression(name)))
    plate.parts[0].header["dwaCompressionLevel"] = 100.0
    again = decode_frame(encode_frame(plate))
    assert again.parts[0].header["compression"] == OpenEXR.ZIP_COMPRESSION
    assert "dwaCompressionLevel" not in again.parts[0].header
    assert_same_pixels(again, plate)


def test_pxr24_stays_where_it_loses_nothing():
    written = part({**rgba(SHAPE), **planes(SHAPE, id=UINT)}, compression=OpenEXR.PXR24_COMPRESSION)
    read = round_trip(written)
    assert read.parts[0].header["compression"] == OpenEXR.PXR24_COMPRESSION
    assert_same_pixels(read, frame(written))


@pytest.mark.parametrize(
    "data_window, display_window",
    [
        (Box(-5, -7, 32, 46), Box(0, 0, 27, 39)),
        (Box(10, 20, 47, 73), Box(0, 0, 1080, 1920)),
        (Box(-500, -900, -463, -847), Box(0, 0, 30, 40)),
        (Box(0, 0, 37, 53), Box(100, 200, 137, 253)),
    ],
)
def test_data_and_display_windows_are_unchanged(data_window, display_window):
    written = part(rgba(SHAPE), data_window=data_window, display_window=display_window)
    assert_same_pixels(round_trip(written), frame(written))


def test_a_frame_of_one_pixel_is_written_and_read():
    written = part(planes((1, 1), R=UINT))
    assert_same_pixels(round_trip(written), frame(written))


def test_timecode_frame_rate_and_pixel_aspect_stay():
    timecode = OpenEXR.TimeCode(1, 2, 3, 4, *[0] * 14)
    written = part(rgba(SHAPE), timeCode=timecode, framesPerSecond=Fraction(24000, 1001), pixelAspectRatio=2.0)
    read = round_trip(written).parts[0]
    assert read.header["timeCode"] == timecode
    assert read.header["framesPerSecond"] == Fraction(24000, 1001)
    assert read.pixel_aspect == 2.0


@pytest.mark.parametrize("stored", [0.0, float("inf"), float("nan"), -1.0])
def test_a_pixel_aspect_without_sense_counts_as_1(stored):
    assert part(rgba(SHAPE), pixelAspectRatio=stored).pixel_aspect == 1.0


def test_parts_keep_order_names_types_and_views():
    beauty = part(rgba(SHAPE), "beauty.left", view="left", type=OpenEXR.scanlineimage)
    depth = part(planes((9, 11), Z=FLOAT), "depth", type=OpenEXR.tiledimage, tiles=tiles(16, 8))
    depth.display_window = beauty.display_window
    read = round_trip(beauty, depth)
    assert_same_pixels(read, frame(beauty, depth))
    assert read.parts[0].header["view"] == "left"
    assert [p.header["type"] for p in read.parts] == [OpenEXR.scanlineimage, OpenEXR.tiledimage]


def test_tiles_keep_their_size():
    written = part(rgba(SHAPE), type=OpenEXR.tiledimage, tiles=tiles(24, 16))
    description = round_trip(written).parts[0].header["tiles"]
    assert (description.xSize, description.ySize, description.mode) == (24, 16, OpenEXR.ONE_LEVEL)


def test_of_several_levels_the_top_one_stays():
    description = tiles(16, 16)
    description.mode = OpenEXR.MIPMAP_LEVELS
    written = part(rgba(SHAPE), type=OpenEXR.tiledimage, tiles=description)
    read = round_trip(written)
    assert read.parts[0].header["tiles"].mode == OpenEXR.ONE_LEVEL
    assert description.mode == OpenEXR.MIPMAP_LEVELS
    assert_same_pixels(read, frame(written))


def test_lines_stored_from_the_bottom_stay_in_place():
    channels = rgba(SHAPE)
    read = decode_frame(openexr_bytes(channels, lineOrder=OpenEXR.DECREASING_Y))
    assert_same_pixels(decode_frame(encode_frame(read)), frame(part(channels)))


@pytest.mark.parametrize(
    "awkward",
    [
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: np.asfortranarray(a),
        lambda a: a[::-1].copy()[::-1],
        lambda a: a.T.copy().T,
        lambda a: np.pad(a, 3)[3:-3, 3:-3],
        lambda a: a.astype(a.dtype.newbyteorder(">")),
        lambda a: np.stack([a, a, a], axis=-1)[..., 1],
    ],
)
@pytest.mark.parametrize("dtype", [HALF, FLOAT, UINT])
def test_any_memory_layout_is_written_right(awkward, dtype):
    original = plane(SHAPE, dtype)
    array = awkward(original)
    assert not (array.flags.c_contiguous and array.dtype.isnative)
    assert same_bits(round_trip(part({"R": array})).parts[0].channels["R"], original)


def test_writing_leaves_the_frame_alone():
    channels, header = rgba(SHAPE), {"nuke/node_hash": "abc"}
    written = part(channels, **header)
    encode_frame(frame(written))
    assert written.header == header
    assert all(isinstance(array, np.ndarray) for array in written.channels.values())


def test_pixels_read_can_be_changed_and_outlive_the_file(tmp_path):
    write_simple(tmp_path / "f.exr", rgba(SHAPE))
    read = read_frame(tmp_path / "f.exr")
    (tmp_path / "f.exr").unlink()
    read.parts[0].channels["R"][:] = 3
    assert (decode_frame(encode_frame(read)).parts[0].channels["R"] == 3).all()


def test_the_same_frame_gives_the_same_bytes_in_another_process():
    script = (
        "import sys; from tests.support.exrs import *; from void_bridge.pixels.exr import encode_frame;"
        "sys.stdout.buffer.write(encode_frame(frame(part(rgba((37, 53)), owner='me', **{'void_bridge/seed': 7}))))"
    )
    own = encode_frame(frame(part(rgba(SHAPE), **{"void_bridge/seed": 7}, owner="me")))
    other = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, cwd=ROOT).stdout
    assert other == own


def test_nothing_is_written_that_was_not_asked_for():
    (found,), _ = attributes(encode_frame(frame(part(rgba(SHAPE), owner="me"))))
    structure = {"channels", "compression", "dataWindow", "displayWindow", "lineOrder", "type"}
    assert set(found) == {*structure, "pixelAspectRatio", "screenWindowCenter", "screenWindowWidth", "owner"}


def test_decoding_and_encoding_again_gives_the_same_bytes():
    data = encode_frame(frame(part(rgba(SHAPE), "a", owner="me"), part(planes(SHAPE, Z=FLOAT), "b")))
    assert encode_frame(decode_frame(data)) == data


def test_our_own_headers_and_channels_are_added_to_the_picture():
    plate = frame(part(planes(SHAPE, Z=FLOAT), "depth"), part(rgba(SHAPE), "rgba", **{"owner": "me"}))
    channels = {**plate.picture.channels, "void_bridge.paste": plane(SHAPE)}
    added = {"void_bridge/engine": "propagate", "void_bridge/passes": 2, "void_bridge/gain": 1.5}
    read = decode_frame(encode_frame(plate.with_picture(channels, added)))
    assert sorted(read.parts[0].channels) == ["Z"]
    assert same_bits(read.parts[1].channels["void_bridge.paste"], plane(SHAPE))
    assert {name: read.parts[1].header[name] for name in (*added, "owner")} == {**added, "owner": "me"}
    assert "void_bridge/engine" not in plate.picture.header


def test_a_number_of_more_than_32_bits_is_written_as_text():
    read = round_trip(part(rgba(SHAPE), low=-(2**31), high=2**31, seed=2**63 - 1)).parts[0].header
    assert (read["low"], read["high"], read["seed"]) == (-(2**31), str(2**31), str(2**63 - 1))


def test_paths_with_spaces_and_letters_of_any_script_are_written_and_read(tmp_path):
    path = tmp_path / "zweite Fassung ä 日本" / "plåt 001.exr"
    write_simple(path, rgba(SHAPE))
    assert_same_pixels(read_frame(path), frame(part(rgba(SHAPE))))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_write_simple_takes_windows_header_and_compression(tmp_path):
    windows = {"display_window": Box(0, 0, 30, 40), "data_window": Box(-1, -2, 36, 51)}
    write_simple(tmp_path / "f.exr", rgba(SHAPE), **windows, header={"owner": "me"}, compression="none")
    info = read_info(tmp_path / "f.exr").picture
    assert (info.data_window, info.display_window) == (
        windows["data_window"],
        windows["display_window"],
    )
    assert (info.compression, info.attributes["owner"]) == ("none", "me")


def test_an_attribute_that_cannot_be_written_is_named():
    with pytest.raises(OutputError, match=r"cannot encode the frame as EXR: .*check the headers"):
        encode_frame(frame(part(rgba(SHAPE), broken={1, 2})))


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((OutputError, DiskFull), match=r"file/f.exr"):
        write_simple(tmp_path / "file" / "f.exr", rgba(SHAPE))


def test_structure_is_not_passed_on_from_the_plate():
    """A chunk count of another compression would make the file unreadable."""
    plate = decode_frame(openexr_bytes(rgba((300, 20)), compression=OpenEXR.DWAB_COMPRESSION))
    plate.parts[0].header.update(chunkCount=2, version=1, maxSamplesPerPixel=3)
    (found,), _ = attributes(encode_frame(plate))
    assert not {"chunkCount", "version", "maxSamplesPerPixel"} & set(found)


def test_a_window_attribute_of_the_same_name_does_not_win():
    written = part(rgba(SHAPE), dataWindow=window(0, 0, 1, 1))
    assert_same_pixels(round_trip(written), frame(written))


def test_a_tile_description_on_scanlines_is_left_out():
    data = with_attribute(openexr_bytes(rgba(SHAPE)), "note", "tiledesc", bytes(9))
    assert_same_pixels(decode_frame(encode_frame(decode_frame(data))), frame(part(rgba(SHAPE))))
