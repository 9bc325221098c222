"""`void-bridge models plan`: what of the model would lie where, with the bytes of each part."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path

import psutil

from gpu_server.engines.void.planner.memory_plans import GIB, AvailableMemory, choose_plan, next_smaller_plan
from gpu_server.engines.void.planner.plan import Request
from gpu_server.engines.void.planner.report import describe_plan
from gpu_server.engines.void.planner.spec import full_size, read_spec
from gpu_server.engines.void.precision.layers import PRECISIONS
from void_bridge.cli.console import CommandOutcome
from void_bridge.errors import UsageError
from void_bridge.typed import to_plain


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, nargs="?", metavar="DIR", help="models (default: the published sizes)")
    device = parser.add_mutually_exclusive_group(required=True)
    device.add_argument("--vram", type=float, metavar="GIB", help="free memory of the GPU, in GiB")
    device.add_argument("--cpu", action="store_true", help="plan for a machine without a GPU")
    parser.add_argument("--host", type=float, metavar="GIB", help="free memory of the machine (with --cpu: this one's)")
    parser.add_argument("--capability", default="8.9", metavar="X.Y", help="compute capability (default %(default)s)")
    parser.add_argument("--canvas", default="384x672", metavar="HxW", help="the model's frame (default %(default)s)")
    parser.add_argument("--frames", type=int, default=85, help="frames of the shot (default %(default)s)")
    parser.add_argument("--steps", type=int, default=30, help="denoising steps (default %(default)s)")
    parser.add_argument("--passes", choices=("1", "2", "both"), default="both", help="(default %(default)s)")
    parser.add_argument("--precision", default="auto", metavar="NAME", help=f"auto, {', '.join(PRECISIONS)}")


def run(arguments: argparse.Namespace) -> int:
    """
    Raises:
        UsageError: an option that cannot be.
        UnreadableFile, InputError: a models folder whose sizes cannot be read.
        OutOfMemory: nothing fits; says what would.
    """
    request, room = _request(arguments), _room(arguments)
    spec = read_spec(arguments.folder) if arguments.folder else full_size()
    plan = choose_plan(spec, request, room)
    below = next_smaller_plan(spec, request, room, plan)
    outcome: CommandOutcome = arguments.outcome
    outcome.set_without_job(
        plan={"name": plan.name, **to_plain(plan), "peaks": plan.peaks, "host_peaks": plan.host_peaks},
        usable=room.usable,
        next=below.name if below else "",
    )
    outcome.summary(describe_plan(plan, below))
    return 0


def _request(arguments: argparse.Namespace) -> Request:
    passes = (1, 2) if arguments.passes == "both" else (int(arguments.passes),)
    return Request(
        canvas=_canvas(arguments.canvas),
        frames=arguments.frames,
        passes=passes,
        guided=2 in passes,
        steps=arguments.steps,
        precision=arguments.precision,
    )


def _canvas(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if not match:
        raise UsageError(f"got canvas {text!r}, expected HEIGHTxWIDTH in multiples of 16, such as 384x672")
    return int(match[1]), int(match[2])


def _room(arguments: argparse.Namespace) -> AvailableMemory:
    host = _bytes("--host", arguments.host)
    if arguments.cpu:
        return AvailableMemory(device=None, host=host or psutil.virtual_memory().available)
    return AvailableMemory(_bytes("--vram", arguments.vram), _capability(arguments.capability), host)


def _bytes(option: str, gib: float | None) -> int | None:
    if gib is None:
        return None
    if not (math.isfinite(gib) and gib > 0):
        raise UsageError(f"got {option} {gib:g}, expected GiB above 0, such as {option} 16")
    return int(gib * GIB)


def _capability(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,2})\.(\d)", text)
    if not match:
        raise UsageError(f"got compute capability {text!r}, expected two numbers, such as 8.9")
    return int(match[1]), int(match[2])
