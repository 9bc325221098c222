"""The denoising loop: v-prediction DDIM over windows of the latents, blended after every step.

Source: the reference (Netflix/void-model), which follows CogVideoX-Fun's pipeline.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
from diffusers import CogVideoXDDIMScheduler, CogVideoXTransformer3DModel, DDIMScheduler
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from torch import Tensor

from gpu_server.engines.void.async_copy import AsyncHostCopy
from gpu_server.engines.void.latent_windows import LatentWindow, blend_weights
from void_bridge.errors import NotFinite

Rotary = tuple[Tensor, Tensor]
Scheduler = CogVideoXDDIMScheduler | DDIMScheduler
OnStep = Callable[[int, int, Tensor], None]

_PATCH = 2
"""Latents across a token of the transformer, in time, height and width alike."""


class Denoiser(Protocol):
    """The transformer, however it is run."""

    def start(self, timesteps: Sequence[int]) -> None:
        """Called once before a loop over these timesteps, each of which is asked for at least once."""
        ...

    def __call__(self, hidden: Tensor, prompt_embeds: Tensor, timestep: int, rotary: Rotary) -> Tensor:
        """What the model predicts: the velocity. Shape [B, t, 16, h, w].

        Args:
            hidden: shape [B, t, 48, h, w]: noise, mask and plate, 16 channels each.
            prompt_embeds: shape [B, 226, D].
            timestep: of the training's 1,000.
            rotary: cosine and sine, shape [tokens, head size].
        """
        ...


class PlainDenoiser:
    """diffusers' transformer as it is."""

    def __init__(self, transformer: CogVideoXTransformer3DModel) -> None:
        self._transformer = transformer

    def start(self, timesteps: Sequence[int]) -> None:
        pass

    @torch.no_grad()
    def __call__(self, hidden: Tensor, prompt_embeds: Tensor, timestep: int, rotary: Rotary) -> Tensor:
        timesteps = torch.full((hidden.shape[0],), timestep, device=hidden.device)
        return self._transformer(hidden, prompt_embeds, timesteps, image_rotary_emb=rotary, return_dict=False)[0]


@dataclass(frozen=True)
class Guidance:
    """What the prompt asks for, and how strongly.

    embeds: shape [1, 226, D]; with guidance [2, 226, D], the negative prompt first.
    scale: 1 and below: no guidance.
    """

    embeds: Tensor
    scale: float = 1.0

    @property
    def batch(self) -> int:
        return self.embeds.shape[0]

    def apply(self, output: Tensor) -> Tensor:
        """Shape [B, ...] to [1, ...], float32."""
        if self.batch == 1:
            return output.float()
        negative, positive = output.float().chunk(2)
        return negative + self.scale * (positive - negative)


def guidance(prompt: Tensor, negative: Tensor | None, scale: float) -> Guidance:
    """Embeddings of shape [1, 226, D]; `negative` is not used at a scale of 1 and below, and may be None there."""
    if scale <= 1 or negative is None:
        return Guidance(prompt)
    return Guidance(torch.cat([negative, prompt]), scale)


@dataclass(frozen=True)
class DenoiseSettings:
    """How latents are denoised.

    pass_number: 1 or 2, for messages.
    steps: of the scheduler.
    windows: cover all latents; see `windows.equal_windows`.
    head_size: channels of an attention head (`transformer.config.attention_head_dim`).
    device, dtype: where and in what type the denoiser takes its input; latents may lie elsewhere and stay float32.
    """

    pass_number: int
    steps: int
    windows: Sequence[LatentWindow]
    head_size: int = 64
    device: torch.device | str = "cpu"
    dtype: torch.dtype = torch.float32


def denoise(
    denoiser: Denoiser,
    scheduler: Scheduler,
    latents: Tensor,
    conditioning: Tensor,
    guide: Guidance,
    loop: DenoiseSettings,
    on_step: OnStep | None = None,
) -> Tensor:
    """Latents of the shot without the object.

    Args:
        latents: shape [1, t, 16, h, w], float32: the noise to start from.
        conditioning: shape [1, t, 32, h, w]; see `conditioning.conditioning`.
        on_step: called after every step with the steps done, the steps in all, and what the finished latents look like
            from here (shape of `latents`; on a GPU not yet known to be finite). What it raises ends the loop.

    Returns:
        Shape of `latents`, float32, on their device.

    Raises:
        NotFinite: the model gave NaN or infinity; on a GPU it is found one step late, and named rightly.
    """
    scheduler.set_timesteps(loop.steps)
    timesteps = scheduler.timesteps.tolist()
    denoiser.start(timesteps)
    model, watch = _Model(denoiser, scheduler, conditioning, guide, loop), _Watch(loop)
    shares = _shares(loop.windows, latents)
    for number, timestep in enumerate(timesteps, 1):
        parts = (watch.passed(model.step(latents, window, timestep)) for window in loop.windows)
        before, latents = latents, _blended(parts, shares, loop.windows, latents)
        watch.end_step(number)
        if on_step is not None:
            on_step(number, loop.steps, _estimate(scheduler, timestep, before, latents))
    watch.end()
    return latents


