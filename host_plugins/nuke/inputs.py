"""The inputs of a node: plate and roto, their frames, and whether the plate's own files can be sent."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional, Tuple

import nuke

from host_plugins.control.settings import Settings, matte_specs
from host_plugins.nuke.colour import space_of_read
from void_bridge.errors import NoSuchChannel, SizeMismatch, UsageError
from void_bridge.frames import FrameRange
from void_bridge.job import names_object
from void_bridge.sequence import Sequence

ROLES = tuple(spec.name for spec in matte_specs())
INPUTS = ("plate", *ROLES)

# The values of a Read's knobs with which the comp sees its files as they are.
_NEUTRAL = {"frame_mode": "expression", "frame": "", "premultiplied": False, "auto_alpha": False, "on_error": "error"}


def plate_of(group: nuke.Node) -> nuke.Node:
    """Return the node at the input `plate`.

    Raises:
        UsageError: nothing is connected.
    """
    plate = group.input(0)
    if plate is None:
        raise UsageError("no plate: connect the plate to the input 'plate'")
    return plate


def roto_of(group: nuke.Node) -> Dict[str, nuke.Node]:
    """Return the node of every connected matte by its role, checked against the plate.

    Raises:
        UsageError: neither `remove` nor `affected` is connected.
        NoSuchChannel: a node does not have the chosen channel.
        SizeMismatch: a node has another format than the plate.
    """
    nodes = {role: group.input(index) for index, role in enumerate(INPUTS) if index}
    found = {role: node for role, node in nodes.items() if node is not None}
    if not names_object(found):
        raise UsageError("nothing to remove: connect roto to the input 'remove' (or 'affected')")
    for role, node in found.items():
        _check_channel(node, role, str(group[f"{role}_channel"].value()))
        _check_format(plate_of(group), node, role)
    return found


def _check_channel(node: nuke.Node, role: str, channel: str) -> None:
    full_name = channel if "." in channel else f"rgba.{channel}"
    if full_name not in node.channels():
        existing = ", ".join(sorted(node.channels())) or "none"
        raise NoSuchChannel(f"{node.name()} at the input '{role}' has no channel {channel}; it has {existing}")


def _check_format(plate: nuke.Node, node: nuke.Node, role: str) -> None:
    wanted, found = (_size(each) for each in (plate, node))
    if wanted != found:
        raise SizeMismatch(
            f"'{role}' is {found[0]}x{found[1]}, the plate {wanted[0]}x{wanted[1]}; put a Reformat before it"
        )


def _size(node: nuke.Node) -> Tuple[int, int, float]:
    """Return width, height and pixel aspect of the full-size format, in proxy mode too."""
    chosen = node.format()
    return chosen.width(), chosen.height(), round(chosen.pixelAspect(), 4)


def frames_of(group: nuke.Node, settings: Settings) -> FrameRange:
    """Return the frames to deliver.

    Raises:
        FrameRangeError: a custom range cannot be read.
    """
    if settings.frames_from == "custom":
        return FrameRange.parse(settings.frames)
    if settings.frames_from == "global":
        root = nuke.root()
        return FrameRange(range(int(root["first_frame"].value()), int(root["last_frame"].value()) + 1))
    return plate_frames(group)


def plate_frames(group: nuke.Node) -> FrameRange:
    """Return the frames that the plate has."""
    plate = plate_of(group)
    return FrameRange(range(plate.firstFrame(), plate.lastFrame() + 1))


def read_behind(node: nuke.Node) -> Optional[nuke.Node]:
    """Return the Read at an input, found through Dots, or None."""
    found: Optional[nuke.Node] = node
    while found is not None and found.Class() == "Dot":
        found = found.input(0)
    return found if found is not None and found.Class() == "Read" else None


def own_files(plate: nuke.Node, frames: FrameRange, view: str) -> Tuple[str, str]:
    """Return pattern and colour space of a plate's own files, or two empty texts if the comp sees other pixels.

    Args:
        plate: the node at the input `plate`.
        frames: all frames that a job would read, handles included.
        view: the view.
    """
    read = read_behind(plate)
    space = space_of_read(read) if read is not None else None
    if read is None or not space or not _is_neutral(read, frames):
        return "", ""
    pattern = (nuke.filename(read) or "").replace("%V", view).replace("%v", view[:1])
    if not pattern.lower().endswith(".exr") or not Path(pattern).is_absolute():
        return "", ""
    sequence = Sequence.parse(pattern)
    return ("", "") if sequence.is_still else (sequence.pattern, space)


def _is_neutral(read: nuke.Node, frames: FrameRange) -> bool:
    if any(read[name].value() != value for name, value in _NEUTRAL.items()):
        return False
    if read["disable"].value() or read["proxy"].value() or any(read[n].isAnimated() for n in ("first", "last")):
        return False
    inside = int(read["first"].value()) <= frames.first and frames.last <= int(read["last"].value())
    return inside and _display_window_starts_at_zero(read)


def _display_window_starts_at_zero(read: nuke.Node) -> bool:
    """Return whether the files fit exported roto, which is written over the format; a format starts at zero."""
    window = read.metadata("exr/displayWindow")
    return window is None or list(window)[:2] == [0, 0]


def is_float(plate: nuke.Node) -> bool:
    """Return whether the plate comes from files with 32 bits a channel."""
    return str(plate.metadata("input/bitsperchannel") or "").startswith("32-bit float")


def upstream(nodes: List[nuke.Node]) -> List[nuke.Node]:
    """Return the given nodes and every node upstream by input or expression, in a fixed order."""
    seen: Dict[str, nuke.Node] = {}
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node.fullName() in seen or node.Class() == "Root":
            continue
        seen[node.fullName()] = node
        waiting += node.dependencies(nuke.INPUTS | nuke.HIDDEN_INPUTS | nuke.EXPRESSIONS)
        if isinstance(node, nuke.Group):
            waiting += node.nodes()
    return [seen[name] for name in sorted(seen)]
