"""The job that a host asks for, from the settings of its panel and the shot at its inputs."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Tuple, Type

from host_plugins.control.settings import Settings
from void_bridge.errors import ColourError, MissingFrames, UsageError
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource, names_object, new_job_id
from void_bridge.options import TEXT_KINDS, options_of
from void_bridge.resolution import old_order_note

_COMMANDS = re.compile(r"\b(remov\w*|delet\w*|eras\w*|without|get rid of|take out|no more)\b", re.IGNORECASE)


@dataclass(frozen=True)
class ShotRequest:
    """Sequences on disk, the frames to deliver, and the plate's colour, as a host found them.

    Attributes:
        plate: the plate's pattern, from the root.
        frames: the frames to deliver.
        space: the colour space of the plate's pixels, a name or role of `config`.
        config: an `ocio://` name, or a file as the server sees it.
        mattes: the channel of a sequence for every role.
    """

    plate: str
    frames: FrameRange
    space: str
    config: str
    mattes: Dict[str, MatteSource] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """A job to be submitted, and the settings that say where.

    Attributes:
        job: the job.
        settings: the settings of the panel.
        id: the job's number, known before any server has heard of it.
    """

    job: Job
    settings: Settings
    id: str = field(default_factory=new_job_id)


def make_job(settings: Settings, shot: ShotRequest, output: str, job: Type[Job] = Job) -> Job:
    """Return the job that a node asks for.

    No file is read but the OCIO config, whose hash the job carries.

    Args:
        settings: the settings of the panel.
        shot: the shot at the node's inputs.
        output: the pattern of the frames to write.
        job: the class of the job.

    Raises:
        UsageError: no matte, or an exposure or canvas that cannot be read.
        ColourError: the plate's colour space is unknown.
    """
    if not names_object(shot.mattes):
        raise UsageError("nothing to remove: connect roto to the input 'remove' (or 'affected')")
    config = settings.ocio_config or shot.config
    space = settings.colorspace or shot.space
    if not space:
        raise ColourError("the plate's colour space is unknown; set 'colour space'")
    values: Dict[str, Any] = {
        each.name: each.parse(value, each.label) if each.kind in TEXT_KINDS else value
        for each in options_of(job)
        for value in (settings.job.get(each.name),)
        if value is not None
    }
    values["prompt"] = " ".join(values.get("prompt", "").split())
    colour = Colour(space, config, _hash(config), exposure=values.pop("exposure", None))
    return job(shot.plate, shot.frames, output, colour, **{**values, **shot.mattes})


def frames_to_read(frames: FrameRange, handles: int, plate: str, held: FrameRange) -> FrameRange:
    """Return the frames to deliver with the handles that the plate has.

    Args:
        frames: the frames to deliver.
        handles: the number of frames to add at both ends.
        plate: the plate's name, for the message.
        held: the frames that the plate has.

    Raises:
        MissingFrames: frames to deliver are outside the plate.
    """
    has = set(held)
    outside = FrameRange(frame for frame in frames if frame not in has)
    if outside:
        raise MissingFrames(f"{outside} of {frames} are outside {plate}, which has {held}; change the range")
    return frames.with_handles(handles, has)


def prompt_hint(prompt: str) -> str:
    """Return a hint for a prompt that commands instead of describing; empty for one that describes.

    >>> prompt_hint("remove the man from the sofa")
    "'remove' is a command; describe the scene after the removal, such as 'an empty sofa'"
    """
    found = _COMMANDS.search(prompt)
    return f"'{found[0]}' is a command; describe the scene after the removal, such as 'an empty sofa'" if found else ""


def settings_notes(settings: Settings) -> Tuple[str, ...]:
    """Return what an artist should know about settings that are accepted, a line each."""
    note = old_order_note(str(settings["canvas"]))
    return (note,) if note else ()


def _hash(config: str) -> str:
    """Return the hash of a config file as the server checks it, empty for built-in configs and unreadable files."""
    if config.startswith("ocio://"):
        return ""
    try:
        return hashlib.sha256(Path(config).read_bytes()).hexdigest()
    except OSError:
        return ""
