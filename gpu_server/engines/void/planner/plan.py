"""A memory plan: where each part of the model is in each phase of a job, and the bytes that this takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from gpu_server.engines.void.latent_geometry import WINDOW_LATENTS, latent_count, latent_shape, padded_length
from void_bridge.errors import UsageError
from void_bridge.job import Job
from void_bridge.options import PRECISIONS, Precision
from void_bridge.resolution import Resolution

Phase = Literal["text", "encode", "denoise", "decode"]
PHASES: tuple[Phase, ...] = ("text", "encode", "denoise", "decode")

Place = Literal["device", "host", "disk", "-"]
"""GPU memory, host memory, on disk until it is needed, or absent."""

Basis = Literal["exact", "estimate"]

GUIDANCE_SCALES = {1: 1.0, 2: 6.0}
"""Default guidance scale of each pass. 1 means no guidance."""


def guidance_scale(wanted: float | None, pass_number: int) -> float:
    """Return the guidance scale of a pass: the job's own, or the default of the pass."""
    return GUIDANCE_SCALES[pass_number] if wanted is None else wanted


@dataclass(frozen=True)
class PlanRequest:
    """The work that a job asks of the model.

    Attributes:
        canvas: height and width of the model's frame in pixels, multiples of 16.
        frames: frames of the shot.
        passes: the passes that run.
        guided: whether the last pass runs with a negative prompt, so that each step computes two halves.
        steps: denoising steps of the schedule.
        precision: the precision to use; auto takes the widest that fits.
        attention: the attention kernel's name.

    Raises:
        UsageError: a value out of its range.
    """

    canvas: tuple[int, int] = Resolution.from_stored(Job.canvas).shape
    frames: int = 85
    passes: tuple[int, ...] = (1, 2)
    guided: bool = True
    steps: int = Job.steps
    precision: Precision | Literal["auto"] = Job.precision
    attention: str = Job.attention

    def __post_init__(self) -> None:
        latent_shape(self.canvas)
        if self.frames < 1 or self.steps < 1:
            raise UsageError(f"got {self.frames} frames and {self.steps} steps, expected 1 or more of each")
        if self.precision not in ("auto", *PRECISIONS):
            raise UsageError(f"got precision {self.precision!r}, expected auto, {', '.join(PRECISIONS)}")

    @property
    def shot(self) -> tuple[int, int, int]:
        """Latents of the padded shot: count, height, width."""
        return (latent_count(padded_length(self.frames)), *latent_shape(self.canvas))

    @property
    def window(self) -> tuple[int, int, int]:
        """Latents that the transformer sees at once: count, height, width."""
        count, height, width = self.shot
        return min(count, WINDOW_LATENTS), height, width


@dataclass(frozen=True)
class PartBytes:
    """One part of the model, or of its working memory.

    Attributes:
        name: the part.
        bytes: its size.
        basis: whether the size is exact or an estimate.
        places: where it is in each of `PHASES`.
    """

    name: str
    bytes: int
    basis: Basis
    places: tuple[Place, Place, Place, Place]


@dataclass(frozen=True)
class MemoryPlan:
    """Settings of a job that decide its memory. The engine follows everything but `parts` and `why`.

    Attributes:
        device: where the transformer computes.
        precision: how its weights are stored and multiplied.
        transformer: `device` stays on the device; `swapped` is there while it denoises, otherwise in host memory
            (without a GPU: on disk); `blocks` streams its blocks from host memory, one block ahead.
        passes_kept: transformers that are loaded at once; with 1, the other pass is read from disk at its turn.
        text_encoder: where it runs, once a prompt; then it is dropped.
        vae: `device` stays on the device; `offloaded` is in host memory between uses.
        vae_rows: the VAE's layers run over bands of this many rows, with the same numbers; None: whole.
        vae_parked: whether frames that the VAE's convolutions keep of the last batch wait in host memory; with rows
            only.
        vae_latents_at_once: 2 as in the reference; 1 gives other numbers, because a group norm sees less.
        guidance: both halves of a guided step in one batch, or one after the other.
        attention: the attention kernel's name.
        parts: the parts, with their bytes and places.
        why: the reasons, as sentences for people.
    """

    device: Literal["cuda", "cpu"]
    precision: Precision
    transformer: Literal["device", "swapped", "blocks"]
    passes_kept: int
    text_encoder: Literal["device", "cpu"]
    vae: Literal["device", "offloaded"]
    vae_rows: int | None
    vae_parked: bool
    vae_latents_at_once: int
    guidance: Literal["together", "one by one"]
    attention: str
    parts: tuple[PartBytes, ...] = ()
    why: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The plan in words."""
        return ", ".join(self._words())

    def _words(self) -> Iterator[str]:
        """Yield the words of the name."""
        yield self.precision
        kept = "both passes" if self.passes_kept > 1 else "transformer"
        yield {"device": f"{kept} kept", "swapped": "transformer swapped", "blocks": "blocks streamed"}[
            self.transformer
        ]
        yield "VAE whole" if self.vae_rows is None else f"VAE in {'parked ' * self.vae_parked}bands"
        if self.vae_latents_at_once < 2:
            yield "single latents"
        if self.guidance == "one by one":
            yield "guidance one by one"
        if self.device == "cuda":
            yield f"T5 on the {'GPU' if self.text_encoder == 'device' else 'CPU'}"

    @property
    def vae_saving(self) -> dict[str, Any]:
        """The fields of `gpu_server.engines.void.vae.Saving`."""
        return {"rows": self.vae_rows, "parked": self.vae_parked, "latents_at_once": self.vae_latents_at_once}

    @property
    def activation_precision(self) -> Precision:
        """The precision of activations, and of the VAE and the text encoder, whose weights are not quantised."""
        return "float32" if self.precision == "float32" else "bf16"

    @property
    def peaks(self) -> dict[Phase, int]:
        """Bytes of GPU memory in each phase."""
        return self._bytes_in("device")

    @property
    def host_peaks(self) -> dict[Phase, int]:
        """Bytes of host memory in each phase."""
        return self._bytes_in("host")

    def _bytes_in(self, place: Place) -> dict[Phase, int]:
        """Return the bytes that are in a place, by phase."""
        return {
            phase: sum(part.bytes for part in self.parts if part.places[i] == place) for i, phase in enumerate(PHASES)
        }
