"""Checks of a job before a server gets it: files, formats, channels, colour, exposure.

Without the [server] extra the names of files are checked alone; the server checks the rest.
"""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
from pathlib import Path
from typing import Optional

from void_bridge.client.inputs import frames_read
from void_bridge.client.output import check_inputs_not_overwritten
from void_bridge.config import Config
from void_bridge.errors import UsageError
from void_bridge.job import Colour, Job
from void_bridge.sequence import Sequence


def plate_colour(space: Optional[str], base: Optional[Job], first_frame: Path, config: Config) -> Colour:
    """Return the plate's colour: the named space, else that of the job.json, of the plate's header, or of the config.

    Args:
        space: the name that was given, if any.
        base: the job of a job.json, if any.
        first_frame: the plate's first file.
        config: the configuration, which may name an OCIO config.

    Raises:
        ColourError: the space or the config is unknown.
        UnreadableFile: the plate's first frame cannot be read.
        UsageError: OpenColorIO is not installed.
    """
    if base and not space:
        return base.colour
    try:
        from void_bridge.pixels.colour import resolve_colour
        from void_bridge.pixels.exr_header import read_info
    except ImportError as exc:
        raise UsageError(
            f"cannot tell the plate's colour without {exc.name}; install void-bridge[server], or give a job.json"
        ) from exc
    ocio = config.ocio or (base.colour.config if base else None)
    colour = resolve_colour(space, ocio, header=read_info(first_frame).picture.attributes)
    return dataclasses.replace(colour, curve=base.colour.curve, exposure=base.colour.exposure) if base else colour


def checked_job(job: Job) -> Job:
    """Return the job after all checks, with its exposure measured if that was left open.

    Raises:
        MissingFrames: frames of the plate or of a matte are not on disk.
        UnreadableFile: the plate or a matte cannot be read.
        NoSuchChannel: a matte lacks its channel, or the plate red, green or blue.
        SizeMismatch: a matte has another format than the plate.
        OutputError: the plate would be overwritten.
    """
    if job.output:
        check_inputs_not_overwritten(job)
    frames = frames_read(job)
    if not (find_spec("numpy") and find_spec("OpenEXR")):
        return job
    _check_headers(job)
    if job.colour.exposure is not None:
        return job
    return job.replace(colour=dataclasses.replace(job.colour, exposure=_measured_exposure(job.plate, frames.frames)))


def _check_headers(job: Job) -> None:
    """Check the formats and channels of the first frame."""
    from void_bridge.pixels.exr_channels import find_in_frame, rgb_names
    from void_bridge.pixels.exr_header import read_info
    from void_bridge.pixels.mattes import check_same_format

    plate_file = Sequence.parse(job.plate).path(job.frames.first)
    plate = read_info(plate_file)
    rgb_names(plate, str(plate_file))
    for source in job.mattes.values():
        file = Sequence.parse(source.sequence).path(job.frames.first)
        matte = read_info(file)
        part, _ = find_in_frame(matte, source.channel, str(file))
        check_same_format(str(plate_file), plate.picture.display_window, str(file), matte.parts[part].display_window)


def _measured_exposure(plate: str, frames: tuple[int, ...]) -> float:
    """Return the exposure of a plate in stops, from frames at equal distances."""
    import numpy as np

    from void_bridge.pixels.arrays import spread_indices
    from void_bridge.pixels.exposure import EXPOSURE_SAMPLES, measure_exposure
    from void_bridge.pixels.exr import read_frame
    from void_bridge.pixels.exr_channels import rgb_names

    sequence = Sequence.parse(plate)
    sampled = spread_indices(len(frames), EXPOSURE_SAMPLES)

    def linear_rgb(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        frame = read_frame(path)
        channels = frame.picture.channels
        return np.stack([channels[name].astype(np.float32) for name in rgb_names(frame, str(path))], axis=-1)

    return measure_exposure(linear_rgb(sequence.path(frames[int(index)])) for index in sampled)
