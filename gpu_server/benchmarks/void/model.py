"""The model on one device: seconds of a step by precision, the VAE, loading, the device's limit."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from gpu_server.benchmarks.void.flops import StepFlop
from gpu_server.benchmarks.void.options import Size
from gpu_server.engines.void.checkpoint.layout import resolve
from gpu_server.engines.void.checkpoint.loading import load_scheduler, load_vae
from gpu_server.engines.void.denoise import DenoiseSettings, Guidance, denoise
from gpu_server.engines.void.latent_geometry import LATENT_CHANNELS, latent_count, latent_shape, padded_length
from gpu_server.engines.void.latent_windows import equal_windows
from gpu_server.engines.void.planner.spec import TransformerSizes, read_spec
from gpu_server.engines.void.precision.denoiser import OptimisedDenoiser, build_denoiser
from gpu_server.engines.void.precision.float8 import (
    check_float8_device,
    quantise_rows,
    quantise_weight,
    row_wise_product,
)
from gpu_server.engines.void.vae import decode, encode
from void_bridge.errors import EngineError, VoidBridgeError
from void_bridge.options import PRECISIONS

WARM_UP_STEPS, STEPS = 2, 6
LOAD_STEPS = 30
_REPEATS = 10


@dataclass(frozen=True)
class Variant:
    """A way to run the transformer.

    Attributes:
        precision: float32, bf16, fp8-stored or fp8.
        compiled: whether its blocks are compiled.
        attention: a name of `precision.attention.KERNELS`.
    """

    precision: str
    compiled: bool = False
    attention: str = "sdpa"

    def __str__(self) -> str:
        return f"{self.precision}, {'compiled' if self.compiled else 'eager'}, {self.attention}"


CPU_VARIANTS = tuple(Variant(precision) for precision in PRECISIONS)
GPU_VARIANTS = (
    Variant("bf16"),
    Variant("bf16", compiled=True),
    Variant("bf16", compiled=True, attention="sdpa-cudnn"),
    Variant("fp8-stored", compiled=True),
    Variant("fp8"),
    Variant("fp8", compiled=True),
    Variant("fp8", compiled=True, attention="sdpa-cudnn"),
)


@dataclass(frozen=True)
class StepTime:
    """The time and memory of a step.

    Attributes:
        variant: the way it ran.
        seconds: seconds of a step, median.
        first_s: seconds until the first step was done, tables and compilation included.
        peak_bytes: peak of the device's memory, loading included, above its level before; 0 on a CPU.
    """

    variant: Variant
    seconds: float
    first_s: float
    peak_bytes: int


@dataclass(frozen=True)
class NotMeasured:
    """A variant that could not run, and the reason."""

    variant: Variant
    reason: str


@dataclass(frozen=True)
class VaeTime:
    """The time and memory of the VAE over a whole shot.

    Attributes:
        encode_s: seconds of encoding.
        decode_s: seconds of decoding.
        peak_bytes: as in `StepTime`.
    """

    encode_s: float
    decode_s: float
    peak_bytes: int


@dataclass(frozen=True)
class LoadTime:
    """The time to load pass 1 from its file onto the device, with its tables for 30 steps.

    Attributes:
        cold_s: seconds after the system was asked to drop the file from its cache.
        warm_s: seconds of a second time.
    """

    cold_s: float
    warm_s: float


def variants_for(device: torch.device) -> tuple[Variant, ...]:
    """Return the variants to measure on a device."""
    return GPU_VARIANTS if device.type == "cuda" else CPU_VARIANTS


def step_times(
    folder: Path, canvas: Size, frames: int, variants: tuple[Variant, ...], device: torch.device
) -> Iterator[StepTime | NotMeasured]:
    """Measure the steps of pass 1 over one shot without guidance, for each variant.

    Args:
        folder: the models folder.
        canvas: height and width in pixels.
        frames: frames of the shot, before it is padded.
        variants: the variants.
        device: where the model computes.
    """
    for variant in variants:
        try:
            yield _step_time(folder, canvas, frames, variant, device)
        except VoidBridgeError as exc:
            yield NotMeasured(variant, exc.message)
        except RuntimeError as exc:
            yield NotMeasured(variant, f"{type(exc).__name__}: {' '.join(str(exc).split())[:160]}")


def _step_time(folder: Path, canvas: Size, frames: int, variant: Variant, device: torch.device) -> StepTime:
    """Measure one variant."""
    before = empty_device(device)
    denoiser = build_denoiser(
        folder,
        1,
        precision=variant.precision,
        device=device,
        attention=variant.attention,
        compiled=variant.compiled,
    )
    seconds = _step_seconds(folder, denoiser, canvas, frames, variant.precision, device)
    if denoiser.notes:
        raise EngineError(denoiser.notes[0])
    return StepTime(variant, statistics.median(seconds[WARM_UP_STEPS:]), seconds[0], _peak(device) - before)


def _step_seconds(
    folder: Path, denoiser: OptimisedDenoiser, canvas: Size, frames: int, precision: str, device: torch.device
) -> list[float]:
    """Return the seconds of each step of the engine's own loop."""
    sizes = read_spec(folder).transformer
    latents, conditioning, embeds = _inputs(sizes, canvas, frames)
    dtype = torch.float32 if precision == "float32" else torch.bfloat16
    windows = equal_windows(latents.shape[1])
    settings = DenoiseSettings(1, WARM_UP_STEPS + STEPS, windows, sizes.head_size, device, dtype)
    clock = _StepClock(device)
    denoise(
        denoiser,
        load_scheduler(folder),
        latents.to(device),
        conditioning,
        Guidance(embeds),
        settings,
        on_step=lambda *_: clock.mark(),
    )
    return clock.seconds()


