"""Looking at a composition and changing it: which tools there are, what they make, and changes that can be undone."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Iterator, List, Optional, Tuple

from void_bridge.errors import InputError, InternalError
from void_bridge.frames import FrameRange

if TYPE_CHECKING:
    from fusionscript import Composition, FlowView, Operator

FLOAT_DEPTHS = (6, 8)  # of 5 int8, 6 int16, 7 float16, 8 float32: those whose values half float cannot hold
_FOREVER = 100_000_000
_STEP = 1.0  # between tools in the flow
_AUTOMATIC = -32768  # next to the tool that is active


@dataclass(frozen=True)
class ImageFormat:
    """What a tool makes: its size in pixels without proxy, and whether half float is too little for it."""

    width: int
    height: int
    is_float: bool


@contextmanager
def changes(comp: Composition, title: str) -> Iterator[None]:
    """One step to undo, without dialogs and renders meanwhile. What happened stays one step after an error, too."""
    comp.Lock()
    comp.StartUndo(title)
    try:
        yield
    finally:
        comp.EndUndo(True)
        comp.Unlock()


def all_tools(comp: Composition, kind: str = "", selected: bool = False) -> List[Operator]:
    """Tools in the order in which Fusion lists them. kind: a reg id; empty: all."""
    found = (comp.GetToolList(selected, kind) if kind else comp.GetToolList(selected)) or {}
    return [found[key] for key in sorted(found)]


def output_type(tool: Operator) -> str:
    """`Image`, `Mask` and so on; empty for a tool without an output."""
    output = tool.FindMainOutput(1)
    return str(output.GetAttrs().get("OUTS_DataType", "")) if output is not None else ""


def is_mask(tool: Operator) -> bool:
    """Whether it draws a matte and no picture."""
    return output_type(tool) == "Mask" or tool.ID.endswith("Mask")


def is_image(tool: Operator) -> bool:
    return output_type(tool) == "Image" and not is_mask(tool) and not is_saver(tool)


def is_saver(tool: Operator) -> bool:
    return tool.ID == "Saver"


def writes_files(tool: Operator) -> bool:
    """A Saver that is one: Resolve's MediaOut calls itself a Saver, too."""
    return is_saver(tool) and not tool.Name.startswith("MediaOut")


def image_tools(comp: Composition) -> List[Operator]:
    """What can be a plate, or a matte by its alpha."""
    return [tool for tool in all_tools(comp) if is_image(tool)]


def mask_tools(comp: Composition) -> List[Operator]:
    return [tool for tool in all_tools(comp) if is_mask(tool)]


def image_format(tool: Operator, frame: int) -> ImageFormat:
    """Have the tool make one frame and look at it. Raises InputError: it makes none."""
    output = tool.FindMainOutput(1)
    image = output.GetValue(frame) if output is not None else None
    if image is None:
        raise InputError(f"{tool.Name} makes no picture at frame {frame}; check what is connected to it")
    return ImageFormat(int(image.OriginalWidth), int(image.OriginalHeight), int(image.Depth) in FLOAT_DEPTHS)


def render_range(comp: Composition) -> FrameRange:
    attrs = comp.GetAttrs()
    return FrameRange(range(int(attrs["COMPN_RenderStart"]), int(attrs["COMPN_RenderEnd"]) + 1))


def valid_range(comp: Composition, tool: Operator) -> FrameRange:
    """The frames at which the tool has a picture, within those of the composition. Raises InputError: none."""
    attrs, own = comp.GetAttrs(), tool.GetAttrs()
    first = max(_region(own, "TOOLNT_Region_Start", -_FOREVER), int(attrs["COMPN_GlobalStart"]))
    last = min(_region(own, "TOOLNT_Region_End", _FOREVER), int(attrs["COMPN_GlobalEnd"]))
    if last < first:
        raise InputError(f"{tool.Name} has no frames within the composition; check its range in the keyframe view")
    return FrameRange(range(first, last + 1))


def _region(attrs: dict[str, object], name: str, default: int) -> int:
    """The attribute is a table of one; its key is 1 or 1.0."""
    table = attrs.get(name)
    values = list(table.values()) if isinstance(table, dict) else []
    return int(max(-_FOREVER, min(_FOREVER, values[0]))) if values else default


def new_tool(comp: Composition, kind: str, place: Optional[Tuple[float, float]] = None) -> Operator:
    """Raises InternalError: this Fusion has no such tool."""
    x, y = place or (_AUTOMATIC, _AUTOMATIC)
    tool = comp.AddTool(kind, x, y)
    if tool is None:
        raise InternalError(f"Fusion made no {kind}; is the composition locked by another script?")
    return tool


def position_of(comp: Composition, tool: Operator) -> Optional[Tuple[float, float]]:
    """Where a tool stands in the flow; None where the composition has no flow on the screen."""
    flow = flow_view(comp)
    table = flow.GetPosTable(tool) if flow is not None else None
    if not table:
        return None
    x, y = (table[key] for key in sorted(table))
    return float(x), float(y)


def free_position(comp: Composition, beside: Operator) -> Optional[Tuple[float, float]]:
    """The nearest empty place to the right of a tool and below; None where there is no flow on the screen."""
    start = position_of(comp, beside)
    if start is None:
        return None
    places = (position_of(comp, tool) for tool in all_tools(comp))
    taken = [place for place in places if place is not None]
    for ring in range(1, 1000):
        for down in range(ring + 1):
            x, y = start[0] + (ring - down) * _STEP, start[1] + down * _STEP
            if all(abs(x - u) >= _STEP or abs(y - v) >= _STEP for u, v in taken):
                return x, y
    return None


def flow_view(comp: Composition) -> Optional[FlowView]:
    frame = comp.CurrentFrame
    return frame.FlowView if frame is not None else None
