"""Making a job from a plate, mattes, frames, output and options: one way for the command line and for Python.

    make_job(read_plate("plate.####.exr"), {"remove": MatteSource("roto.####.exr", "A")}, config, output="clean/")

Without the [server] extra the names of files are checked alone; the server checks the rest.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Type, Union

from void_bridge.client.inputs import frames_read
from void_bridge.client.output import check_inputs_not_overwritten
from void_bridge.config import Config
from void_bridge.errors import MissingFrames, UsageError
from void_bridge.frames import FrameRange
from void_bridge.job import JOB_FILE_NAME, MATTE_OPTIONS, Colour, Job, JobFile, names_object
from void_bridge.sequence import Sequence, output_sequence


def make_job(
    plate: Union[Sequence, Job],
    values: Mapping[str, Any],
    config: Config,
    *,
    output: Optional[str] = None,
    frames: Optional[FrameRange] = None,
    colour: Union[str, Colour, None] = None,
    job: Type[Job] = Job,
) -> Job:
    """Return a job. Everything that can be checked without a server has been checked: see `checked_job`.

    Args:
        plate: the plate, or a job whose values stand where nothing else is given.
        values: the given options of the job by name, mattes among them, in the types of the job's fields.
        config: the configuration, which may name an OCIO config and a site's hook for outputs.
        output: a pattern or a folder.
        frames: the frames to deliver; default: those of the job, else those on disk.
        colour: the plate's colour, or its colour space by name; default: see `plate_colour`.
        job: the class of the job.

    Raises:
        UsageError: an option that makes no sense.
        InputError: a file that cannot be read.
        OutputError: the plate would be overwritten.
    """
    base = plate if isinstance(plate, Job) else None
    sequence = (Sequence.parse(plate.plate) if isinstance(plate, Job) else plate).absolute()
    frames = frames or _frames(base, sequence)
    changes = {**values, **_mattes(values), "plate": sequence.pattern, "frames": frames}
    changes["output"] = _output(output, base, sequence, config)
    found = plate_colour(colour, base, sequence.path(frames.first), config)
    changes["colour"] = dataclasses.replace(found, exposure=changes.pop("exposure", found.exposure))
    return checked_job(base.replace(**changes) if base else job(**changes))


def read_plate(text: str) -> Union[Sequence, Job]:
    """Return the sequence of a pattern, or the job of a job.json with its paths as seen from here.

    Raises:
        UsageError: the text is no pattern.
        InputError: the job.json cannot be read.
    """
    if not text.lower().endswith(".json"):
        return Sequence.parse(text)
    path = Path(text)
    return job_seen_from(path.parent, JobFile.read(path).job)


def job_seen_from(folder: Path, job: Job) -> Job:
    """Return a job whose relative paths start at a folder."""
    mattes = {
        role: dataclasses.replace(matte, sequence=_from(folder, matte.sequence)) for role, matte in job.mattes.items()
    }
    output = _from(folder, job.output) if job.output else ""
    return job.replace(plate=_from(folder, job.plate), output=output, **mattes)


def find_job_file(text: str) -> Optional[Path]:
    """Return the path of the job.json that the argument JOB or its folder names, or None for an id."""
    path = os.path.join(text, JOB_FILE_NAME) if os.path.isdir(text) else text  # noqa: PTH112, PTH118  any text
    return Path(path) if os.path.isfile(path) or path.lower().endswith(".json") else None  # noqa: PTH113


def parse_job_id(text: str) -> str:
    """Return the id of a job from the id itself, a job.json or its folder.

    Raises:
        UsageError: the job.json holds no id.
        InputError: it cannot be read.
    """
    path = find_job_file(text)
    if not path:
        return text
    found = JobFile.read(path).id
    if not found:
        raise UsageError(f"{path} has not been submitted; use void-bridge remove {path}")
    return found


def plate_colour(space: Union[str, Colour, None], base: Optional[Job], first_frame: Path, config: Config) -> Colour:
    """Return the plate's colour: the given one, else that of the base job, of the plate's header, or of the config.

    Args:
        space: the colour or the name of a colour space that was given, if any.
        base: the job that the new one is based on, if any.
        first_frame: the plate's first file.
        config: the configuration, which may name an OCIO config.

    Raises:
        ColourError: the space or the config is unknown.
        UnreadableFile: the plate's first frame cannot be read.
        UsageError: OpenColorIO is not installed.
    """
    if isinstance(space, Colour):
        return space
    if base and not space:
        return base.colour
    try:
        from void_bridge.pixels.colour import resolve_colour
        from void_bridge.pixels.exr_header import read_info
    except ImportError as exc:
        raise UsageError(
            f"cannot read the plate's colour space without {exc.name}; install void-bridge[server], or give a job.json"
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
    try:
        import void_bridge.pixels.exr  # noqa: F401
    except ImportError:
        return job
    _check_headers(job)
    if job.colour.exposure is not None:
        return job
    return job.replace(colour=dataclasses.replace(job.colour, exposure=_measured_exposure(job.plate, frames.frames)))


def _from(folder: Path, pattern: str) -> str:
    """Return a pattern of a job.json as seen from here; a path from the root of any platform stays as it is."""
    if Path(pattern).is_absolute() or pattern[1:2] == ":" or pattern.startswith("\\\\"):
        return pattern
    return os.path.normpath(os.path.join(folder.absolute(), pattern))  # noqa: PTH118  a pattern is no path


def _mattes(values: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the given mattes from the root; a quadmask takes the place of a base job's mattes, and vice versa."""
    given: Dict[str, Any] = {role: values[role] for role in MATTE_OPTIONS if values.get(role)}
    for role, matte in given.items():
        given[role] = dataclasses.replace(matte, sequence=Sequence.parse(matte.sequence).absolute().pattern)
    if names_object(given):
        return {"quadmask": None, **given}
    return {"remove": None, "affected": None, **given} if "quadmask" in given else given


def _frames(base: Optional[Job], plate: Sequence) -> FrameRange:
    """Return the frames of the base job, else those of the plate. Raises MissingFrames."""
    found = base.frames if base else plate.frames_in_name or plate.frames_on_disk()
    if not found:
        raise MissingFrames(f"found no frames of {plate}; expected files such as {plate.path(1001).name} there")
    return found


def _output(given: Optional[str], base: Optional[Job], plate: Sequence, config: Config) -> str:
    """Return the pattern to write to; empty if the site's hook chooses it. Raises UsageError."""
    if given:
        return output_sequence(given, plate).absolute().pattern
    if base and base.output:
        return base.output
    if config.resolve_output:
        return ""
    raise UsageError("got no output; give -o name.####.exr or -o FOLDER")


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
