"""Headers: read without pixels, refused if they are invalid, passed on bit for bit."""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import OpenEXR
import pytest

from tests.support.exrs import (
    FLOAT,
    HALF,
    UINT,
    attributes,
    bare_header,
    frame,
    header_bytes,
    openexr_bytes,
    part,
    planes,
    rgba,
    tiles,
    window,
    with_attribute,
    write,
)
from void_bridge.errors import UnreadableFile
from void_bridge.pixels import exr_header
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import decode_frame, encode_frame, read_frame, write_frame
from void_bridge.pixels.exr_header import ChannelInfo, parse_info, read_info

SHAPE = (12, 17)


def info_of(data):
    return parse_info(io.BytesIO(data), "f.exr")


def changed(name, value, data=None):
    """Return a file's header with the value of one attribute replaced."""
    parts, _ = attributes(data or bare_header(20, 10))
    parts[0][name] = (parts[0][name][0], value)
    return header_bytes(parts)


def tiled_header(x_size, y_size):
    (found,), _ = attributes(bare_header(20, 10))
    return header_bytes([{**found, "tiles": ("tiledesc", struct.pack("<IIB", x_size, y_size, 0))}], 2 | 0x200)


def passed_on(kind, value):
    """Return the attribute `x` after a file that has it was read and written."""
    plate = with_attribute(openexr_bytes(rgba(SHAPE)), "x", kind, value)
    (found,), _ = attributes(encode_frame(decode_frame(plate)))
    return found.get("x")


def test_windows_channels_and_rates_are_read(tmp_path):
    channels = {**rgba(SHAPE), **planes(SHAPE, **{"depth.Z": FLOAT, "id": UINT})}
    written = part(channels, "", Box(-3, -4, 9, 13), Box(0, 0, 8, 10), compression=OpenEXR.PIZ_COMPRESSION)
    written.header.update(pixelAspectRatio=2.0, framesPerSecond=Fraction(30000, 1001), owner="mé")
    write_frame(frame(written), tmp_path / "f.exr")
    info = read_info(tmp_path / "f.exr")
    assert (info.picture.data_window, info.picture.display_window) == (Box(-3, -4, 9, 13), Box(0, 0, 8, 10))
    assert (info.picture.pixel_aspect, info.picture.frames_per_second) == (2.0, Fraction(30000, 1001))
    assert (info.picture.compression, info.picture.storage) == ("piz", "scanline")
    assert info.picture.attributes["owner"] == "mé"
    assert {name: channel.type for name, channel in info.picture.channels.items()} == {
        **dict.fromkeys("RGBA", "half"),
        "depth.Z": "float",
        "id": "uint",
    }
    assert info.picture.bytes_per_pixel == 4 * 2 + 4 + 4


def test_the_picture_is_the_part_with_the_rgb():
    depth = part(planes((3, 4), Z=FLOAT), "depth", display_window=Box(0, 0, 9, 9))
    beauty = part(rgba(SHAPE), "beauty", Box(1, 2, 13, 19), Box(0, 0, 9, 9))
    info = info_of(encode_frame(frame(depth, beauty)))
    assert [p.name for p in info.parts] == ["depth", "beauty"]
    assert info.picture.data_window == Box(1, 2, 13, 19)


def test_a_header_longer_than_one_read_is_read():
    data = with_attribute(openexr_bytes(rgba(SHAPE)), "thumbnail", "acme", bytes(300_000))
    assert info_of(data).picture.raw["thumbnail"] == ("acme", bytes(300_000))


def test_no_more_than_the_header_is_read():
    class Counting(io.BytesIO):
        total = 0

        def read(self, size=-1):
            block = super().read(size)
            self.total += len(block)
            return block

    stream = Counting(openexr_bytes(rgba((400, 500)), compression=OpenEXR.NO_COMPRESSION))
    parse_info(stream, "f.exr")
    assert stream.total == 1 << 16


