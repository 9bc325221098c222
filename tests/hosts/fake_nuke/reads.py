"""What the interface does to a Read beside computing it: look at the files that are there, and the Reload button."""

from __future__ import annotations

import re
from pathlib import Path
from typing import List, Sequence

from tests.hosts.fake_nuke.api import current
from tests.hosts.fake_nuke.graph.evaluate import Evaluator
from tests.hosts.fake_nuke.knobs import Knob
from tests.hosts.fake_nuke.nodes import Node

_FRAME_TOKEN = re.compile(r"%0?\d*d")


def frames_on_disk(read: Node) -> List[int]:
    """The frames of a Read's sequence that are there."""
    path = Path(str(read["file"].getValue()))
    marker = _FRAME_TOKEN.search(path.name)
    if not marker or not path.parent.is_dir():
        return []
    name = re.compile(re.escape(path.name[: marker.start()]) + r"(-?\d+)" + re.escape(path.name[marker.end() :]))
    return sorted(int(found[1]) for found in (name.fullmatch(each.name) for each in path.parent.iterdir()) if found)


def look_at_file(read: Node, frames: Sequence[int]) -> None:
    """Set a Read's range, to `frames` or to what is there, and its format, as opening a file in the interface does."""
    if read._spec.name != "Read":
        return
    found = list(frames) or frames_on_disk(read)
    if found:
        for name in ("first", "origfirst"):
            read[name].setValue(min(found))
        for name in ("last", "origlast"):
            read[name].setValue(max(found))
        read["origset"].setValue(True)
    session = current()
    try:
        image = Evaluator().image(read, min(found, default=session.frame), session.view)
    except RuntimeError:
        return
    read["format"].setValue(image.format)


def press(knob: Knob) -> None:
    """Reload and Rescan of a Read. Raises AssertionError: another button, which the fake does not know."""
    read = knob._owner
    if read is None or read._spec.name != "Read" or knob._name not in ("reload", "rescan_range"):
        raise AssertionError(f"the fake does not know what the button {knob.fullyQualifiedName()} does")
    if knob._name == "reload":
        read["version"].setValue(int(read["version"].value()) + 1)
    else:
        look_at_file(read, [])
