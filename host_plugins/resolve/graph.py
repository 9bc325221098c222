"""Queries and undoable changes of a composition's tools."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Iterator, List, Optional, Tuple

from void_bridge.errors import InputError, InternalError
from void_bridge.frames import FrameRange

if TYPE_CHECKING:
    from fusionscript import Composition, Operator

FLOAT_DEPTHS = (6, 8)  # of 5 int8, 6 int16, 7 float16, 8 float32: those whose values half float cannot hold
_UNLIMITED = 100_000_000  # a tool's frame range beyond this has no end
_SPACING = 1.0  # between tools in the flow
_AUTOMATIC = -32768  # position of a new tool: beside the active one


@dataclass(frozen=True)
class ImageFormat:
    """The format of a tool's picture.

    Attributes:
        width: in pixels, without proxy scaling.
        height: in pixels, without proxy scaling.
        needs_float: whether half float cannot hold the values.
    """

    width: int
    height: int
    needs_float: bool


@contextmanager
def undo_step(comp: Composition, title: str) -> Iterator[None]:
    """Make the changes inside one undo step, with the composition locked against dialogs and renders.

    After an error, the changes made so far stay one undo step.
    """
    comp.Lock()
    comp.StartUndo(title)
    try:
        yield
    finally:
        comp.EndUndo(True)
        comp.Unlock()


def all_tools(comp: Composition, kind: str = "", selected: bool = False) -> List[Operator]:
    """Return the tools in the order in which Fusion lists them.

    Args:
        comp: the composition.
        kind: the reg id of the tools to return; empty for all.
        selected: whether to return selected tools only.
    """
    found = (comp.GetToolList(selected, kind) if kind else comp.GetToolList(selected)) or {}
    return [found[key] for key in sorted(found)]


def output_type(tool: Operator) -> str:
    """Return the type of a tool's main output, such as `Image` or `Mask`; empty for a tool without an output."""
    output = tool.FindMainOutput(1)
    return str(output.GetAttrs().get("OUTS_DataType", "")) if output is not None else ""


def is_mask(tool: Operator) -> bool:
    """Return whether a tool makes a mask and no picture."""
    return output_type(tool) == "Mask" or tool.ID.endswith("Mask")


def is_image(tool: Operator) -> bool:
    """Return whether a tool makes a picture that can be a plate."""
    return output_type(tool) == "Image" and not is_mask(tool) and tool.ID != "Saver"


def image_tools(comp: Composition) -> List[Operator]:
    """Return the tools that make a picture, which can be a plate, or a matte by their alpha."""
    return [tool for tool in all_tools(comp) if is_image(tool)]


def mask_tools(comp: Composition) -> List[Operator]:
    """Return the tools that make a mask."""
    return [tool for tool in all_tools(comp) if is_mask(tool)]


def image_format(tool: Operator, frame: int) -> ImageFormat:
    """Render one frame of a tool and return its format.

    Raises:
        InputError: the tool makes no picture at this frame.
    """
    output = tool.FindMainOutput(1)
    image = output.GetValue(frame) if output is not None else None
    if image is None:
        raise InputError(f"{tool.Name} outputs no image at frame {frame}; check what is connected to it")
    return ImageFormat(int(image.OriginalWidth), int(image.OriginalHeight), int(image.Depth) in FLOAT_DEPTHS)


def render_range(comp: Composition) -> FrameRange:
    """Return the render range of the composition."""
    attrs = comp.GetAttrs()
    return FrameRange(range(int(attrs["COMPN_RenderStart"]), int(attrs["COMPN_RenderEnd"]) + 1))


def valid_range(comp: Composition, tool: Operator) -> FrameRange:
    """Return the frames at which a tool has a picture, within the global range of the composition.

    Raises:
        InputError: there are no such frames.
    """
    attrs, own = comp.GetAttrs(), tool.GetAttrs()
    first = max(_limit(own, "TOOLNT_Region_Start", -_UNLIMITED), int(attrs["COMPN_GlobalStart"]))
    last = min(_limit(own, "TOOLNT_Region_End", _UNLIMITED), int(attrs["COMPN_GlobalEnd"]))
    if last < first:
        raise InputError(f"{tool.Name} has no frames within the composition; check its range in the keyframe view")
    return FrameRange(range(first, last + 1))


def _limit(attrs: dict[str, object], name: str, default: int) -> int:
    """Return one end of a tool's region, which Fusion gives as a table of one value."""
    table = attrs.get(name)
    values = list(table.values()) if isinstance(table, dict) else []
    return int(max(-_UNLIMITED, min(_UNLIMITED, values[0]))) if values else default


def new_tool(comp: Composition, kind: str, position: Optional[Tuple[float, float]] = None) -> Operator:
    """Add a tool to the composition.

    Args:
        comp: the composition.
        kind: the reg id of the tool.
        position: x and y in the flow; by default beside the active tool.

    Raises:
        InternalError: Fusion did not add it.
    """
    x, y = position or (_AUTOMATIC, _AUTOMATIC)
    tool = comp.AddTool(kind, x, y)
    if tool is None:
        raise InternalError(f"Fusion added no {kind}; check that no other script has locked the composition")
    return tool


def position_of(comp: Composition, tool: Operator) -> Optional[Tuple[float, float]]:
    """Return the x and y of a tool in the flow, or None if the composition has no flow on the screen."""
    frame = comp.CurrentFrame
    table = frame.FlowView.GetPosTable(tool) if frame is not None else None
    if not table:
        return None
    x, y = (table[key] for key in sorted(table))
    return float(x), float(y)


def free_position(comp: Composition, neighbour: Operator) -> Optional[Tuple[float, float]]:
    """Return the nearest empty position to the right of a tool and below it, or None if no flow is on the screen."""
    start = position_of(comp, neighbour)
    if start is None:
        return None
    positions = (position_of(comp, tool) for tool in all_tools(comp))
    taken = [position for position in positions if position is not None]
    for distance in range(1, 1000):
        for down in range(distance + 1):
            x, y = start[0] + (distance - down) * _SPACING, start[1] + down * _SPACING
            if all(abs(x - u) >= _SPACING or abs(y - v) >= _SPACING for u, v in taken):
                return x, y
    return None
