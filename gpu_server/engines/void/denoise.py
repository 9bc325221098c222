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
    """The transformer in any precision and placement."""

    def start(self, timesteps: Sequence[int]) -> None:
        """Prepare a loop over these timesteps. Each of them occurs in the loop at least once."""
        ...

    def __call__(self, hidden: Tensor, prompt_embeds: Tensor, timestep: int, rotary: Rotary) -> Tensor:
        """Predict the velocity.

        Args:
            hidden: shape [B, t, 48, h, w]: latents, mask and plate, 16 channels each.
            prompt_embeds: shape [B, 226, D].
            timestep: one of the 1,000 of the training.
            rotary: cosine and sine, shape [tokens, head size].

        Returns:
            Shape [B, t, 16, h, w].
        """
        ...


class PlainDenoiser:
    """A transformer of diffusers as it is."""

    def __init__(self, transformer: CogVideoXTransformer3DModel) -> None:
        self._transformer = transformer

    def start(self, timesteps: Sequence[int]) -> None:
        """Return at once: there is nothing to prepare."""

    @torch.no_grad()
    def __call__(self, hidden: Tensor, prompt_embeds: Tensor, timestep: int, rotary: Rotary) -> Tensor:
        """Predict the velocity; see `Denoiser`."""
        timesteps = torch.full((hidden.shape[0],), timestep, device=hidden.device)
        return self._transformer(hidden, prompt_embeds, timesteps, image_rotary_emb=rotary, return_dict=False)[0]


class SequentialGuidance:
    """A denoiser that runs the two halves of a guided step one after the other, in half the memory.

    Args:
        denoiser: runs each half.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self._denoiser = denoiser

    def start(self, timesteps: Sequence[int]) -> None:
        """Prepare a loop over these timesteps."""
        self._denoiser.start(timesteps)

    def __call__(self, hidden: Tensor, prompt_embeds: Tensor, timestep: int, rotary: Rotary) -> Tensor:
        """Predict the velocity; see `Denoiser`."""
        halves = zip(hidden.split(1), prompt_embeds.split(1), strict=True)
        return torch.cat([self._denoiser(one, embeds, timestep, rotary) for one, embeds in halves])


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance by a prompt.

    Attributes:
        embeds: shape [1, 226, D] without guidance; with guidance [2, 226, D], the negative prompt first.
        scale: the guidance scale; used only if there is a negative prompt.
    """

    embeds: Tensor
    scale: float = 1.0

    @property
    def batch(self) -> int:
        """The batch size that the denoiser runs at: 2 with guidance, else 1."""
        return self.embeds.shape[0]

    def apply(self, output: Tensor) -> Tensor:
        """Combine the outputs for the negative and the positive prompt.

        Args:
            output: of the denoiser, shape [B, ...], in its type.

        Returns:
            Shape [1, ...], float32.
        """
        if self.batch == 1:
            return output.float()
        negative, positive = output.float().chunk(2)
        return negative + self.scale * (positive - negative)


def make_guidance(prompt: Tensor, negative: Tensor | None, scale: float) -> Guidance:
    """Return the guidance by a prompt.

    Args:
        prompt: embeddings of the prompt, shape [1, 226, D].
        negative: embeddings of the negative prompt, of the same shape. None means no guidance.
        scale: the guidance scale; 1 means no guidance.
    """
    if scale <= 1 or negative is None:
        return Guidance(prompt)
    return Guidance(torch.cat([negative, prompt]), scale)


