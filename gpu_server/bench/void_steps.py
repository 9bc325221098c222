"""The VOID model on one device: seconds a step by precision, the autoencoder, loading, the cost of the loop."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from gpu_server.engines.void.checkpoint.loading import load_scheduler, load_transformer, load_vae
from gpu_server.engines.void.denoise import Denoiser, Guidance, Loop, PlainDenoiser, denoise, rotary
from gpu_server.engines.void.lengths import LATENT_CHANNELS, latent_count, latent_shape, padded_length
from gpu_server.engines.void.noise import initial_latents
from gpu_server.engines.void.planner.spec import read_spec
from gpu_server.engines.void.precision.denoiser import build_denoiser
from gpu_server.engines.void.vae import decode, encode
from gpu_server.engines.void.windows import Window, equal_windows

WARM_UP_STEPS, STEPS = 2, 6
LOOP_LATENTS = (22, 48, 84)
_TOKENS = 226


@dataclass(frozen=True)
class Variant:
    precision: str
    compiled: bool = False

    def __str__(self) -> str:
        return f"{self.precision}, {'compiled' if self.compiled else 'eager'}"


@dataclass(frozen=True)
class StepTime:
    """seconds: of a step, median. flop: of a step. peak_bytes: of the device's memory; 0 on a CPU."""

    variant: Variant
    seconds: float
    flop: float
    peak_bytes: int

    @property
    def tflops(self) -> float:
        return self.flop / self.seconds / 1e12


@dataclass(frozen=True)
class Coding:
    """Of the autoencoder, over the whole clip."""

    encode_s: float
    decode_s: float
    encode_flop: float
    decode_flop: float


def step_times(
    folder: Path, canvas: tuple[int, int], frames: int, variants: tuple[Variant, ...], device: torch.device
) -> Iterator[StepTime]:
    """Pass 1 of a checkpoint over one clip, no guidance, a step at a time."""
    latents, told, embeds = _inputs(folder, canvas, frames)
    flop = 0.0
    for variant in variants:
        _forget(device)
        denoiser = build_denoiser(
            folder, 1, precision=variant.precision, device=device, compiled=variant.compiled, compile_cache=None
        )
        loop = _loop(folder, latents, device, variant.precision, WARM_UP_STEPS + STEPS)
        flop = flop or _counted(lambda d=denoiser, p=loop: _one_step(folder, d, p, latents, told, embeds))
        seconds = _seconds_a_step(folder, denoiser, loop, latents, told, embeds)
        yield StepTime(variant, seconds, flop, _peak(device))
        del denoiser


def coding_time(folder: Path, canvas: tuple[int, int], frames: int, device: torch.device) -> Coding:
    """The autoencoder in the type that it runs in on this device, after one turn that is not counted."""
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    vae = load_vae(folder, lambda _, tensor: tensor.to(device, dtype))
    count = padded_length(frames)
    clip = torch.zeros(1, 3, count, *canvas).uniform_(-1, 1, generator=torch.Generator().manual_seed(1))
    latents = torch.zeros(1, latent_count(count), LATENT_CHANNELS, *latent_shape(canvas))

    def into() -> object:
        return encode(vae, lambda start, stop: clip[:, :, start:stop], count)

    def out_of() -> object:
        return [None for _ in decode(vae, latents)]

    encode_flop, decode_flop = _counted(into), _counted(out_of)
    return Coding(_timed(into, device), _timed(out_of, device), encode_flop, decode_flop)


def load_seconds(folder: Path, device: torch.device, precision: str) -> tuple[float, float]:
    """Pass 1 onto the device, and once more when the files lie in memory."""

    def load() -> object:
        return build_denoiser(folder, 1, precision=precision, device=device)

    first = _timed(load, device)
    _forget(device)
    return first, _timed(load, device)


def device_limit(device: torch.device, fp8: bool) -> float:
    """FLOP a second of one large product of random matrices: what this card reaches at its best."""
    from gpu_server.engines.void.precision.float8 import Float8Linear, narrow_weight

    size = 8192 if device.type == "cuda" else 1024
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    linear = Float8Linear(*narrow_weight(right), None) if fp8 else torch.nn.Linear(size, size, False, device, dtype)
    with torch.no_grad():
        linear(left)
        seconds = statistics.median(_timed(lambda: linear(left), device) for _ in range(10))
    return 2 * size**3 / seconds


def loop_ratios(folder: Path, pairs: int, steps: int = 3) -> list[float]:
    """Seconds of the denoising loop over those of the same model calls alone; interleaved pairs, 22x48x84 latents."""
    count, *size = LOOP_LATENTS
    latents = initial_latents(1, count, (size[0], size[1]))
    told = torch.zeros(1, count, 2 * LATENT_CHANNELS, *size)
    embeds = torch.zeros(1, _TOKENS, read_spec(folder).transformer.text_width)
    model = PlainDenoiser(load_transformer(folder, 1))
    loop = _loop(folder, latents, torch.device("cpu"), "float32", steps)
    scheduler = load_scheduler(folder)
    scheduler.set_timesteps(steps)
    timesteps = scheduler.timesteps.tolist()
    place = rotary(loop.head_size, count // 2, size[0] // 2, size[1] // 2, torch.device("cpu"))
    hidden = torch.cat([latents, told], dim=2)

    def whole() -> object:
        return denoise(model, scheduler, latents, told, Guidance(embeds), loop)

    def bare() -> object:
        return [model(hidden, embeds, timestep, place) for timestep in timesteps]

    cpu = torch.device("cpu")
    ratios = [_timed(whole, cpu) / _timed(bare, cpu) for _ in range(pairs + 1)]
    return ratios[1:]


def _inputs(folder: Path, canvas: tuple[int, int], frames: int) -> tuple[Tensor, Tensor, Tensor]:
    latents = initial_latents(1, latent_count(padded_length(frames)), latent_shape(canvas))
    told = initial_latents(2, latents.shape[1], latent_shape(canvas)).repeat(1, 1, 2, 1, 1)
    return latents, told, torch.zeros(1, _TOKENS, read_spec(folder).transformer.text_width)


def _loop(folder: Path, latents: Tensor, device: torch.device, precision: str, steps: int) -> Loop:
    windows: tuple[Window, ...] = equal_windows(latents.shape[1])
    dtype = torch.float32 if precision == "float32" else torch.bfloat16
    return Loop(1, steps, windows, read_spec(folder).transformer.head_size, device, dtype)


def _one_step(folder: Path, model: Denoiser, loop: Loop, latents: Tensor, told: Tensor, embeds: Tensor) -> object:
    single = Loop(1, 1, loop.windows, loop.head_size, loop.device, loop.dtype)
    return denoise(model, load_scheduler(folder), latents, told, Guidance(embeds), single)


def _seconds_a_step(folder: Path, model: Denoiser, loop: Loop, latents: Tensor, told: Tensor, embeds: Tensor) -> float:
    marks: list[float] = []
    denoise(
        model,
        load_scheduler(folder),
        latents,
        told,
        Guidance(embeds),
        loop,
        on_step=lambda *_: marks.append(_now(torch.device(loop.device))),
    )
    spans = [after - before for before, after in zip(marks, marks[1:], strict=False)]
    return statistics.median(spans[WARM_UP_STEPS - 1 :])


def _counted(work: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def _timed(work: Callable[[], object], device: torch.device) -> float:
    began = _now(device)
    made = work()
    seconds = _now(device) - began
    del made
    return seconds


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _peak(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def _forget(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
