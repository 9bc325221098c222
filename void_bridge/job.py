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
from typing import Dict, Iterable, Literal, Optional, Tuple, get_args

from void_bridge.atomic import write_json
from void_bridge.errors import InputError, UsageError
from void_bridge.frames import FrameRange
from void_bridge.options import Precision, StepCacheName, option, options_of
from void_bridge.resolution import Resolution
from void_bridge.typed import from_plain

JOB_SCHEMA = 1
JOB_FILE_NAME = "job.json"

MatteRole = Literal["remove", "affected", "keep", "exclude"]
MATTE_ROLES: Tuple[MatteRole, ...] = get_args(MatteRole)


def names_object(roles: Iterable[str]) -> bool:
    """Return whether mattes of these roles say what to remove: `remove` or `affected` is among them."""
    return not {"remove", "affected"}.isdisjoint(roles)


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
        help="stops that bring the plate to a normal exposure; auto: measure them once",
        label="exposure",
        tip="Stops that bring the plate to a normal exposure for the model. auto: measure them once.",
        engines=("void",),
    )

    def __post_init__(self) -> None:
        (exposure,) = options_of(Colour)
        exposure.check(self.exposure)


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
        None, kind="matte", group="Mattes", help="the object to remove", label="remove", tip="The object to remove."
    )
    affected: Optional[MatteSource] = option(
        None,
        kind="matte",
        group="Mattes",
        help="shadows, reflections, and the full path of anything that will move or fall",
        label="affected",
        tip="Shadows, reflections, and the full path of anything that will move or fall.",
    )
    keep: Optional[MatteSource] = option(
        None,
        kind="matte",
        group="Mattes",
        help="a foreground that must not change, such as an actor in front",
        label="keep",
        tip="A foreground that must not change, such as an actor in front.",
    )
    exclude: Optional[MatteSource] = option(
        None, kind="matte", group="Mattes", help="pixels that must never be used as a source"
    )
    quadmask: Optional[MatteSource] = option(
        None,
        kind="matte",
        group="Mattes",
        help="one mask with four values: 0 object, 63 overlap, 127 affected, 255 keep; replaces the mattes",
    )
    handles: int = option(
        0,
        high=10_000,
        group="Frames",
        help="extra frames to read before and after the range, where the plate has them",
        label="handles",
        tip="Extra frames to read before and after the range, where the plate has them. They often show the background "
        "that the object hides within the range. They are not delivered.",
    )
    deliver_handles: bool = option(False, group="Frames", help="also write the handles")
    engine: str = option(
        "auto",
        choices=tuple((name, name) for name in ("auto", "propagate", "void")),
        is_open=True,
        group="Engine",
        help="auto, propagate, void, or another engine of the server",
        label="engine",
        tip="propagate: fill with real pixels from other frames, on any machine. void: the model, which also removes "
        "the object's effects on the scene; it needs its weights and a GPU. auto: void where it can run.",
    )
    prompt: str = option(
        "",
        kind="lines",
        group="Scene",
        help="describe the scene after the removal, such as 'an empty sofa in a living room'",
        label="Scene after removal",
        tip="Describe the scene after the removal, such as 'an empty sofa in a living room'. Do not write commands.",
        engines=("void",),
    )
    passes: Literal["auto", "1", "2"] = option(
        "auto",
        group="Engine",
        help="number of passes; auto: run a second one if generated objects change shape",
        label="passes",
        tip="Number of passes of the void engine. auto: run a second one if generated objects change shape.",
        engines=("void",),
    )
    fill: Literal["model", "hybrid"] = option(
        "model",
        group="Engine",
        help="hybrid: use real pixels where another frame shows the background",
        label="fill",
        tip="model: every pixel comes from the model. hybrid: real pixels where another frame shows the background.",
        engines=("void",),
    )
    seed: int = option(
        0,
        high=2**63 - 1,
        group="Engine",
        help="seed of the random numbers; the same seed gives the same pixels",
        label="seed",
        tip="Change the number for another take. The same number gives the same pixels.",
    )
    threshold: float = option(
        0.5,
        high=1,
        exclusive=True,
        group="Pixels",
        help="lowest matte value that counts for the engine",
        engines=("void",),
    )
    condition_dilate: int = option(
        0, high=1_000, unit="px", group="Pixels", help="grow the remove matte for the engine only", engines=("void",)
    )
    dilate: int = option(
        0,
        high=1_000,
        unit="px",
        group="Pixels",
        help="grow the paste matte, the area in which pixels may change, at full weight",
        label="dilate",
        tip="Plate pixels by which the paste matte, the area in which pixels may change, grows at full weight.",
    )
    feather: int = option(
        4,
        high=1_000,
        unit="px",
        group="Pixels",
        help="grow the paste matte further, and fade it out",
        label="feather",
        tip="Plate pixels by which the paste matte grows further and fades out.",
    )
    paste: Literal["drawn", "snapped"] = option(
        "drawn",
        group="Pixels",
        help="area in which pixels may change; drawn: the mattes, snapped: also the blocks of the quadmask",
    )
    grain: bool = option(
        True,
        group="Pixels",
        help="restore the plate's grain where interpolation removed it",
        label="grain",
        tip="Restore the plate's grain where interpolation removed it.",
    )
    canvas: str = option(
        "384x672",
        kind="size",
        group="Engine",
        help="size of the model's frame, in multiples of 16",
        label="canvas",
        tip="Width x height of the model's frame, in multiples of 16, such as 672x384.",
        engines=("void",),
    )
    framing: Literal["held", "moving"] = option(
        "held",
        group="Engine",
        help="held: one crop for the shot; moving: the crop follows the mattes",
        label="framing",
        tip="Crop that the model sees. held: one for the whole shot. moving: it follows the mattes.",
        engines=("void",),
    )
    confidence: bool = option(
        False,
        group="Pixels",
        help="write a confidence channel: 1 seen in another frame, 0 generated",
        label="confidence",
        tip="Also write a confidence channel: 1 seen in another frame, 0 generated.",
    )
    steps: int = option(
        30,
        low=1,
        high=1_000,
        group="Model",
        help="denoising steps of each pass",
        label="steps",
        tip="Denoising steps of each pass. More steps take more time.",
        engines=("void",),
    )
    guidance: Optional[float] = option(
        None,
        low=1,
        high=100,
        group="Model",
        help="guidance scale; 1: no guidance; auto: 1 in pass 1, 6 in pass 2",
        engines=("void",),
    )
    precision: Literal["auto", Precision] = option(
        "auto",
        group="Model",
        help="number format of the model; auto: one that fits the device",
        label="precision",
        tip="Number format of the model. auto: one that fits the GPU.",
        engines=("void",),
    )
    attention: str = option(
        "sdpa",
        choices=tuple((name, name) for name in ("sdpa", "sdpa-cudnn")),
        is_open=True,
        group="Model",
        help="attention kernel: sdpa, sdpa-cudnn, or another that is installed",
        engines=("void",),
    )
    step_cache: StepCacheName = option(
        "off", group="Model", help="skip blocks of the model that hardly change between steps", engines=("void",)
    )
    flow: Literal["auto", "dis", "raft"] = option("auto", group="Model", help="optical flow method", engines=("void",))
    model_fps: Literal["native", "12"] = option(
        "native",
        group="Model",
        help="12: the frame rate of the training; frames between are interpolated by optical flow",
        label="model frame rate",
        tip="12: the model sees 12 frames a second, the rate at which it learned how things fall. The frames between "
        "are interpolated by optical flow.",
        engines=("void",),
    )
    pad: Literal["even", "reference"] = option(
        "even",
        group="Model",
        help="pad a short shot to a whole pair of latents (even) or to 85 frames (reference)",
        engines=("void",),
    )
    full_fill: bool = option(
        False,
        group="Pixels",
        help="write the engine's image without the paste matte as the layer void_bridge_fill",
        label="unmasked fill",
        tip="Also write the engine's image without the paste matte, as the layer void_bridge_fill.",
    )
    only: Optional[FrameRange] = None

    def __post_init__(self) -> None:
        for each in options_of(type(self)):
            each.check(getattr(self, each.name, each.default))  # the exposure is the colour's
        with_object = names_object(self.mattes)
        if self.quadmask and with_object:
            raise UsageError("got a quadmask and mattes; give either --quadmask or --remove and --affected")
        if not (self.quadmask or with_object):
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
        """Return whether `only` includes a frame."""
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
        if not isinstance(schema, int):
            raise InputError(f"{path} is no job.json of void-bridge: got no schema number, expected {JOB_SCHEMA}")
        if schema != JOB_SCHEMA:
            raise InputError(
                f"{path} has job schema {str(schema)[:40]}, this void-bridge reads {JOB_SCHEMA}; use its version"
            )
        return from_plain(cls, data, where=str(path), strict=True, error=InputError)
