"""`void-bridge bench`: every number of the design that this machine can measure, into one page."""

from __future__ import annotations

import argparse
import datetime
import platform
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console

from gpu_server.bench.loop import LoopPairs, loop_pairs, watch_loop
from gpu_server.bench.propagate import Quality, quality
from gpu_server.bench.shots import passthrough_job, write_shot
from gpu_server.footage import Camera
from gpu_server.private_server import private_server
from void_bridge import __version__
from void_bridge.atomic import write_bytes
from void_bridge.cli.command import Command
from void_bridge.cores import available_cores
from void_bridge.errors import UsageError

SHORT_FRAMES, LONG_FRAMES = 24, 96
CAMERAS: tuple[Camera, ...] = ("static", "pan", "pan_zoom_rotation")
PARTS = ("loop", "memory", "propagate")


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the page here too (Markdown)")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part; may be repeated")
    parser.add_argument("--pairs", type=int, default=5, help="interleaved pairs of the loop (default %(default)s)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where to work; takes 12 GB (default: temporary)")


def _run(args: argparse.Namespace) -> int:
    if args.pairs < 1:
        raise UsageError(f"got {args.pairs} pairs, expected 1 or more")
    console = Console(stderr=True)
    parts = args.only or PARTS
    sections = [_heading()]
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        for part in PARTS:
            if part in parts:
                console.print(f"measuring: {part}")
                sections.append("\n".join(_SECTIONS[part](Path(folder), args.pairs)))
    page = "\n\n".join(sections) + "\n"
    if args.out:
        write_bytes(args.out.absolute(), page.encode())
    console.print(page, markup=False, highlight=False, soft_wrap=True)
    return 0


def _heading() -> str:
    memory_gib = psutil.virtual_memory().total / 2**30
    return (
        "# Benchmarks\n\n"
        "Made by `make bench`; every figure comes from one run. Ratios are of interleaved pairs, median (lowest to"
        " highest).\n\n"
        f"Machine: {_processor()}, {available_cores()} cores, {memory_gib:.0f} GiB, {platform.system()};"
        f" Python {platform.python_version()}, void-bridge {__version__}, {datetime.date.today()}. No GPU was there:"
        " what needs one is not measured."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _loop(folder: Path, pairs: int) -> Iterator[str]:
    plate = write_shot(folder / "shot", SHORT_FRAMES)
    with private_server(folder / "server") as server:
        measured = loop_pairs(server, plate, SHORT_FRAMES, folder, pairs, available_cores())
        answers = np.array(watch_loop(server, passthrough_job(plate, SHORT_FRAMES, folder / "asked")).answers_s) * 1000
    yield "## The loop around an engine that changes nothing\n"
    yield f"3840x2160 half RGBA with grain, ZIP, {SHORT_FRAMES} frames, {available_cores()} threads, {pairs} pairs.\n"
    yield "| what | got | at least |\n|---|---|---|"
    yield f"| wall time over decode + encode by OpenEXR alone | {_ratio(measured)} | 1.25 x |"
    yield (
        f"| control answers while the job runs, {len(answers)} asked | p50 {np.percentile(answers, 50):.1f} ms,"
        f" p99 {np.percentile(answers, 99):.1f} ms, longest {answers.max():.1f} ms | p99 under 100 ms |"
    )


def _ratio(measured: LoopPairs) -> str:
    seconds = f"{np.median(measured.loop_seconds):.1f} s against {np.median(measured.bare_seconds):.1f} s"
    return f"{measured.median:.2f} x ({min(measured.ratios):.2f} to {max(measured.ratios):.2f}; {seconds})"


def _memory(folder: Path, _: int) -> Iterator[str]:
    plate = write_shot(folder / "long", LONG_FRAMES)
    peaks: dict[tuple[str, int], float] = {}
    for engine in ("passthrough", "propagate"):
        for frames in (SHORT_FRAMES, LONG_FRAMES):
            with private_server(folder / f"server-{engine}-{frames}") as server:
                job = passthrough_job(plate, frames, folder / f"{engine}-{frames}").replace(engine=engine)
                peaks[engine, frames] = watch_loop(server, job).peak_pss_bytes / 2**30
    yield "## Memory\n"
    yield "3840x2160 half RGBA, a matte over a quarter; sum of PSS of client, server and worker at its peak.\n"
    yield f"| engine | {SHORT_FRAMES} frames | {LONG_FRAMES} frames | ratio | at least |\n|---|---|---|---|---|"
    for engine, bound in (("passthrough", "1.10 x, 3 GB"), ("propagate", "3 GB")):
        short, long = peaks[engine, SHORT_FRAMES], peaks[engine, LONG_FRAMES]
        yield f"| {engine} | {short:.2f} GiB | {long:.2f} GiB | {long / short:.2f} x | {bound} |"


def _propagate(_: Path, __: int) -> Iterator[str]:
    yield "## The propagate engine\n"
    yield (
        "960x540, 24 frames with grain and known background; PSNR of display-encoded values inside the matte against"
        " the clean background; grain and flicker inside the matte over outside.\n"
    )
    yield "| camera | PSNR | over OpenCV inpainting | grain | flicker | seconds a frame |\n|---|---|---|---|---|---|"
    for camera in CAMERAS:
        yield _quality_row(quality(camera))
    yield "| at least | 36 / 34 / 32 dB | 16 dB | 0.8 to 1.25 | at most 1.25 | |"


def _quality_row(q: Quality) -> str:
    gain = q.psnr_db - q.inpaint_db
    return (
        f"| {q.camera} | {q.psnr_db:.1f} dB | {gain:+.1f} dB | {q.grain:.2f} | {q.flicker:.2f} |"
        f" {q.seconds_a_frame:.2f} |"
    )


_SECTIONS: dict[str, Callable[[Path, int], Iterator[str]]] = {
    "loop": _loop,
    "memory": _memory,
    "propagate": _propagate,
}

COMMAND = Command("bench", "measure the numbers of docs/benchmarks.md", _configure, _run)
