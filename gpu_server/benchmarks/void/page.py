"""The section of `void-bridge bench void`: the model alone, whole jobs, a queue, the cost of the denoising loop."""

from __future__ import annotations

import argparse
import shutil
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from gpu_server.benchmarks.shots import benchmark_job, write_shot
from gpu_server.benchmarks.void.denoising_loop import LATENTS, loop_ratios
from gpu_server.benchmarks.void.jobs import QueueTime, run_queue
from gpu_server.benchmarks.void.model import empty_device
from gpu_server.benchmarks.void.model_page import NOT_MEASURED, full_size_lines, model_lines, this_device
from gpu_server.benchmarks.void.options import Size, run_size
from gpu_server.engines.void.checkpoint.check import readiness_problem
from gpu_server.engines.void.random_checkpoints.full_size import FULL, TINY, write_prompt_encoder
from gpu_server.engines.void.random_checkpoints.tiny import write_tiny
from gpu_server.private_server import private_server
from void_bridge.config import load
from void_bridge.errors import UsageError

HD, UHD, SMALL = (1080, 1920), (2160, 3840), (270, 480)
QUEUE = 5


@dataclass(frozen=True)
class BenchmarkRun:
    """Settings of the jobs that are measured.

    Attributes:
        models: the models folder.
        canvas: height and width of the model's frame in pixels.
        frames: frames of a shot.
        device: where the model computes.
        plates: height and width in pixels of each plate.
        steps: denoising steps of a job.
    """

    models: Path
    canvas: Size
    frames: int
    device: torch.device
    plates: tuple[Size, ...]
    steps: int


def void_lines(folder: Path, options: argparse.Namespace) -> Iterator[str]:
    """Yield the section as Markdown, each line as soon as it is measured.

    Args:
        folder: where shots, weights and results are written.
        options: those of `options.add_arguments`, and `pairs`: pairs of the denoising loop.

    Raises:
        UsageError: the models folder that was named cannot be used.
    """
    device = this_device()
    on_gpu = device.type == "cuda"
    yield "## Void engine"
    models, weights = _models(folder, options, on_gpu)
    problem = readiness_problem(models, (1,))
    if problem and options.models:
        raise UsageError(f"{options.models}: {problem}; see void-bridge models check")
    if problem:
        yield f"\n{NOT_MEASURED}: {problem}; give --models DIR or --random-weights."
    else:
        canvas, frames = run_size(options, on_gpu)
        run = BenchmarkRun(models, canvas, frames, device, (HD, UHD) if on_gpu else (SMALL,), 30 if on_gpu else 4)
        yield f"\n### Model only, {weights}"
        yield from model_lines(models, canvas, frames, device)
        yield from _job_lines(run, folder)
    if not on_gpu:
        yield from full_size_lines()
        yield f"\nJobs and queues at 1920x1080 and 3840x2160: {NOT_MEASURED}."
    yield from _loop_lines(folder, options.pairs)


def _models(folder: Path, options: argparse.Namespace, on_gpu: bool) -> tuple[Path, str]:
    """Return a models folder, written if need be, and the name of its weights."""
    if options.models:
        return options.models, f"weights of {options.models}"
    if on_gpu and not options.random_weights:
        return load().config.models, "the installed weights"
    models = folder / "models"
    if on_gpu:
        FULL.write(models)
        write_prompt_encoder(models)
        return models, FULL.name
    write_tiny(models)
    return models, TINY.name


def _job_lines(run: BenchmarkRun, folder: Path) -> Iterator[str]:
    """Yield the tables of whole jobs."""
    yield (
        f"\n### Jobs, EXR to EXR\n\nThrough a server: {run.frames} frames of half RGBA with a matte over a quarter,"
        f" pass 1, {run.steps} steps, canvas {run.canvas[1]}x{run.canvas[0]}. Cold: the worker's first job; libraries"
        " are loaded in its first stage. Warm: the same shot with another seed; the latents of prompt, mask and"
        f" plate are in the cache. Queue: {QUEUE} more seeds. Busy: the share of the wall time in which the"
        " model's stages ran. Overlap: the time in which one job's frames were written while the next job ran (a lower"
        " bound).\n"
    )
    yield "| plate | run | wall | busy | overlap | plan |\n|---|---|---|---|---|---|"
    empty_device(run.device)
    stage_rows = []
    for height, width in run.plates:
        for name, timed in _timed_queues(run, folder / f"{width}", (height, width)):
            overlap = f"{timed.overlap_s:.1f} s" if len(timed.jobs) > 1 else ""
            yield (
                f"| {width}x{height} | {name} | {timed.wall_s:.1f} s | {timed.busy_share:.0%} | {overlap} |"
                f" {timed.jobs[-1].plan} |"
            )
            stage_rows.append(f"| {width}x{height} | {name} | {_stage_seconds(timed)} |")
    yield "\n| plate | run | seconds by stage |\n|---|---|---|"
    yield from stage_rows
    yield "\nRequired of a queue on a GPU: busy for at least 80 %."


def _timed_queues(run: BenchmarkRun, folder: Path, size: Size) -> Iterator[tuple[str, QueueTime]]:
    """Run a cold job, a warm one, and on the first plate a queue, whose results at UHD would take 40 GB."""
    rounds = [("cold", range(1, 2)), ("warm", range(2, 3)), (f"queue of {QUEUE}", range(3, 3 + QUEUE))]
    plate = write_shot(folder / "shot", run.frames, *size)
    void = {
        "engine": "void",
        "prompt": "an empty room",
        "passes": "1",
        "canvas": f"{run.canvas[0]}x{run.canvas[1]}",
        "steps": run.steps,
    }
    with private_server(folder / "server", models=run.models) as server:
        for name, seeds in rounds if size == run.plates[0] else rounds[:2]:
            jobs = [benchmark_job(plate, run.frames, folder / f"clean{seed}", **void, seed=seed) for seed in seeds]
            yield name, run_queue(server, jobs)
    shutil.rmtree(folder)


def _stage_seconds(timed: QueueTime) -> str:
    """Return the seconds of each stage, of all jobs together."""
    names = dict.fromkeys(stage for job in timed.jobs for stage in job.stages)
    totals = ((name, sum(job.stages.get(name, 0.0) for job in timed.jobs)) for name in names)
    return ", ".join(f"{name} {seconds:.2f}" for name, seconds in totals)


def _loop_lines(folder: Path, pairs: int) -> Iterator[str]:
    """Yield the table of the denoising loop."""
    models = folder / "loop"
    write_tiny(models)
    ratios = loop_ratios(models, pairs)
    yield "\n### Denoising loop\n"
    yield f"Tiny weights, {LATENTS[0]}x{LATENTS[1]}x{LATENTS[2]} latents, CPU, float32, {pairs} interleaved pairs.\n"
    yield "| measurement | result | required |\n|---|---|---|"
    yield (
        f"| wall time, relative to the same model calls alone | {statistics.median(ratios):.3f} x ({min(ratios):.3f} to"
        f" {max(ratios):.3f}) | at most 1.1 x |"
    )
