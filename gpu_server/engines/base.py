"""What an engine is: a small class that turns a clip into patches.

An engine sees no files, no sockets and no colour management. The worker hands it a `Clip`, takes
the `Patch`es that it yields, and does the rest: way back to the plate, paste, grain headers, EXR.
"""

from __future__ import annotations

import abc
import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from void_bridge.job import Job
from void_bridge.pixels.box import Box
from void_bridge.pixels.mattes import PlaneRole

Array = NDArray[np.float32]


@runtime_checkable
class Clip(Protocol):
    """A shot as an engine sees it: an ordered run of frames over one raster.

    Index `i` runs over `range(len(frames))`: the frames that were read, in time order, handles
    included. `wanted` are the indices whose patches are still to be made, ascending: the delivered
    frames, less those that an earlier attempt finished. An engine may look at every frame but
    yields patches for `wanted` alone.
    """

    frames: Sequence[int]
    wanted: Sequence[int]
    height: int
    width: int
    pixel_aspect: float
    exposure: float  # stops that bring the plate to a normal exposure, fixed for the whole job

    def plate(self, index: int, box: Box | None = None) -> Array:
        """Shape [H, W, 3] of `box` (default: the raster). Linear, in the working space, RGB as stored.

        Finite; highlights far above 1 and negatives are normal.
        """
        ...

    def matte(self, role: PlaneRole, index: int, box: Box | None = None) -> Array:
        """Shape [H, W], in [0, 1]. `paste` is what may change; above 0 the engine's pixels show."""
        ...

    def matte_box(self, role: PlaneRole, index: int) -> Box:
        """The smallest box around everything above 0 in a matte; empty where there is nothing."""
        ...


@runtime_checkable
class ModelClip(Clip, Protocol):
    """A clip framed for a model: canvas size, display-like model domain, quadmask, a pre-roll frame at index 0."""

    preroll: bool
    rate: Fraction  # frames a second

    def quadmask(self, index: int) -> NDArray[np.uint8]:
        """Shape [H, W], values 0 object, 63 overlap, 127 affected, 255 keep."""
        ...


@dataclass(frozen=True)
class Patch:
    """New pixels of one frame. Outside `box` the plate stays.

    rgb: shape [box.height, box.width, 3], float32, in the domain of the clip.
    confidence: shape [box.height, box.width], in [0, 1]; 1 means seen in another frame, 0 made up.
    reconstruction: shape as `rgb`: the plate's own way through the engine's model, with nothing removed. What differs
        from it was changed; the rest is the plate's, whose detail then comes back.
    full: shape as `rgb`: what was made, without any of the plate's detail; None where that is `rgb`.
    generated: False where the engine had nothing to change in this frame.
    """

    index: int
    box: Box
    rgb: Array
    confidence: Array | None = None
    reconstruction: Array | None = None
    full: Array | None = None
    generated: bool = True


class Context(Protocol):
    """What the worker offers a running engine."""

    job: Job
    scratch: Path  # a folder of this job that survives a crash; empty at the first attempt
    cache: Path  # a folder that all jobs share, for what is found again by content; may be emptied at any time
    models: Path  # where weights lie
    report: dict[str, object]  # what the job says it did: plain values by name
    headers: dict[str, str]  # what result frames say of their making, by name below void_bridge/; set before a patch

    def progress(self, stage: str, done: int, total: int) -> None:
        """Steps done of a named stage. Raises Cancelled once the job is cancelled: a safe point."""
        ...

    def warn(self, *texts: str) -> None:
        """Add lines to the report's warnings."""
        ...

    def check(self) -> None:
        """A safe point without progress. Raises Cancelled once the job is cancelled."""
        ...

    def preview(self, index: int, rgb_u8: NDArray[np.uint8]) -> None:
        """Show what is in the making. Shape [h, w, 3], display-encoded, a few hundred pixels wide."""
        ...


def rng(seed: int, *keys: object) -> np.random.Generator:
    """A generator for one draw of a job, the same whatever was drawn before it.

    >>> float(rng(7, "grain", 1001).random()) == float(rng(7, "grain", 1001).random())
    True
    """
    digest = hashlib.blake2b(repr((seed, *keys)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


@dataclass(frozen=True)
class EngineNeeds:
    """What an engine asks of a worker before it is given a job."""

    modules: tuple[str, ...] = ()
    gpu: bool = False
    weights: bool = False


class Engine(abc.ABC):
    """One way of making clean frames. Subclass it and register it as an entry point (CONTRIBUTING.md).

    A worker keeps one object of each engine and runs one job at a time on it: what is costly to load may stay.

    domain: "plate" engines get linear pixels at plate resolution, "model" engines a `ModelClip`.
    access: "stream" engines take the wanted frames once, in order; "random" ones look anywhere.
    stages: what share of a job each stage that it reports takes, about; for the time left.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    summary: ClassVar[str]
    needs: ClassVar[EngineNeeds] = EngineNeeds()
    domain: ClassVar[Literal["plate", "model"]] = "plate"
    access: ClassVar[Literal["stream", "random"]] = "random"
    stages: ClassVar[dict[str, float]] = {}

    def missing(self, models: Path, job: Job | None = None) -> str:
        """What it lacks on this machine for a job (without one, to be chosen by `auto`); empty when it is ready.

        models: where weights lie.
        """
        absent = [name for name in self.needs.modules if importlib.util.find_spec(name) is None]
        return ", ".join(absent)

    @abc.abstractmethod
    def run(self, clip: Clip, context: Context) -> Iterator[Patch]:
        """Yield one patch for each index of `clip.wanted`, in that order.

        A model engine is through with its device once it yields the first: the rest is taken while the next job runs.

        Raises:
            Cancelled: at a safe point, after the job was cancelled.
            OutOfMemory: the device or the machine has too little memory for this clip.
            EngineError: anything else that stops this job and not the worker.
        """


@dataclass
class ArrayClip:
    """A clip held in memory, for tests, benches and notebooks.

    plates: shape [T, H, W, 3]; mattes: role -> shape [T, H, W]; a role that is absent is all 0.
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
        return self._cut(self.plates[index], box)

    def matte(self, role: PlaneRole, index: int, box: Box | None = None) -> Array:
        if role in self.mattes:
            return self._cut(self.mattes[role][index], box)
        height, width = (box.height, box.width) if box else (self.height, self.width)
        return np.zeros((height, width), np.float32)

    def matte_box(self, role: PlaneRole, index: int) -> Box:
        rows, columns = np.nonzero(self.matte(role, index) > 0)
        if not len(rows):
            return Box(0, 0, 0, 0)
        return Box(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)

    def _cut(self, image: Array, box: Box | None) -> Array:
        return np.ascontiguousarray(image[box.slices] if box else image, dtype=np.float32)


@dataclass
class SilentContext:
    """A context that nobody watches, for tests, benches and notebooks."""

    job: Job
    scratch: Path
    report: dict[str, object] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    models: Path = Path()

    @property
    def cache(self) -> Path:
        return self.scratch / "cache"

    def progress(self, stage: str, done: int, total: int) -> None:
        pass

    def warn(self, *texts: str) -> None:
        self.report["warnings"] = [*self.report.get("warnings", ()), *texts]  # type: ignore[misc]

    def check(self) -> None:
        pass

    def preview(self, index: int, rgb_u8: NDArray[np.uint8]) -> None:
        pass
