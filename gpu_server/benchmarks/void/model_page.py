"""The figures of the model alone, as Markdown.

It runs where only torch, diffusers and transformers are installed:

python -m gpu_server.benchmarks.void.model_page --random-weights
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import diffusers
import torch

from gpu_server.benchmarks.void.flops import StepFlop, VaeFlop, flop_of
from gpu_server.benchmarks.void.model import (
    GPU_VARIANTS,
    NotMeasured,
    StepTime,
    Variant,
    limit_seconds,
    load_time,
    product_rate,
    step_times,
    vae_time,
    variants_for,
)
from gpu_server.benchmarks.void.options import FULL_RUN, Size, add_arguments, run_size
from gpu_server.engines.void.latent_geometry import padded_length
from gpu_server.engines.void.random_checkpoints.full_size import FULL, TINY
from void_bridge.errors import EngineError, VoidBridgeError

Rates = dict[str, float]

NOT_MEASURED = "not measured"
_FASTER = Variant("fp8", compiled=True), Variant("bf16", compiled=True)
_STEPS_HEAD = (
    "| variant | seconds a step | TFLOP/s | of the limit | first step | peak VRAM |\n|---|---|---|---|---|---|"
)


def this_device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def model_lines(models: Path, canvas: Size, frames: int, device: torch.device) -> Iterator[str]:
    """Yield the tables as Markdown, each line as soon as it is measured.

    Args:
        models: the models folder.
        canvas: height and width in pixels.
        frames: frames of the shot, before it is padded.
        device: where the model computes.
    """
    steps, vae = flop_of(models, canvas, frames)
    rates = _rates(device)
    yield (
        f"\n{_device_name(device)}; torch {torch.__version__}, diffusers {diffusers.__version__}; {_size(canvas)},"
        f" {frames} frames ({padded_length(frames)} with padding); a step is {steps.total / 1e12:.4g} TFLOP, of which"
        f" {steps.attention / steps.total:.0%} attention.\n"
    )
    yield from _limit_lines(rates)
    yield from _step_lines(models, canvas, frames, device, steps, rates)
    yield from _vae_lines(models, canvas, frames, device, vae)
    yield from _load_lines(models, device)


def full_size_lines() -> Iterator[str]:
    """Yield the tables of a GPU for a machine without one, without figures."""
    yield f"\n### On a GPU, weights of the published size, {_size(FULL_RUN[0])}, {FULL_RUN[1]} frames\n"
    yield _STEPS_HEAD
    yield from (f"| {variant} |" + f" {NOT_MEASURED} |" * 5 for variant in GPU_VARIANTS)
    yield f"\n{_ratio_line(None)}"
    yield f"Encode, decode, loading: {NOT_MEASURED}."
    yield (
        "\nTo measure them: `void-bridge bench void --random-weights`. To measure only the model, with no more than"
        " torch, diffusers and transformers installed: `python -m gpu_server.benchmarks.void.model_page"
        " --random-weights` (12 GB of disk)."
    )


def _device_name(device: torch.device) -> str:
    """Return the name of the device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def _size(canvas: Size) -> str:
    """Return a canvas as WIDTHxHEIGHT."""
    return f"{canvas[1]}x{canvas[0]}"


def _rates(device: torch.device) -> Rates:
    """Return the limit of the device by precision, without those that the device or its libraries lack."""
    rates = {}
    for precision in ("float32", "bf16", "fp8"):
        with suppress(EngineError, RuntimeError):
            rates[precision] = product_rate(precision, device)
    return rates


def _limit_lines(rates: Rates) -> Iterator[str]:
    """Yield the table of the device's limits."""
    yield "| limit: one large product of random matrices | TFLOP/s |\n|---|---|"
    for precision in ("float32", "bf16", "fp8"):
        yield f"| {precision} | {rates[precision] / 1e12:.4g} |" if precision in rates else _row(precision, 1)


def _step_lines(
    models: Path, canvas: Size, frames: int, device: torch.device, flop: StepFlop, rates: Rates
) -> Iterator[str]:
    """Yield the table of steps."""
    yield (
        "\nSteps of pass 1 without guidance, as the engine's loop runs them, median. The limit of a step: its linear"
        " layers at the limit of their precision, its attention at that of float32 or bfloat16. First step: with"
        " tables and compilation.\n"
    )
    yield _STEPS_HEAD
    seconds = {}
    for timed in step_times(models, canvas, frames, variants_for(device), device):
        if isinstance(timed, StepTime):
            seconds[timed.variant] = timed.seconds
            yield _step_row(timed, flop, rates)
        else:
            yield _failed_row(timed)
    if device.type == "cuda":
        fast, slow = (seconds.get(variant) for variant in _FASTER)
        yield f"\n{_ratio_line(slow / fast if fast and slow else None)}"


