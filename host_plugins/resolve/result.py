"""The result in the composition: a Loader with the frames, and one with the paste matte, beside the plate tool.

The next result of the same plate goes into the same Loaders. A new Clip makes Fusion forget the trim and more, which is
noted before and set again afterwards.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Optional

from host_plugins.control.state import JobState
from host_plugins.resolve.graph import all_tools, changes, free_place, new_tool
from host_plugins.resolve.memory import FIRST, JOB, KIND, SHOT, owner_of, shot_of, text_of
from void_bridge.frames import FrameRange
from void_bridge.sequence import Sequence

if TYPE_CHECKING:
    from fusionscript import Composition, Operator

RESULT, PASTE = "result", "paste"
# What a new Clip resets, besides the ranges. github.com/ynput/ayon-fusion, load_sequence.py
_FORGOTTEN = ("HoldFirstFrame", "HoldLastFrame", "Reverse", "Depth", "KeyCode", "TimeCodeOffset")


def paste_pattern(state: JobState) -> str:
    """Where the paste matte of a job goes: a folder of its own below that of the frames."""
    output = Sequence.parse(state.output)
    return (Path(output.folder) / PASTE / f"{output.base.rstrip('._- ')}_{PASTE}.####.exr").as_posix()


def loader_of(comp: Composition, token: str, kind: str) -> Optional[Operator]:
    """The Loader that shows a shot's result or paste matte."""
    for tool in all_tools(comp, "Loader"):
        if shot_of(tool) == token and text_of(tool, KIND) == kind:
            return tool
    return None


def is_placed(comp: Composition, token: str, state: JobState, kind: str = RESULT) -> bool:
    """Whether the Loader shows this job already."""
    loader = loader_of(comp, token, kind)
    return loader is not None and text_of(loader, JOB) == state.id


def place(comp: Composition, token: str, state: JobState, kind: str = RESULT) -> Operator:
    """Show a finished job. kind: its frames, or its paste matte, which have to be on disk."""
    sequence = Sequence.parse(state.output if kind == RESULT else paste_pattern(state))
    frames = FrameRange.parse(state.frames)
    with changes(comp, f"VOID Remove: {kind}"):
        loader = loader_of(comp, token, kind)
        if loader is None:
            loader = _new_loader(comp, token, kind)
            loader.SetInput("Clip", sequence.path(frames.first).as_posix())
            _set_range(loader, frames.first, 0, _length(loader, frames))
        else:
            _change_clip(loader, sequence, frames)
        loader.SetData(JOB, state.id)
        loader.SetData(FIRST, frames.first)
    return loader


def _new_loader(comp: Composition, token: str, kind: str) -> Operator:
    plate = owner_of(comp, token)
    loader = new_tool(comp, "Loader", free_place(comp, plate) if plate is not None else None)
    name = "VOID" if plate is None else f"VOID_{plate.Name}"
    loader.SetAttrs({"TOOLB_NameSet": True, "TOOLS_Name": name if kind == RESULT else f"{name}_{kind}"})
    loader.SetData(SHOT, token)
    loader.SetData(KIND, kind)
    return loader


def _change_clip(loader: Operator, sequence: Sequence, frames: FrameRange) -> None:
    """Another version in a Loader, with its trim at both ends, its slip in time and its settings as they were."""
    kept: Dict[str, Any] = {name: loader.GetInput(name) for name in _FORGOTTEN}
    trim_in = int(loader.GetInput("ClipTimeStart"))
    trim_out = _clip_length(loader) - 1 - int(loader.GetInput("ClipTimeEnd"))
    slip = int(loader.GetInput("GlobalIn")) - _first(loader) - trim_in
    loader.SetInput("Clip", sequence.path(frames.first).as_posix())
    last = _length(loader, frames) - 1
    trim_in = min(trim_in, last)
    trim_out = min(max(trim_out, 0), last - trim_in)
    _set_range(loader, frames.first + slip + trim_in, trim_in, last + 1 - trim_out)
    for name, value in kept.items():
        loader.SetInput(name, value)


def _set_range(loader: Operator, first: int, clip_first: int, clip_end: int) -> None:
    """Show the clip's frames [clip_first, clip_end) from `first` on.

    GlobalIn cannot pass GlobalOut, and moving either changes the trim, which is set last for that reason.
    """
    last = first + clip_end - clip_first - 1
    ends = (("GlobalIn", first), ("GlobalOut", last))
    for name, value in ends if first < float(loader.GetInput("GlobalIn")) else reversed(ends):
        loader.SetInput(name, value)
    loader.SetInput("ClipTimeStart", clip_first)
    loader.SetInput("ClipTimeEnd", clip_end - 1)
    loader.SetInput("HoldFirstFrame", 0)
    loader.SetInput("HoldLastFrame", 0)


def _first(loader: Operator) -> int:
    value = loader.GetData(FIRST)
    return int(value) if isinstance(value, (int, float)) else int(loader.GetInput("GlobalIn"))


def _length(loader: Operator, frames: FrameRange) -> int:
    """Of the clip: from the first number found to the last, gaps counted."""
    return _clip_length(loader) or frames.last - frames.first + 1


def _clip_length(loader: Operator) -> int:
    table = loader.GetAttrs().get("TOOLIT_Clip_Length") or {}
    return int(next(iter(table.values()), 0))
