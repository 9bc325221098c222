"""The Read node: the file of a frame, and the behaviour if it does not exist."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, List, Optional

import numpy as np

from tests.hosts.fake_nuke import exr_files
from tests.hosts.fake_nuke.api import current
from tests.hosts.fake_nuke.expressions import evaluate
from tests.hosts.fake_nuke.graph.evaluate import Work, operation
from tests.hosts.fake_nuke.image import ALPHA, Image, black
from tests.hosts.fake_nuke.scope import NodeScope


@operation("Read")
def read(work: Work) -> Image:
    """Read the file's colours: `colorspace` and `premultiplied` are stored and not applied."""
    if not work.knob("file")._state:
        raise work.error("no file name")
    frame = file_frame(work)
    if frame is None:
        return black(work.knob("format")._format())
    image = _at(work, frame)
    if work.flag("auto_alpha") and ALPHA not in image.channels:
        image = image.with_channels({ALPHA: np.ones(image.box.shape, np.float32)})
    metadata = {**image.metadata, "input/frame": frame}
    return replace(image, metadata=metadata)


def file_frame(work: Work) -> Optional[int]:
    """Return the number of the file for this frame; None where `before` or `after` say black."""
    first, last = int(work.number("first")), int(work.number("last"))
    frame = _asked_frame(work, first)
    if first <= frame <= last:
        return frame
    policy = work.text("before" if frame < first else "after")
    if policy == "black":
        return None
    work.require("before" if frame < first else "after", "hold")
    return min(max(frame, first), last)


def _asked_frame(work: Work, first: int) -> int:
    mode, text = work.text("frame_mode"), str(work.knob("frame")._state or "").strip()
    if not text:
        return int(work.frame)
    if mode == "expression":
        return int(evaluate(text, NodeScope(work.node, work.frame, work.view)))
    number = int(float(text))
    return int(work.frame) + number if mode == "offset" else int(work.frame) - number + first


def _at(work: Work, frame: int) -> Image:
    try:
        return _file(work, frame)
    except FileNotFoundError as exc:
        path = str(exc)
    if work.text("on_error") == "black":
        return black(work.knob("format")._format())
    work.require("on_error", "error")
    raise work.error(f"{path}: No such file or directory")


def _file(work: Work, frame: int) -> Image:
    """Decode a file once for each `version` of the Read, which its Reload button increments.

    Like Nuke's cache, this one does not see that a file has changed or appeared.
    """
    path = work.knob("file")._path(frame, work.view)
    key = (path, work.view, int(work.number("version")), *_reader_settings(work))
    cache = current().read_cache
    if key not in cache or not current().caches:
        cache[key] = _decoded(work, path)
    if cache[key] is None:
        raise FileNotFoundError(path)
    image: Image = cache[key]
    return image


def _reader_settings(work: Work) -> List[Any]:
    exr = work.node._find("edge_pixels") is not None
    return [work.text("edge_pixels"), work.flag("offset_negative_display_window")] if exr else []


def _decoded(work: Work, path: str) -> Optional[Image]:
    if not Path(path).is_file():
        return None
    settings = _reader_settings(work)
    if not settings:
        raise work.error(f"the fake reads EXR only, got {path}")
    work.require("noprefix", "false")
    try:
        return exr_files.read(path, work.view, *settings)
    except RuntimeError as exc:
        raise work.error(str(exc)) from exc
