"""The models of one checkpoint on one device, loaded once and kept from job to job."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import diffusers
import psutil
import torch
from diffusers import AutoencoderKLCogVideoX
from torch import Tensor

from gpu_server.engines.void.checkpoint.check import is_ready
from gpu_server.engines.void.checkpoint.identity import weights_hash
from gpu_server.engines.void.checkpoint.layout import resolve
from gpu_server.engines.void.checkpoint.loading import load_scheduler, load_text_encoder, load_tokenizer, load_vae
from gpu_server.engines.void.denoise import Denoiser, Scheduler
from gpu_server.engines.void.planner.ladder import Room, choose, next_rung
from gpu_server.engines.void.planner.plan import Plan, Request
from gpu_server.engines.void.planner.spec import read_spec
from gpu_server.engines.void.precision.denoiser import OptimisedDenoiser, build_denoiser
from gpu_server.engines.void.text import cut_words, prompt_embeddings
from gpu_server.engines.void.vae import Saving
from void_bridge.job import Job

log = logging.getLogger(__name__)

_TYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class LoadedPass:
    """head_size: channels of an attention head. dtype: in which the denoiser takes its input."""

    denoiser: Denoiser
    head_size: int
    dtype: torch.dtype


class Session:
    """What a worker keeps loaded. One job at a time uses it.

    build: what the numbers depend on besides the weights: library versions and the kind of device.
    """

    def __init__(self, models: Path, compile_cache: Path) -> None:
        """Raises UnreadableFile: the models folder is not whole."""
        self._models, self._compile_cache = models, compile_cache
        self._stamp = _stamp(models)
        self.device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
        self._spec = read_spec(models)
        self._vae: AutoencoderKLCogVideoX | None = None
        self._passes: dict[tuple[object, ...], OptimisedDenoiser] = {}
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"
        self.build = f"torch {torch.__version__}, diffusers {diffusers.__version__}, {name}"

    def is_of(self, models: Path) -> bool:
        """Whether what is loaded is what lies in this folder now."""
        return models == self._models and _stamp(models) == self._stamp

    def missing_pass(self, number: int) -> str:
        return is_ready(self._models, (number,))

    def identity(self, part: str) -> str:
        """Of the weights of `vae`, `text_encoder`, `pass 1` or `pass 2`."""
        return weights_hash(self._models, part)

    # --- plans -----------------------------------------------------------------------------------

    def plan(self, request: Request) -> Plan:
        """Raises OutOfMemory, UsageError: see `planner.ladder.choose`."""
        plan = choose(self._spec, request, self._room())
        log.info("plan: %s; %s", plan.name, "; ".join(plan.why))
        return plan

    def next_plan(self, request: Request, failed: Plan) -> Plan | None:
        return next_rung(self._spec, request, self._room(), failed)

    def _room(self) -> Room:
        free_host = psutil.virtual_memory().available + self._host_bytes
        if self.device.type != "cuda":
            return Room(None, host=free_host)
        free = torch.cuda.mem_get_info(self.device)[0] + torch.cuda.memory_reserved(self.device)
        return Room(free, torch.cuda.get_device_capability(self.device), free_host)

    @property
    def _host_bytes(self) -> int:
        """What the session itself keeps in the machine's memory, about: all of it where that is the device."""
        if self.device.type != "cpu" and self._vae is not None and self._vae.device.type != "cpu":
            return 0
        vae = sum(tensor.nbytes for tensor in self._vae.parameters()) if self._vae else 0
        return vae + sum(denoiser.bytes for denoiser in self._passes.values())

    def drop(self) -> None:
        """Let everything go."""
        self._vae = None
        self._passes.clear()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    # --- models ----------------------------------------------------------------------------------

    @contextmanager
    def vae(self, plan: Plan) -> Iterator[tuple[AutoencoderKLCogVideoX, Saving]]:
        """The autoencoder on the device, and how to use it; offloaded behind the block where the plan says so."""
        dtype = _TYPES[plan.wide]
        if self._vae is None or self._vae.dtype != dtype:
            self._vae = load_vae(self._models, lambda _, tensor: tensor.to(dtype))
        self._swap(plan, _CPU)
        try:
            yield self._vae.to(self.device), Saving(**plan.vae_saving)
        finally:
            if plan.vae == "offloaded":
                self._vae.to(_CPU)

    @contextmanager
    def denoiser(self, number: int, plan: Plan, job: Job) -> Iterator[LoadedPass]:
        """The transformer of a pass on the device.

        Raises:
            UsageError, EngineError: attention or step cache that is not known, or not to be had here.
            UnreadableFile: the checkpoint is not whole.
        """
        key = (number, plan.precision, plan.transformer, job.attention, job.step_cache)
        if key not in self._passes:
            self._make_room(plan)
            self._passes[key] = self._built(number, plan, job)
        denoiser = self._passes[key]
        self._swap(plan, self.device)
        dtype = torch.float32 if plan.precision == "float32" else torch.bfloat16
        alone = plan.guidance == "one by one"
        yield LoadedPass(OneByOne(denoiser) if alone else denoiser, self._spec.transformer.head_size, dtype)

    def notes(self) -> list[str]:
        """What went otherwise than asked, a sentence each."""
        return [note for denoiser in self._passes.values() for note in denoiser.notes]

    def _built(self, number: int, plan: Plan, job: Job) -> OptimisedDenoiser:
        return build_denoiser(
            self._models,
            number,
            precision=plan.precision,
            device=self.device,
            attention=job.attention,
            step_cache=job.step_cache,
            compiled=self.device.type == "cuda",
            compile_cache=self._compile_cache,
            offload="blocks" if plan.transformer == "blocks" else "none",
        )

    def _make_room(self, plan: Plan) -> None:
        """Before a transformer is loaded: keep those that the plan keeps beside it, of its own kind."""
        kept = {key: held for key, held in self._passes.items() if key[1:3] == (plan.precision, plan.transformer)}
        self._passes = dict(list(kept.items())[-(plan.passes_kept - 1) :]) if plan.passes_kept > 1 else {}
        gc.collect()

    def _swap(self, plan: Plan, where: torch.device) -> None:
        if plan.transformer == "swapped" and self.device.type == "cuda":
            for denoiser in self._passes.values():
                denoiser.to(where)

    def embeddings(self, text: str, plan: Plan) -> Tensor:
        """Shape [1, 226, D], on the CPU. The text encoder leaves again."""
        device = self.device if plan.text_encoder == "device" else _CPU
        dtype = _TYPES[plan.wide]
        self._swap(plan, _CPU)
        encoder = load_text_encoder(self._models, lambda _, tensor: tensor.to(device, dtype))
        return prompt_embeddings(load_tokenizer(self._models), encoder, text).values

    def cut_words(self, text: str) -> str:
        """The end of a prompt that the model does not read; '' where it reads all of it."""
        return cut_words(load_tokenizer(self._models), text)

    def scheduler(self) -> Scheduler:
        return load_scheduler(self._models)


class OneByOne:
    """A `Denoiser` whose batch runs one after the other: half the activations of a guided step."""

    def __init__(self, denoiser: Denoiser) -> None:
        self._denoiser = denoiser

    def start(self, timesteps: list[int]) -> None:
        self._denoiser.start(timesteps)

    def __call__(self, hidden: Tensor, prompt_embeds: Tensor, timestep: int, rotary: tuple[Tensor, Tensor]) -> Tensor:
        halves = zip(hidden.split(1), prompt_embeds.split(1), strict=True)
        return torch.cat([self._denoiser(one, embeds, timestep, rotary) for one, embeds in halves])


def _stamp(models: Path) -> tuple[object, ...]:
    """Changes when a weight file does."""
    layout = resolve(models)
    files = [
        layout.pass_file(1),
        layout.pass_file(2),
        *layout.weight_files("vae"),
        *layout.weight_files("text_encoder"),
    ]
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.exists())
