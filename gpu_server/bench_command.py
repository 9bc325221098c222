"""`void-bridge bench`: all figures of docs/reference/benchmarks.md that this machine can measure, as one page."""

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

from gpu_server.benchmarks.exr_loop import LoopPairs, loop_pairs, measure_loop
from gpu_server.benchmarks.propagate import PropagateQuality, measure_quality
from gpu_server.benchmarks.shots import benchmark_job, write_shot
from gpu_server.benchmarks.void import options as void_options
from gpu_server.device import gpu_count
from gpu_server.footage import Camera
from gpu_server.private_server import private_server
from void_bridge.atomic import write_bytes
from void_bridge.cli.command import Command, add_json_option
from void_bridge.errors import UsageError
from void_bridge.processes import available_cores
from void_bridge.version import __version__

SHORT_FRAMES, LONG_FRAMES = 24, 96
CAMERAS: tuple[Camera, ...] = ("static", "pan", "pan_zoom_rotation")


def _configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "parts",
        nargs="*",
        choices=tuple(_SECTIONS),
        metavar="PART",
        help=f"parts to measure: {', '.join(_SECTIONS)} (default: all)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the page to this Markdown file")
    parser.add_argument(
        "--pairs",
        type=int,
        default=5,
        help="interleaved pairs of runs that a ratio is measured from (default: %(default)s)",
    )
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="folder for temporary files, 12 GB (default: the system's)"
    )
    add_json_option(parser)
    void_options.add_arguments(parser.add_argument_group("void"))


def _run(args: argparse.Namespace) -> int:
    """Measure the wanted parts, print each line when it is measured, and write the page."""
    if args.pairs < 1:
        raise UsageError(f"got {args.pairs} pairs, expected 1 or more")
    console = Console(stderr=True)
    parts = args.parts or _SECTIONS
    sections = [_print(console, _heading())]
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        for part, measured in _SECTIONS.items():
            if part in parts:
                console.print()
                sections.append("\n".join(_print(console, line) for line in measured(Path(folder), args)))
    page = "\n\n".join(sections) + "\n"
    if args.out:
        write_bytes(args.out.absolute(), page.encode())
    args.outcome.set_without_job(state="done", page=page)
    return 0


