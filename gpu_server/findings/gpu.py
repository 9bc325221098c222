"""Findings about GPUs: whether the driver answers, and which plan of the void engine fits each card."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from gpu_server.device import gpu_count
from gpu_server.engines.void.planner.memory_plans import GIB, AvailableMemory, choose_plan
from gpu_server.engines.void.planner.plan import PlanRequest
from gpu_server.engines.void.planner.spec import full_size
from gpu_server.engines.void.precision.layers import FP8_CAPABILITY
from gpu_server.findings.nvidia_smi import Card, GpuProcess, NvidiaSmiError, cards, gpu_processes
from gpu_server.findings.torch_build import torch_finding
from void_bridge.cli.findings import Finding
from void_bridge.errors import OutOfMemory

PCI = Path("/sys/bus/pci/devices")
_NVIDIA, _DISPLAY = "0x10de", "0x03"
_CPU_ONLY = "the propagate engine needs no GPU; the void engine takes hours without one"


def gpu_findings() -> Iterator[Finding]:
    """Yield a finding for each card, and one for torch."""
    found: Sequence[Card] = ()
    try:
        found = cards()
    except NvidiaSmiError as exc:
        yield _no_gpu_finding(exc) if exc.is_absent else Finding("gpu", "bad", exc.problem, exc.fix)
    for card in found:
        yield from _card_findings(card)
    if found:
        yield from _visibility_findings(found)
    yield torch_finding(found)


def _no_gpu_finding(exc: NvidiaSmiError) -> Finding:
    """Return the finding about missing tools, a missing driver or a missing card."""
    count = gpu_count()
    if count:
        detail = f"the driver has {count} GPU, but nvidia-smi is not on PATH: its state is unknown"
        return Finding("gpu", "note", detail, "install the driver's tools (nvidia-utils), or put them on PATH")
    if _has_card():
        detail = f"there is an NVIDIA card, but {exc.problem}"
        return Finding("gpu", "note", detail, "install NVIDIA's driver and restart; until then jobs run on the CPU")
    return Finding("gpu", "note", f"no NVIDIA GPU on this machine ({exc.problem})", _CPU_ONLY)


def _has_card() -> bool:
    """Return whether the PCI bus shows an NVIDIA card, with or without a driver."""
    if sys.platform != "linux":
        return False
    return any(_read(path / "vendor") == _NVIDIA and _read(path / "class")[:4] == _DISPLAY for path in PCI.glob("*"))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _visibility_findings(found: Sequence[Card]) -> Iterator[Finding]:
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return
    first = listed.split(",")[0].strip()
    if not first or first.startswith("-") or (first.isdecimal() and int(first) >= len(found)):
        detail = f"CUDA_VISIBLE_DEVICES={listed} hides every GPU from a server started from here"
        yield Finding("gpu", "note", detail, "unset CUDA_VISIBLE_DEVICES, unless you want this")
    else:
        yield Finding(
            "gpu", "ok", f"CUDA_VISIBLE_DEVICES={listed} lists the only GPUs that a server started from here can use"
        )


def _card_findings(card: Card) -> Iterator[Finding]:
    name = f"gpu {card.index}"
    summary = f"{card.name}, driver {card.driver}, {_memory(card)}, compute capability {_dotted(card.capability)}"
    if card.mode == "Prohibited":
        fix = f"nvidia-smi -i {card.index} -c DEFAULT, as root"
        yield Finding(name, "bad", f"{summary}; its compute mode is Prohibited: no program may run on it", fix)
        return
    yield _plan_finding(name, summary, card)
    if (0, 0) < card.capability < FP8_CAPABILITY:
        detail = f"{card.name} does not multiply 8-bit floats: they are widened where they are used (fp8-stored)"
        needed = f"fp8 needs compute capability {_dotted(FP8_CAPABILITY)} (docs/reference/precision.md)"
        fix = f"if that is enough, nothing; {needed}"
        yield Finding(name, "note", detail, fix)


def _plan_finding(name: str, summary: str, card: Card) -> Finding:
    if card.total is None:
        return Finding(name, "ok", f"{summary}; the memory plan is chosen when a job starts")
    free = max(0, card.total - card.used)
    host = int(psutil.virtual_memory().available)
    now, empty = _plan(free, card, host), _plan(card.total, card, host)
    if not _plan(card.total, card, None):
        fix = f"use another card; {_CPU_ONLY}"
        return Finding(name, "note", f"{summary}: too small for the void engine at 672x384", fix)
    if not empty:
        detail = f"{summary}; {host / GIB:.1f} GiB of free memory on this machine are too little for the void engine"
        return Finding(
            name, "note", detail, "close other programs; void-bridge models plan shows the memory of each part"
        )
    if now != empty:
        detail = f"{summary}; now: {now or 'no room for the void engine'}; if it were empty: {empty}"
        return Finding(name, "note", detail, _make_room(card))
    return Finding(name, "ok", f"{summary}; void: {now}")


def _plan(free: int, card: Card, host: int | None) -> str:
    """Return the name of the plan that fits, or an empty string.

    Args:
        free: bytes on the card.
        card: the card.
        host: free bytes of the machine's memory; None: any number.
    """
    try:
        return choose_plan(full_size(), PlanRequest(), AvailableMemory(free, card.capability, host)).name
    except OutOfMemory:
        return ""


def _make_room(card: Card) -> str:
    found = sorted((one for one in gpu_processes() if one.uuid == card.uuid), key=lambda one: -one.used)
    if not found:
        return "void-bridge free releases the memory of our servers; nvidia-smi shows other programs"
    return f"run void-bridge free, or end the processes that use it: {', '.join(_described(one) for one in found[:3])}"


def _described(process: GpuProcess) -> str:
    return f"{process.name} (process {process.pid}, {process.used / GIB:.1f} GiB)"


def _memory(card: Card) -> str:
    if card.total is None:
        return "memory unknown"
    return f"{card.total / GIB:.1f} GiB, {card.used / GIB:.1f} taken"


def _dotted(capability: tuple[int, int]) -> str:
    return "{}.{}".format(*capability) if capability > (0, 0) else "unknown"
