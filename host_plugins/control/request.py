"""From settings and what a host found at its inputs to a job."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Optional

from host_plugins.control.settings import Settings
from void_bridge.errors import ColourError, MissingFrames, UsageError
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource, new_job_id

_COMMANDS = re.compile(r"\b(remov\w*|delet\w*|eras\w*|without|get rid of|take out|no more)\b", re.IGNORECASE)


@dataclass(frozen=True)
class ShotRequest:
    """What a host hands over: sequences on disk, the frames to deliver, the plate's colour.

    plate: pattern from the root. mattes: role (remove, affected, keep) -> channel of a sequence.
    space: of the plate's pixels, a name or role of `config`, which is `ocio://` or a file as the server sees it.
    """

    plate: str
    frames: FrameRange
    space: str
    config: str
    mattes: Dict[str, MatteSource] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """A job to be done, and where. id: its number, known before any server has heard of it."""

    job: Job
    settings: Settings
    id: str = field(default_factory=new_job_id)


def make_job(settings: Settings, shot: ShotRequest, output: str) -> Job:
    """The job that a node asks for. Reads no file but the OCIO config, whose hash the job carries.

    Raises:
        UsageError: no matte, an exposure or canvas that cannot be read. ColourError: a config file that is not there.
    """
    if not (shot.mattes.get("remove") or shot.mattes.get("affected")):
        raise UsageError("nothing to remove: connect roto to the input 'remove' (or 'affected')")
    config = settings.ocio_config or shot.config
    space = settings.colorspace or shot.space
    if not space:
        raise ColourError("the plate's colour space is not known; write its name into 'colour space'")
    return Job(
        plate=shot.plate,
        frames=shot.frames,
        output=output,
        colour=Colour(space, config, _hash(config), exposure=_stops(settings.exposure)),
        remove=shot.mattes.get("remove"),
        affected=shot.mattes.get("affected"),
        keep=shot.mattes.get("keep"),
        handles=settings.handles,
        engine=settings.engine,
        prompt=" ".join(settings.prompt.split()),
        passes=settings.passes,  # type: ignore[arg-type]
        fill=settings.fill,  # type: ignore[arg-type]
        seed=settings.seed,
        dilate=settings.dilate,
        feather=settings.feather,
        grain=settings.grain,
        canvas=settings.canvas,
        framing=settings.framing,  # type: ignore[arg-type]
        steps=settings.steps,
        precision=settings.precision,  # type: ignore[arg-type]
        model_fps=settings.model_fps,  # type: ignore[arg-type]
        confidence=settings.confidence,
        full_fill=settings.full_fill,
    )


def frames_to_read(frames: FrameRange, handles: int, plate: str, held: FrameRange) -> FrameRange:
    """The frames to deliver with the handles that the plate has.

    Args:
        plate: what it is called in a message. held: the frames that it has.

    Raises:
        MissingFrames: frames to deliver lie outside it.
    """
    has = set(held)
    outside = FrameRange(frame for frame in frames if frame not in has)
    if outside:
        raise MissingFrames(f"{outside} of {frames} lie outside {plate}, which has {held}; change the range")
    return frames.with_handles(handles, has)


def prompt_hint(prompt: str) -> str:
    """What to tell an artist whose prompt commands instead of describing; empty when it is fine.

    >>> prompt_hint("remove the man from the sofa")
    "'remove' commands; describe what is there afterwards, such as 'an empty sofa'"
    """
    found = _COMMANDS.search(prompt)
    return f"'{found[0]}' commands; describe what is there afterwards, such as 'an empty sofa'" if found else ""


def _stops(text: str) -> Optional[float]:
    if text in ("", "auto"):
        return None
    try:
        stops = float(text)
    except ValueError:
        raise UsageError(f"exposure: got {text!r}, expected auto or stops such as 1.5") from None
    if not -20 <= stops <= 20:
        raise UsageError(f"exposure: got {text}, expected -20 to 20 stops")
    return stops


def _hash(config: str) -> str:
    """Of the file's contents, as the server checks it; empty for built-in configs and for files that only it sees."""
    if config.startswith("ocio://"):
        return ""
    try:
        return hashlib.sha256(Path(config).read_bytes()).hexdigest()
    except OSError:
        return ""
