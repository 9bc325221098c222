"""What a submission asks of a farm, whichever it is."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Dict, Literal, Optional, Tuple

from void_bridge.errors import UsageError
from void_bridge.frames import FrameRange

Runner = Literal["command", "adaptor"]

GPU_MEMORY_GB = 24.0


@dataclass(frozen=True)
class CompRender:
    """The artist's comp, rendered by Nuke once the shots are done. write: name of a Write node; empty: all of them."""

    script: str
    frames: FrameRange
    write: str = ""
    nuke: str = "nuke"


@dataclass(frozen=True)
class FarmOptions:
    """name: of the farm's job; empty: that of its shots. pool: pool, queue or tag, in the farm's own words.

    priority: 0 to 100, the highest goes first; each back end turns it into its own scale.
    gpus, gpu_memory_gb: of a host for shots of the void engine; 0 GPUs: any host. memory_gb: of a host; 0: any.
    chunk: frames a task, for engines that can be cut; 0: one task a shot. depends_on: jobs of the same back end.
    runner: what tasks run, the command line or the adaptor. parameters: values for those of the template.
    detach: a farm that is this machine runs the job in the background.
    """

    name: str = ""
    pool: str = ""
    priority: int = 50
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
            ("priority", self.priority, 100),
            ("gpus", self.gpus, 64),
            ("gpu-memory", self.gpu_memory_gb, 1024),
            ("memory", self.memory_gb, 65536),
            ("chunk", self.chunk, 1_000_000),
        ):
            if not 0 <= value <= high:
                raise UsageError(f"got {name} {value:g}, expected 0 to {high}")

    def replace(self, **changes: object) -> FarmOptions:
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]
