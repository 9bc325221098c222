"""The arguments of the Python API: text or types, converted to the types of a job; wrong ones are refused by name."""

from __future__ import annotations

import operator
import os
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Type, Union

from void_bridge.config import Config, convert_settings, load, setting_from_text
from void_bridge.errors import FrameRangeError, UsageError
from void_bridge.frames import MAX_FRAMES, FrameRange
from void_bridge.job import MATTE_OPTIONS, Colour, Job, MatteSource
from void_bridge.job_request import job_seen_from, make_job, parse_job_id, read_plate
from void_bridge.options import Option, options_of
from void_bridge.protocol.messages import JobStatus
from void_bridge.resolution import Resolution
from void_bridge.sequence import Sequence
from void_bridge.typed import from_plain, nearest, short_repr, to_plain

PathArgument = Union[str, "os.PathLike[str]"]
PlateArgument = Union[str, "os.PathLike[str]", Sequence, Job]
"""A pattern such as `plate.####.exr`, a `Sequence`, a job.json, or a `Job`."""
MatteArgument = Union[str, "os.PathLike[str]", Sequence, MatteSource]
"""`SEQ[:[layer.]channel]`, a `Sequence`, or a `MatteSource`."""
FramesArgument = Union[str, int, Iterable[int], FrameRange]
"""A range such as `1001-1046`, one frame, or several."""
JobArgument = Union[str, "os.PathLike[str]", JobStatus]
"""A job's id, the job.json beside its output, the folder of that file, or the job's status."""

_FRAMES = "a range such as '1001-1046', or whole numbers"


def convert_job(
    plate: object,
    output: object,
    frames: object,
    colorspace: object,
    options: Mapping[str, Any],
    config: Config,
    others: Iterable[str] = (),
) -> Job:
    """Return the job that arguments ask for; see `job_request.make_job`.

    Args:
        plate: a `PlateArgument`.
        output: a path, or None.
        frames: a `FramesArgument`, or None.
        colorspace: a name, a `Colour`, or None.
        options: the options of the job by name. A matte of None is none.
        config: the configuration.
        others: further names that an unknown option may have been meant to be.

    Raises:
        UsageError: an argument is of a wrong type or cannot be read.
        InputError: a file that cannot be read.
        OutputError: the plate would be overwritten.
    """
    if not isinstance(colorspace, (str, Colour, type(None))):
        raise _wrong("colorspace", colorspace, "the name of a colour space, or a Colour")
    if isinstance(colorspace, Colour):
        colorspace = from_plain(Colour, to_plain(colorspace), where="colorspace")
    source = _plate(plate)
    return make_job(
        source,
        convert_options(options, type(source) if isinstance(source, Job) else Job, others),
        config,
        output=convert_output(output),
        frames=None if frames is None else convert_frames(frames),
        colour=colorspace,
    )


def convert_frames(value: object) -> FrameRange:
    """Return a `FramesArgument` as a range. Raises FrameRangeError."""
    if isinstance(value, str):
        return FrameRange.parse(value)
    if isinstance(value, FrameRange):
        return value
    frame = _whole(value)
    if frame is not None:
        return FrameRange([frame])
    if isinstance(value, (bytes, bytearray)) or not isinstance(value, Iterable):
        raise FrameRangeError(str(_wrong("frames", value, _FRAMES)))
    given = list(islice(value, MAX_FRAMES + 1))
    frames = [_whole(each) for each in given]
    if None in frames:
        raise FrameRangeError(str(_wrong("frames", given[frames.index(None)], _FRAMES)))
    if not 0 < len(frames) <= MAX_FRAMES:
        raise FrameRangeError(f"frames: got {len(frames) or 'none'}, expected 1 to {MAX_FRAMES}")
    return FrameRange(frame for frame in frames if frame is not None)


def convert_options(options: Mapping[str, Any], job: Type[Job] = Job, others: Iterable[str] = ()) -> Dict[str, Any]:
    """Return options of a job by name, in the types of its fields.

    Args:
        options: the options. A matte of None is none.
        job: the class of the job.
        others: further names that an unknown option may have been meant to be.

    Raises:
        UsageError: an option is unknown, of another type, or outside its limits.
    """
    known = {each.name: each for each in options_of(job)}
    for name in options:
        if name not in known:
            hint = nearest(name, [*known, *others], limit=1) or "; docs/reference/options.md lists them"
            role = name.partition("invert_")[2]
            hint = f"; give {role}=MatteSource(..., invert=True)" if role in MATTE_OPTIONS else hint
            raise UsageError(f"got an unknown option {name!r}{hint}")
    return {
        name: _matte(name, value) if known[name].kind == "matte" else _option(known[name], value)
        for name, value in options.items()
        if value is not None or known[name].kind != "matte"
    }


