"""The VOID model as an engine. No module imports torch before a job runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from gpu_server.device import visible_gpus
from gpu_server.engines.base import Clip, Context, Engine, EngineStage, Generated, ModelClip
from gpu_server.engines.void.checkpoint.check import readiness_problem
from gpu_server.engines.void.stages import VoidStage
from void_bridge.job import Job

if TYPE_CHECKING:
    from gpu_server.engines.void.model_manager import ModelManager


class VoidEngine(Engine):
    """The engine that removes an object and its effects on the scene. Its models stay loaded from job to job."""

    name: ClassVar[str] = "void"
    version: ClassVar[str] = "1"
    summary: ClassVar[str] = "runs both passes of the VOID video model; needs its weights, and in practice a GPU"
    modules: ClassVar[tuple[str, ...]] = ("torch", "diffusers", "transformers", "sentencepiece")
    domain: ClassVar[Literal["plate", "model"]] = "model"
    stages: ClassVar[type[EngineStage]] = VoidStage

    def __init__(self) -> None:
        self._models: ModelManager | None = None

    def missing(self, models: Path, job: Job | None = None) -> str:
        """Return what the engine lacks on this machine; see `Engine.missing`."""
        if absent := super().missing(models, job):
            return f"{absent}; install void-bridge[void]"
        if job is None and not visible_gpus():
            return "a GPU"
        return readiness_problem(models, (1, 2) if job and job.passes == "2" else (1,))

    def generate(self, clip: Clip, context: Context) -> Generated:
        """Run both passes as far as they are needed; the patches are then read from scratch disk.

        Raises:
            OutOfMemory: if the smallest memory plan takes too much.
            DeviceLost: if the GPU no longer answers.
            NotFinite: if the model gave NaN or infinity, in a wider precision too.
        """
        from gpu_server.engines.void.device_errors import map_device_errors
        from gpu_server.engines.void.model_manager import ModelManager
        from gpu_server.engines.void.pipeline import VoidPipeline

        with map_device_errors():
            if self._models is None or not self._models.is_current(context.models):
                self._models = None
                self._models = ModelManager(context.models, context.cache / "compiled")
            return VoidPipeline(cast(ModelClip, clip), context, self._models).generate()
