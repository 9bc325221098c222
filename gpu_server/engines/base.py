"""The engine interface: a small class that turns a clip into patches.

An engine sees no files, no sockets and no colour management. The worker hands it a `Clip`, takes the patches of the
`Generated` that it returns, and does the rest: integration into the plate, paste, headers, EXR.
docs/contributing/extending.md has a worked example.
"""

from __future__ import annotations

import abc
import enum
import hashlib
import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from void_bridge.errors import EngineError
from void_bridge.job import Job
from void_bridge.pixels.arrays import Array
from void_bridge.pixels.box import Box
from void_bridge.pixels.mattes import PlaneRole, matte_box


@runtime_checkable
class Clip(Protocol):
    """A shot as an engine sees it: consecutive frames over one raster.

    Index `i` runs over `range(len(frames))`: the frames that were read, in time order, handles included. An engine may
    read every frame but makes patches for `wanted` alone.

    Attributes:
        frames: frame numbers.
        wanted: indices whose patches are still to be made, ascending: the delivered frames, less those that an earlier
            attempt finished.
        height: rows of the raster.
        width: columns of the raster.
        pixel_aspect: width of a pixel over its height.
        exposure: stops that bring the plate to a normal exposure, fixed for the whole job.
    """

    frames: Sequence[int]
    wanted: Sequence[int]
    height: int
    width: int
    pixel_aspect: float
    exposure: float

    def plate(self, index: int, box: Box | None = None) -> Array:
        """Return RGB of `box` (default: the raster), shape [H, W, 3]: linear, in the working space, as stored.

        Values are finite; highlights far above 1 and negative values are normal.
        """
        ...

    def matte(self, role: PlaneRole, index: int, box: Box | None = None) -> Array:
        """Return a matte, shape [H, W], in [0, 1]. Where `paste` is above 0, the engine's pixels show."""
        ...

    def matte_box(self, role: PlaneRole, index: int) -> Box:
        """Return the smallest box around everything above 0 in a matte, or an empty box."""
        ...


@runtime_checkable
class ModelClip(Clip, Protocol):
    """A clip framed for a model: canvas size, display-like model domain, quadmask, a pre-roll frame at index 0.

    Attributes:
        rate: frames a second.
    """

    rate: Fraction

    def quadmask(self, index: int) -> NDArray[np.uint8]:
        """Return the quadmask, shape [H, W]: 0 object, 63 overlap, 127 affected, 255 keep."""
        ...


@dataclass(frozen=True)
class Patch:
    """New pixels of one frame. Outside `box` the plate stays.

    Attributes:
        index: index of the frame in the clip.
        box: the pixels of the patch.
        rgb: shape [box.height, box.width, 3], float32, in the domain of the clip.
        confidence: shape [box.height, box.width], in [0, 1]: 1 is seen in another frame, 0 is synthesised.
        reconstruction: shape as `rgb`: the plate through the engine's model and back, with nothing removed. Pixels of
            `rgb` that differ from it were changed; the others are the plate's, whose detail comes back.
        full: shape as `rgb`: the generated pixels without any of the plate's detail; None if that is `rgb`.
        generated: False if the engine had nothing to change in this frame.

    Raises:
        EngineError: an array's shape is not that of the box.
    """

    index: int
    box: Box
    rgb: Array
    confidence: Array | None = None
    reconstruction: Array | None = None
    full: Array | None = None
    generated: bool = True

    def __post_init__(self) -> None:
        for name, values in self.arrays().items():
            expected = self.box.shape if name == "confidence" else (*self.box.shape, 3)
            if np.shape(values) != expected:
                raise EngineError(
                    f"the patch of index {self.index}: {name} has the shape {np.shape(values)}, expected {expected},"
                    f" the shape of {self.box}"
                )

    def arrays(self) -> dict[str, Array]:
        """Return the arrays of the patch by name."""
        arrays = {name: getattr(self, name) for name in ("rgb", "confidence", "reconstruction", "full")}
        return {name: values for name, values in arrays.items() if values is not None}

    @staticmethod
    def unchanged(index: int) -> Patch:
        """Return the patch of a frame that stays the plate."""
        return Patch(index, Box(0, 0, 0, 0), np.zeros((0, 0, 3), np.float32), generated=False)


class Context(Protocol):
    """The services of the worker for a running engine.

    Attributes:
        job: the job.
        scratch: folder of this job that survives a crash; empty at the first attempt.
        cache: folder that all jobs share, for files that are found again by content; may be emptied at any time.
        models: folder of the weights.
        report: the job's report: plain values by name.
        headers: headers of result frames, by name below `void_bridge/`; to be set before a patch is returned.
    """

    job: Job
    scratch: Path
    cache: Path
    models: Path
    report: dict[str, object]
    headers: dict[str, str]

    def progress(self, stage: EngineStage, done: int, total: int) -> None:
        """Report the steps done of a stage. This is also a safe point.

        Args:
            stage: a member of the engine's `stages`.
            done: steps that are done.
            total: all steps of the stage.

        Raises:
            Cancelled: the job was cancelled.
            EngineError: the engine does not declare this stage.
        """
        ...

    def warn(self, *texts: str) -> None:
        """Add lines to the report's warnings."""
        ...

    def check(self) -> None:
        """Offer a safe point without progress.

        Raises:
            Cancelled: the job was cancelled.
        """
        ...

    def preview(self, index: int, rgb_u8: NDArray[np.uint8]) -> None:
        """Show a frame in the making: shape [h, w, 3], display-encoded, a few hundred pixels wide."""
        ...


