"""Digests of everything upstream that can change a pixel.

Nuke's own node hashes are valid for one frame and one session; these are valid for all frames and across sessions.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Iterator, List

import nuke

from host_plugins.nuke.inputs import upstream
from void_bridge.sequence import Sequence

# Knobs that decide how a node is displayed; none of them changes a pixel.
_DISPLAY_KNOBS = {
    "name",
    "xpos",
    "ypos",
    "selected",
    "label",
    "autolabel",
    "tile_color",
    "gl_color",
    "note_font",
    "note_font_size",
    "note_font_color",
    "icon",
    "help",
    "hide_input",
    "bookmark",
    "dope_sheet",
    "postage_stamp",
    "postage_stamp_frame",
    "indicators",
    "cached",
    "panel",
    "window",
    "updateUI",
    "onCreate",
    "onDestroy",
    "knobChanged",
    "rootNodeUpdated",
    "lock_connections",
    "mapsize",
    "toolbox",
    "shownmetadata",
}
_OWN_STATE = "void_bridge_"
_ROOT_KNOBS = ("colorManagement", "OCIO_config", "OCIOConfig", "workingSpaceLUT", "customOCIOConfigPath")
_DIGITS = 12


def digest_of(nodes: List[nuke.Node], *more: str) -> str:
    """Return a digest of nodes and everything upstream of them.

    Args:
        nodes: the nodes.
        more: further texts that decide about the pixels.
    """
    digest = hashlib.blake2b(digest_size=_DIGITS // 2)
    for text in (*_texts(nodes), *more):
        digest.update(text.encode("utf-8", "replace") + b"\0")
    return digest.hexdigest()


def files_of(nodes: List[nuke.Node]) -> str:
    """Return the sizes and times of the files of all Reads upstream, as one text."""
    facts = []
    for read in (node for node in upstream(nodes) if node.Class() == "Read"):
        sequence = Sequence.parse(nuke.filename(read) or "none")
        facts += [f"{frame}:{_stat(sequence.path(frame))}" for frame in sequence.frames_on_disk()]
    return " ".join(facts)


def _texts(nodes: List[nuke.Node]) -> Iterator[str]:
    root = nuke.root()
    yield from (root[name].toScript() for name in _ROOT_KNOBS if root.knob(name))
    found = upstream(nodes)
    names = {node.fullName(): str(index) for index, node in enumerate(found)}
    for node in found:
        inputs = [node.input(index) for index in range(node.inputs())]
        yield f"{node.Class()} {[names.get(other.fullName(), '') if other else '' for other in inputs]}"
        if node.Class() == "Read":
            yield nuke.filename(node) or ""
        for name, knob in sorted(node.knobs().items()):
            if name not in _DISPLAY_KNOBS and not name.startswith(_OWN_STATE):
                yield f"{name} {knob.toScript()}"


def _stat(path: Path) -> str:
    try:
        facts = path.stat()
    except OSError:
        return "-"
    return f"{facts.st_size}/{facts.st_mtime_ns}"