def _print(console: Console, text: str) -> str:
    """Print a text at once, as a part can take minutes, and return it."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    return text


def _heading() -> str:
    """Return the heading of the page, with the machine."""
    memory_gib = psutil.virtual_memory().total / 2**30
    return (
        "# Benchmarks\n\n"
        "Written by `make bench`; every figure comes from one run. A ratio is the median of interleaved pairs, with the"
        " lowest and the highest.\n\n"
        f"Machine: {_processor()}, {available_cores()} cores, {memory_gib:.0f} GiB, {platform.system()};"
        f" Python {platform.python_version()}, void-bridge {__version__}, {datetime.date.today()}."
        + ("" if gpu_count() else " No GPU was available: parts that need one are not measured.")
    )


def _processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _loop(folder: Path, options: argparse.Namespace) -> Iterator[str]:
    """Yield the section about the loop around an engine that changes nothing."""
    pairs = options.pairs
    plate = write_shot(folder / "shot", SHORT_FRAMES)
    with private_server(folder / "server") as server:
        measured = loop_pairs(server, plate, SHORT_FRAMES, folder, pairs, available_cores())
        job = benchmark_job(plate, SHORT_FRAMES, folder / "pinged", engine="passthrough", feather=0)
        measurement = measure_loop(server, job)
        answers = np.array(measurement.answers_s) * 1000
    yield "## EXR loop\n"
    yield (
        f"Jobs with an engine that changes nothing: 3840x2160 half RGBA with grain, ZIP, {SHORT_FRAMES} frames,"
        f" {available_cores()} threads, {pairs} pairs.\n"
    )
    yield "| measurement | result | required |\n|---|---|---|"
    yield f"| wall time, relative to decoding and encoding with OpenEXR alone | {_ratio(measured)} | at most 1.25 x |"
    yield (
        f"| time of {len(answers)} control requests during the job | p50 {np.percentile(answers, 50):.1f} ms,"
        f" p99 {np.percentile(answers, 99):.1f} ms, longest {answers.max():.1f} ms | p99 under 100 ms |"
    )


def _ratio(measured: LoopPairs) -> str:
    """Return the median ratio of pairs, with the extremes and the seconds."""
    seconds = f"{np.median(measured.loop_seconds):.1f} s against {np.median(measured.bare_seconds):.1f} s"
    return f"{measured.median:.2f} x ({min(measured.ratios):.2f} to {max(measured.ratios):.2f}; {seconds})"


def _memory(folder: Path, _: argparse.Namespace) -> Iterator[str]:
    """Yield the section about memory."""
    plate = write_shot(folder / "long", LONG_FRAMES)
    peaks: dict[tuple[str, int], float] = {}
    for engine in ("passthrough", "propagate"):
        for frames in (SHORT_FRAMES, LONG_FRAMES):
            with private_server(folder / f"server-{engine}-{frames}") as server:
                job = benchmark_job(plate, frames, folder / f"{engine}-{frames}", engine=engine, feather=0)
                peaks[engine, frames] = measure_loop(server, job).peak_pss_bytes / 2**30
    yield "## Memory\n"
    yield "3840x2160 half RGBA, a matte over a quarter; peak of the summed PSS of client, server and worker.\n"
    yield f"| engine | {SHORT_FRAMES} frames | {LONG_FRAMES} frames | ratio | required |\n|---|---|---|---|---|"
    for engine, bound in (("passthrough", "at most 1.10 x, 3 GB"), ("propagate", "at most 3 GB")):
        short, long = peaks[engine, SHORT_FRAMES], peaks[engine, LONG_FRAMES]
        yield f"| {engine} | {short:.2f} GiB | {long:.2f} GiB | {long / short:.2f} x | {bound} |"


def _propagate(_: Path, __: argparse.Namespace) -> Iterator[str]:
    """Yield the section about the propagate engine."""
    yield "## Propagate engine\n"
    yield (
        "960x540, 24 frames with grain and known background; PSNR of display-encoded values inside the matte against"
        " the clean background; grain and flicker inside the matte, relative to outside.\n"
    )
    yield "| camera | PSNR | over OpenCV inpainting | grain | flicker | seconds a frame |\n|---|---|---|---|---|---|"
    for camera in CAMERAS:
        yield _quality_row(measure_quality(camera))
    yield "| required | 36 / 34 / 32 dB | 16 dB | 0.8 to 1.25 | at most 1.25 | |"


def _quality_row(q: PropagateQuality) -> str:
    """Return the row of one camera motion."""
    gain = q.psnr_db - q.inpaint_db
    return (
        f"| {q.camera} | {q.psnr_db:.1f} dB | {gain:+.1f} dB | {q.grain:.2f} | {q.flicker:.2f} |"
        f" {q.seconds_a_frame:.2f} |"
    )


def _noise(_: Path, __: argparse.Namespace) -> Iterator[str]:
    """Yield the section about flow-warped noise."""
    from gpu_server.benchmarks.void.warped_noise import measure

    got = measure()
    yield "## Flow-warped noise\n"
    yield "84 frames of pan, zoom, rotation and swirl, 48x84x16; lowest and highest value of all frames.\n"
    yield "| measurement | result | expected |\n|---|---|---|"
    for what, name, expected in (
        ("standard deviation", "std", "0.98 to 1.02"),
        ("kurtosis", "kurtosis", "2.9 to 3.1"),
        ("correlation with the next cell", "lag", "-0.03 to 0.03"),
        ("correlation with the next channel", "between_channels", ""),
    ):
        low, high = got[name]
        yield f"| {what} | {low:.3f} to {high:.3f} | {expected} |"
    yield f"| 85 frames for 672x384, optical flow included | {got['flow_and_noise_s']:.1f} s | under 60 s |"
    yield f"| the optical flow alone | {got['flow_s']:.1f} s | |"


def _morph(_: Path, __: argparse.Namespace) -> Iterator[str]:
    """Yield the section about the morph check."""
    from gpu_server.benchmarks.void.morph_check import measure

    yield "## Morph check\n"
    yield "Generated clips, textures and objects drawn at random; area under the ROC curve. Required: 0.95 over all.\n"
    yield from (f"- {line}" for line in measure().lines())


def _void(folder: Path, options: argparse.Namespace) -> Iterator[str]:
    """Yield the section about the VOID engine."""
    from gpu_server.benchmarks.void.page import void_lines

    return void_lines(folder, options)


_SECTIONS: dict[str, Callable[[Path, argparse.Namespace], Iterator[str]]] = {
    "loop": _loop,
    "memory": _memory,
    "propagate": _propagate,
    "noise": _noise,
    "morph": _morph,
    "void": _void,
}

COMMAND = Command(
    "bench",
    "measure speed and memory, and write the benchmarks page",
    _configure,
    _run,
    examples="void-bridge bench loop memory --out benchmarks.md",
)
