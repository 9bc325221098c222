"""The models of one checkpoint on one device, loaded once and kept from job to job."""

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
from gpu_server.engines.void.checkpoint.check import readiness_problem
from gpu_server.engines.void.checkpoint.identity import weights_hash
from gpu_server.engines.void.checkpoint.layout import resolve
from gpu_server.engines.void.checkpoint.loading import load_scheduler, load_text_encoder, load_tokenizer, load_vae
from gpu_server.engines.void.denoise import Denoiser, Scheduler
from gpu_server.engines.void.planner.memory_plans import CONTEXT_BYTES, AvailableMemory, choose_plan, next_smaller_plan
from gpu_server.engines.void.planner.plan import MemoryPlan, Request
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
    """What tells one loaded transformer from another."""

    number: int
    precision: str
    transformer: str
    attention: str
    step_cache: str


@dataclass(frozen=True)
class LoadedPass:
    """head_size: channels of an attention head. dtype: in which the denoiser takes its input."""

    denoiser: Denoiser
    head_size: int
    dtype: torch.dtype


class ModelManager:
    """What a worker keeps loaded. One job at a time uses it.

    build: what the numbers depend on besides the weights: library versions and the kind of device.
    loaded: the models that the job has read from disk, in order; whoever begins one clears it.
    """

    def __init__(self, models: Path, compile_cache: Path) -> None:
        """
        Raises:
            UnreadableFile: the models folder is not whole.
            DeviceLost: there is a GPU that torch cannot use.
        """
        self._models, self._compile_cache = models, compile_cache
        self._stamp = _stamp(models)
        self.device = _device()
        self._spec = read_spec(models)
        self._vae: AutoencoderKLCogVideoX | None = None
        self._passes: dict[PassKey, OptimisedDenoiser] = {}
        self.loaded: list[str] = []
        name = torch.cuda.get_device_name(self.device) if self._is_cuda else "cpu"
        self.build = f"torch {torch.__version__}, diffusers {diffusers.__version__}, {name}"

    def is_of(self, models: Path) -> bool:
        """Whether what is loaded is what lies in this folder now."""
        return models == self._models and _stamp(models) == self._stamp

    def missing_pass(self, number: int) -> str:
        return readiness_problem(self._models, (number,))

    def identity(self, part: str) -> str:
        """Of the weights of `vae`, `text_encoder`, `pass 1` or `pass 2`."""
        return weights_hash(self._models, part)

    # --- plans -----------------------------------------------------------------------------------

    def plan(self, request: Request) -> MemoryPlan:
        """The widest plan that there is room for. What an earlier one left loaded and this one does not keep, goes.

        Raises OutOfMemory, UsageError: see `planner.memory_plans.choose_plan`.
        """
        plan = choose_plan(self._spec, request, self._room())
        log.info("plan: %s; %s", plan.name, "; ".join(plan.why))
        kept = {key: held for key, held in self._passes.items() if _is_of_kind(key, plan)}
        if len(kept) < len(self._passes) or plan.vae == "offloaded":
            self._passes = kept
            self._put_vae_away(plan)
            self._release()
        return plan

    def next_plan(self, request: Request, failed: MemoryPlan) -> MemoryPlan | None:
        return next_smaller_plan(self._spec, request, self._room(), failed)

    def _room(self) -> AvailableMemory:
        """What a plan may take: what is free, what this session holds, which it gives up, and CUDA's own context."""
        free_host = psutil.virtual_memory().available + self._host_bytes
        if not self._is_cuda:
            return AvailableMemory(None, host=free_host)
        free = torch.cuda.mem_get_info(self.device)[0] + torch.cuda.memory_reserved(self.device) + CONTEXT_BYTES
        return AvailableMemory(free, torch.cuda.get_device_capability(self.device), free_host)

    @property
    def _host_bytes(self) -> int:
        """What the session itself keeps in the machine's memory, about: of mapped files, the system may drop pages."""
        vae = sum(tensor.nbytes for tensor in self._vae.parameters() if tensor.device == _CPU) if self._vae else 0
        return vae + sum(denoiser.bytes_on(_CPU) for denoiser in self._passes.values())

    def drop(self) -> None:
        """Let everything go."""
        self._vae = None
        self._passes.clear()
        self._release()

    def _release(self) -> None:
        """Give back what nothing refers to any more; models refer to themselves in circles."""
        gc.collect()
        if self._is_cuda:
            torch.cuda.empty_cache()

    @property
    def _is_cuda(self) -> bool:
        return self.device.type == "cuda"

    # --- models ----------------------------------------------------------------------------------

    @contextmanager
    def vae(self, plan: MemoryPlan) -> Iterator[tuple[AutoencoderKLCogVideoX, MemorySaving]]:
        """The autoencoder on the device, and how to use it; afterwards it is put away where the plan says so."""
        dtype = _TYPES[plan.wide]
        self._put_transformers_away(plan)
        if self._vae is None or self._vae.dtype != dtype:
            self._vae = None
            self._vae = load_vae(self._models, lambda _, tensor: tensor.to(dtype))
            self.loaded.append("vae")
        try:
            yield self._vae.to(self.device), MemorySaving(**plan.vae_saving)
        finally:
            self._put_vae_away(plan)

    @contextmanager
    def denoiser(self, number: int, plan: MemoryPlan, job: Job) -> Iterator[LoadedPass]:
        """The transformer of a pass on the device.

        Raises:
            UsageError, EngineError: attention or step cache that is not known, or not to be had here.
            UnreadableFile: the checkpoint is not whole.
        """
        key = PassKey(number, plan.precision, plan.transformer, job.attention, job.step_cache)
        if key not in self._passes:
            self._make_room(plan)
            self._passes[key] = self._built(key)
            self.loaded.append(f"pass {number}")
        denoiser = self._passes[key]
        if plan.transformer == "swapped":
            denoiser.to(self.device)
        dtype = torch.float32 if plan.precision == "float32" else torch.bfloat16
        alone = plan.guidance == "one by one"
        try:
            yield LoadedPass(
                SequentialGuidance(denoiser) if alone else denoiser, self._spec.transformer.head_size, dtype
            )
        finally:
            denoiser.rest()

    def notes(self) -> list[str]:
        """What went otherwise than asked, a sentence each."""
        unused = (
            ["torch was built without CUDA: the model ran on the CPU"] if visible_gpus() and not self._is_cuda else []
        )
        return unused + [note for denoiser in self._passes.values() for note in denoiser.notes]

    def embeddings(self, text: str, plan: MemoryPlan) -> Tensor:
        """Shape [1, 226, D], on the CPU. The text encoder leaves again."""
        self._put_transformers_away(plan)
        self.loaded.append("text_encoder")
        values = self._embedded(text, plan)
        self._release()
        return values

    def truncated_text(self, text: str) -> str:
        """The end of a prompt that the model does not read; '' where it reads all of it."""
        return truncated_text(load_tokenizer(self._models), text)

    def scheduler(self) -> Scheduler:
        return load_scheduler(self._models)

    def _embedded(self, text: str, plan: MemoryPlan) -> Tensor:
        device = self.device if plan.text_encoder == "device" else _CPU
        dtype = _TYPES[plan.wide]
        encoder = load_text_encoder(self._models, lambda _, tensor: tensor.to(device, dtype))
        return prompt_embeddings(load_tokenizer(self._models), encoder, text)

    def _built(self, key: PassKey) -> OptimisedDenoiser:
        return build_denoiser(
            self._models,
            key.number,
            precision=key.precision,
            device=self.device,
            attention=key.attention,
            step_cache=key.step_cache,
            compiled=self._is_cuda,
            compile_cache=self._compile_cache,
            offload="blocks" if key.transformer == "blocks" else "none",
        )

    def _make_room(self, plan: MemoryPlan) -> None:
        """Before a transformer is loaded: keep the last ones, as many as the plan keeps beside it."""
        beside = plan.passes_kept - 1
        kept = [(key, held) for key, held in self._passes.items() if _is_of_kind(key, plan)]
        self._passes = dict(kept[-beside:] if beside else ())
        self._release()

    def _put_transformers_away(self, plan: MemoryPlan) -> None:
        """Where the plan swaps: a transformer waits in the machine's memory; without a GPU, on disk."""
        if plan.transformer != "swapped":
            return
        for denoiser in self._passes.values() if self._is_cuda else ():
            denoiser.to(_CPU)
        if not self._is_cuda:
            self._passes.clear()
        self._release()

    def _put_vae_away(self, plan: MemoryPlan) -> None:
        if plan.vae != "offloaded" or self._vae is None:
            return
        self._vae = self._vae.to(_CPU) if self._is_cuda else None


