"""A job: everything needed to remove an object from one shot, again and anywhere.

A `Job` says what is asked, in paths as its submitter sees them. It holds nothing of one run: no
number, no time, no transport. `job.json` beside the output is a `JobFile`: the job, and the number
under which a server knows it.
"""

from __future__ import annotations

import dataclasses
import json
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Literal, Optional, Tuple

from void_bridge.atomic import write_json
from void_bridge.errors import InputError, UsageError
from void_bridge.frames import FrameRange
from void_bridge.typed import from_plain

JOB_SCHEMA = 1
JOB_FILE_NAME = "job.json"

MatteRole = Literal["remove", "affected", "keep", "exclude"]
MATTE_ROLES: Tuple[MatteRole, ...] = ("remove", "affected", "keep", "exclude")


@dataclass(frozen=True)
class MatteSource:
    """One channel of a sequence.

    sequence: pattern such as `/shots/roto.####.exr`.
    channel: `A` or `layer.channel`; empty: the only channel, else A, else R.
    """

    sequence: str
    channel: str = ""
    invert: bool = False

    @classmethod
    def from_argument(cls, text: str, invert: bool = False) -> MatteSource:
        """`SEQ[:[layer.]channel]`; the colon is looked for behind the last path separator."""
        head, sep, tail = _split_last_part(text)
        name, colon, channel = tail.rpartition(":")
        if not colon:
            return cls(text, "", invert)
        if not name or not channel:
            raise UsageError(f"got {text!r}, expected SEQ or SEQ:channel, for example roto.####.exr:A")
        return cls(head + sep + name, channel, invert)


def _split_last_part(text: str) -> Tuple[str, str, str]:
    cut = max(text.rfind("/"), text.rfind("\\"))
    return (text[:cut], text[cut], text[cut + 1 :]) if cut >= 0 else ("", "", text)


@dataclass(frozen=True)
class Colour:
    """The plate's colour and the way to the model's domain.

    config: `ocio://` name or a file; config_hash: of the file's contents, empty for built-ins.
    space: the working space of the plate, a name of that config. curve: the model domain, by name.
    exposure: stops added before the curve; None until it is measured, which happens once a job.
    """

    space: str
    config: str
    config_hash: str = ""
    curve: str = "srgb-rolloff"
    exposure: Optional[float] = None


@dataclass(frozen=True)
class Job:
    """What is asked. Pixel counts are of the plate; frame numbers are inclusive.

    threshold: where a matte counts for conditioning, in (0, 1).
    condition_dilate: pixels by which `remove` grows for conditioning alone.
    dilate, feather: pixels by which the paste matte grows outward, at full weight and fading.
    framing: whether the crop that a model sees is held for the shot or follows what is drawn.
    steps, guidance: of a diffusion model; without a guidance scale each pass takes its own.
    precision, attention, step_cache, flow: how a model computes, by name; `auto` takes what fits the machine.
    model_fps: `12` shows the model 12 frames a second and carries the frames between by flow.
    pad: what a short shot is filled up to, `even` (a whole pair of latents) or `reference` (85 frames).
    full_fill: publish what the engine made, unmasked, as the layer `void_bridge_fill`.
    only: of the frames that would be delivered those to make, each as the whole job would have made it; None: all.
    """

    plate: str
    frames: FrameRange
    output: str
    colour: Colour
    remove: Optional[MatteSource] = None
    affected: Optional[MatteSource] = None
    keep: Optional[MatteSource] = None
    exclude: Optional[MatteSource] = None
    quadmask: Optional[MatteSource] = None
    handles: int = 0
    deliver_handles: bool = False
    engine: str = "auto"
    prompt: str = ""
    passes: Literal["auto", "1", "2"] = "auto"
    fill: Literal["model", "hybrid"] = "model"
    seed: int = 0
    threshold: float = 0.5
    condition_dilate: int = 0
    dilate: int = 0
    feather: int = 4
    paste: Literal["drawn", "snapped"] = "drawn"
    grain: bool = True
    canvas: str = "384x672"
    framing: Literal["held", "moving"] = "held"
    confidence: bool = False
    steps: int = 30
    guidance: Optional[float] = None
    precision: Literal["auto", "float32", "bf16", "fp8-stored", "fp8"] = "auto"
    attention: str = "sdpa"
    step_cache: str = "off"
    flow: Literal["auto", "dis", "raft"] = "auto"
    model_fps: Literal["native", "12"] = "native"
    pad: Literal["even", "reference"] = "even"
    full_fill: bool = False
    only: Optional[FrameRange] = None

    def __post_init__(self) -> None:
        _check_range("handles", self.handles, 0, 10_000)
        _check_range("dilate", self.dilate, 0, 1_000)
        _check_range("feather", self.feather, 0, 1_000)
        _check_range("condition_dilate", self.condition_dilate, 0, 1_000)
        _check_range("seed", self.seed, 0, 2**63 - 1)
        _check_range("steps", self.steps, 1, 1_000)
        if self.guidance is not None and not 1 <= self.guidance <= 100:
            raise UsageError(f"got guidance {self.guidance}, expected 1 (none) to 100")
        if not 0 < self.threshold < 1:
            raise UsageError(f"got threshold {self.threshold}, expected a number between 0 and 1")
        if self.quadmask and (self.remove or self.affected):
            raise UsageError("got a quadmask and mattes; give either --quadmask or --remove and --affected")
        if not (self.quadmask or self.remove or self.affected):
            raise UsageError("got no matte; give --remove, --affected or --quadmask")
        if self.only is not None and not self.deliver_handles and not set(self.only) <= set(self.frames):
            raise UsageError(f"got only {self.only}, expected frames of {self.frames}")
        self.canvas_size  # noqa: B018  raises if it cannot be read

    @property
    def canvas_size(self) -> Tuple[int, int]:
        """Height and width of the model's frame, in pixels, multiples of 16."""
        match = re.fullmatch(r"(\d{2,5})x(\d{2,5})", self.canvas)
        size = (int(match[1]), int(match[2])) if match else (0, 0)
        if min(size) < 16 or size[0] % 16 or size[1] % 16:
            raise UsageError(f"got canvas {self.canvas!r}, expected HEIGHTxWIDTH in multiples of 16, such as 384x672")
        return size

    @property
    def mattes(self) -> Dict[str, MatteSource]:
        """Role -> source of every matte given, the quadmask among them."""
        roles = (*MATTE_ROLES, "quadmask")
        return {role: getattr(self, role) for role in roles if getattr(self, role) is not None}

    def makes(self, frame: int) -> bool:
        """Whether a frame that would be delivered is to be made."""
        return self.only is None or frame in self.only

    def replace(self, **changes: object) -> Job:
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UsageError(f"got {name} {value}, expected {low} to {high}")


def new_job_id() -> str:
    return uuid.uuid4().hex[:12]


@dataclass(frozen=True)
class JobFile:
    """`job.json`: `id` is empty until the job has been submitted."""

    job: Job
    id: str = ""
    schema: int = JOB_SCHEMA

    def write(self, path: Path) -> None:
        """Raises OutputError, DiskFull."""
        write_json(path, self)

    @classmethod
    def read(cls, path: Path) -> JobFile:
        """Raises InputError: not there, not JSON, another schema, a field that is wrong."""
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
