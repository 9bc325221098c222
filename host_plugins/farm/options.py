"""The options of a submission, common to all farms."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Dict, Literal, Optional, Tuple

from void_bridge.errors import UsageError
from void_bridge.frames import FrameRange
from void_bridge.options import PRIORITY, PRIORITY_MAX

Runner = Literal["command", "adaptor"]

GPU_MEMORY_GB = 24.0


@dataclass(frozen=True)
class CompRender:
    """A comp that Nuke renders once the shots are done.

    Attributes:
        script: the Nuke script.
        frames: the frames to render.
        write: the name of a Write node; empty renders all of them.
        nuke: the command that starts Nuke on a worker.
    """

    script: str
    frames: FrameRange
    write: str = ""
    nuke: str = "nuke"


@dataclass(frozen=True)
class FarmOptions:
    """The options of one submission.

    Attributes:
        name: the name of the farm's job; empty takes the names of its shots.
        pool: pool, queue or tag, in the farm's own terms.
        priority: 0 to 100, highest first; each back end converts it to its own scale.
        gpus: GPUs of a host for shots of the void engine; 0 allows any host.
        gpu_memory_gb: memory of each of those GPUs, in GB.
        memory_gb: memory of a host, in GB; 0 allows any.
        chunk: frames in a task, for engines whose shots can be cut; 0 makes one task of a shot.
        comment: a comment that the render manager shows.
        depends_on: ids of jobs of the same farm to wait for.
        runner: what tasks run, the command line or the adaptor.
        parameters: values for parameters of the template.
        comp: a comp that is rendered afterwards.
        detach: whether a farm on this machine runs the job in the background.

    Raises:
        UsageError: a number is out of range.
    """

    name: str = ""
    pool: str = ""
    priority: int = PRIORITY
    gpus: int = 1
    gpu_memory_gb: float = GPU_MEMORY_GB
    memory_gb: float = 0.0
    chunk: int = 0
    comment: str = ""
    depends_on: Tuple[str, ...] = ()
    runner: Runner = "command"
    parameters: Dict[str, str] = field(default_factory=dict)
    comp: Optional[CompRender] = None
    detach: bool = False

    def __post_init__(self) -> None:
        for name, value, high in (
            ("priority", self.priority, PRIORITY_MAX),
            ("gpus", self.gpus, 64),
            ("gpu-memory", self.gpu_memory_gb, 1024),
            ("memory", self.memory_gb, 65536),
            ("chunk", self.chunk, 1_000_000),
        ):
            if not 0 <= value <= high:
                raise UsageError(f"got {name} {value:g}, expected 0 to {high}")

    def replace(self, **changes: object) -> FarmOptions:
        """Return a copy with some values changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]