def rng(seed: int, *keys: object) -> np.random.Generator:
    """Return a generator of random numbers for one draw of a job, independent of all other draws.

    >>> float(rng(7, "grain", 1001).random()) == float(rng(7, "grain", 1001).random())
    True
    """
    digest = hashlib.blake2b(repr((seed, *keys)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


class EngineStage(enum.Enum):
    """Base of the enumerations in which engines name their stages.

    The value is the name that clients see; `share` is the part of a job's time that the stage takes, about, in any
    unit. The estimate of the time left is made from the shares. Stages of two engines may have one name; two stages of
    one enumeration may not, and raise ValueError.

        class MedianStage(EngineStage):
            READ = "read", 0.2
            FILL = "fill", 0.8
    """

    share: float

    def __new__(cls, value: str, share: float = 1.0) -> EngineStage:
        """Make a member from its name and its share."""
        member = object.__new__(cls)
        member._value_, member.share = value, share
        return member

    def __init_subclass__(cls) -> None:
        enum.unique(cls)


@dataclass(frozen=True)
class Generated:
    """The result of `Engine.generate`: the device is free, and the patches are still to be taken.

    Attributes:
        patches: one patch for each index of `clip.wanted`, in that order. They may be made while they are taken.
    """

    patches: Iterable[Patch]


class Engine(abc.ABC):
    """A way of making clean frames. Subclass it and register it as an entry point (docs/contributing/extending.md).

    A worker keeps one object of each engine and runs one job at a time on it, so that loaded models may stay.

    Attributes:
        name: name in jobs and in the entry point.
        version: version in the headers of result frames.
        summary: one line for lists of engines.
        modules: modules that must be installed.
        domain: "plate" engines get linear pixels at plate resolution, "model" engines a `ModelClip`.
        access: "stream" engines read each wanted frame once, in order; "random" ones read any frame at any time.
        stages: the stages that the engine reports.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    summary: ClassVar[str]
    modules: ClassVar[tuple[str, ...]] = ()
    domain: ClassVar[Literal["plate", "model"]] = "plate"
    access: ClassVar[Literal["stream", "random"]] = "random"
    stages: ClassVar[type[EngineStage]] = EngineStage

    def missing(self, models: Path, job: Job | None = None) -> str:
        """Return what the engine lacks on this machine, or an empty string when it is ready.

        Args:
            models: folder of the weights.
            job: job to run; None when `auto` chooses an engine.
        """
        absent = [name for name in self.modules if importlib.util.find_spec(name) is None]
        return ", ".join(absent)

    @abc.abstractmethod
    def generate(self, clip: Clip, context: Context) -> Generated:
        """Run the model and return the patches, ready to be taken.

        When this returns, a model engine no longer uses the device: the next job may run there while the patches of
        this one are taken. Taking them may use the CPU, read `clip` and report progress. An engine without a device
        returns at once and makes its patches as they are taken.

        This is a plain method, not a generator: `return Generated(self._patches(clip, context))`.

        Args:
            clip: the shot, as `domain` and `access` ask for it.
            context: progress, cancel, previews and the report.

        Raises:
            Cancelled: at a safe point, after the job was cancelled.
            OutOfMemory: the device or the machine has too little memory for this clip.
            EngineError: another failure that stops this job but not the worker.
        """


@dataclass
class ArrayClip:
    """A clip held in memory, for tests, benchmarks and notebooks.

    Attributes:
        plates: shape [T, H, W, 3].
        mattes: role -> shape [T, H, W]; a role that is absent is all 0.
        first_frame: number of the first frame.
        pixel_aspect: width of a pixel over its height.
        exposure: stops.
        wanted: indices whose patches are made; by default all.
    """

    plates: Array
    mattes: dict[str, Array]
    first_frame: int = 1
    pixel_aspect: float = 1.0
    exposure: float = 0.0
    wanted: Sequence[int] = field(default=())

    def __post_init__(self) -> None:
        self.frames = range(self.first_frame, self.first_frame + len(self.plates))
        self.wanted = self.wanted or range(len(self.plates))
        self.height, self.width = self.plates.shape[1:3]

    def plate(self, index: int, box: Box | None = None) -> Array:
        """Return pixels of the plate; see `Clip.plate`."""
        return self._cut(self.plates[index], box)

    def matte(self, role: PlaneRole, index: int, box: Box | None = None) -> Array:
        """Return a matte; see `Clip.matte`."""
        if role in self.mattes:
            return self._cut(self.mattes[role][index], box)
        height, width = (box.height, box.width) if box else (self.height, self.width)
        return np.zeros((height, width), np.float32)

    def matte_box(self, role: PlaneRole, index: int) -> Box:
        """Return the box around a matte; see `Clip.matte_box`."""
        return matte_box(self.matte(role, index))

    def _cut(self, image: Array, box: Box | None) -> Array:
        return np.ascontiguousarray(image[box.slices] if box else image, dtype=np.float32)


@dataclass
class SilentContext:
    """A context that shows nothing, for tests, benchmarks and notebooks."""

    job: Job
    scratch: Path
    report: dict[str, object] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    models: Path = Path()

    @property
    def cache(self) -> Path:
        """A folder below the scratch folder."""
        return self.scratch / "cache"

    def progress(self, stage: EngineStage, done: int, total: int) -> None:
        """Ignore the progress."""
        pass

    def warn(self, *texts: str) -> None:
        """Add lines to the report's warnings."""
        self.report["warnings"] = [*self.report.get("warnings", ()), *texts]  # type: ignore[misc]

    def check(self) -> None:
        """Return at once: this context is never cancelled."""
        pass

    def preview(self, index: int, rgb_u8: NDArray[np.uint8]) -> None:
        """Ignore the preview."""
        pass
