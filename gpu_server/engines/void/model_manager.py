"""The models of one checkpoint on one device, loaded as needed and kept from job to job."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import diffusers
import psutil
import torch
from diffusers import AutoencoderKLCogVideoX
from torch import Tensor

from gpu_server.device import visible_gpus
from gpu_server.engines.void.checkpoint import identity
from gpu_server.engines.void.checkpoint.check import readiness_problem
from gpu_server.engines.void.checkpoint.layout import resolve
from gpu_server.engines.void.checkpoint.loading import load_scheduler, load_text_encoder, load_tokenizer, load_vae
from gpu_server.engines.void.denoise import Denoiser, Scheduler, SequentialGuidance
from gpu_server.engines.void.planner.memory_plans import CONTEXT_BYTES, AvailableMemory, choose_plan, next_smaller_plan
from gpu_server.engines.void.planner.plan import MemoryPlan, PlanRequest
from gpu_server.engines.void.planner.spec import read_spec
from gpu_server.engines.void.precision.denoiser import OptimisedDenoiser, build_denoiser
from gpu_server.engines.void.text import prompt_embeddings, truncated_text
from gpu_server.engines.void.vae import MemorySaving
from void_bridge.errors import DeviceLost
from void_bridge.job import Job

log = logging.getLogger(__name__)

_TYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
_CPU = torch.device("cpu")


class PassKey(NamedTuple):
    """The settings in which loaded transformers differ."""

    number: int
    precision: str
    transformer: str
    attention: str
    step_cache: str

    def fits(self, plan: MemoryPlan) -> bool:
        """Return whether a memory plan keeps such a transformer loaded."""
        return (self.precision, self.transformer) == (plan.precision, plan.transformer)


@dataclass(frozen=True)
class LoadedPass:
    """The transformer of a pass, ready to run.

    Attributes:
        denoiser: runs it.
        head_size: channels of an attention head.
        dtype: the type in which the denoiser takes its input.
    """

    denoiser: Denoiser
    head_size: int
    dtype: torch.dtype


class ModelManager:
    """The models that a worker keeps loaded. One job at a time uses it.

    Args:
        models: folder of the checkpoint.
        compile_cache: folder that keeps compiled code for later processes.

    Attributes:
        device: the GPU, or the CPU where there is none.
        build: the facts on which results depend besides the weights: library versions and the kind of device.
        loaded: the models that the current job has read from disk, in order.

    Raises:
        UnreadableFile: if the checkpoint is not complete.
        DeviceLost: if there is a GPU that torch cannot use.
    """

    def __init__(self, models: Path, compile_cache: Path) -> None:
        self._folder, self._compile_cache = models, compile_cache
        self._fingerprint = _fingerprint(models)
        self.device = _device()
        self._is_cuda = self.device.type == "cuda"
        self._spec = read_spec(models)
        self._vae: AutoencoderKLCogVideoX | None = None
        self._passes: dict[PassKey, OptimisedDenoiser] = {}
        self.loaded: list[str] = []
        name = torch.cuda.get_device_name(self.device) if self._is_cuda else "cpu"
        self.build = f"torch {torch.__version__}, diffusers {diffusers.__version__}, {name}"

    def is_current(self, models: Path) -> bool:
        """Return whether the loaded checkpoint is the one that is in this folder now."""
        return models == self._folder and _fingerprint(models) == self._fingerprint

    def pass_problem(self, number: int) -> str:
        """Return why a pass cannot run, or an empty string if it can."""
        return readiness_problem(self._folder, (number,))

    def weights_hash(self, part: str) -> str:
        """Return the hash of the weights of "vae" or "text_encoder"."""
        return identity.weights_hash(self._folder, part)

    def pass_hash(self, number: int) -> str:
        """Return the hash of the weights of a pass."""
        return identity.weights_hash(self._folder, _pass_name(number))

    def begin_job(self) -> None:
        """Start the list of loaded models anew."""
        self.loaded.clear()

    # --- plans -----------------------------------------------------------------------------------

    def plan(self, request: PlanRequest) -> MemoryPlan:
        """Return the widest memory plan that fits, and unload the models that it does not keep.

        Raises:
            OutOfMemory: if none fits.
            UsageError: if the device does not compute the precision.
        """
        plan = choose_plan(self._spec, request, self._room())
        log.info("plan: %s; %s", plan.name, "; ".join(plan.why))
        kept = {key: denoiser for key, denoiser in self._passes.items() if key.fits(plan)}
        if len(kept) < len(self._passes) or plan.vae == "offloaded":
            self._passes = kept
            self._offload_vae(plan)
            self._release()
        return plan

    def next_smaller_plan(self, request: PlanRequest, failed: MemoryPlan) -> MemoryPlan | None:
        """Return the plan to try after one that ran out of memory, or None if there is none."""
        return next_smaller_plan(self._spec, request, self._room(), failed)

    def unload(self) -> None:
        """Unload all models."""
        self._vae = None
        self._passes.clear()
        self._release()

    def _room(self) -> AvailableMemory:
        """Return the memory that a plan may take: free memory, and memory of the loaded models, which give way."""
        host = psutil.virtual_memory().available + self._host_bytes
        if not self._is_cuda:
            return AvailableMemory(None, host=host)
        free = torch.cuda.mem_get_info(self.device)[0] + torch.cuda.memory_reserved(self.device) + CONTEXT_BYTES
        return AvailableMemory(free, torch.cuda.get_device_capability(self.device), host)

    @property
    def _host_bytes(self) -> int:
        """The host memory of loaded models, about: the system may drop pages of mapped files."""
        vae = sum(tensor.nbytes for tensor in self._vae.parameters() if tensor.device == _CPU) if self._vae else 0
        return vae + sum(denoiser.bytes_on(_CPU) for denoiser in self._passes.values())

    def _release(self) -> None:
        """Free the memory of dropped models, which are cyclic garbage."""
        gc.collect()
        if self._is_cuda:
            torch.cuda.empty_cache()

    # --- models ----------------------------------------------------------------------------------

    @contextmanager
    def vae(self, plan: MemoryPlan) -> Iterator[tuple[AutoencoderKLCogVideoX, MemorySaving]]:
        """Provide the autoencoder on the device, and how it saves memory; then offload it if the plan says so."""
        dtype = _TYPES[plan.activation_precision]
        self._offload_transformers(plan)
        if self._vae is None or self._vae.dtype != dtype:
            self._vae = None
            self._vae = load_vae(self._folder, lambda _, tensor: tensor.to(dtype))
            self.loaded.append("vae")
        try:
            yield self._vae.to(self.device), MemorySaving(**plan.vae_saving)
        finally:
            self._offload_vae(plan)

    @contextmanager
    def denoiser(self, number: int, plan: MemoryPlan, job: Job) -> Iterator[LoadedPass]:
        """Provide the transformer of a pass on the device.

        Raises:
            UsageError: if the attention or step cache is unknown.
            EngineError: if the attention or step cache is not available here.
            UnreadableFile: if the checkpoint is not complete.
        """
        key = PassKey(number, plan.precision, plan.transformer, job.attention, job.step_cache)
        if key not in self._passes:
            self._unload_passes(plan)
            self._passes[key] = self._build(key)
            self.loaded.append(_pass_name(number))
        denoiser = self._passes[key]
        if plan.transformer == "swapped":
            denoiser.to(self.device)
        runs = SequentialGuidance(denoiser) if plan.guidance == "one by one" else denoiser
        try:
            yield LoadedPass(runs, self._spec.transformer.head_size, _TYPES[plan.activation_precision])
        finally:
            denoiser.release()

    def embeddings(self, text: str, plan: MemoryPlan) -> Tensor:
        """Embed a prompt; the text encoder is loaded for it and unloaded. Shape [1, 226, D], on the CPU."""
        self._offload_transformers(plan)
        self.loaded.append("text_encoder")
        values = self._embed(text, plan)
        self._release()
        return values

    def truncated_text(self, text: str) -> str:
        """Return the end of a prompt that the model does not read; see `text.truncated_text`."""
        return truncated_text(load_tokenizer(self._folder), text)

    def scheduler(self) -> Scheduler:
        """Return a new scheduler."""
        return load_scheduler(self._folder)

    def notes(self) -> list[str]:
        """Return one sentence for each thing that was done otherwise than asked."""
        unused = visible_gpus() and not self._is_cuda
        notes = ["torch was built without CUDA: the model ran on the CPU"] if unused else []
        return notes + [note for denoiser in self._passes.values() for note in denoiser.notes]

    def _embed(self, text: str, plan: MemoryPlan) -> Tensor:
        """Embed a prompt. The encoder is a local, so that it is garbage when this returns."""
        device, dtype = self.device if plan.text_encoder == "device" else _CPU, _TYPES[plan.activation_precision]
        encoder = load_text_encoder(self._folder, lambda _, tensor: tensor.to(device, dtype))
        return prompt_embeddings(load_tokenizer(self._folder), encoder, text)

    def _build(self, key: PassKey) -> OptimisedDenoiser:
        return build_denoiser(
            self._folder,
            key.number,
            precision=key.precision,
            device=self.device,
            attention=key.attention,
            step_cache=key.step_cache,
            compiled=self._is_cuda,
            compile_cache=self._compile_cache,
            offload="blocks" if key.transformer == "blocks" else "none",
        )

    def _unload_passes(self, plan: MemoryPlan) -> None:
        """Unload transformers before another is loaded, so that the plan's count is kept; the oldest go first."""
        others = plan.passes_kept - 1
        kept = [(key, denoiser) for key, denoiser in self._passes.items() if key.fits(plan)]
        self._passes = dict(kept[-others:] if others else ())
        self._release()

    def _offload_transformers(self, plan: MemoryPlan) -> None:
        """Move transformers to host memory if the plan swaps; without a GPU, unload them."""
        if plan.transformer != "swapped":
            return
        if self._is_cuda:
            for denoiser in self._passes.values():
                denoiser.to(_CPU)
        else:
            self._passes.clear()
        self._release()

    def _offload_vae(self, plan: MemoryPlan) -> None:
        """Move the autoencoder to host memory if the plan says so; without a GPU, unload it."""
        if plan.vae == "offloaded" and self._vae is not None:
            self._vae = self._vae.to(_CPU) if self._is_cuda else None


def _pass_name(number: int) -> str:
    """Return the name of a pass's weights, as `checkpoint.identity` and the report have it."""
    return f"pass {number}"


def _device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda:0")
    if visible_gpus() and torch.version.cuda:
        raise DeviceLost(
            f"there is a GPU, but torch cannot use it: compare what nvidia-smi shows with CUDA {torch.version.cuda} of"
            " torch, or set CUDA_VISIBLE_DEVICES to nothing to run without a GPU"
        )
    return _CPU


def _fingerprint(models: Path) -> tuple[object, ...]:
    """Return a value that differs after a weight or configuration file has changed."""
    layout = resolve(models)
    files = [layout.pass_file(1), layout.pass_file(2)]
    for part in ("transformer", "vae", "text_encoder"):
        files += [layout.config_file(part), *layout.weight_files(part)]
    facts = ((path, path.stat()) for path in files if path.exists())
    return tuple((str(path), found.st_ino, found.st_size, found.st_mtime_ns) for path, found in facts)
