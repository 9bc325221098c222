"""The VOID model on one device: seconds a step by precision, the autoencoder, loading, the device's limit."""

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
from gpu_server.engines.void.precision.float8 import check_float8_device, narrow_rows, narrow_weight, row_wise_product
from gpu_server.engines.void.vae import decode, encode
from void_bridge.errors import EngineError, VoidBridgeError
from void_bridge.options import PRECISIONS

WARM_UP_STEPS, STEPS = 2, 6
LOAD_STEPS = 30
_REPEATS = 10


@dataclass(frozen=True)
class Variant:
    """A way to run the transformer. attention: a name of `precision.attention.KERNELS`."""

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
    """seconds: of a step, median. first_s: until the first step was done, tables and compilation included.
    peak_bytes: of the device's memory, loading included, over what was taken before; 0 on a CPU.
    """

    variant: Variant
    seconds: float
    first_s: float
    peak_bytes: int


@dataclass(frozen=True)
class NotMeasured:
    variant: Variant
    reason: str


@dataclass(frozen=True)
class CodingTime:
    """Of the autoencoder over the whole shot. peak_bytes: as in `StepTime`."""

    encode_s: float
    decode_s: float
    peak_bytes: int


@dataclass(frozen=True)
class LoadTime:
    """Pass 1 from its file onto the device, its tables for 30 steps included.

    cold_s: the system was told to forget the file's pages. warm_s: once more.
    """

    cold_s: float
    warm_s: float


def variants_for(device: torch.device) -> tuple[Variant, ...]:
    return GPU_VARIANTS if device.type == "cuda" else CPU_VARIANTS


def step_times(
    folder: Path, canvas: Size, frames: int, variants: tuple[Variant, ...], device: torch.device
) -> Iterator[StepTime | NotMeasured]:
    """Pass 1 of a checkpoint over one shot without guidance; a variant that cannot run says why."""
    for variant in variants:
        try:
            yield _step_time(folder, canvas, frames, variant, device)
        except VoidBridgeError as exc:
            yield NotMeasured(variant, exc.message)
        except RuntimeError as exc:
            yield NotMeasured(variant, f"{type(exc).__name__}: {' '.join(str(exc).split())[:160]}")


def _step_time(folder: Path, canvas: Size, frames: int, variant: Variant, device: torch.device) -> StepTime:
    before = fresh(device)
    denoiser = build_denoiser(
        folder,
        1,
        precision=variant.precision,
        device=device,
        attention=variant.attention,
        compiled=variant.compiled,
    )
    spans = _spans(folder, denoiser, canvas, frames, variant.precision, device)
    if denoiser.notes:
        raise EngineError(denoiser.notes[0])
    return StepTime(variant, statistics.median(spans[WARM_UP_STEPS:]), spans[0], _peak(device) - before)


def _spans(
    folder: Path, denoiser: OptimisedDenoiser, canvas: Size, frames: int, precision: str, device: torch.device
) -> list[float]:
    """Seconds of each step of the engine's own loop."""
    sizes = read_spec(folder).transformer
    latents, told, embeds = _inputs(sizes, canvas, frames)
    dtype = torch.float32 if precision == "float32" else torch.bfloat16
    windows = equal_windows(latents.shape[1])
    loop = DenoiseSettings(1, WARM_UP_STEPS + STEPS, windows, sizes.head_size, device, dtype)
    marks = _Marks(device)
    denoise(
        denoiser,
        load_scheduler(folder),
        latents.to(device),
        told,
        Guidance(embeds),
        loop,
        on_step=lambda *_: marks.add(),
    )
    return marks.spans()


