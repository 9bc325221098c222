"""The result in the composition: a Loader with the frames, and one with the paste matte, beside the plate tool.

The next result of the same plate goes into the same Loaders. A new Clip makes Fusion forget the trim and more, which is
noted before and set again afterwards.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Optional

from host_plugins.control.state import JobState
from host_plugins.resolve.comp_data import FIRST, JOB, KIND, SHOT, plate_of_shot, shot_token, text_data
from host_plugins.resolve.graph import all_tools, changes, free_position, new_tool
from void_bridge.frames import FrameRange
from void_bridge.sequence import Sequence

if TYPE_CHECKING:
    from fusionscript import Composition, Operator

RESULT, PASTE = "result", "paste"
# What a new Clip resets. github.com/ynput/ayon-fusion, load_sequence.py
_RANGE = ("GlobalIn", "GlobalOut", "ClipTimeStart", "ClipTimeEnd")
_FORGOTTEN = ("HoldFirstFrame", "HoldLastFrame", "Reverse", "Depth", "KeyCode", "TimeCodeOffset")

Values = Dict[str, Any]


def paste_matte_pattern(state: JobState) -> str:
    """Where the paste matte of a job goes: a folder of its own below that of the frames."""
    output = Sequence.parse(state.output)
    return (Path(output.folder) / PASTE / f"{output.base.rstrip('._- ')}_{PASTE}.####.exr").as_posix()


def loader_of(comp: Composition, token: str, kind: str) -> Optional[Operator]:
    """The Loader that shows a shot's result or paste matte."""
    for tool in all_tools(comp, "Loader"):
        if shot_token(tool) == token and text_data(tool, KIND) == kind:
            return tool
    return None


def shows_job(comp: Composition, token: str, state: JobState, kind: str = RESULT) -> bool:
    """Whether the Loader shows this job already."""
    loader = loader_of(comp, token, kind)
    return loader is not None and text_data(loader, JOB) == state.id


def place(comp: Composition, token: str, state: JobState, kind: str = RESULT) -> Operator:
    """Show a finished job. kind: its frames, or its paste matte, which have to be on disk."""
    sequence = Sequence.parse(state.output if kind == RESULT else paste_matte_pattern(state))
    frames = FrameRange.parse(state.frames)
    with changes(comp, f"VOID Remove: {kind}"):
        loader = loader_of(comp, token, kind)
        if loader is None:
            loader = _new_loader(comp, token, kind)
            loader.SetInput("Clip", sequence.path(frames.first).as_posix())
            last = _length(loader, frames) - 1
            ends = {"GlobalIn": frames.first, "GlobalOut": frames.first + last}
            _set(loader, {**ends, "ClipTimeStart": 0, "ClipTimeEnd": last, "HoldFirstFrame": 0, "HoldLastFrame": 0})
        else:
            _change_clip(loader, sequence, frames)
        loader.SetData(JOB, state.id)
        loader.SetData(FIRST, frames.first)
    return loader


def _new_loader(comp: Composition, token: str, kind: str) -> Operator:
    plate = plate_of_shot(comp, token)
    loader = new_tool(comp, "Loader", free_position(comp, plate) if plate is not None else None)
    name = "VOID" if plate is None else f"VOID_{plate.Name}"
    loader.SetAttrs({"TOOLB_NameSet": True, "TOOLS_Name": name if kind == RESULT else f"{name}_{kind}"})
    loader.SetData(SHOT, token)
    loader.SetData(KIND, kind)
    return loader


def _change_clip(loader: Operator, sequence: Sequence, frames: FrameRange) -> None:
    """Another version in a Loader, with its trim at both ends, its slip in time and its settings as they were."""
    old, old_first, old_length = _values(loader), _first(loader), _clip_length(loader)
    loader.SetInput("Clip", sequence.path(frames.first).as_posix())
    length = _length(loader, frames)
    if (old_first, old_length) == (frames.first, length):
        _set(loader, old)
    else:
        _set(loader, moved(old, old_first, old_length, frames.first, length))


def moved(old: Values, old_first: int, old_length: int, first: int, length: int) -> Values:
    """What a Loader is set to for a clip of another range: as far trimmed, held and slipped as it was.

    >>> old = {"GlobalIn": 13, "GlobalOut": 17, "ClipTimeStart": 1, "ClipTimeEnd": 4, "HoldFirstFrame": 0,
    ...        "HoldLastFrame": 1}
    >>> moved(old, 10, 6, 20, 3)
    {'GlobalIn': 23, 'GlobalOut': 24, 'ClipTimeStart': 1, 'ClipTimeEnd': 1, 'HoldFirstFrame': 0, 'HoldLastFrame': 1}
    """
    clip_first, held_first, held_last = (int(old[n]) for n in ("ClipTimeStart", "HoldFirstFrame", "HoldLastFrame"))
    slip = int(old["GlobalIn"]) + held_first - old_first - clip_first
    trim_out = max(old_length - 1 - int(old["ClipTimeEnd"]), 0)
    clip_first = min(clip_first, length - 1)
    clip_last = max(length - 1 - trim_out, clip_first)
    start = first + slip + clip_first - held_first
    ends = {"GlobalIn": start, "GlobalOut": start + held_first + clip_last - clip_first + held_last}
    return {**old, **ends, "ClipTimeStart": clip_first, "ClipTimeEnd": clip_last}


def _values(loader: Operator) -> Values:
    return {name: loader.GetInput(name) for name in (*_RANGE, *_FORGOTTEN)}


def _set(loader: Operator, values: Values) -> None:
    """GlobalIn cannot pass GlobalOut, and moving either changes trim and holds, which are set last for that reason."""
    ends = _RANGE[:2] if values["GlobalIn"] < loader.GetInput("GlobalIn") else tuple(reversed(_RANGE[:2]))
    for name in (*ends, *(name for name in values if name not in ends)):
        loader.SetInput(name, values[name])


def _first(loader: Operator) -> int:
    value = loader.GetData(FIRST)
    return int(value) if isinstance(value, (int, float)) else int(loader.GetInput("GlobalIn"))


def _length(loader: Operator, frames: FrameRange) -> int:
    """Of the clip: from the first number found to the last, gaps counted."""
    return _clip_length(loader) or frames.last - frames.first + 1


def _clip_length(loader: Operator) -> int:
    table = loader.GetAttrs().get("TOOLIT_Clip_Length") or {}
    return int(next(iter(table.values()), 0))
