"""The ids, inputs and output types of the fake's tools, each with its source.

[G] Fusion 8 Scripting Guide: AddTool("Background"), ("Loader"), ("Saver") and EffectMask in its examples
[A] github.com/ynput/ayon-fusion: Loader inputs and what a new Clip resets (plugins/load/load_sequence.py)
[N] github.com/eoyilmaz/anima, anima/dcc/fusion: Saver inputs OutputFormat, OpenEXRFormat.Depth/Compression
[M] DaVinci Resolve manual, "Saver Node", Common Controls: Clipping Mode is Frame (the default) or None
[S] .setting files of public comps: RectangleMask, PolylineMask, MediaIn, Background inputs;
    MediaOut is stored as a Saver there
[I] inferred; the self-test asks the real host
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict


@dataclass(frozen=True)
class Kind:
    """A kind of tool.

    Attributes:
        output: the OUTS_DataType of its output.
        inputs: the values of a new tool by input id.
        links: the ids of the inputs that take the output of another tool.
    """

    output: str
    inputs: Dict[str, Any] = field(default_factory=dict)
    links: tuple[str, ...] = ()


_LOADER = {  # [A]
    "Clip": "",
    "GlobalIn": 0.0,
    "GlobalOut": 0.0,
    "ClipTimeStart": 0.0,
    "ClipTimeEnd": 0.0,
    "HoldFirstFrame": 0.0,
    "HoldLastFrame": 0.0,
    "Reverse": 0.0,
    "Depth": 0.0,
    "KeyCode": "",
    "TimeCodeOffset": 0.0,
}
_SAVER = {  # [N] [M]
    "Clip": "",
    "OutputFormat": "OpenEXRFormat",
    "OpenEXRFormat.Depth": 0.0,
    "OpenEXRFormat.Compression": 2.0,
    "ClippingMode": "Frame",
}
_BACKGROUND = {  # [S]
    "UseFrameFormatSettings": 1.0,
    "Width": 1920.0,
    "Height": 1080.0,
    "Depth": 0.0,
    "TopLeftRed": 0.0,
    "TopLeftGreen": 0.0,
    "TopLeftBlue": 0.0,
    "TopLeftAlpha": 1.0,
}

KINDS: Dict[str, Kind] = {
    "Loader": Kind("Image", _LOADER),
    "Saver": Kind("Image", _SAVER, ("Input",)),
    "Background": Kind("Image", _BACKGROUND, ("EffectMask",)),
    "MediaIn": Kind("Image", {}),
    # [I] that OUTS_DataType of masks is Mask
    "RectangleMask": Kind("Mask", {"Width": 0.5, "Height": 0.5, "Center": {1: 0.5, 2: 0.5}}),
    "Transform": Kind("Image", {"Size": 1.0}, ("Input",)),
    "PolylineMask": Kind("Mask", {}),
}
COMPRESSIONS = ("NO", "RLE", "ZIPS", "ZIP", "PIZ")  # [N] by number
CLIPPING = ("Frame", "None")  # [M]
# Of TOOLI_ImageDepth and Image.Depth. [I] from scripts that make Background.Depth of it by taking 4 off.
DEPTHS = {"int8": 5, "int16": 6, "float16": 7, "float32": 8}
# What a new Clip resets. [A]
RESET_BY_CLIP = ("HoldFirstFrame", "HoldLastFrame", "Reverse", "Depth", "KeyCode", "TimeCodeOffset")

TOOL_ATTRS = {"TOOLS_Name", "TOOLB_NameSet", "TOOLB_PassThrough"}  # those that can be set
COMP_ATTRS = {
    "COMPN_RenderStart",
    "COMPN_RenderEnd",
    "COMPN_GlobalStart",
    "COMPN_GlobalEnd",
    "COMPB_Proxy",
    "COMPB_Modified",  # scripts in public repositories set it; the self-test asks what it does [I]
}
RENDER_OPTIONS = {"Start", "End", "FrameRange", "Wait", "RenderFlags"}  # [G], RenderFlags: ayon extract_render_local.py
