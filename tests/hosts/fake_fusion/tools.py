"""The fake's tools: their inputs, attributes, data and pictures."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional

import numpy as np

from tests.hosts.fake_fusion.api import Api
from tests.hosts.fake_fusion.exr_files import frame_path, load, sequence_of
from tests.hosts.fake_fusion.picture import Picture, constant
from tests.hosts.fake_fusion.registry import CLIPPING, DEPTHS, KINDS, RESET_BY_CLIP, TOOL_ATTRS
from void_bridge.pixels.box import Box

if TYPE_CHECKING:
    from tests.hosts.fake_fusion.comp import Composition

FOREVER = 1_000_000_000.0


class Image(Api):
    """The picture of an output at one time."""

    def __init__(self, picture: Picture, comp: Composition) -> None:
        self.thread = comp.thread
        self._picture = picture

    @property
    def OriginalWidth(self) -> int:
        return self._picture.frame.width

    @property
    def OriginalHeight(self) -> int:
        return self._picture.frame.height

    @property
    def Depth(self) -> int:
        return DEPTHS[self._picture.depth]


class PlainOutput(Api):
    def __init__(self, tool: Operator) -> None:
        self.thread = tool.thread
        self._tool = tool

    def GetAttrs(self) -> Dict[str, Any]:
        kind = self._tool.kind
        return {"OUTS_ID": "Output", "OUTS_Name": "Output", "OUTS_DataType": kind.output}

    def GetValue(self, time: float) -> Optional[Image]:
        try:
            return Image(self._tool.picture(int(time)), self._tool.comp)
        except RuntimeError:
            return None


class Operator(Api):
    """A tool. Masks and MediaIns get their pictures from the session's `draw`."""

    def __init__(self, comp: Composition, id: str, name: str) -> None:
        self.thread = comp.thread
        self.comp, self.id, self.name = comp, id, name
        self.kind = KINDS[id]
        self.inputs: Dict[str, Any] = dict(self.kind.inputs)
        self.links: Dict[str, Optional[str]] = dict.fromkeys(self.kind.links)
        self.attrs: Dict[str, Any] = {"TOOLB_PassThrough": False, "TOOLB_NameSet": False}
        self.data: Dict[str, Any] = {}
        self.position = (0.0, 0.0)

    @property
    def ID(self) -> str:
        return self.id

    @property
    def Name(self) -> str:
        return self.name

    def GetAttrs(self) -> Dict[str, Any]:
        first, last = self.region()
        attrs = {"TOOLS_Name": self.name, "TOOLS_RegID": self.id, **self.attrs}
        attrs.update(TOOLNT_Region_Start={1.0: first}, TOOLNT_Region_End={1.0: last})
        if self.id == "Loader":
            attrs["TOOLIT_Clip_Length"] = {1.0: float(self.clip_length())} if self.inputs["Clip"] else {}
        return attrs

    def SetAttrs(self, attrs: Mapping[str, Any]) -> None:
        for name, value in attrs.items():
            if name not in TOOL_ATTRS:
                raise KeyError(f"{name} is no attribute that can be set")
            if name == "TOOLS_Name":
                self.comp.rename(self, self.comp.free_name(str(value), self))
            else:
                self.attrs[name] = bool(value)
        self.comp.changed()

    def GetData(self, name: str) -> Any:
        return self.data.get(name)

    def SetData(self, name: str, value: Any) -> None:
        self.comp.is_modified = True
        set_data(self.data, name, value)

    def FindMainOutput(self, index: int) -> Optional[PlainOutput]:
        return PlainOutput(self) if index == 1 and self.kind.output else None

    def GetInput(self, id: str) -> Any:
        if id not in self.inputs:
            raise KeyError(f"{self.id} has no input {id}")
        return self.inputs[id]

    def SetInput(self, id: str, value: Any) -> None:
        before = self.GetInput(id)
        kinds = [next((kind for kind in (str, dict) if isinstance(each, kind)), float) for each in (before, value)]
        if kinds[0] is not kinds[1]:
            raise TypeError(f"{self.id}.{id} takes {type(before).__name__}, got {value!r}")
        if id == "ClippingMode" and value not in CLIPPING:
            raise ValueError(f"a Saver's ClippingMode is one of {CLIPPING}, got {value!r}")
        value = value if isinstance(value, (str, dict)) else float(value)
        if self.id == "Loader":
            self._set_loader(id, value)
        else:
            self.inputs[id] = value
        self.comp.changed()

    def ConnectInput(self, input: str, target: Optional[Operator]) -> bool:
        if input not in self.links:
            raise KeyError(f"{self.id} has no input {input}")
        types = ("Mask", "Image") if input == "EffectMask" else ("Image",)
        if target is not None and target.kind.output not in types:
            raise TypeError(f"{target.name} is a {target.kind.output}, {self.name}.{input} takes {types[0]}")
        self.links[input] = target.name if target is not None else None
        self.comp.changed()
        return True

    def Delete(self) -> None:
        self.comp.remove(self)

    def region(self) -> tuple[float, float]:
        """Return the first and the last frame at which the tool has a picture."""
        if self.id == "Loader":
            return self.inputs["GlobalIn"], self.inputs["GlobalOut"]
        if self.id in self.comp.regions:
            return self.comp.regions[self.id]
        source = self.links.get("Input")
        return self.comp.tool(source).region() if source else (-FOREVER, FOREVER)

    def clip_length(self) -> int:
        """Return the number of frames of a Loader's sequence, gaps included."""
        numbers = sequence_of(self.inputs["Clip"])
        return max(numbers) - min(numbers) + 1 if numbers else 0

    def copy_to(self, comp: Composition, name: str) -> Operator:
        """Return a copy of the tool with its inputs, connections and data."""
        tool = Operator(comp, self.id, name)
        tool.inputs, tool.links = dict(self.inputs), dict(self.links)
        tool.attrs, tool.data = dict(self.attrs), copy.deepcopy(self.data)
        tool.position = (self.position[0] + 1, self.position[1] + 1)
        return tool

    def picture(self, frame: int) -> Picture:
        """Return the tool's picture. Raise RuntimeError if an input or a file is missing."""
        render = getattr(self, f"_{self.id.lower()}", None)
        return render(frame) if render else self.comp.session.drawn(self, frame)

    def matte(self, frame: int, shape: tuple[int, int]) -> np.ndarray:
        """Return a mask as it was drawn, or the alpha of a picture, shape [H, W]."""
        if self.id == "RectangleMask" and "drawing" not in self.data:
            return self._rectangle(shape)
        picture = self.comp.session.drawn(self, frame) if self.kind.output == "Mask" else self.picture(frame)
        matte = picture.over(picture.frame).rgba[..., 3]
        assert matte.shape == shape, f"{self.name} is {matte.shape}, the picture {shape}"
        return matte

    def _set_loader(self, id: str, value: Any) -> None:
        inputs = self.inputs
        if id == "Clip":
            inputs["Clip"] = value
            length = self.clip_length()
            inputs.update({name: KINDS["Loader"].inputs[name] for name in RESET_BY_CLIP})
            start = self.comp.attrs["COMPN_GlobalStart"]
            inputs.update(ClipTimeStart=0.0, ClipTimeEnd=float(max(0, length - 1)))
            inputs.update(GlobalIn=start, GlobalOut=start + max(0, length - 1))
            return
        if (id == "GlobalIn" and value > inputs["GlobalOut"]) or (id == "GlobalOut" and value < inputs["GlobalIn"]):
            return  # neither can pass the other; Fusion ignores the value
        if id == "GlobalIn":  # trims or holds the clip instead of moving it
            shift = value - inputs["GlobalIn"]
            inputs["ClipTimeStart"] = max(0.0, inputs["ClipTimeStart"] + shift)
            inputs["HoldFirstFrame"] = max(0.0, -shift)
        inputs[id] = value

    def _input(self, name: str, frame: int) -> Picture:
        source = self.links.get(name)
        if not source:
            raise RuntimeError(f"{self.name} has nothing at {name}")
        tool = self.comp.tool(source)
        while tool.attrs["TOOLB_PassThrough"] and tool.links.get("Input"):
            tool = self.comp.tool(tool.links["Input"])
        return tool.picture(frame)

    def _loader(self, frame: int) -> Picture:
        inputs, numbers = self.inputs, sequence_of(self.inputs["Clip"])
        if not numbers or not inputs["GlobalIn"] <= frame <= inputs["GlobalOut"]:
            raise RuntimeError(f"{self.name} has no frame {frame}")
        index = frame - inputs["GlobalIn"] - inputs["HoldFirstFrame"] + inputs["ClipTimeStart"]
        index = min(max(index, inputs["ClipTimeStart"]), inputs["ClipTimeEnd"])
        return load(frame_path(inputs["Clip"], min(numbers) + int(index)))

    def _background(self, frame: int) -> Picture:
        assert not self.inputs["UseFrameFormatSettings"], "the fake has no frame format"
        width, height = int(self.inputs["Width"]), int(self.inputs["Height"])
        colour = tuple(self.inputs[f"TopLeft{name}"] for name in ("Red", "Green", "Blue", "Alpha"))
        depth = ("float32", "int8", "int16", "float16", "float32")[int(self.inputs["Depth"])]
        picture, source = constant(width, height, colour, depth), self.links["EffectMask"]
        if not source:
            return picture
        return picture.with_rgba(picture.rgba * self.comp.tool(source).matte(frame, (height, width))[..., None])

    def _rectangle(self, shape: tuple[int, int]) -> np.ndarray:
        """Return the matte of a RectangleMask, whose sizes and centre are fractions of the frame; y goes up."""
        (x, y), height, width = self.inputs["Center"].values(), *shape
        across = np.abs((np.arange(width) + 0.5) / width - x) <= self.inputs["Width"] / 2
        down = np.abs(1 - (np.arange(height) + 0.5) / height - y) <= self.inputs["Height"] / 2
        return (down[:, None] & across).astype(np.float32)

    def _transform(self, frame: int) -> Picture:
        """Enlarge the input about its middle by repeating pixels, over a domain that grows beyond the frame."""
        under, size = self._input("Input", frame), self.inputs["Size"]
        height, width = under.frame.shape
        grown = Box(
            round(height * (1 - size) / 2),
            round(width * (1 - size) / 2),
            round(height * (1 + size) / 2),
            round(width * (1 + size) / 2),
        )
        rows = np.clip(((np.arange(grown.height) + 0.5) / size).astype(int), 0, height - 1)
        columns = np.clip(((np.arange(grown.width) + 0.5) / size).astype(int), 0, width - 1)
        rgba = np.ascontiguousarray(under.over(under.frame).rgba[rows][:, columns])
        return Picture(rgba, grown, under.frame, under.depth)

    def _saver(self, frame: int) -> Picture:
        return self._input("Input", frame)


def set_data(data: Dict[str, Any], name: str, value: Any) -> None:
    """Store text, a number or a flag under a name such as `table.subtable`; None deletes it."""
    if value is not None and not isinstance(value, (str, int, float, bool)):
        raise TypeError(f"the fake keeps text, numbers and flags, got {value!r} for {name}")
    if not all(part and not part[0].isdigit() for part in name.split(".")):
        raise ValueError(f"{name!r}: a part that begins with a digit may be read as a number")
    if value is None:
        data.pop(name, None)
    else:
        data[name] = value
