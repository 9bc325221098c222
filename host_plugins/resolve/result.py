"""The Loaders that show a job's frames and its paste matte, beside the plate tool.

The next result of the same plate goes into the same Loaders. Fusion resets a Loader's trim and other inputs when its
Clip changes; they are read before and set again afterwards.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Optional

from host_plugins.control.state import JobState
from host_plugins.resolve.comp_data import FIRST, JOB, KIND, SHOT, plate_of_shot, shot_token, text_data
from host_plugins.resolve.graph import all_tools, free_position, new_tool, undo_step
from void_bridge.frames import FrameRange
from void_bridge.sequence import Sequence

if TYPE_CHECKING:
    from fusionscript import Composition, Operator

RESULT, PASTE = "result", "paste"
# The inputs that a new Clip resets: github.com/ynput/ayon-fusion, load_sequence.py
_RANGE_INPUTS = ("GlobalIn", "GlobalOut", "ClipTimeStart", "ClipTimeEnd")
_OTHER_INPUTS = ("HoldFirstFrame", "HoldLastFrame", "Reverse", "Depth", "KeyCode", "TimeCodeOffset")

LoaderInputs = Dict[str, Any]


def paste_matte_pattern(state: JobState) -> str:
    """Return the pattern of a job's paste matte, in a folder below that of the frames."""
    output = Sequence.parse(state.output)
    return (Path(output.folder) / PASTE / f"{output.base.rstrip('._- ')}_{PASTE}.####.exr").as_posix()


def loader_of(comp: Composition, token: str, kind: str) -> Optional[Operator]:
    """Return the Loader of a shot, or None.

    Args:
        comp: the composition.
        token: the token of the shot.
        kind: RESULT or PASTE.
    """
    for tool in all_tools(comp, "Loader"):
        if shot_token(tool) == token and text_data(tool, KIND) == kind:
            return tool
    return None


def shows_job(comp: Composition, token: str, state: JobState) -> bool:
    """Return whether the result Loader of a shot already shows this job."""
    loader = loader_of(comp, token, RESULT)
    return loader is not None and text_data(loader, JOB) == state.id


def place_loader(comp: Composition, token: str, state: JobState, kind: str = RESULT) -> Operator:
    """Show the files of a finished job in the Loader of its shot, which is added if there is none.

    Args:
        comp: the composition.
        token: the token of the shot.
        state: the job.
        kind: RESULT for the frames or PASTE for the paste matte, whose files have to be on disk.
    """
    sequence = Sequence.parse(state.output if kind == RESULT else paste_matte_pattern(state))
    frames = FrameRange.parse(state.frames)
    with undo_step(comp, f"VOID Remove: {kind}"):
        loader = loader_of(comp, token, kind)
        if loader is None:
            loader = _new_loader(comp, token, kind)
            loader.SetInput("Clip", sequence.path(frames.first).as_posix())
            last = _length(loader, frames) - 1
            ends = {"GlobalIn": frames.first, "GlobalOut": frames.first + last}
            _set_inputs(
                loader, {**ends, "ClipTimeStart": 0, "ClipTimeEnd": last, "HoldFirstFrame": 0, "HoldLastFrame": 0}
            )
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
    """Load another version and keep the trim, the holds, the offset in time and the other inputs."""
    inputs = {name: loader.GetInput(name) for name in (*_RANGE_INPUTS, *_OTHER_INPUTS)}
    old_first, old_length = _first_frame(loader), _clip_length(loader)
    loader.SetInput("Clip", sequence.path(frames.first).as_posix())
    length = _length(loader, frames)
    if (old_first, old_length) != (frames.first, length):
        inputs = retimed(inputs, old_first, old_length, frames.first, length)
    _set_inputs(loader, inputs)


def retimed(inputs: LoaderInputs, old_first: int, old_length: int, first: int, length: int) -> LoaderInputs:
    """Return a Loader's inputs for a clip of another range, with the same trim, holds and offset in time.

    Args:
        inputs: the inputs that the Loader had with the old clip.
        old_first: the number of the first frame of the old clip.
        old_length: the number of frames of the old clip, gaps included.
        first: the number of the first frame of the new clip.
        length: the number of frames of the new clip, gaps included.

    >>> inputs = {"GlobalIn": 13, "GlobalOut": 17, "ClipTimeStart": 1, "ClipTimeEnd": 4, "HoldFirstFrame": 0,
    ...           "HoldLastFrame": 1}
    >>> retimed(inputs, 10, 6, 20, 3)
    {'GlobalIn': 23, 'GlobalOut': 24, 'ClipTimeStart': 1, 'ClipTimeEnd': 1, 'HoldFirstFrame': 0, 'HoldLastFrame': 1}
    """
    clip_first, hold_first, hold_last = (int(inputs[n]) for n in ("ClipTimeStart", "HoldFirstFrame", "HoldLastFrame"))
    offset = int(inputs["GlobalIn"]) + hold_first - old_first - clip_first
    trim_out = max(old_length - 1 - int(inputs["ClipTimeEnd"]), 0)
    clip_first = min(clip_first, length - 1)
    clip_last = max(length - 1 - trim_out, clip_first)
    start = first + offset + clip_first - hold_first
    ends = {"GlobalIn": start, "GlobalOut": start + hold_first + clip_last - clip_first + hold_last}
    return {**inputs, **ends, "ClipTimeStart": clip_first, "ClipTimeEnd": clip_last}


def _set_inputs(loader: Operator, inputs: LoaderInputs) -> None:
    """Set the inputs of a Loader in an order in which none undoes another.

    GlobalIn cannot pass GlobalOut, and moving either changes trim and holds, which are therefore set afterwards.
    """
    ends = ("GlobalIn", "GlobalOut") if inputs["GlobalIn"] < loader.GetInput("GlobalIn") else ("GlobalOut", "GlobalIn")
    for name in (*ends, *(name for name in inputs if name not in ends)):
        loader.SetInput(name, inputs[name])


def _first_frame(loader: Operator) -> int:
    """Return the number of the first frame of a Loader's clip."""
    value = loader.GetData(FIRST)
    return int(value) if isinstance(value, (int, float)) else int(loader.GetInput("GlobalIn"))


def _length(loader: Operator, frames: FrameRange) -> int:
    """Return the length of a Loader's clip, or that of the frames where Fusion does not tell it."""
    return _clip_length(loader) or frames.last - frames.first + 1


def _clip_length(loader: Operator) -> int:
    """Return the length of a Loader's clip, gaps included, or 0 if Fusion does not tell it."""
    table = loader.GetAttrs().get("TOOLIT_Clip_Length") or {}
    return int(next(iter(table.values()), 0))
