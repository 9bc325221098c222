"""The VOID model as an engine. Nothing here loads torch before a job runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from gpu_server.device import visible_gpus
from gpu_server.engines.base import Clip, Context, Engine, EngineNeeds, Generated, ModelClip
from gpu_server.engines.void.checkpoint.check import readiness_problem
from void_bridge.job import Job

if TYPE_CHECKING:
    from gpu_server.engines.void.model_manager import ModelManager


class VoidEngine(Engine):
    """Removes the object and what it did to the scene. Its models stay loaded from job to job."""

    name: ClassVar[str] = "void"
    version: ClassVar[str] = "1"
    summary: ClassVar[str] = "the VOID video model, both passes; needs its weights, and a GPU to be of use"
    needs: ClassVar[EngineNeeds] = EngineNeeds(
        ("torch", "diffusers", "transformers", "sentencepiece"), gpu=True, weights=True
    )
    domain: ClassVar[Literal["plate", "model"]] = "model"
    stages: ClassVar[dict[str, float]] = {
        "look": 0.02,
        "trip": 0.06,
        "mask": 0.02,
        "encode": 0.02,
        "prompt": 0.02,
        "pass 1": 0.4,
        "decode 1": 0.04,
        "morph check": 0.02,
        "flow": 0.02,
        "pass 2": 0.4,
        "decode 2": 0.04,
        "deliver": 0.02,
    }

    def __init__(self) -> None:
        self._session: ModelManager | None = None

    def missing(self, models: Path, job: Job | None = None) -> str:
        if absent := super().missing(models, job):
            return f"{absent}, which pip install 'void-bridge[void]' brings"
        if job is None and not visible_gpus():
            return "a GPU"
        return readiness_problem(models, (1, 2) if job and job.passes == "2" else (1,))

    def generate(self, clip: Clip, context: Context) -> Generated:
        """Run the model; the patches are then read from disk."""
        from gpu_server.engines.void.fallback import map_device_errors
        from gpu_server.engines.void.model_manager import ModelManager
        from gpu_server.engines.void.pipeline import VoidPipeline

        with map_device_errors():
            if self._session is None or not self._session.is_of(context.models):
                self._session = None
                self._session = ModelManager(context.models, context.cache / "compiled")
            return VoidPipeline(cast(ModelClip, clip), context, self._session).generate()
