"""The stages of one job on the model, each found again by content where nothing that it depends on has changed.

prompt, mask and plate latents -> pass 1 -> frames -> (flow -> warped noise -> pass 2 -> frames)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpu_server.engines.base import Context
from gpu_server.engines.void.cache import ContentCache, content_key
from gpu_server.engines.void.conditioning import conditioning_latents, encode_mask, encode_plate
from gpu_server.engines.void.denoise import DenoiseSettings, OnStep, denoise, guidance_scale, make_guidance
from gpu_server.engines.void.flow import Flow
from gpu_server.engines.void.latent_geometry import FRAMES_A_LATENT, latent_shape
from gpu_server.engines.void.latent_windows import equal_windows
from gpu_server.engines.void.model_inputs import ModelInputs
from gpu_server.engines.void.model_manager import ModelManager
from gpu_server.engines.void.noise import initial_latents, plate_noise
from gpu_server.engines.void.planner.plan import MemoryPlan
from gpu_server.engines.void.vae import decode, encode
from gpu_server.engines.void.warped_noise import flow_sequence, warped_noise
from gpu_server.frame_files import FrameFiles
from void_bridge.errors import NotFinite

NEGATIVE_PROMPT = ""
_PREVIEWS_A_PASS = 6
_STEPS_BETWEEN_PREVIEWS = 3
"""At least: a preview costs about 3 % of a step."""

Frames = TypeVar("Frames", Tensor, NDArray[np.uint8])
Value = TypeVar("Value")
Picture = NDArray[np.float32]


@dataclass(frozen=True)
class Latents:
    """values: shape [1, t, C, h, w], float32, on the CPU. key: what they were made from."""

    values: Tensor
    key: str


class CachedStages:
    """One job on one plan. Raises NotFinite, Cancelled and what a device raises; a cached stage is not run again."""

    def __init__(
        self, session: ModelManager, plan: MemoryPlan, shown: ModelInputs, context: Context, flow: Flow
    ) -> None:
        self._session, self._plan, self._shown, self._context = session, plan, shown, context
        self._job, self._flow = context.job, flow
        self._cache = ContentCache(context.cache)

    def pass_one(self) -> Latents:
        count = self._shown.timeline.latents
        return self._pass(1, lambda: initial_latents(self._job.seed, count, self._latent_size), "noise")

    def pass_two(self, first: Latents, frames: Callable[[int], Picture]) -> Latents:
        """frames: pass 1's, shape [H, W, 3], in the model domain, by place in `timeline.sampled`."""
        return self._pass(2, lambda: self._warped_noise(frames), f"{first.key} {self._flow.name}")

    def frames(self, latents: Latents, stage: str, folder: Path, dtype: type[np.floating]) -> FrameFiles:
        """Decode the clip's own frames to a folder, in the model domain; those that only filled up are dropped."""
        files = FrameFiles(folder, *self._shown.size, dtype)
        wanted = len(self._shown.timeline.sampled)
        with self._session.vae(self._plan) as (vae, saving):
            for place, picture in enumerate(_pictures(decode(vae, latents.values, saving))):
                self._context.progress(stage, place, wanted)
                if place == wanted:
                    break
                if not np.isfinite(picture).all():
                    raise self._not_finite(f"{stage}, frame {place + 1} of {wanted}")
                files.put(place, picture)
        return files

    def plate_trip(self) -> Latents:
        """The plate's own latents, without the noise that conditions the model."""

        def make() -> Tensor:
            with self._session.vae(self._plan) as (vae, saving):
                return encode(vae, self._told("trip", self._shown.frames), self._shown.count, saving)

        return self._kept("the plate's latents", content_key("trip", self._shown.plate_key, self._vae_key), make)

    def _pass(self, number: int, noise: Callable[[], Tensor], noise_key: str) -> Latents:
        job = self._job
        scale = guidance_scale(job.guidance, number)
        mask, plate = self._mask(), self._plate()
        asked = (job.prompt, NEGATIVE_PROMPT, scale, job.steps, job.seed)
        how = (
            self._session.identity(f"pass {number}"),
            self._session.build,
            self._plan.precision,
            self._plan.guidance if scale > 1 else "",
            job.attention,
            job.step_cache,
        )
        key = content_key("pass", number, asked, how, mask.key, plate.key, noise_key)
        told = conditioning_latents(mask.values, plate.values)
        return self._kept(f"pass {number}", key, lambda: self._denoised(number, scale, noise(), told))

    def _denoised(self, number: int, scale: float, noise: Tensor, told: Tensor) -> Tensor:
        prompt = self._embeddings(self._job.prompt)
        negative = self._embeddings(NEGATIVE_PROMPT) if scale > 1 else None
        with self._session.denoiser(number, self._plan, self._job) as model:
            loop = DenoiseSettings(
                number,
                self._job.steps,
                equal_windows(noise.shape[1]),
                model.head_size,
                self._session.device,
                model.dtype,
            )
            scheduler = self._session.scheduler()
            guidance = make_guidance(prompt, negative, scale)
            start = noise.to(self._session.device)
            return denoise(model.denoiser, scheduler, start, told, guidance, loop, self._on_step(number))

    def _on_step(self, number: int) -> OnStep:
        every = max(_STEPS_BETWEEN_PREVIEWS, -(-self._job.steps // _PREVIEWS_A_PASS))

        def on_step(done: int, steps: int, estimate: Tensor) -> None:
            self._context.progress(f"pass {number}", done, steps)
            if done % every == 0 and self._plan.vae == "device":
                self._preview(estimate)

        return on_step

    def _preview(self, estimate: Tensor) -> None:
        """One frame of the middle of the shot as it looks by now."""
        middle = estimate.shape[1] // 2
        with self._session.vae(self._plan) as (vae, saving):
            (picture,) = _pictures(decode(vae, estimate[:, middle : middle + 1], saving))
        place = min(middle * FRAMES_A_LATENT, len(self._shown.timeline.sampled) - 1)
        shown = np.clip(np.nan_to_num(picture) * 255 + 0.5, 0, 255).astype(np.uint8)
        self._context.preview(self._shown.timeline.sampled[place], shown)

    def _warped_noise(self, frames: Callable[[int], Picture]) -> Tensor:
        order = self._shown.timeline.order
        pictures = (self._tick("flow", place, len(order), frames(at)) for place, at in enumerate(order))
        flows = flow_sequence(pictures, self._flow)
        noise = warped_noise(flows, self._shown.timeline.latents, self._latent_size, self._job.seed)
        return torch.from_numpy(noise)[None]

    def _embeddings(self, text: str) -> Tensor:
        key = content_key(
            "prompt",
            text,
            self._session.identity("text_encoder"),
            self._session.build,
            self._plan.text_encoder,
            self._plan.wide,
        )

        def make() -> Tensor:
            self._context.progress("prompt", 0, 1)
            return self._session.embeddings(text, self._plan)

        return self._kept("the prompt", key, make).values

    def _mask(self) -> Latents:
        def make() -> Tensor:
            with self._session.vae(self._plan) as (vae, saving):
                quadmasks = self._told("mask", self._shown.quadmasks)
                return encode_mask(vae, quadmasks, self._shown.count, "three", saving)

        return self._kept("the quadmask's latents", content_key("mask", self._shown.mask_key, self._vae_key), make)

    def _plate(self) -> Latents:
        seed, size = self._job.seed, self._shown.size

        def noise(start: int, stop: int) -> Tensor:
            return plate_noise(seed, start, stop, size)

        def make() -> Tensor:
            with self._session.vae(self._plan) as (vae, saving):
                frames = self._told("encode", self._shown.frames)
                return encode_plate(vae, frames, noise, self._shown.count, saving=saving)

        key = content_key("plate", self._shown.plate_key, seed, self._vae_key)
        return self._kept("the plate's latents with noise", key, make)

    @property
    def _latent_size(self) -> tuple[int, int]:
        return latent_shape(self._shown.size)

    @property
    def _vae_key(self) -> str:
        return content_key(self._session.identity("vae"), self._session.build, self._plan.wide, self._plan.vae_saving)

    def _kept(self, what: str, key: str, make: Callable[[], Tensor]) -> Latents:
        """what: its name, for messages."""
        found = self._cache.get(key)
        if found is not None:
            return Latents(torch.from_numpy(found), key)
        made = make().float().cpu()
        if not made.isfinite().all():
            raise self._not_finite(what)
        self._cache.put(key, made.numpy())
        return Latents(made, key)

    def _not_finite(self, what: str) -> NotFinite:
        return NotFinite(f"{what}: the model gave NaN or infinity in {self._plan.wide}")

    def _told(self, stage: str, frames: Callable[[int, int], Frames]) -> Callable[[int, int], Frames]:
        return lambda start, stop: self._tick(stage, start, self._shown.count, frames(start, stop))

    def _tick(self, stage: str, done: int, total: int, value: Value) -> Value:
        self._context.progress(stage, done, total)
        return value


def _pictures(chunks: Iterator[Tensor]) -> Iterator[Picture]:
    """Frames one by one, shape [H, W, 3], black 0, white 1, unclipped."""
    for chunk in chunks:
        yield from ((chunk[0] + 1) / 2).permute(1, 2, 3, 0).numpy()
