"""The stages of one job on the model: encode, denoise, decode.

The results of encoders and passes are cached on disk under keys made from all that they depend on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpu_server.engines.base import Array, Context
from gpu_server.engines.void.cache import ContentCache, content_key
from gpu_server.engines.void.conditioning import conditioning_latents, encode_mask, encode_plate
from gpu_server.engines.void.denoise import DenoiseSettings, OnStep, denoise, make_guidance
from gpu_server.engines.void.flow import Flow
from gpu_server.engines.void.latent_geometry import FRAMES_A_LATENT, latent_shape
from gpu_server.engines.void.latent_windows import equal_windows
from gpu_server.engines.void.model_inputs import ModelInputs
from gpu_server.engines.void.model_manager import ModelManager
from gpu_server.engines.void.noise import initial_latents, plate_noise
from gpu_server.engines.void.planner.plan import MemoryPlan, guidance_scale
from gpu_server.engines.void.stages import VoidStage
from gpu_server.engines.void.vae import decode, encode
from gpu_server.engines.void.warped_noise import flow_sequence, warped_noise
from gpu_server.frame_files import FrameFiles
from void_bridge.errors import NotFinite

NEGATIVE_PROMPT = ""
_PASS_STAGES = {1: VoidStage.PASS_1, 2: VoidStage.PASS_2}
_PREVIEWS_A_PASS = 6
_STEPS_BETWEEN_PREVIEWS = 3
"""The fewest: a preview costs about 3 % of a step."""

Chunk = TypeVar("Chunk", Tensor, NDArray[np.uint8])


@dataclass(frozen=True)
class Latents:
    """A cached tensor.

    Attributes:
        values: shape [1, t, C, h, w] (of a prompt [1, 226, D]), float32, on the CPU.
        key: of the cache.
    """

    values: Tensor
    key: str


class CachedStages:
    """The stages of one job under one memory plan. A stage whose result is cached does not run.

    Every method raises Cancelled once the job is cancelled, and NotFinite if the model gave NaN or infinity; what the
    device raises comes through.

    Args:
        models: the loaded models.
        plan: where and in which precision they run.
        inputs: the frames and quadmasks of the shot.
        context: of the job.
        flow: optical flow, for the noise of pass 2.
    """

    def __init__(
        self, models: ModelManager, plan: MemoryPlan, inputs: ModelInputs, context: Context, flow: Flow
    ) -> None:
        self._models, self._plan, self._inputs, self._context = models, plan, inputs, context
        self._job, self._flow = context.job, flow
        self._cache = ContentCache(context.cache)
        self._vae_key = content_key(
            models.weights_hash("vae"), models.build, plan.activation_precision, plan.vae_saving
        )
        self._latent_size = latent_shape(inputs.size)

    def plate_latents(self) -> Latents:
        """Encode the plate without the noise that conditions the model."""

        def compute() -> Tensor:
            frames = self._reporting(VoidStage.RECONSTRUCTION, self._inputs.frames)
            with self._models.vae(self._plan) as (vae, saving):
                return encode(vae, frames, self._inputs.count, saving)

        return self._cached("the plate's latents", content_key("trip", self._inputs.plate_key, self._vae_key), compute)

    def pass_1(self) -> Latents:
        """Denoise pass 1 from noise."""
        count = self._inputs.timeline.latents
        return self._pass(1, lambda: initial_latents(self._job.seed, count, self._latent_size), "noise")

    def pass_2(self, first: Latents, frames: Callable[[int], Array]) -> Latents:
        """Denoise pass 2 from noise that is warped along the flow of pass 1's result.

        Args:
            first: the latents of pass 1.
            frames: its frames by position in `timeline.sampled`; shape [H, W, 3], in the model domain.
        """
        return self._pass(2, lambda: self._warped_noise(frames), f"{first.key} {self._flow.name}")

    def decode(self, latents: Latents, stage: VoidStage, folder: Path, dtype: type[np.floating]) -> FrameFiles:
        """Decode the sampled frames to a folder, in the model domain; padding is dropped."""
        files = FrameFiles(folder, *self._inputs.size, dtype)
        count = len(self._inputs.timeline.sampled)
        with self._models.vae(self._plan) as (vae, saving):
            for position, frame in enumerate(_frames(decode(vae, latents.values, saving))):
                self._context.progress(stage, position, count)
                if position == count:
                    break
                if not np.isfinite(frame).all():
                    raise self._not_finite(f"{stage.value}, frame {position + 1} of {count}")
                files.put(position, frame)
        return files

    def _pass(self, number: int, make_noise: Callable[[], Tensor], noise_key: str) -> Latents:
        job, scale = self._job, guidance_scale(self._job.guidance, number)
        mask, plate = self._mask(), self._conditioning_plate()
        requested = (job.prompt, NEGATIVE_PROMPT, scale, job.steps, job.seed)
        computation = (
            self._models.pass_hash(number),
            self._models.build,
            self._plan.precision,
            self._plan.guidance if scale > 1 else "",
            job.attention,
            job.step_cache,
        )
        key = content_key("pass", number, requested, computation, mask.key, plate.key, noise_key)
        conditioning = conditioning_latents(mask.values, plate.values)
        return self._cached(_PASS_STAGES[number], key, lambda: self._denoise(number, scale, make_noise(), conditioning))

    def _denoise(self, number: int, scale: float, noise: Tensor, conditioning: Tensor) -> Tensor:
        prompt = self._embeddings(self._job.prompt)
        negative = self._embeddings(NEGATIVE_PROMPT) if scale > 1 else None
        with self._models.denoiser(number, self._plan, self._job) as model:
            settings = DenoiseSettings(
                number,
                self._job.steps,
                equal_windows(noise.shape[1]),
                model.head_size,
                self._models.device,
                model.dtype,
            )
            return denoise(
                model.denoiser,
                self._models.scheduler(),
                noise.to(self._models.device),
                conditioning,
                make_guidance(prompt, negative, scale),
                settings,
                self._on_step(_PASS_STAGES[number]),
            )

    def _on_step(self, stage: VoidStage) -> OnStep:
        every = max(_STEPS_BETWEEN_PREVIEWS, -(-self._job.steps // _PREVIEWS_A_PASS))

        def on_step(done: int, steps: int, estimate: Tensor) -> None:
            self._context.progress(stage, done, steps)
            if done % every == 0 and self._plan.vae == "device":
                self._preview(estimate)

        return on_step

    def _preview(self, estimate: Tensor) -> None:
        """Show the middle frame of the shot as it is estimated so far."""
        middle = estimate.shape[1] // 2
        with self._models.vae(self._plan) as (vae, saving):
            (frame,) = _frames(decode(vae, estimate[:, middle : middle + 1], saving))
        sampled = self._inputs.timeline.sampled
        index = sampled[min(middle * FRAMES_A_LATENT, len(sampled) - 1)]
        self._context.preview(index, np.clip(np.nan_to_num(frame) * 255 + 0.5, 0, 255).astype(np.uint8))

    def _warped_noise(self, frames: Callable[[int], Array]) -> Tensor:
        timeline = self._inputs.timeline

        def in_order() -> Iterator[Array]:
            for done, position in enumerate(timeline.order):
                self._context.progress(VoidStage.FLOW, done, len(timeline.order))
                yield frames(position)

        flows = flow_sequence(in_order(), self._flow)
        return torch.from_numpy(warped_noise(flows, timeline.latents, self._latent_size, self._job.seed))[None]

    def _embeddings(self, text: str) -> Tensor:
        key = content_key(
            "prompt",
            text,
            self._models.weights_hash("text_encoder"),
            self._models.build,
            self._plan.text_encoder,
            self._plan.activation_precision,
        )

        def compute() -> Tensor:
            self._context.progress(VoidStage.PROMPT, 0, 1)
            return self._models.embeddings(text, self._plan)

        return self._cached("the prompt", key, compute).values

    def _mask(self) -> Latents:
        def compute() -> Tensor:
            quadmasks = self._reporting(VoidStage.MASK, self._inputs.quadmasks)
            with self._models.vae(self._plan) as (vae, saving):
                return encode_mask(vae, quadmasks, self._inputs.count, "three", saving)

        return self._cached(
            "the quadmask's latents", content_key("mask", self._inputs.mask_key, self._vae_key), compute
        )

    def _conditioning_plate(self) -> Latents:
        """Encode the plate with the noise that conditions the model."""
        seed, size = self._job.seed, self._inputs.size

        def compute() -> Tensor:
            frames, noise = (
                self._reporting(VoidStage.ENCODE, self._inputs.frames),
                partial(plate_noise, seed, size=size),
            )
            with self._models.vae(self._plan) as (vae, saving):
                return encode_plate(vae, frames, noise, self._inputs.count, saving=saving)

        key = content_key("plate", self._inputs.plate_key, seed, self._vae_key)
        return self._cached("the plate's latents with noise", key, compute)

    def _cached(self, name: str, key: str, compute: Callable[[], Tensor]) -> Latents:
        """Return the cached tensor, or compute and cache it. `name` is for messages."""
        found = self._cache.get(key)
        if found is not None:
            return Latents(torch.from_numpy(found), key)
        values = compute().float().cpu()
        if not values.isfinite().all():
            raise self._not_finite(name)
        self._cache.put(key, values.numpy())
        return Latents(values, key)

    def _not_finite(self, name: str) -> NotFinite:
        return NotFinite(f"{name}: the model gave NaN or infinity in {self._plan.activation_precision}")

    def _reporting(self, stage: VoidStage, read: Callable[[int, int], Chunk]) -> Callable[[int, int], Chunk]:
        """Return the same reader of frames start..stop-1, but reporting progress."""

        def chunk(start: int, stop: int) -> Chunk:
            self._context.progress(stage, start, self._inputs.count)
            return read(start, stop)

        return chunk


def _frames(chunks: Iterator[Tensor]) -> Iterator[Array]:
    """Split decoded chunks into frames: shape [H, W, 3], float32, black 0, white 1, unclipped."""
    for chunk in chunks:
        yield from ((chunk[0] + 1) / 2).permute(1, 2, 3, 0).numpy()