def convert_config(config: Optional[Config], **settings: object) -> Config:
    """Return a configuration with further settings. None counts as absent, text is read as in the environment.

    Args:
        config: the configuration; None: the one that the command line reads.
        **settings: the settings by name.

    Raises:
        ConfigError: a setting is of a wrong type or value, or locked by the site.
        UsageError: the configuration is of a wrong type.
    """
    given = {
        name: setting_from_text(name, value) if isinstance(value, str) else value
        for name, value in settings.items()
        if value is not None
    }
    if config is None:
        return load(given, "arguments").config
    if not isinstance(config, Config):
        raise _wrong("config", config, "a Config, as void_bridge.config.load().config returns")
    return config.replace(**convert_settings(given, "arguments"))


def convert_job_id(value: object) -> str:
    """Return the id in a `JobArgument`. Raises UsageError, InputError for a job.json that cannot be read."""
    if isinstance(value, JobStatus):
        return value.id
    return parse_job_id(_path("job", value, "a job's id, a job.json, its folder or a JobStatus"))


def convert_output(value: Optional[object]) -> Optional[str]:
    """Return an output's path or pattern as text, or None for None. Raises UsageError."""
    return None if value is None else _path("output", value, "a folder, or files such as 'clean.####.exr'")


def check_flags(**flags: object) -> None:
    """Raise UsageError for an argument that is neither True nor False."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise _wrong(name, value, "True or False")


def convert_count(name: str, value: object) -> int:
    """Return a whole number above 0. Raises UsageError."""
    count = _whole(value)
    if count is None or count < 1:
        raise _wrong(name, value, "a whole number from 1")
    return count


def convert_callback(name: str, value: Optional[Callable[..., object]]) -> Callable[..., None]:
    """Return a function that calls the given one, or does nothing for None. Raises UsageError."""
    if value is not None and not callable(value):
        raise _wrong(name, value, "a function")

    def call(*arguments: object) -> None:
        if value is not None:
            value(*arguments)

    return call


def _plate(value: object) -> Union[Sequence, Job]:
    """Return a `PlateArgument` as a sequence, or as a job with paths from the root. Raises UsageError, InputError."""
    if isinstance(value, Job):
        return job_seen_from(Path(), from_plain(type(value), to_plain(value), where="plate"))
    if isinstance(value, Sequence):
        return value
    return read_plate(_path("plate", value, "files such as 'plate.####.exr', a job.json, a Sequence or a Job"))


def _matte(name: str, value: object) -> MatteSource:
    """Return a `MatteArgument` as a source. Raises UsageError."""
    if isinstance(value, MatteSource):
        return from_plain(MatteSource, to_plain(value), where=name)
    if isinstance(value, Sequence):
        return MatteSource(value.pattern)
    return MatteSource.from_argument(_path(name, value, "files such as 'roto.####.exr:A', or a MatteSource"))


def _option(option: Option, value: object) -> object:
    """Return the value of an option that is no matte. Text is read as the command line reads it. Raises UsageError."""
    if isinstance(value, Resolution) and option.kind == "size":
        value = value.canvas_text()
    elif option.kind == "choice" and _whole(value) is not None and str(value) in option.values:
        value = str(value)
    if isinstance(value, str):
        return option.parse(_unicode(option.name, value))
    if option.kind == "size":
        raise _wrong(option.name, value, "WIDTHxHEIGHT such as '672x384'")
    convert = {"integer": _whole, "number": _number, "auto": _number}.get(option.kind)
    number = convert(value) if convert else None
    return option.check(value if number is None else number)


def _path(name: str, value: object, expected: str) -> str:
    """Return a path as text. Raises UsageError."""
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(path, str) or not path or "\0" in path:
        raise _wrong(name, value, expected)
    return _unicode(name, path)


def _unicode(name: str, text: str) -> str:
    """Return text that a message can hold. Raises UsageError for halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _wrong(name, text, "text without half characters") from None
    return text


def _whole(value: Any) -> Optional[int]:
    """Return a whole number of 64 bits, also one of numpy, or None for other values, True and False among them."""
    try:
        number = operator.index(value)
    except TypeError:
        return None
    return None if isinstance(value, bool) or not -(2**63) <= number < 2**63 else number


def _number(value: object) -> Optional[float]:
    """Return a number, also one of numpy, or None for other values, True and False among them."""
    try:
        return float(value) if isinstance(value, Real) and not isinstance(value, bool) else None
    except OverflowError:
        return None


def _wrong(name: str, value: object, expected: str) -> UsageError:
    """Return the error for an argument of a wrong type."""
    return UsageError(f"{name}: got {short_repr(value)}, expected {expected}")
