"""The display of a node's jobs: the Read inside, the state knobs, status and report, the colour of the tile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, List, Tuple

import nuke

from host_plugins.control.state import TILE_COLOURS, JobState
from host_plugins.nuke.inputs import read_behind
from host_plugins.nuke.node import inside
from host_plugins.nuke.panel import FARM_JOB, STATE
from void_bridge.errors import InputError
from void_bridge.frames import FrameRange
from void_bridge.sequence import Sequence
from void_bridge.typed import from_plain, to_plain

Jobs = Dict[str, JobState]  # by view

# Knobs of the plate's Read that decide how files become pixels; they apply to the result's files as well.
_READ_KNOBS = ("raw", "colorspace", "premultiplied", "offset_negative_display_window", "edge_pixels", "noprefix")
_WORST_FIRST = ("failed", "lost", "cancelled", "sending", "queued", "running", "handed_over", "done", "none")


def jobs_of(node: nuke.Node) -> Jobs:
    """Return the jobs that a node stores, by view; none if its knob cannot be read."""
    text = str(node[STATE].value() or "")
    try:
        return {view: from_plain(JobState, each, error=InputError) for view, each in json.loads(text or "{}").items()}
    except (ValueError, AttributeError, InputError):
        return {}


def store_jobs(node: nuke.Node, jobs: Jobs) -> None:
    """Store the jobs in the node and show their states, without a step in the undo history."""
    before = _ready(jobs_of(node))
    nuke.Undo.disable()
    try:
        node[STATE].setValue(json.dumps({view: to_plain(state) for view, state in jobs.items()}))
        _show_states(node, jobs)
        if _ready(jobs) != before:
            node["void_bridge_ready"].fromScript(ready_curve(_ready(jobs)))
    finally:
        nuke.Undo.enable()


def set_result_read(node: nuke.Node, jobs: Jobs, in_plates_space: bool) -> None:
    """Point the Read inside at the jobs' frames, which need not exist yet.

    Args:
        node: the VOIDRemove node.
        jobs: its jobs, by view.
        in_plates_space: whether the frames are in the colour space of the plate's own files, instead of the script's
            working space.
    """
    read = inside(node, "result")
    frames = _frames(jobs)
    read["file"].setValue(_read_path(jobs))
    for name, value in (("first", frames.first), ("last", frames.last)):
        read[name].setValue(value)
        read[f"orig{name}"].setValue(value)
        node[f"void_bridge_{name}"].setValue(value)
    plate_input = node.input(0)
    source = read_behind(plate_input) if in_plates_space and plate_input is not None else None
    if source is None:
        read["raw"].setValue(True)
        return
    for name in _READ_KNOBS:
        if source.knob(name) and read.knob(name):
            read[name].setValue(source[name].value())


def reload_result(node: nuke.Node) -> None:
    """Make Nuke read the result's files again."""
    inside(node, "result")["reload"].execute()  # type: ignore[attr-defined]


def overall_state(jobs: Jobs) -> JobState:
    """Return the worst state of a node's jobs."""
    return min(jobs.values(), key=lambda state: _WORST_FIRST.index(state.phase), default=JobState())


def ready_curve(frames: FrameRange) -> str:
    """Return an animation that is 1 at these frames and 0 elsewhere, as a step curve in Nuke's format.

    >>> ready_curve(FrameRange([1001, 1002, 1005]))
    '{curve K x1000 0 K x1001 1 K x1003 0 K x1005 1 K x1006 0}'
    """
    if not frames:
        return "{0}"
    keys = [f"K x{frames.first - 1} 0"]
    for first, last in frames.runs():
        keys += [f"K x{first} 1", f"K x{last + 1} 0"]
    return "{curve " + " ".join(keys) + "}"


def folder_of(jobs: Jobs) -> Path:
    """Return the folder of a node's result; that of the version, where each view has a folder of its own."""
    view, state = next(iter(jobs.items()))
    folder = Path(Sequence.parse(state.output).folder)
    return folder.parent if folder.name == view else folder


def _frames(jobs: Jobs) -> FrameRange:
    return FrameRange.parse(next(iter(jobs.values())).frames)


def _read_path(jobs: Jobs) -> str:
    """Return one path for the frames of all views: each view's folder has its name, which `%V` stands for."""
    view, state = next(iter(jobs.items()))
    sequence = Sequence.parse(state.output)
    folder = Path(sequence.folder)
    if folder.name != view:
        return state.output
    return (folder.parent / "%V" / Path(sequence.pattern).name).as_posix()


def _show_states(node: nuke.Node, jobs: Jobs) -> None:
    state = overall_state(jobs)
    lines = [f"{view}: {each.line}" if len(jobs) > 1 else each.line for view, each in jobs.items() if each.line]
    node["status"].setValue("\n".join(lines) or "No job yet.")
    node["report"].setValue("\n".join(line for each in jobs.values() for line in each.report) or " ")
    if node.knob(FARM_JOB):  # nodes of earlier versions have none
        node[FARM_JOB].setValue(", ".join(dict.fromkeys(each.farm for each in jobs.values() if each.farm)))
    node["tile_color"].setValue(TILE_COLOURS[state.phase])
    node["label"].setValue(_label(node, jobs, state))


def _label(node: nuke.Node, jobs: Jobs, state: JobState) -> str:
    if state.phase == "none":
        return ""
    wanted, ready = len(_frames(jobs)), len(_ready(jobs))
    stale = "" if node["void_bridge_fresh"].value() else "\nstale: inputs or settings changed"
    count = f" {ready}/{wanted}" if state.phase not in ("sending", "done") else ""
    return f"{state.phase.replace('_', ' ')}{count}\n{folder_of(jobs).name}{stale}"


def _ready(jobs: Jobs) -> FrameRange:
    """Return the frames that every view has."""
    ready: List[Tuple[int, ...]] = [FrameRange.parse(s.ready).frames if s.ready else () for s in jobs.values()]
    return FrameRange(set(ready[0]).intersection(*ready[1:]) if ready else ())