def _step_row(timed: StepTime, flop: StepFlop, rates: Rates) -> str:
    """Return the row of one variant."""
    precision = timed.variant.precision
    has_limit = precision != "fp8" or "fp8" in rates
    share = f"{limit_seconds(flop, precision, rates) / timed.seconds:.1%}" if has_limit else NOT_MEASURED
    peak = f"{timed.peak_bytes / 2**30:.1f} GiB" if timed.peak_bytes else NOT_MEASURED
    return (
        f"| {timed.variant} | {timed.seconds:.3g} s | {flop.total / timed.seconds / 1e12:.3g} | {share} |"
        f" {timed.first_s:.3g} s | {peak} |"
    )


def _failed_row(failed: NotMeasured) -> str:
    """Return the row of a variant that could not run."""
    return f"| {failed.variant} | {NOT_MEASURED}: {failed.reason} | | | | |"


def _row(name: str, columns: int) -> str:
    """Return a row without figures."""
    return f"| {name} |" + f" {NOT_MEASURED} |" * columns


def _ratio_line(ratio: float | None) -> str:
    """Return the line that compares fp8 with bf16."""
    text = NOT_MEASURED if ratio is None else f"{ratio:.2f} x"
    return f"fp8 compiled against bf16 compiled, a step: {text} (required: 1.35 x). Of the limit: required 60 %."


def _vae_lines(models: Path, canvas: Size, frames: int, device: torch.device, flop: VaeFlop) -> Iterator[str]:
    """Yield the table of the VAE."""
    yield "\n| VAE, whole shot | seconds | TFLOP | TFLOP/s |\n|---|---|---|---|"
    try:
        timed = vae_time(models, canvas, frames, device)
    except torch.OutOfMemoryError:
        yield f"| | {NOT_MEASURED}: out of memory | | |"
        return
    for name, seconds, count in (("encode", timed.encode_s, flop.encode), ("decode", timed.decode_s, flop.decode)):
        yield f"| {name} | {seconds:.3g} s | {count / 1e12:.4g} | {count / seconds / 1e12:.3g} |"
    if timed.peak_bytes:
        yield f"\nPeak VRAM of the VAE: {timed.peak_bytes / 2**30:.1f} GiB."


def _load_lines(models: Path, device: torch.device) -> Iterator[str]:
    """Yield the table of loading times."""
    yield "\n| loading pass 1, with tables for 30 steps | cold | warm |\n|---|---|---|"
    for precision in dict.fromkeys(variant.precision for variant in variants_for(device)):
        try:
            timed = load_time(models, precision, device)
        except (VoidBridgeError, torch.OutOfMemoryError) as exc:
            yield f"| {precision} | {NOT_MEASURED}: {exc} | |"
        else:
            yield f"| {precision} | {timed.cold_s:.3g} s | {timed.warm_s:.3g} s |"


def main(words: list[str] | None = None) -> int:
    """Measure the model as the command line asks, and return the exit code."""
    program = "python -m gpu_server.benchmarks.void.model_page"
    parser = argparse.ArgumentParser(prog=program, description="Measures the model.")
    add_arguments(parser)
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="where random weights are written (default: temporary)"
    )
    args = parser.parse_args(words)
    device = this_device()
    if device.type == "cuda" and not args.models and not args.random_weights:
        parser.error("give --models DIR or --random-weights")
    try:
        with tempfile.TemporaryDirectory(dir=args.work) as folder:
            models = args.models or _random_weights(Path(folder), device)
            for line in model_lines(models, *run_size(args, device.type == "cuda"), device):
                _say(line)
    except VoidBridgeError as exc:
        sys.stderr.write(f"{parser.prog}: {exc.message}\n")
        return exc.exit_code
    return 0


def _random_weights(folder: Path, device: torch.device) -> Path:
    """Write random weights that suit the device, and return their folder."""
    model = FULL if device.type == "cuda" else TINY
    _say(f"{model.name}, {model.bytes / 1e9:.2g} GB in {folder}")
    model.write(folder)
    return folder


def _say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
