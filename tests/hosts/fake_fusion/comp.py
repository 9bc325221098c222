"""The fake's composition: its tools, its flow and its renders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Tuple

from tests.hosts.fake_fusion.api import Api
from tests.hosts.fake_fusion.ask_user import ask_user
from tests.hosts.fake_fusion.exr_files import frame_path, save
from tests.hosts.fake_fusion.registry import COMP_ATTRS, KINDS, RENDER_OPTIONS
from tests.hosts.fake_fusion.tools import Operator, set_data

if TYPE_CHECKING:
    from tests.hosts.fake_fusion.session import FakeFusion

_AUTOMATIC = -32768


class FlowView(Api):
    def __init__(self, comp: Composition) -> None:
        self.thread = comp.thread

    def GetPosTable(self, tool: Operator) -> Dict[float, float]:
        return {1.0: tool.position[0], 2.0: tool.position[1]}


class FuFrame(Api):
    def __init__(self, comp: Composition) -> None:
        self.thread = comp.thread
        self._flow = FlowView(comp)

    @property
    def FlowView(self) -> FlowView:
        return self._flow


class Composition(Api):
    """A composition. Names with a small letter are for tests.

    Attributes:
        file: the path of the saved composition; empty if it was never saved.
        selected: the names of the selected tools.
        regions: the frame ranges of MediaIns, by tool id.
        data: what scripts have stored.
        printed: the lines that scripts have printed.
        locks: how many calls of Lock are open.
        open_undo: the titles of the undo steps that are open.
        has_flow: whether the composition is on the screen.
        on_render: called instead of Render with the frames; returns True to render after all.
        waits: functions that are called in GetAttrs, one at each call, while a script's temporary tools exist.
    """

    settable = ("CurrentTime",)

    def __init__(self, session: FakeFusion, name: str = "Composition1", frames: range = range(0, 1001)) -> None:
        self.thread = session.thread
        self.session, self.comp_name, self.file = session, name, ""
        self.tools: List[Operator] = []
        self.selected: List[str] = []
        self.regions: Dict[str, Tuple[float, float]] = {}
        self.data: Dict[str, Any] = {}
        self.printed: List[str] = []
        self.locks = 0
        self.has_flow = True
        self.on_render: Optional[Callable[[List[int]], Optional[bool]]] = None
        self.is_rendering = False
        self.is_modified = False
        self.waits: List[Optional[Callable[[], None]]] = []
        self.open_undo: List[str] = []
        self._before: List[Operator] = []
        self._steps: List[List[Operator]] = []
        first, last = float(frames[0]), float(frames[-1])
        self.attrs: Dict[str, Any] = {"COMPB_Proxy": False}
        self.attrs.update(COMPN_GlobalStart=first, COMPN_GlobalEnd=last)
        self.attrs.update(COMPN_RenderStart=first, COMPN_RenderEnd=last)
        object.__setattr__(self, "CurrentTime", first)

    @property
    def ActiveTool(self) -> Optional[Operator]:
        return self.tool(self.selected[0]) if self.selected else None

    @property
    def CurrentFrame(self) -> Optional[FuFrame]:
        return FuFrame(self) if self.has_flow else None

    def GetAttrs(self) -> Dict[str, Any]:
        is_exporting = any("void_bridge.temporary" in tool.data for tool in self.tools)
        wait = self.waits.pop(0) if self.waits and not self.locks and is_exporting else None
        if wait is not None:
            wait()
        names = {"COMPS_FileName": self.file, "COMPS_Name": self.comp_name}
        return {**self.attrs, **names, "COMPB_Modified": self.is_modified}

    def SetAttrs(self, attrs: Mapping[str, Any]) -> None:
        for name, value in attrs.items():
            if name not in COMP_ATTRS:
                raise KeyError(f"{name} is no attribute of a composition that can be set")
            if name == "COMPB_Modified":
                self.is_modified = bool(value)
                continue
            self.attrs[name] = value if isinstance(value, bool) else float(value)

    def GetData(self, name: str) -> Any:
        return self.data.get(name)

    def SetData(self, name: str, value: Any) -> None:
        self.is_modified = True
        set_data(self.data, name, value)

    def Lock(self) -> None:
        self.locks += 1

    def Unlock(self) -> None:
        assert self.locks, "Unlock without Lock"
        self.locks -= 1

    def StartUndo(self, name: str) -> None:
        assert not self.open_undo, f"undo {name!r} within {self.open_undo}"
        self.open_undo.append(name)
        self._before = list(self.tools)

    def EndUndo(self, keep: bool) -> None:
        self.open_undo.pop()
        if keep:
            self._steps.append(self._before)

    def Undo(self, count: int) -> None:
        """Delete the tools that the last steps have added. The fake undoes nothing else."""
        for _ in range(count):
            before = self._steps.pop()
            for tool in [tool for tool in self.tools if tool not in before]:
                self.tools.remove(tool)
                tool.is_deleted = True

    def AddTool(self, id: str, xpos: float, ypos: float) -> Operator:
        if id not in KINDS:
            raise KeyError(f"no tool {id!r}")
        tool = Operator(self, id, self.free_name(f"{id}1"))
        if (xpos, ypos) == (_AUTOMATIC, _AUTOMATIC):
            tool.position = (float(len(self.tools)), 0.0)
            if self.selected and "Input" in tool.links:
                tool.links["Input"] = self.selected[0]
        else:
            tool.position = (float(xpos), float(ypos))
        self.tools.append(tool)
        self.changed()
        return tool

    def FindTool(self, name: str) -> Optional[Operator]:
        return next((tool for tool in self.tools if tool.name == name), None)

    def GetToolList(self, selected: bool = False, regid: str = "") -> Optional[Dict[float, Operator]]:
        found = [tool for tool in self.tools if not regid or tool.id == regid]
        if selected:
            found = [tool for name in self.selected for tool in found if tool.name == name]
            if not found:
                return None
        return {float(index): tool for index, tool in enumerate(found, 1)}

    def Render(self, settings: Mapping[str, Any]) -> Optional[bool]:
        """Render the frames, unless a test has set `on_render`."""
        unknown = set(settings) - RENDER_OPTIONS
        assert not unknown, f"Render has no options {unknown}"
        frames = _frames(settings)
        if self.on_render is not None:
            answer = self.on_render(frames)
            if answer is not True:
                return answer
        return self.render_all_savers(frames)

    def IsRendering(self) -> bool:
        return self.is_rendering

    def MapPath(self, path: str) -> str:
        return path.replace("Comp:", f"{Path(self.file).parent}/") if self.file else path

    def Print(self, text: str) -> None:
        self.printed.append(text.rstrip("\n"))

    def AskUser(self, title: str, controls: Mapping[int, Mapping[Any, Any]]) -> Optional[Dict[str, Any]]:
        assert self.locks == 0, "a locked composition shows no dialogs"
        return ask_user(self.session, title, controls)

    def render_all_savers(self, frames: Optional[List[int]] = None) -> bool:
        """Render the given frames, or the render range as the artist's menu command does."""
        first, last = self.attrs["COMPN_RenderStart"], self.attrs["COMPN_RenderEnd"]
        savers = [tool for tool in self.tools if tool.id == "Saver" and not tool.attrs["TOOLB_PassThrough"]]
        try:
            for frame in frames or range(int(first), int(last) + 1):
                for saver in savers:
                    self._save(saver, frame)
        except RuntimeError as exc:
            self.printed.append(str(exc))
            return False
        return bool(savers)

    def _save(self, saver: Operator, frame: int) -> None:
        inputs = saver.inputs
        if saver.name.startswith("MediaOut") or not inputs["Clip"]:
            return
        assert inputs["OutputFormat"] == "OpenEXRFormat", "the fake writes EXR alone"
        picture = saver.picture(frame)
        if self.attrs["COMPB_Proxy"]:
            picture = picture.with_rgba(picture.rgba * 0)  # shows a render in proxy mode
        depth, compression = inputs["OpenEXRFormat.Depth"], inputs["OpenEXRFormat.Compression"]
        save(picture, frame_path(inputs["Clip"], frame), depth, compression, inputs["ClippingMode"])

    def tool(self, name: str) -> Operator:
        """Return a tool by its name."""
        return next(tool for tool in self.tools if tool.name == name)

    def free_name(self, wanted: str, own: Optional[Operator] = None) -> str:
        """Return a unique name; the number at its end counts up."""
        taken = {tool.name for tool in self.tools if tool is not own}
        stem = wanted.rstrip("0123456789")
        number = int(wanted[len(stem) :] or 0)
        while wanted in taken:
            number += 1
            wanted = f"{stem}{number}"
        return wanted

    def rename(self, tool: Operator, name: str) -> None:
        """Rename a tool, with the connections to it."""
        for other in self.tools:
            other.links = {input: name if linked == tool.name else linked for input, linked in other.links.items()}
        self.selected = [name if each == tool.name else each for each in self.selected]
        tool.name = name

    def remove(self, tool: Operator) -> None:
        """Delete a tool, with the connections to it."""
        self.tools.remove(tool)
        for other in self.tools:
            other.links = {input: None if name == tool.name else name for input, name in other.links.items()}
        tool.is_deleted = True
        self.changed()

    def save(self) -> None:
        """Save the composition: it has no unsaved changes then. Data of scripts counts as a change [I]."""
        self.is_modified = False

    def changed(self) -> None:
        """Record a change; raise AssertionError if a script made it outside Lock and StartUndo."""
        self.is_modified = True
        if self.session.is_strict and not (self.open_undo and self.locks):
            raise AssertionError("tools were changed outside Lock and StartUndo")

    def paste(self, name: str) -> Operator:
        """Add a copy of a tool, as the artist does by copy and paste."""
        source = self.tool(name)
        tool = source.copy_to(self, self.free_name(name))
        self.tools.append(tool)
        return tool

    def save_text(self) -> str:
        """Return what a .comp file holds."""
        tools = [[t.id, t.name, t.inputs, t.links, t.attrs, t.data, list(t.position)] for t in self.tools]
        own = {"name": self.comp_name, "file": self.file, "attrs": self.attrs, "data": self.data}
        return json.dumps({**own, "regions": self.regions, "tools": tools})

    def close(self) -> None:
        """Close the composition: its handles and those of its tools become unusable."""
        for thing in (*self.tools, self):
            thing.is_deleted = True


def read_text(session: FakeFusion, text: str) -> Composition:
    """Open a saved composition, with new handles."""
    saved = json.loads(text)
    comp = Composition(session, saved["name"])
    comp.file, comp.attrs, comp.data = saved["file"], saved["attrs"], saved["data"]
    comp.regions = {name: tuple(region) for name, region in saved["regions"].items()}
    for id, name, inputs, links, attrs, data, position in saved["tools"]:
        tool = Operator(comp, id, name)
        tool.inputs, tool.links, tool.attrs, tool.data, tool.position = inputs, links, attrs, data, tuple(position)
        comp.tools.append(tool)
    return comp


def _frames(settings: Mapping[str, Any]) -> List[int]:
    if "FrameRange" not in settings:
        return list(range(int(settings["Start"]), int(settings["End"]) + 1))
    parts = (part.partition("..") for part in str(settings["FrameRange"]).split(","))
    return [frame for first, _, last in parts for frame in range(int(first), int(last or first) + 1)]