class _Model:
    """One step of one window."""

    def __init__(
        self, denoiser: Denoiser, scheduler: Scheduler, conditioning: Tensor, guide: Guidance, loop: DenoiseSettings
    ) -> None:
        self._denoiser, self._scheduler = denoiser, scheduler
        self._guide, self._loop = guide, loop
        self._embeds = guide.embeds.to(loop.device, loop.dtype)
        self._conditioning = conditioning.to(loop.device, loop.dtype)

    def step(self, latents: Tensor, window: LatentWindow, timestep: int) -> Tensor:
        """The window's latents one step further. Shape [1, window.count, 16, h, w], where `latents` are."""
        part = latents[:, window.slice]
        told = self._conditioning[:, window.slice]
        hidden = torch.cat([part.to(told), told], dim=2).expand(self._guide.batch, -1, -1, -1, -1)
        output = self._denoiser(hidden, self._embeds, timestep, self._rotary(hidden))
        velocity = self._guide.apply(output).to(part)
        return self._scheduler.step(velocity, timestep, part, return_dict=False)[0]

    def _rotary(self, hidden: Tensor) -> Rotary:
        _, count, _, height, width = hidden.shape
        return rotary(self._loop.head_size, count // _PATCH, height // _PATCH, width // _PATCH, hidden.device)


class _Watch:
    """Finds what is not finite, and says in which step and window.

    Where the model runs on a GPU a step's answer is read when the next step is queued, so that the GPU never waits.
    """

    def __init__(self, loop: DenoiseSettings) -> None:
        self._loop = loop
        self._windows: list[Tensor] = []
        self._steps: deque[tuple[int, AsyncHostCopy]] = deque()

    def passed(self, part: Tensor) -> Tensor:
        """The next window's latents after a step, as they are."""
        self._windows.append(part.isfinite().all())
        return part

    def end_step(self, number: int) -> None:
        """Raises NotFinite for a step up to this one."""
        self._steps.append((number, AsyncHostCopy(torch.stack(self._windows))))
        self._windows.clear()
        while len(self._steps) > 1 or (self._steps and self._steps[0][1].is_here):
            self._check()

    def end(self) -> None:
        """Raises NotFinite for any step."""
        while self._steps:
            self._check()

    def _check(self) -> None:
        number, finite = self._steps.popleft()
        for window, is_finite in zip(self._loop.windows, finite.read().tolist(), strict=True):
            if not is_finite:
                raise NotFinite(
                    f"pass {self._loop.pass_number}, step {number} of {self._loop.steps}, latents {window.start} to"
                    f" {window.stop - 1}: the model gave NaN or infinity in {self._loop.dtype}; use a wider precision"
                )


def _shares(windows: Sequence[LatentWindow], like: Tensor) -> list[Tensor]:
    """What each window counts for, shape [1, count, 1, 1, 1]; they sum to 1 at every latent."""
    raw = [torch.from_numpy(weights).to(like) for weights in blend_weights(windows)]
    total = torch.zeros(like.shape[1]).to(like)
    for window, weights in zip(windows, raw, strict=True):
        total[window.slice] += weights
    return [(weights / total[w.slice])[None, :, None, None, None] for w, weights in zip(windows, raw, strict=True)]


def _blended(
    parts: Iterable[Tensor], shares: Sequence[Tensor], windows: Sequence[LatentWindow], like: Tensor
) -> Tensor:
    if len(windows) == 1:
        return next(iter(parts))
    canvas = torch.zeros_like(like)
    for window, share, part in zip(windows, shares, parts, strict=True):
        canvas[:, window.slice] += part * share
    return canvas


def _estimate(scheduler: Scheduler, timestep: int, before: Tensor, after: Tensor) -> Tensor:
    """The finished latents as a step of DDIM saw them: after = a * before + b * finished (formula 12 of DDIM)."""
    previous = timestep - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    now = scheduler.alphas_cumprod[timestep]
    then = scheduler.alphas_cumprod[previous] if previous >= 0 else scheduler.final_alpha_cumprod
    kept = ((1 - then) / (1 - now)).sqrt()
    return (after - kept * before) / (then.sqrt() - now.sqrt() * kept)


@lru_cache(maxsize=8)
def rotary(head_size: int, frames: int, rows: int, columns: int, device: torch.device) -> Rotary:
    """Rotary embeddings of a window, counted from 0. Cosine and sine, shape [frames * rows * columns, head_size].

    Args:
        frames, rows, columns: tokens of the window.
    """
    return get_3d_rotary_pos_embed(
        head_size, None, (rows, columns), frames, grid_type="slice", max_size=(rows, columns), device=device
    )