class _Marks:
    """Seconds between moments; on a GPU in the order of its own work, which is not waited for meanwhile."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._events: list[torch.cuda.Event] = []
        self._times: list[float] = []
        self.add()

    def add(self) -> None:
        if self._device.type == "cuda":
            self._events.append(torch.cuda.Event(enable_timing=True))
            self._events[-1].record()
        else:
            self._times.append(time.perf_counter())

    def spans(self) -> list[float]:
        _now(self._device)
        if self._events:
            return [before.elapsed_time(after) / 1000 for before, after in pairwise(self._events)]
        return [after - before for before, after in pairwise(self._times)]


def coding_time(folder: Path, canvas: Size, frames: int, device: torch.device) -> CodingTime:
    """In the type that the engine runs it in on this device, after one turn that is not counted."""
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    before = fresh(device)
    vae = load_vae(folder, lambda _, tensor: tensor.to(device, dtype))
    count = padded_length(frames)
    clip = _random(1, 1, 3, count, *canvas).clamp(-1, 1)
    latents = _random(2, 1, latent_count(count), LATENT_CHANNELS, *latent_shape(canvas))

    def into() -> None:
        encode(vae, lambda start, stop: clip[:, :, start:stop], count)

    def out_of() -> None:
        for _ in decode(vae, latents):
            pass

    encode_s, decode_s = (_second_time(work, device) for work in (into, out_of))
    return CodingTime(encode_s, decode_s, _peak(device) - before)


def load_time(folder: Path, precision: str, device: torch.device) -> LoadTime:
    scheduler = load_scheduler(folder)
    scheduler.set_timesteps(LOAD_STEPS)

    def load() -> None:
        denoiser = build_denoiser(folder, 1, precision=precision, device=device)
        denoiser.start(scheduler.timesteps.tolist())

    fresh(device)
    _forget_pages(resolve(folder).pass_file(1))
    cold_s = _timed(load, device)
    fresh(device)
    return LoadTime(cold_s, _timed(load, device))


def product_rate(precision: str, device: torch.device) -> float:
    """FLOP a second of one large product of random matrices: what this device reaches at its best.

    Raises:
        EngineError: it has no product in this precision.
    """
    size = 8192 if device.type == "cuda" else 512
    left, right = (torch.randn(size, size, device=device) for _ in range(2))
    if precision == "fp8":
        check_float8_device(device)
        work = _eight_bit_product(left, right)
    else:
        dtype = torch.float32 if precision == "float32" else torch.bfloat16
        left, right = left.to(dtype), right.to(dtype)
        work = lambda: F.linear(left, right)  # noqa: E731
    work()
    return 2 * size**3 / statistics.median(_timed(work, device) for _ in range(_REPEATS))


def limit_seconds(flop: StepFlop, precision: str, rates: dict[str, float]) -> float:
    """A step at the device's limit: linear layers at the rate of their precision, attention at that of the wide type.

    rates: by precision, of `product_rate`.
    """
    wide = rates["float32" if precision == "float32" else "bf16"]
    return flop.products / (rates["fp8"] if precision == "fp8" else wide) + flop.attention / wide


def _eight_bit_product(left: Tensor, right: Tensor) -> Callable[[], object]:
    values, scale = narrow_rows(left)
    weight, weight_scale = narrow_weight(right)
    return lambda: row_wise_product(values, scale, weight, weight_scale, None)


def _inputs(sizes: TransformerSizes, canvas: Size, frames: int) -> tuple[Tensor, Tensor, Tensor]:
    count, size = latent_count(padded_length(frames)), latent_shape(canvas)
    latents = _random(1, 1, count, LATENT_CHANNELS, *size)
    told = _random(2, 1, count, 2 * LATENT_CHANNELS, *size)
    return latents, told, _random(3, 1, sizes.text_tokens, sizes.text_width)


def _random(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _second_time(work: Callable[[], object], device: torch.device) -> float:
    work()
    return _timed(work, device)


def _timed(work: Callable[[], object], device: torch.device) -> float:
    began = _now(device)
    work()
    return _now(device) - began


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def fresh(device: torch.device) -> int:
    """Let go of what ran before. Returns the bytes of the device that are still taken."""
    torch._dynamo.reset()
    gc.collect()
    if device.type != "cuda":
        return 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _peak(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def _forget_pages(path: Path) -> None:
    """Have the system read a file from its disk the next time; without effect where it cannot be told."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