@pytest.mark.parametrize("declared, storage", [(OpenEXR.scanlineimage, "scanline"), (OpenEXR.tiledimage, "tiled")])
def test_storage_is_read(declared, storage):
    header = {"tiles": tiles(16, 16)} if storage == "tiled" else {}
    assert info_of(openexr_bytes(rgba(SHAPE), type=declared, **header)).picture.storage == storage


def test_every_compression_has_its_name():
    members = [m for m in OpenEXR.Compression.__members__ if not m.startswith("NUM")]
    assert len(members) == len(exr_header.COMPRESSIONS)
    for member in members:
        name = exr_header.COMPRESSIONS[int(getattr(OpenEXR, member))]
        assert member == ("NO" if name == "none" else name.upper()) + "_COMPRESSION"


@pytest.mark.parametrize(
    "kind, value",
    {
        "double": struct.pack("<d", 1.25),
        "v2i": struct.pack("<2i", 1, -2),
        "v3i": struct.pack("<3i", 1, -2, 3),
        "v2f": struct.pack("<2f", 0.1, float("nan")),
        "v3f": struct.pack("<3f", 0.1, -2, 3),
        "v2d": struct.pack("<2d", 0.1, -2),
        "v3d": struct.pack("<3d", 0.1, -2, 3),
        "m33f": struct.pack("<9f", *range(9)),
        "m33d": struct.pack("<9d", *range(9)),
        "m44f": struct.pack("<16f", *range(16)),
        "m44d": struct.pack("<16d", *range(16)),
        "box2i": struct.pack("<4i", -1, -2, 3, 4),
        "box2f": struct.pack("<4f", -1, -2, 3, 4),
        "chromaticities": struct.pack("<8f", 0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329),
        "envmap": b"\1",
        "keycode": struct.pack("<7i", 1, 2, 3, 4, 5, 4, 64),
        "timecode": struct.pack("<II", 0x01020384, 0xDEADBEEF),
        "rational": struct.pack("<iI", -24000, 1001),
        "string": "grüße 日本".encode(),
        "stringvector": struct.pack("<i", 1) + b"a" + struct.pack("<i", 2) + b"bc",
        "floatvector": struct.pack("<3f", 0.1, 2, 3),
        "int": struct.pack("<i", -5),
        "float": struct.pack("<f", 0.1),
        "preview": struct.pack("<II", 2, 1) + bytes(range(8)),
        "bytes": bytes(4) + b"abc",
        "acmeRig": b"\0\1\2\xff",
    }.items(),
)
def test_custom_attributes_pass_bit_for_bit(kind, value):
    assert passed_on(kind, value) == (kind, value)


@pytest.mark.parametrize(
    "kind, value",
    [
        ("string", b""),
        ("stringvector", b""),
        ("floatvector", b""),
        ("rational", struct.pack("<iI", 0, 0)),
        ("rational", struct.pack("<iI", 1, 0)),
        ("int", struct.pack("<i", -(2**31))),
        ("float", struct.pack("<f", float("inf"))),
    ],
)
def test_odd_values_pass_bit_for_bit(kind, value):
    assert passed_on(kind, value) == (kind, value)


def test_text_that_is_not_utf8_is_taken_for_latin_1(tmp_path):
    data = with_attribute(openexr_bytes(rgba(SHAPE)), "artist", "string", "José".encode("latin-1"))
    path = write(tmp_path / "f.exr", data)
    assert read_info(path).picture.attributes["artist"] == "José"
    plate = read_frame(path)
    assert plate.picture.header["artist"] == "José"
    assert attributes(encode_frame(plate))[0][0]["artist"] == ("string", "José".encode())


def test_a_rational_comes_back_reduced():
    assert passed_on("rational", struct.pack("<iI", 48, 2)) == ("rational", struct.pack("<iI", 24, 1))


