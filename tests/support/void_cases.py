"""Cases that the reference computed, run through the functions of the engine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from gpu_server.engines.void.checkpoint import loading
from gpu_server.engines.void.conditioning import conditioning_latents, encode_mask, encode_plate
from gpu_server.engines.void.denoise import Denoiser, DenoiseSettings, PlainDenoiser, Rotary, denoise, make_guidance
from gpu_server.engines.void.latent_geometry import FRAMES_A_LATENT
from gpu_server.engines.void.latent_windows import reference_windows
from gpu_server.engines.void.text import prompt_embeddings
from gpu_server.engines.void.vae import decode

TOLERANCE = 1e-4
COMMITTED = Path(__file__).parents[1] / "parity/data"
TENSORS = (
    "prompt_embeds",
    "first_window_mask_latents",
    "first_window_video_latents",
    "first_model_output",
    "final_latents",
    "video_out",
)
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """A folder with `case.json`, `input.safetensors` and `reference.safetensors`, and the models folder it is for."""

    folder: Path
    models: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def settings(self) -> dict[str, Any]:
        return json.loads((self.folder / "case.json").read_text())

    def inputs(self) -> Tensors:
        return load_file(self.folder / "input.safetensors")

    def reference(self) -> Tensors:
        return load_file(self.folder / "reference.safetensors")


def find_cases(root: Path) -> list[Case]:
    """Return every case in or below `root`, with the models in the nearest folder `model` above it."""
    return [Case(path.parent, _models(path)) for path in sorted(root.rglob("case.json"))]


def _models(case: Path) -> Path:
    near = (parent / "model" for parent in case.resolve().parents)
    return next((folder for folder in near if folder.is_dir()), case.parents[2] / "model")


def outside_root() -> Path | None:
    """Return `VOID_PARITY_DIR`, or the folder next to the checkout; None if neither exists."""
    named = os.environ.get("VOID_PARITY_DIR")
    beside = Path(__file__).parents[3] / "shared/parity"
    return Path(named) if named else beside if beside.is_dir() else None


@cache
def computed(case: Case) -> Tensors:
    """Return the engine's tensors for a case by the names of the reference's."""
    return dict(_stages(case))


def differences(found: Tensors, reference: Tensors) -> dict[str, float]:
    """Return the largest difference from each tensor of the reference; infinite if missing or of another shape."""
    return {name: _difference(found.get(name), tensor) for name, tensor in reference.items()}


def _difference(found: Tensor | None, reference: Tensor) -> float:
    if found is None or found.shape != reference.shape:
        return float("inf")
    return float((found - reference).abs().max())


def _stages(case: Case) -> Iterator[tuple[str, Tensor]]:
    settings, inputs = case.settings, case.inputs()
    scale = settings["guidance_scale"]
    prompt = _embed(case.models, settings["prompt"])
    yield "prompt_embeds", prompt
    guidance = make_guidance(prompt, _embed(case.models, settings["negative_prompt"]) if scale > 1 else None, scale)

    latents = inputs["initial_latents"]
    overlap = settings["temporal_overlap_frames"] // FRAMES_A_LATENT
    windows = reference_windows(latents.shape[1], _window_latents(settings["window"]), overlap)
    mask, plate = _conditioning(case.models, settings, inputs)
    yield "first_window_mask_latents", mask[:, windows[0].slice]
    yield "first_window_video_latents", plate[:, windows[0].slice]

    transformer = loading.load_transformer(case.models, settings["pass"], _float32)
    denoiser = _Recorded(PlainDenoiser(transformer))
    loop = DenoiseSettings(settings["pass"], settings["steps"], windows, transformer.config.attention_head_dim)
    scheduler = loading.load_scheduler(case.models)
    final = denoise(denoiser, scheduler, latents, conditioning_latents(mask, plate), guidance, loop)
    yield "first_model_output", denoiser.outputs[0]
    yield "final_latents", final
    frames = torch.cat(list(decode(loading.load_vae(case.models, _float32), final)), dim=2)
    yield "video_out", (frames / 2 + 0.5).clamp(0, 1)


def _embed(models: Path, text: str) -> Tensor:
    return prompt_embeddings(loading.load_tokenizer(models), loading.load_text_encoder(models, _float32), text)


def _conditioning(models: Path, settings: dict[str, Any], inputs: Tensors) -> tuple[Tensor, Tensor]:
    vae = loading.load_vae(models, _float32)
    video, masks, draws = inputs["video"] * 2 - 1, inputs["quadmask"].numpy(), inputs["aug_noise"]
    count = video.shape[2]
    mask = encode_mask(vae, lambda a, b: masks[a:b], count, settings["mask_levels"])
    sigma = settings["noise_aug_strength"]
    return mask, encode_plate(vae, lambda a, b: video[:, :, a:b], lambda a, b: draws[:, :, a:b], count, sigma)


def _float32(name: str, tensor: Tensor) -> Tensor:
    return tensor.float()


class _Recorded:
    """A denoiser that records its outputs."""

    def __init__(self, denoiser: Denoiser) -> None:
        self._denoiser = denoiser
        self.outputs: list[Tensor] = []

    def start(self, timesteps: Sequence[int]) -> None:
        self._denoiser.start(timesteps)

    def __call__(self, hidden: Tensor, prompt_embeds: Tensor, timestep: int, rotary: Rotary) -> Tensor:
        output = self._denoiser(hidden, prompt_embeds, timestep, rotary)
        self.outputs = self.outputs or [output]
        return output


def _window_latents(frames: int) -> int:
    """Return the latents of a window of so many frames, rounded down to an even number as in the reference."""
    latents = 1 + (frames - 1) // FRAMES_A_LATENT
    return max(2, latents - latents % 2)