class SequentialGuidance:
    """A `Denoiser` whose batch runs one after the other: half the activations of a guided step."""

    def __init__(self, denoiser: Denoiser) -> None:
        self._denoiser = denoiser

    def start(self, timesteps: list[int]) -> None:
        self._denoiser.start(timesteps)

    def __call__(self, hidden: Tensor, prompt_embeds: Tensor, timestep: int, rotary: tuple[Tensor, Tensor]) -> Tensor:
        halves = zip(hidden.split(1), prompt_embeds.split(1), strict=True)
        return torch.cat([self._denoiser(one, embeds, timestep, rotary) for one, embeds in halves])


def _is_of_kind(key: PassKey, plan: MemoryPlan) -> bool:
    return (key.precision, key.transformer) == (plan.precision, plan.transformer)


def _device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda:0")
    if visible_gpus() and torch.version.cuda:
        raise DeviceLost(
            f"there is a GPU, but torch cannot use it: compare what nvidia-smi shows with CUDA {torch.version.cuda} of"
            " torch, or set CUDA_VISIBLE_DEVICES to nothing to run without a GPU"
        )
    return _CPU


def _stamp(models: Path) -> tuple[object, ...]:
    """Changes when a weight file or a configuration does."""
    layout = resolve(models)
    files = [layout.pass_file(1), layout.pass_file(2)]
    for part in ("transformer", "vae", "text_encoder"):
        files += [layout.config_file(part), *layout.weight_files(part)]
    facts = ((path, path.stat()) for path in files if path.exists())
    return tuple((str(path), found.st_ino, found.st_size, found.st_mtime_ns) for path, found in facts)