def test_a_keycode_out_of_range_is_dropped_and_logged(caplog):
    assert passed_on("keycode", struct.pack("<7i", *[-1] * 7)) is None
    assert "'x'" in caplog.text


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"", "it is empty"),
        (b"v/1", "its header is cut off"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "it is not an EXR file"),
        (b"x", "it is not an EXR file"),
        (struct.pack("<II", 20000630, 3) + bytes(100), "its EXR version 0x3 is unknown"),
        (header_bytes([{}]), "its header lacks 'channels'"),
        (bare_header(20, 10)[:100], "its header is cut off"),
        (changed("compression", b"\x63"), "its compression 99 is unknown"),
        (changed("channels", b"\0"), "it has no channels"),
        (changed("channels", b"R\0\1\0"), "its channel list is cut off"),
        (changed("channels", b"R\0" + struct.pack("<iB3xii", 7, 0, 1, 1) + b"\0"), "its channel 'R' is not valid"),
        (changed("channels", b"R\0" + struct.pack("<iB3xii", 1, 0, 0, 1) + b"\0"), "its channel 'R' is not valid"),
        (changed("dataWindow", struct.pack("<4i", 5, 5, 4, 9)), r"its dataWindow \(5, 5\)-\(4, 9\) is not valid"),
        (changed("displayWindow", struct.pack("<4i", 0, 0, 2**31 - 1, 9)), "its displayWindow .* is not valid"),
        (struct.pack("<II", 20000630, 2) + b"a" * 400, "a name of more than 255 bytes"),
        (struct.pack("<II", 20000630, 2) + b"a\0int\0" + struct.pack("<i", -1) + bytes(99), "a negative size"),
    ],
)
def test_what_is_no_sound_exr_is_named_with_the_reason(tmp_path, data, reason):
    path = write(tmp_path / "plate.1001.exr", data)
    for read in (read_info, read_frame):
        with pytest.raises(UnreadableFile, match=f"plate.1001.exr: .*{reason}"):
            read(path)


@pytest.mark.parametrize("read", [read_info, read_frame])
def test_a_file_that_is_not_there_is_named(tmp_path, read):
    with pytest.raises(UnreadableFile, match=r"gone.exr: No such file"):
        read(tmp_path / "gone.exr")
    with pytest.raises(UnreadableFile, match="Is a directory"):
        read(tmp_path)


@pytest.mark.parametrize(
    "data, reason",
    [
        (bare_header(100_000, 100_000), "claims 100000x100000 pixels; expected at most 268435456"),
        (bare_header(2**20, 2**9), "claims 1048576x512 pixels"),
        (
            bare_header(16384, 16384, [(f"c{i}", FLOAT, 1) for i in range(17)]),
            "claims 17 GiB of pixels; expected at most ",
        ),
        (bare_header(20, 10, version=2 | 0x800), "holds deep pixels; expected flat ones"),
        (
            bare_header(20, 10, [("BY", HALF, 2), ("RY", HALF, 2), ("Y", HALF, 1)]),
            "holds channel 'BY' at 2x2 subsampling",
        ),
        (tiled_header(5000, 16), "claims tiles of 5000x16; expected at most 4096"),
        (tiled_header(0, 16), "claims tiles of 0x16"),
    ],
)
def test_frames_that_are_not_read_are_refused_before_a_pixel_is(tmp_path, data, reason):
    """There are no pixels behind these headers, so that decoding them would fail in another way."""
    path = write(tmp_path / "f.exr", data)
    assert read_info(path).parts
    with pytest.raises(UnreadableFile, match=f"f.exr {reason}"):
        read_frame(path)


def test_subsampling_is_read():
    info = info_of(bare_header(20, 10, [("RY", HALF, 2), ("Y", FLOAT, 1)]))
    assert info.picture.channels == {"RY": ChannelInfo("half", 2, 2), "Y": ChannelInfo("float", 1, 1)}


def test_deep_is_known_by_the_type_of_a_part_too():
    parts, _ = attributes(bare_header(20, 10))
    parts[0]["type"] = ("string", b"deepscanline")
    assert info_of(header_bytes(parts)).picture.storage == "deep"


def test_windows_of_a_frame_from_openexr_are_read():
    data = openexr_bytes(rgba(SHAPE), dataWindow=window(-4, -3, 12, 8), displayWindow=window(0, 0, 9, 9))
    assert info_of(data).picture.data_window == Box(-3, -4, 9, 13)
