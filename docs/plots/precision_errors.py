"""Print the figures of docs/reference/precision.md: errors of precisions, attention and step caches, on random weights.

python docs/plots/precision_errors.py
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from gpu_server.engines.void.checkpoint.loading import load_scheduler
from gpu_server.engines.void.denoise import Denoiser, DenoiseSettings, denoise, make_guidance, rotary
from gpu_server.engines.void.latent_windows import LatentWindow
from gpu_server.engines.void.precision.attention import KERNELS, available_attention
from gpu_server.engines.void.precision.denoiser import OptimisedDenoiser, build_denoiser
from gpu_server.engines.void.precision.float8 import float8_linear, quantise_weight
from gpu_server.engines.void.precision.placement import place_transformer
from gpu_server.engines.void.precision.step_cache import StepCache
from gpu_server.engines.void.random_checkpoints.tiny import write_tiny
from void_bridge.options import PRECISIONS

CPU = torch.device("cpu")
WIDTHS = ((3072, 3072), (3072, 12288), (12288, 3072))
THRESHOLDS = (0.05, 0.7, 0.8, 0.9)
STEPS = 30
WINDOWS = (LatentWindow(0, 8), LatentWindow(4, 12))


def error(got: Tensor, expected: Tensor) -> float:
    """Return the relative RMS of the difference of two tensors of one shape."""
    return float((got.float() - expected.float()).norm() / expected.float().norm())


def print_row(*columns: object) -> None:
    """Print a row of a Markdown table."""
    cells = (f"{column:.4f}" if isinstance(column, float) else str(column) for column in columns)
    sys.stdout.write("| " + " | ".join(cells) + " |\n")


def linears() -> None:
    """Print the errors of 8-bit linear layers."""
    print_row(
        "linear", "weight", "bf16 vs float32", "stored vs float32", "stored vs bf16", "computed vs float32", "vs bf16"
    )
    for inputs, outputs in WIDTHS:
        weight = (torch.randn(outputs, inputs) * inputs**-0.5).bfloat16()
        values = torch.randn(64, inputs).bfloat16()
        narrow, scale = quantise_weight(weight)
        wide, plain = F.linear(values.float(), weight.float()), F.linear(values, weight)
        results = [float8_linear(narrow, scale, None, computed=computed)(values) for computed in (False, True)]
        errors = [error(result, expected) for result in results for expected in (wide, plain)]
        print_row(f"{inputs} to {outputs}", error(narrow.float() * scale, weight), error(plain, wide), *errors)


def attention() -> None:
    """Print the errors of attention kernels."""
    query, key, value = torch.randn(3, 1, 2000, 4, 64).unbind()
    expected = KERNELS["sdpa"].product(query, key, value)
    print_row("attention", "float32", "bfloat16")
    for name in available_attention():
        product = KERNELS[name].product
        narrow = product(query.bfloat16(), key.bfloat16(), value.bfloat16())
        print_row(name, f"{error(product(query, key, value), expected):.1e}", error(narrow, expected))


class CountingDenoiser:
    """A denoiser with a step cache that counts the runs of the second block, which the cache skips.

    Args:
        models: the models folder.
        threshold: the step cache's threshold.
    """

    def __init__(self, models: Path, threshold: float) -> None:
        transformer, table = place_transformer(models, 1, "float32", CPU)
        self.runs = 0
        transformer.transformer_blocks[1].attn1.register_forward_hook(self._count)
        self.denoiser = OptimisedDenoiser(transformer, table, StepCache(transformer, "first-block", threshold))

    def _count(self, *_: object) -> None:
        self.runs += 1


def models_folder() -> Path:
    """Write a tiny checkpoint and return its folder."""
    folder = Path(tempfile.mkdtemp())
    write_tiny(folder)
    return folder


def loop_of(models: Path) -> Callable[[Denoiser], Tensor]:
    """Return a function that runs a denoising loop with a denoiser."""
    latents, conditioning, prompt = (
        torch.randn(1, 12, 16, 8, 12),
        torch.randn(1, 12, 32, 8, 12),
        torch.randn(1, 226, 24),
    )

    def run(denoiser: Denoiser) -> Tensor:
        guidance = make_guidance(prompt, None, 1)
        return denoise(
            denoiser, load_scheduler(models), latents, conditioning, guidance, DenoiseSettings(1, STEPS, WINDOWS)
        )

    return run


def precisions(models: Path) -> None:
    """Print the errors of precisions, of one call and of a whole loop."""
    hidden, prompt, turn = torch.randn(1, 8, 48, 8, 12), torch.randn(1, 226, 24), rotary(64, 4, 4, 6, CPU)
    run, found = loop_of(models), {}
    for name in PRECISIONS:
        denoiser = build_denoiser(models, 1, precision=name, device=CPU)
        denoiser.start([500])
        found[name] = denoiser(hidden, prompt, 500, turn), run(denoiser)
    print_row("precision", "one call vs float32", "vs bf16", f"{STEPS} steps vs float32", "vs bf16")
    for name in PRECISIONS[1:]:
        print_row(name, *(error(found[name][i], found[other][i]) for i in (0, 1) for other in ("float32", "bf16")))


def step_caches(models: Path) -> None:
    """Print the errors of step caches, and the share of blocks that they skip."""
    run = loop_of(models)
    expected = run(build_denoiser(models, 1, precision="float32", device=CPU))
    print_row("threshold", "blocks left out", "error")
    for threshold in THRESHOLDS:
        counting = CountingDenoiser(models, threshold)
        result = run(counting.denoiser)
        print_row(threshold, f"{1 - counting.runs / (STEPS * len(WINDOWS)):.0%}", error(result, expected))


if __name__ == "__main__":
    torch.manual_seed(0)
    folder = models_folder()
    linears()
    attention()
    precisions(folder)
    step_caches(folder)
