"""`void-bridge models plan`: where each part of the model would be, and its bytes; the table of docs/tds/memory.md."""

from __future__ import annotations

import argparse
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from gpu_server.engines.void.planner.memory_plans import GIB, AvailableMemory, choose_plan, next_smaller_plan
from gpu_server.engines.void.planner.plan import PHASES, MemoryPlan, PlanRequest, guidance_scale
from gpu_server.engines.void.planner.spec import full_size, read_spec
from void_bridge.cli.console import CommandOutcome
from void_bridge.errors import UsageError
from void_bridge.job import Job
from void_bridge.options import PRECISIONS
from void_bridge.resolution import Resolution
from void_bridge.typed import to_plain

CARDS_GIB = (8, 12, 16, 24, 48, 80)
_CAPABILITIES = ((8, 6), (8, 9))
_WIDTH = 100


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `plan`."""
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        metavar="DIR",
        help="models folder to plan for (default: weights of the published sizes)",
    )
    device = parser.add_mutually_exclusive_group(required=True)
    device.add_argument("--vram", type=float, metavar="GIB", help="free memory of the GPU, in GiB")
    device.add_argument("--cpu", action="store_true", help="plan for a machine without a GPU")
    parser.add_argument("--host", type=float, metavar="GIB", help="free memory of the machine (with --cpu: this one's)")
    parser.add_argument("--capability", default="8.9", metavar="X.Y", help="compute capability (default: %(default)s)")
    canvas, words = Resolution.from_stored(Job.canvas).canvas_text(), "size of the model's frame (default: %(default)s)"
    parser.add_argument("--canvas", default=canvas, metavar="WIDTHxHEIGHT", help=words)
    parser.add_argument("--frames", type=int, default=85, help="frames of the shot (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=Job.steps, help="denoising steps (default: %(default)s)")
    parser.add_argument("--passes", choices=("1", "2", "both"), default="both", help="(default: %(default)s)")
    parser.add_argument("--precision", default=Job.precision, metavar="NAME", help=f"auto, {', '.join(PRECISIONS)}")


def run(arguments: argparse.Namespace) -> int:
    """Choose a plan, report it and the next smaller one, and return the exit code.

    Raises:
        UsageError: an option out of its range.
        UnreadableFile: a configuration of the models folder is missing or damaged.
        InputError: a configuration of the models folder lacks a size.
        OutOfMemory: no plan fits; the message says what would.
    """
    request, memory = _request(arguments), _memory(arguments)
    spec = read_spec(arguments.folder) if arguments.folder else full_size()
    plan = choose_plan(spec, request, memory)
    smaller = next_smaller_plan(spec, request, memory, plan)
    outcome: CommandOutcome = arguments.outcome
    outcome.set_without_job(
        plan={"name": plan.name, **to_plain(plan), "peaks": plan.peaks, "host_peaks": plan.host_peaks},
        usable=memory.usable,
        next=smaller.name if smaller else "",
    )
    outcome.summary(describe_plan(plan, smaller))
    return 0


def _request(arguments: argparse.Namespace) -> PlanRequest:
    """Return the job that the options describe."""
    passes = (1, 2) if arguments.passes == "both" else (int(arguments.passes),)
    return PlanRequest(
        canvas=Resolution.parse_canvas(arguments.canvas).shape,
        frames=arguments.frames,
        passes=passes,
        guided=guidance_scale(None, passes[-1]) > 1,
        steps=arguments.steps,
        precision=arguments.precision,
    )


def _memory(arguments: argparse.Namespace) -> AvailableMemory:
    """Return the memory that the options describe."""
    host = _bytes("--host", arguments.host)
    if arguments.cpu:
        return AvailableMemory(device=None, host=host or psutil.virtual_memory().available)
    match = re.fullmatch(r"(\d{1,2})\.(\d)", arguments.capability)
    if not match:
        raise UsageError(f"got compute capability {arguments.capability!r}, expected two numbers, such as 8.9")
    return AvailableMemory(_bytes("--vram", arguments.vram), (int(match[1]), int(match[2])), host)


def _bytes(option: str, gib: float | None) -> int | None:
    """Convert an option's GiB to bytes. Raise UsageError if they are not above 0."""
    if gib is None:
        return None
    if not (math.isfinite(gib) and gib > 0):
        raise UsageError(f"got {option} {gib:g}, expected GiB above 0, such as {option} 16")
    return int(gib * GIB)


def describe_plan(plan: MemoryPlan, smaller: MemoryPlan | None) -> str:
    """Return a plan as text: where each part is, the peaks, the reasons.

    Args:
        plan: the plan.
        smaller: the plan that follows an out-of-memory error; None if there is none.
    """
    console = Console(file=io.StringIO(), width=_WIDTH)
    console.print(f"plan: {plan.name}", highlight=False, markup=False, soft_wrap=True)
    console.print(_table(plan), highlight=False)
    for line in (*plan.why, f"after an out-of-memory error: {smaller.name if smaller else 'nothing smaller'}"):
        console.print(f"- {line}", highlight=False, markup=False, soft_wrap=True)
    return console.file.getvalue().rstrip()


def _table(plan: MemoryPlan) -> Table:
    """Return the table of the parts and the peaks."""
    table = Table(box=None, pad_edge=False)
    table.add_column("part", no_wrap=True)
    table.add_column("bytes", justify="right", no_wrap=True)
    for name in ("", *PHASES):
        table.add_column(name, no_wrap=True)
    for part in plan.parts:
        table.add_row(part.name, f"{part.bytes:,}", part.basis, *part.places)
    for name, peaks in (("GPU memory, GiB", plan.peaks), ("host memory, GiB", plan.host_peaks)):
        table.add_row(name, "", "", *(f"{peaks[phase] / GIB:.2f}" for phase in PHASES))
    return table


def card_table() -> str:
    """Return a Markdown table of the published model's plans on cards of common sizes, for a default request."""
    return "\n".join(_card_rows())


def _card_rows() -> Iterator[str]:
    """Yield the lines of the card table."""
    yield "| card, GiB free | plan | " + " | ".join(PHASES) + " | host memory |"
    yield "|---|---|" + "---|" * (len(PHASES) + 1)
    for size in CARDS_GIB:
        memories = (AvailableMemory(size * GIB, capability) for capability in _CAPABILITIES)
        older, newer = (choose_plan(full_size(), PlanRequest(), memory) for memory in memories)
        if older.name == newer.name:
            yield _card_row(f"{size}", newer)
        else:
            yield _card_row(f"{size}, below compute capability 8.9", older)
            yield _card_row(f"{size}, from compute capability 8.9", newer)


def _card_row(card: str, plan: MemoryPlan) -> str:
    """Return the row of one card."""
    peaks = [f"{plan.peaks[phase] / GIB:.1f}" for phase in PHASES]
    return f"| {card} | {plan.name} | {' | '.join(peaks)} | {max(plan.host_peaks.values()) / GIB:.1f} |"
