"""A small comp for the self-test, and a reader of its EXR files that needs no OpenEXR, which hosts do not have."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List

from host_plugins.control.settings import Settings, settings_from
from host_plugins.resolve.choice import ToolChoice
from host_plugins.resolve.export import Export, ExportPlan, plan_export
from host_plugins.resolve.graph import new_tool, render_range, undo_step
from host_plugins.resolve.host import FusionHost

if TYPE_CHECKING:
    from fusionscript import Operator

UNDO_TITLE = "VOID Remove: self-test"
WIDTH, HEIGHT = 64, 48
VALUE = 2.5
SPACE = "ACEScg"


class FusionCheckFixture:
    """Tools of the self-test in the open composition: a plate of 2.5 everywhere and a mask over its left half.

    Args:
        host: the application and the composition.
        folder: the folder for what the checks write.

    Attributes:
        first: the first frame of the checks, which is the first of the render range.
        last: the last frame of the checks, at most three frames later.
        plate: the Background.
        mask: the RectangleMask.
    """

    def __init__(self, host: FusionHost, folder: Path) -> None:
        self.host, self.comp, self.folder = host, host.comp, folder
        self._added: List[str] = []
        self.first = render_range(self.comp).first
        self.last = min(self.first + 3, render_range(self.comp).last)
        with undo_step(self.comp, UNDO_TITLE):
            self.plate = self.add("Background", UseFrameFormatSettings=0, Width=WIDTH, Height=HEIGHT, Depth=4)
            for colour in ("Red", "Green", "Blue"):
                self.plate.SetInput(f"TopLeft{colour}", VALUE)
            self.mask = self.add("RectangleMask", Width=0.5, Height=1.0, Center={1: 0.25, 2: 0.5})

    @property
    def choice(self) -> ToolChoice:
        """The plate and the mask."""
        return ToolChoice(self.plate.Name, {"remove": self.mask.Name})

    def settings(self) -> Settings:
        """Return the settings of a job over the frames of the checks."""
        frames, folder = f"{self.first}-{self.last}", self.folder.as_posix()
        return settings_from(
            {"frames_from": "custom", "frames": frames, "colorspace": SPACE, "folder": folder, "engine": "propagate"}
        )

    def add(self, kind: str, **inputs: object) -> Operator:
        """Add a tool, which `remove_tools` deletes, and set its inputs."""
        tool = new_tool(self.comp, kind, (float(len(self._added)), 40.0))
        self._added.append(tool.Name)
        for name, value in inputs.items():
            tool.SetInput(name, value)
        return tool

    def add_saver(self, source: Operator, path: Path, **inputs: object) -> Operator:
        """Add a Saver that writes EXR files of a tool's picture, and the folder for them."""
        path.parent.mkdir(exist_ok=True)
        saver = self.add("Saver")
        saver.ConnectInput("Input", source)
        for name, value in {"Clip": path.as_posix(), "OutputFormat": "OpenEXRFormat", **inputs}.items():
            saver.SetInput(name, value)
        return saver

    def export(self, name: str) -> ExportPlan:
        """Export the plate and the mask into a folder of this name, and return the plan.

        Raises:
            AssertionError: Fusion rendered nothing.
        """
        plan = plan_export(self.comp, self.choice, self.settings(), self.folder / name)
        export = Export(self.comp, plan)
        try:
            is_complete = export.start()
        finally:
            export.close()
        assert is_complete, "comp.Render wrote nothing: artists will be told to use Render All Savers"
        return plan

    def remove_tools(self) -> None:
        """Delete the tools that were added."""
        with undo_step(self.comp, UNDO_TITLE):
            for name in reversed(self._added):
                tool = self.comp.FindTool(name)
                if tool is not None:
                    with suppress(TypeError):  # the handle of a tool that was deleted meanwhile
                        tool.Delete()


def exr_header(path: Path) -> Dict[str, Any]:
    """Read the header of a single-part scan line file, as OpenEXR's page "OpenEXR File Layout" describes it.

    Returns:
        `channels` (name to half, float or uint), `compression` (a number), `dataWindow` (x0, y0, x1, y1), and `end`,
        the offset of the line table in bytes.
    """
    data, position, found = path.read_bytes()[:65536], 8, {}
    while data[position]:
        name, kind, rest = data[position:].split(b"\0", 2)
        position += len(name) + len(kind) + 2
        size = struct.unpack_from("<i", rest)[0]
        found[name.decode()] = data[position + 4 : position + 4 + size]
        position += 4 + size
    return {
        "channels": _channels(found["channels"]),
        "compression": found["compression"][0],
        "dataWindow": struct.unpack("<4i", found["dataWindow"]),
        "end": position + 1,
    }


def _channels(data: bytes) -> Dict[str, str]:
    channels, position = {}, 0
    while data[position]:
        name = data[position:].split(b"\0", 1)[0]
        position += len(name) + 1
        channels[name.decode()] = ("uint", "half", "float")[struct.unpack_from("<i", data, position)[0]]
        position += 16
    return channels


def exr_row(path: Path, channel: str, line: int) -> List[float]:
    """Read one line of one channel of a single-part scan line file.

    Args:
        path: the file, uncompressed, ZIPS or ZIP.
        channel: the name of the channel.
        line: the line, from 0 at the top of the data window.

    Raises:
        AssertionError: the file has another compression, or no such channel.
    """
    header, data = exr_header(path), path.read_bytes()
    assert header["compression"] in (0, 2, 3), f"compression {header['compression']}, expected none, ZIPS or ZIP"
    lines = 16 if header["compression"] == 3 else 1
    x0, y0, x1, y1 = header["dataWindow"]
    offset = struct.unpack_from("<Q", data, header["end"] + 8 * (line // lines))[0]
    first, size = struct.unpack_from("<ii", data, offset)
    raw = data[offset + 8 : offset + 8 + size]
    width, sizes = x1 - x0 + 1, {"half": 2, "float": 4, "uint": 4}
    line_size = width * sum(sizes[kind] for kind in header["channels"].values())
    if header["compression"] and size < line_size * min(lines, y1 - first + 1):
        raw = _unfiltered(zlib.decompress(raw))
    position = (line + y0 - first) * line_size
    for name, kind in header["channels"].items():
        if name == channel:
            code = {"half": "e", "float": "f", "uint": "I"}[kind]
            return [float(value) for value in struct.unpack_from(f"<{width}{code}", raw, position)]
        position += width * sizes[kind]
    raise AssertionError(f"no channel {channel} in {path.name}; it has {', '.join(header['channels'])}")


def _unfiltered(data: bytes) -> bytes:
    """Undo OpenEXR's predictor and its interleaving of bytes."""
    out = bytearray(data)
    for i in range(1, len(out)):
        out[i] = (out[i - 1] + out[i] - 128) & 255
    half = (len(out) + 1) // 2
    whole = bytearray(len(out))
    whole[0::2], whole[1::2] = out[:half], out[half:]
    return bytes(whole)
