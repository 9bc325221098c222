"""The paste matte of delivered frames as a sequence of its own, for hosts that read no layers, such as Fusion.

Each file has the matte in R, G, B and A, half float: a picture for people, and an alpha that any host reads as a matte.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from void_bridge.atomic import write_bytes
from void_bridge.errors import OutputError
from void_bridge.frames import FrameRange
from void_bridge.pixels.composite import PASTE_CHANNEL
from void_bridge.pixels.exr import ExrFrame, ExrPart, encode_frame, read_frame
from void_bridge.pixels.exr_channels import find_in_frame
from void_bridge.sequence import Sequence

_KEPT = ("pixelAspectRatio", "timeCode", "framesPerSecond")

OnFrame = Callable[[int, int], None]


def write_paste_sequence(
    delivered: Sequence,
    frames: FrameRange,
    target: Sequence,
    overwrite: bool = False,
    on_frame: OnFrame = lambda done, total: None,
) -> None:
    """Write the paste matte of `frames`, with the windows, pixel aspect and timecode of the delivered files.

    Files that are already there and equal stay, so that a second run completes the first.

    Args:
        delivered: pattern of the frames to read.
        frames: the frames.
        target: pattern of the files to write.
        overwrite: whether files of `target` with other content are replaced.
        on_frame: called with the frames done and their count.

    Raises:
        MissingFrames: of the delivered frames, before a file is begun.
        UnreadableFile, NoSuchChannel: of a delivered frame.
        OutputError, DiskFull: a file that is not this matte, or a place that cannot be written.
    """
    delivered.require(frames)
    if any(target.path(frame) == delivered.path(frame) for frame in frames):
        raise OutputError(f"{target} are the delivered frames themselves; give another --paste-sequence")
    for done, frame in enumerate(frames, 1):
        _write(target.path(frame), paste_matte(delivered.path(frame)), overwrite)
        on_frame(done, len(frames))


def paste_matte(path: Path) -> bytes:
    """Return the matte of one delivered file, as an EXR.

    Raises:
        UnreadableFile, NoSuchChannel: of that file.
    """
    frame = read_frame(path)
    index, channel = find_in_frame(frame, PASTE_CHANNEL, str(path))
    part = frame.parts[index]
    header = {name: part.header[name] for name in _KEPT if name in part.header}
    channels = dict.fromkeys("RGBA", part.channels[channel].astype("float16"))
    return encode_frame(ExrFrame((ExrPart(channels, part.data_window, part.display_window, header=header),)))


def _write(path: Path, data: bytes, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        if path.read_bytes() == data:
            return
        raise OutputError(f"{path} is not this matte; choose another name, or give --overwrite")
    write_bytes(path, data)
