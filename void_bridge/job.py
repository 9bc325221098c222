"""A job: everything needed to remove an object from one shot, again and anywhere.

A `Job` holds paths as its submitter sees them, and nothing of one run: no number, no time, no transport. `job.json`
beside the output is a `JobFile`: the job, and the number under which a server knows it.
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Literal, Optional, Tuple, get_args

from void_bridge.atomic import write_json
from void_bridge.errors import InputError, UsageError
from void_bridge.frames import FrameRange
from void_bridge.options import Precision, option, options_of
from void_bridge.resolution import Resolution
from void_bridge.typed import from_plain

JOB_SCHEMA = 1
JOB_FILE_NAME = "job.json"

MatteRole = Literal["remove", "affected", "keep", "exclude"]
MATTE_ROLES: Tuple[MatteRole, ...] = get_args(MatteRole)


@dataclass(frozen=True)
class MatteSource:
    """One channel of a sequence.

    Attributes:
        sequence: a pattern such as `/shots/roto.####.exr`.
        channel: `A` or `layer.channel`; empty: the only channel, else A, else R.
        invert: whether 1 - value is the matte.
    """

    sequence: str
    channel: str = ""
    invert: bool = False

    @classmethod
    def from_argument(cls, text: str, invert: bool = False) -> MatteSource:
        """Read `SEQ[:[layer.]channel]`; the colon is looked for behind the last path separator.

        Raises:
            UsageError: there is a colon without a name or a channel.
        """
        cut = max(text.rfind("/"), text.rfind("\\")) + 1
        name, colon, channel = text[cut:].rpartition(":")
        if not colon:
            return cls(text, "", invert)
        if not name or not channel:
            raise UsageError(f"got {text!r}, expected SEQ or SEQ:channel, for example roto.####.exr:A")
        return cls(text[:cut] + name, channel, invert)


@dataclass(frozen=True)
class Colour:
    """The plate's colour and the transform to the model's domain.

    Attributes:
        space: the working space of the plate, a name of `config`.
        config: an `ocio://` name or a file.
        config_hash: the hash of the file's contents; empty for built-in configs.
        curve: the model domain, by name.
        exposure: stops added before the curve; None until it is measured, which happens once a job.
    """

    space: str
    config: str
    config_hash: str = ""
    curve: str = "srgb-rolloff"
    exposure: Optional[float] = option(
        None,
        low=-20,
        high=20,
        unit="stops",
        group="Colour",
        help="stops that bring the plate to normal; auto measures them once",
        label="exposure",
        tip="Stops that bring the plate to normal for the model; auto measures them once.",
        engines=("void",),
    )


@dataclass(frozen=True)
class Job:
    """Everything that is asked for one shot. Pixel counts are of the plate; frame numbers are inclusive.

    The further fields are the options, which docs/reference/options.md shows. Each is declared here alone: the command
    line, the panels, that page, the Lua script and the checks come from these fields. The order is that of the wire.

    Attributes:
        plate: pattern of the plate's files.
        frames: the frames to deliver.
        output: pattern of the frames to write.
        colour: the plate's colour.
        canvas: stored as HEIGHTxWIDTH, see `void_bridge.resolution`.
        only: of the frames that would be delivered those to make, each as the whole job would have made it; None: all.
    """

    plate: str
    frames: FrameRange
    output: str
    colour: Colour
    remove: Optional[MatteSource] = option(
        None, kind="matte", group="Mattes", help="the object", label="remove", tip="The object."
    )
    affected: Optional[MatteSource] = option(
        None,
        kind="matte",
        group="Mattes",
        help="where things are touched, and where they will go",
        label="affected",
        tip="Where things are touched, and where they will go: where they start, move and land.",
    )
    keep: Optional[MatteSource] = option(
        None,
        kind="matte",
        group="Mattes",
        help="wins over everything, such as a foreground actor",
        label="keep",
        tip="Wins over everything: a foreground actor.",
    )
    exclude: Optional[MatteSource] = option(None, kind="matte", group="Mattes", help="never a source of pixels")
    quadmask: Optional[MatteSource] = option(
        None,
        kind="matte",
        group="Mattes",
        help="one made mask (0 object, 63 overlap, 127 affected, 255 keep) in place of the mattes",
    )
    handles: int = option(
        0,
        high=10_000,
        group="Frames",
        help="frames read beyond both ends, where there are any",
        label="handles",
        tip="Frames read beyond both ends, where the plate has more than the range. They often show what the cut "
        "hides. Not delivered.",
    )
    deliver_handles: bool = option(False, group="Frames", help="write the handles too")
    engine: str = option(
        "auto",
        choices=tuple((name, name) for name in ("auto", "propagate", "void")),
        is_open=True,
        group="Engine",
        help="auto, propagate, void, or another that the server has",
        label="engine",
        tip="propagate: real pixels from the other frames, on any machine. void: the model, which also removes what "
        "the object did to the scene; needs its weights and a GPU. auto: void where it can run.",
    )
    prompt: str = option(
        "",
        kind="lines",
        group="Scene",
        help="what is there once the object is gone",
        label="Scene after removal",
        tip="What is there once the object is gone: 'an empty sofa in a living room'. Describe, don't command.",
        engines=("void",),
    )
    passes: Literal["auto", "1", "2"] = option(
        "auto",
        group="Engine",
        help="passes of the void engine; auto: a second one where made-up things change their shape",
        label="passes",
        tip="Of the void engine. auto: a second pass where made-up things change their shape.",
        engines=("void",),
    )
    fill: Literal["model", "hybrid"] = option(
        "model",
        group="Engine",
        help="hybrid: real pixels where another frame saw them",
        label="fill",
        tip="hybrid: real pixels where only the object hid the background and another frame saw it.",
        engines=("void",),
    )
    seed: int = option(
        0,
        high=2**63 - 1,
        group="Engine",
        help="of every draw; the same number gives the same pixels",
        label="seed",
        tip="Another number, another take. The same number gives the same pixels.",
    )
    threshold: float = option(
        0.5,
        high=1,
        exclusive=True,
        group="Pixels",
        help="where a matte counts for the engine",
        engines=("void",),
    )
    condition_dilate: int = option(
        0, high=1_000, unit="px", group="Pixels", help="grow the object for the engine alone", engines=("void",)
    )
    dilate: int = option(
        0,
        high=1_000,
        unit="px",
        group="Pixels",
        help="grow what may change, at full weight",
        label="dilate",
        tip="Pixels of the plate by which what may change grows, at full weight.",
    )
    feather: int = option(
        4,
        high=1_000,
        unit="px",
        group="Pixels",
        help="grow it further, fading out",
        label="feather",
        tip="Pixels of the plate by which it grows further, fading out.",
    )
    paste: Literal["drawn", "snapped"] = option("drawn", group="Pixels", help="what may change")
    grain: bool = option(
        True,
        group="Pixels",
        help="regrain where interpolation took it",
        label="grain",
        tip="Give the plate's grain back where interpolation took it.",
    )
    canvas: str = option(
        "384x672",
        kind="size",
        group="Engine",
        help="the model's frame, in multiples of 16",
        label="canvas",
        tip="Width x height of the picture that the model works on, multiples of 16, such as 672x384.",
        engines=("void",),
    )
    framing: Literal["held", "moving"] = option(
        "held",
        group="Engine",
        help="moving: the crop follows what is drawn",
        label="framing",
        tip="The crop that the model sees: one for the shot, or one that follows what is drawn.",
        engines=("void",),
    )
    confidence: bool = option(
        False,
        group="Pixels",
        help="write a confidence channel",
        label="confidence",
        tip="Also deliver a channel: 1 seen in another frame, 0 made up.",
    )
    steps: int = option(
        30,
        low=1,
        high=1_000,
        group="Model",
        help="denoising steps of each pass",
        label="steps",
        tip="Quality: denoising steps of each pass. Time grows with it.",
        engines=("void",),
    )
    guidance: Optional[float] = option(
        None,
        low=1,
        high=100,
        group="Model",
        help="guidance scale, 1: none; auto: 1 in pass 1, 6 in pass 2",
        engines=("void",),
    )
    precision: Literal["auto", Precision] = option(
        "auto",
        group="Model",
        help="how the model computes; auto takes what fits the device",
        label="precision",
        tip="Quality: how the model computes. auto takes what fits the GPU.",
        engines=("void",),
    )
    attention: str = option(
        "sdpa", group="Model", help="sdpa, sdpa-cudnn, or another that is installed", engines=("void",)
    )
    step_cache: str = option("off", group="Model", help="skip what hardly changes between steps", engines=("void",))
    flow: Literal["auto", "dis", "raft"] = option("auto", group="Model", help="optical flow", engines=("void",))
    model_fps: Literal["native", "12"] = option(
        "native",
        group="Model",
        help="12: as in training; frames between by flow",
        label="model frame rate",
        tip="12: the model sees twelve frames a second, the rate at which it learned how things fall; those between "
        "are carried by flow.",
        engines=("void",),
    )
    pad: Literal["even", "reference"] = option(
        "even",
        group="Model",
        help="fill a short shot up to a whole pair of latents, or to the reference's 85 frames",
        engines=("void",),
    )
    full_fill: bool = option(
        False,
        group="Pixels",
        help="write the unmasked fill as the layer void_bridge_fill",
        label="unmasked fill",
        tip="Also deliver the engine's picture without the paste matte.",
    )
    only: Optional[FrameRange] = None

    def __post_init__(self) -> None:
        for each in options_of(type(self)):
            each.check(getattr(self, each.name, each.default))  # the exposure is the colour's
        self.canvas_size  # noqa: B018  raises if it cannot be read
        if self.quadmask and (self.remove or self.affected):
            raise UsageError("got a quadmask and mattes; give either --quadmask or --remove and --affected")
        if not (self.quadmask or self.remove or self.affected):
            raise UsageError("got no matte; give --remove, --affected or --quadmask")
        if self.only is not None and not self.deliver_handles and not set(self.only) <= set(self.frames):
            raise UsageError(f"got only {self.only}, expected frames of {self.frames}")

    @property
    def canvas_size(self) -> Tuple[int, int]:
        """Height and width of the model's frame, in pixels, multiples of 16."""
        return Resolution.from_stored(self.canvas).shape

    @property
    def mattes(self) -> Dict[str, MatteSource]:
        """The source of every matte given, by role, the quadmask among them."""
        return {role: getattr(self, role) for role in MATTE_OPTIONS if getattr(self, role) is not None}

    def wants(self, frame: int) -> bool:
        """Return whether a frame that would be delivered is to be made."""
        return self.only is None or frame in self.only

    def replace(self, **changes: object) -> Job:
        """Return the same job with other values in some fields."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


MATTE_OPTIONS = tuple(each.name for each in options_of(Job) if each.kind == "matte")
"""The roles of mattes, and `quadmask`, which takes their place."""


def new_job_id() -> str:
    """Return a new number for a job, of 12 hexadecimal digits."""
    return uuid.uuid4().hex[:12]


@dataclass(frozen=True)
class JobFile:
    """The contents of a `job.json`.

    Attributes:
        job: the job.
        id: its number at a server; empty until it has been submitted.
        schema: the version of the file's format.
    """

    job: Job
    id: str = ""
    schema: int = JOB_SCHEMA

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            OutputError: it cannot be written.
            DiskFull: there is no room.
        """
        write_json(path, self)

    @classmethod
    def read(cls, path: Path) -> JobFile:
        """Read a file.

        Raises:
            InputError: it is not there, no JSON, of another schema, or a field of it is wrong.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as exc:
            raise InputError(f"cannot read {path} as a job: {exc}; expected a job.json of void-bridge") from exc
        schema = data.get("schema") if isinstance(data, dict) else None
        if schema != JOB_SCHEMA:
            raise InputError(
                f"{path} has job schema {str(schema)[:40]}, this void-bridge reads {JOB_SCHEMA}; use its version"
            )
        return from_plain(cls, data, where=str(path), strict=True, error=InputError)
