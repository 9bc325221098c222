"""Plans as people read them: one in full, and what cards of common sizes get."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from gpu_server.engines.void.planner.memory_plans import GIB, AvailableMemory, choose_plan
from gpu_server.engines.void.planner.plan import PHASES, MemoryPlan, Request
from gpu_server.engines.void.planner.spec import full_size

CARDS_GIB = (8, 12, 16, 24, 48, 80)
_CAPABILITIES = ((8, 6), (8, 9))
_WIDTH = 100


def describe_plan(plan: MemoryPlan, below: MemoryPlan | None) -> str:
    """A plan as people read it: what lies where, the peaks, and why."""
    console = Console(file=io.StringIO(), width=_WIDTH)
    console.print(f"plan: {plan.name}", highlight=False, markup=False, soft_wrap=True)
    console.print(_table(plan), highlight=False)
    for line in (*plan.why, f"after an out-of-memory error: {below.name if below else 'nothing smaller'}"):
        console.print(f"- {line}", highlight=False, markup=False, soft_wrap=True)
    return console.file.getvalue().rstrip()


def _table(plan: MemoryPlan) -> Table:
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


def cards() -> str:
    """A Markdown table of the published model on cards of common sizes, for the defaults of a request."""
    return "\n".join(_card_rows())


def _card_rows() -> Iterator[str]:
    yield "| card, GiB free | plan | " + " | ".join(PHASES) + " | host memory |"
    yield "|---|---|" + "---|" * (len(PHASES) + 1)
    for size in CARDS_GIB:
        rooms = (AvailableMemory(size * GIB, capability) for capability in _CAPABILITIES)
        older, newer = (choose_plan(full_size(), Request(), room) for room in rooms)
        if older.name == newer.name:
            yield _card_row(f"{size}", newer)
        else:
            yield _card_row(f"{size}, below compute capability 8.9", older)
            yield _card_row(f"{size}, from compute capability 8.9", newer)


def _card_row(card: str, plan: MemoryPlan) -> str:
    peaks = [f"{plan.peaks[phase] / GIB:.1f}" for phase in PHASES]
    return f"| {card} | {plan.name} | {' | '.join(peaks)} | {max(plan.host_peaks.values()) / GIB:.1f} |"