class _StepClock:
    """A clock of the time between marks. On a GPU, marks are queued with its work, so that the host does not wait."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._events: list[torch.cuda.Event] = []
        self._times: list[float] = []
        self.mark()

    def mark(self) -> None:
        """Set a mark."""
        if self._device.type == "cuda":
            self._events.append(torch.cuda.Event(enable_timing=True))
            self._events[-1].record()
        else:
            self._times.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """Return the seconds between neighbouring marks."""
        _now(self._device)
        if self._events:
            return [before.elapsed_time(after) / 1000 for before, after in pairwise(self._events)]
        return [after - before for before, after in pairwise(self._times)]


def vae_time(folder: Path, canvas: Size, frames: int, device: torch.device) -> VaeTime:
    """Measure the VAE over a shot, in the engine's type for the device, after one run that is not counted.

    Args:
        folder: the models folder.
        canvas: height and width in pixels.
        frames: frames of the shot, before it is padded.
        device: where the VAE computes.
    """
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    before = empty_device(device)
    vae = load_vae(folder, lambda _, tensor: tensor.to(device, dtype))
    count = padded_length(frames)
    clip = _random(1, 1, 3, count, *canvas).clamp(-1, 1)
    latents = _random(2, 1, latent_count(count), LATENT_CHANNELS, *latent_shape(canvas))

    def encode_all() -> None:
        encode(vae, lambda start, stop: clip[:, :, start:stop], count)

    def decode_all() -> None:
        for _ in decode(vae, latents):
            pass

    encode_s, decode_s = (_second_time(work, device) for work in (encode_all, decode_all))
    return VaeTime(encode_s, decode_s, _peak(device) - before)


def load_time(folder: Path, precision: str, device: torch.device) -> LoadTime:
    """Measure the loading of pass 1 at a precision.

    Args:
        folder: the models folder.
        precision: float32, bf16, fp8-stored or fp8.
        device: where it is loaded to.
    """
    scheduler = load_scheduler(folder)
    scheduler.set_timesteps(LOAD_STEPS)

    def load() -> None:
        denoiser = build_denoiser(folder, 1, precision=precision, device=device)
        denoiser.start(scheduler.timesteps.tolist())

    empty_device(device)
    _drop_from_cache(resolve(folder).pass_file(1))
    cold_s = _timed(load, device)
    empty_device(device)
    return LoadTime(cold_s, _timed(load, device))


def product_rate(precision: str, device: torch.device) -> float:
    """Measure the operations a second of one large product of random matrices: the limit of a device.

    Args:
        precision: float32, bf16 or fp8.
        device: the device.

    Raises:
        EngineError: the device has no product in this precision.
    """
    size = 8192 if device.type == "cuda" else 512
    left, right = (torch.randn(size, size, device=device) for _ in range(2))
    if precision == "fp8":
        check_float8_device(device)
        work = _float8_product(left, right)
    else:
        dtype = torch.float32 if precision == "float32" else torch.bfloat16
        left, right = left.to(dtype), right.to(dtype)
        work = lambda: F.linear(left, right)  # noqa: E731
    work()
    return 2 * size**3 / statistics.median(_timed(work, device) for _ in range(_REPEATS))


def limit_seconds(flop: StepFlop, precision: str, rates: dict[str, float]) -> float:
    """Return the seconds of a step at the device's limit.

    Linear layers run at the rate of their precision, attention at that of the activations' type.

    Args:
        flop: the operations of the step.
        precision: float32, bf16, fp8-stored or fp8.
        rates: results of `product_rate` by precision.
    """
    full = rates["float32" if precision == "float32" else "bf16"]
    return flop.products / (rates["fp8"] if precision == "fp8" else full) + flop.attention / full


def _float8_product(left: Tensor, right: Tensor) -> Callable[[], object]:
    """Return a function that multiplies two matrices, shape [S, S], in 8 bits."""
    values, scale = quantise_rows(left)
    weight, weight_scale = quantise_weight(right)
    return lambda: row_wise_product(values, scale, weight, weight_scale, None)


def _inputs(sizes: TransformerSizes, canvas: Size, frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return random latents, conditioning and prompt embeddings of a shot."""
    count, size = latent_count(padded_length(frames)), latent_shape(canvas)
    latents = _random(1, 1, count, LATENT_CHANNELS, *size)
    conditioning = _random(2, 1, count, 2 * LATENT_CHANNELS, *size)
    return latents, conditioning, _random(3, 1, sizes.text_tokens, sizes.text_width)


def _random(seed: int, *shape: int) -> Tensor:
    """Return values of a normal distribution, float32, on the CPU."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _second_time(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of a function's second run."""
    work()
    return _timed(work, device)


def _timed(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds that a function takes, until the device has finished."""
    began = _now(device)
    work()
    return _now(device) - began


def _now(device: torch.device) -> float:
    """Wait for the device and return the time in seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def empty_device(device: torch.device) -> int:
    """Drop compiled graphs and free memory, and return the bytes of the device that are still allocated."""
    torch.compiler.reset()
    gc.collect()
    if device.type != "cuda":
        return 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _peak(device: torch.device) -> int:
    """Return the peak of the device's memory since `empty_device`, 0 on a CPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def _drop_from_cache(path: Path) -> None:
    """Drop a file from the system's cache, if the system offers it."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
