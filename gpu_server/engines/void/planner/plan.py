"""A plan: what of the model lies where in each phase of a job, and the bytes that this takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from gpu_server.engines.void.latent_geometry import WINDOW_LATENTS, latent_count, latent_shape, padded_length
from gpu_server.engines.void.planner.weight_bytes import Precision
from gpu_server.engines.void.precision.layers import PRECISIONS
from void_bridge.errors import UsageError

Phase = Literal["text", "encode", "denoise", "decode"]
PHASES: tuple[Phase, ...] = ("text", "encode", "denoise", "decode")

Place = Literal["device", "host", "disk", "-"]
"""Memory of the GPU, memory of the machine, on disk until it is needed, or not there at all."""

Basis = Literal["exact", "estimate"]


@dataclass(frozen=True)
class Request:
    """What a job asks of the model.

    canvas: height and width in pixels, multiples of 16. frames: of the shot. steps: of the schedule.
    guided: the last pass runs with a negative prompt, so that each step computes two halves.
    """

    canvas: tuple[int, int] = (384, 672)
    frames: int = 85
    passes: tuple[int, ...] = (1, 2)
    guided: bool = True
    steps: int = 30
    precision: Precision | Literal["auto"] = "auto"
    attention: str = "sdpa"

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
    """places: where it is in each of `PHASES`."""

    name: str
    bytes: int
    basis: Basis
    places: tuple[Place, Place, Place, Place]

    def place(self, phase: Phase) -> Place:
        return self.places[PHASES.index(phase)]


@dataclass(frozen=True)
class MemoryPlan:
    """How a job runs. Everything but `parts` and `why` is what the engine is to do.

    device: where the transformer computes. transformer: `device` stays there; `swapped` is there while it denoises and
    otherwise in host memory (without a GPU: on disk); `blocks` streams its blocks from host memory, one ahead.
    passes_kept: transformers that are loaded at once; with 1, the other pass is read from disk when its turn comes.
    text_encoder: where it runs, once a prompt; then it leaves. vae: `offloaded` is in host memory between uses.
    vae_rows: its layers run over bands of so many rows, with the same numbers; None: whole. vae_parked: with rows, what
    its convolutions keep of the last batch waits in host memory. vae_latents_at_once: 2 as the reference has it; 1
    gives other numbers, because a group norm sees less.
    guidance: both halves of a guided step in one batch, or one after the other.
    why: sentences for people.
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
        """The plan, in words."""
        return ", ".join(self._words())

    def _words(self) -> Iterator[str]:
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
        """What `gpu_server.engines.void.vae.MemorySaving` is made of."""
        return {"rows": self.vae_rows, "parked": self.vae_parked, "latents_at_once": self.vae_latents_at_once}

    @property
    def wide(self) -> Precision:
        """Precision of the VAE and the text encoder, which have no narrow weights."""
        return "float32" if self.precision == "float32" else "bf16"

    @property
    def peaks(self) -> dict[Phase, int]:
        """Bytes of the GPU's memory in each phase."""
        return {phase: self._bytes(phase, "device") for phase in PHASES}

    @property
    def host_peaks(self) -> dict[Phase, int]:
        """Bytes of the machine's memory in each phase."""
        return {phase: self._bytes(phase, "host") for phase in PHASES}

    def _bytes(self, phase: Phase, place: Place) -> int:
        return sum(part.bytes for part in self.parts if part.place(phase) == place)