@dataclass(frozen=True)
class DenoiseSettings:
    """Settings of a denoising loop.

    Attributes:
        pass_number: 1 or 2, for messages.
        steps: number of steps of the scheduler.
        windows: cover all latents; see `latent_windows.equal_windows`.
        head_size: channels of an attention head (`transformer.config.attention_head_dim`).
        device: where the denoiser takes its input; the latents may be elsewhere.
        dtype: the type in which the denoiser takes its input; the latents stay float32.
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
    guidance: Guidance,
    settings: DenoiseSettings,
    on_step: OnStep | None = None,
) -> Tensor:
    """Run the denoising loop of one pass.

    Args:
        denoiser: predicts the velocity.
        scheduler: DDIM; its timesteps are set here.
        latents: shape [1, t, 16, h, w], float32: the noise to start from.
        conditioning: shape [1, t, 32, h, w]; see `conditioning.conditioning_latents`.
        guidance: the prompt and its guidance scale.
        settings: steps, windows and so on.
        on_step: called after every step with the number of steps done, the number of all steps, and the current
            estimate of the finished latents (shape of `latents`; on a GPU not yet checked for NaN). An exception that
            it raises ends the loop.

    Returns:
        The finished latents, shape of `latents`, float32, on their device.

    Raises:
        NotFinite: if the model gave NaN or infinity. On a GPU this is found one step later; the message names the step
            where it began.
    """
    scheduler.set_timesteps(settings.steps)
    timesteps = scheduler.timesteps.tolist()
    denoiser.start(timesteps)
    model = _WindowStepper(denoiser, scheduler, conditioning, guidance, settings)
    finite = _FiniteCheck(settings)
    shares = _shares(settings.windows, latents)
    for number, timestep in enumerate(timesteps, 1):
        parts = (finite.checked(model.step(latents, window, timestep)) for window in settings.windows)
        before, latents = latents, _blended(parts, shares, settings.windows, latents)
        finite.end_step(number)
        if on_step is not None:
            on_step(number, settings.steps, _estimate(scheduler, timestep, before, latents))
    finite.end()
    return latents


class _WindowStepper:
    """One scheduler step over one window of the latents."""

    def __init__(
        self,
        denoiser: Denoiser,
        scheduler: Scheduler,
        conditioning: Tensor,
        guidance: Guidance,
        settings: DenoiseSettings,
    ) -> None:
        self._denoiser, self._scheduler = denoiser, scheduler
        self._guidance, self._head_size = guidance, settings.head_size
        self._embeds = guidance.embeds.to(settings.device, settings.dtype)
        self._conditioning = conditioning.to(settings.device, settings.dtype)

    def step(self, latents: Tensor, window: LatentWindow, timestep: int) -> Tensor:
        """Return the window's latents after the step: shape [1, window.count, 16, h, w], on the device of `latents`."""
        part = latents[:, window.slice]
        conditioning = self._conditioning[:, window.slice]
        hidden = torch.cat([part.to(conditioning), conditioning], dim=2).expand(self._guidance.batch, -1, -1, -1, -1)
        output = self._denoiser(hidden, self._embeds, timestep, self._rotary(hidden))
        velocity = self._guidance.apply(output).to(part)
        return self._scheduler.step(velocity, timestep, part, return_dict=False)[0]

    def _rotary(self, hidden: Tensor) -> Rotary:
        _, count, _, height, width = hidden.shape
        return rotary(self._head_size, count // _PATCH, height // _PATCH, width // _PATCH, hidden.device)


class _FiniteCheck:
    """A check for NaN and infinity that names the step and window where they began.

    On a GPU the answer for a step is read after the next step is queued, so that the GPU never waits.
    """

    def __init__(self, settings: DenoiseSettings) -> None:
        self._settings = settings
        self._windows: list[Tensor] = []
        self._steps: deque[tuple[int, AsyncHostCopy]] = deque()

    def checked(self, part: Tensor) -> Tensor:
        """Queue the check of one window's latents and return them."""
        self._windows.append(part.isfinite().all())
        return part

    def end_step(self, number: int) -> None:
        """Raise NotFinite for an earlier step, or for this one if its answer is there."""
        self._steps.append((number, AsyncHostCopy(torch.stack(self._windows))))
        self._windows.clear()
        while len(self._steps) > 1 or (self._steps and self._steps[0][1].is_done):
            self._read()

    def end(self) -> None:
        """Raise NotFinite for any step."""
        while self._steps:
            self._read()

    def _read(self) -> None:
        number, finite = self._steps.popleft()
        settings = self._settings
        for window, is_finite in zip(settings.windows, finite.result().tolist(), strict=True):
            if not is_finite:
                raise NotFinite(
                    f"pass {settings.pass_number}, step {number} of {settings.steps}, latents {window.start} to"
                    f" {window.stop - 1}: the model gave NaN or infinity in {settings.dtype}; use a wider precision"
                )


def _shares(windows: Sequence[LatentWindow], like: Tensor) -> list[Tensor]:
    """Return the share of each window, shape [1, count, 1, 1, 1]; the shares of a latent add up to 1."""
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
    """Return the finished latents as a step predicted them: after = a * before + b * finished (DDIM, formula 12)."""
    previous = timestep - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    now = scheduler.alphas_cumprod[timestep]
    then = scheduler.alphas_cumprod[previous] if previous >= 0 else scheduler.final_alpha_cumprod
    kept = ((1 - then) / (1 - now)).sqrt()
    return (after - kept * before) / (then.sqrt() - now.sqrt() * kept)


@lru_cache(maxsize=8)
def rotary(head_size: int, frames: int, rows: int, columns: int, device: torch.device) -> Rotary:
    """Return the rotary embeddings of a window, whose positions count from 0.

    Args:
        head_size: channels of an attention head.
        frames: tokens of the window in time.
        rows: tokens in height.
        columns: tokens in width.
        device: where the embeddings are needed.

    Returns:
        Cosine and sine, shape [frames * rows * columns, head_size], float32.
    """
    return get_3d_rotary_pos_embed(
        head_size, None, (rows, columns), frames, grid_type="slice", max_size=(rows, columns), device=device
    )
