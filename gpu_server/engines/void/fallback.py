"""Trying again: on a smaller plan where memory ran out, and once in a wider precision after NaN or infinity.

What a device fails with has a name here: too little memory, or a GPU that no longer answers.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from gpu_server.engines.base import Context
from gpu_server.engines.void.model_manager import ModelManager
from gpu_server.engines.void.planner.plan import MemoryPlan, Request
from gpu_server.engines.void.planner.weight_bytes import Precision
from void_bridge.errors import DeviceLost, NotFinite, OutOfMemory

log = logging.getLogger(__name__)

WIDER: dict[Precision, Precision] = {"fp8": "bf16", "fp8-stored": "bf16", "bf16": "float32"}

_NO_MEMORY = ("out of memory", "can't allocate memory", "STATUS_ALLOC_FAILED")
_LOST = ("CUDA error", "CUDA driver error", "CUDA unknown error", "No CUDA GPUs are available")

Made = TypeVar("Made")


def with_fallback(
    session: ModelManager, request: Request, context: Context, work: Callable[[MemoryPlan], Made]
) -> Made:
    """What `work` makes on the widest plan that holds. What was finished on one plan is found again on the next.

    Raises:
        OutOfMemory: the smallest plan is too large.
        NotFinite: also in the wider precision, or there is none.
        DeviceLost: the GPU no longer answers.
    """
    session.loaded.clear()
    with map_device_errors():
        plan, widened = session.plan(request), False
        while True:
            try:
                return work(plan)
            except NotFinite as exc:
                if widened:
                    raise
                wider = _wider(session, request, plan, exc)
                request, widened = dataclasses.replace(request, precision=wider.precision), True
                told, following = f"{exc.message}; done again in {wider.precision}", wider
            except Exception as exc:
                if not lacks_memory(exc):
                    raise
                smaller = session.next_plan(request, plan)
                if smaller is None:
                    raise OutOfMemory(_too_small(plan)) from exc
                told, following = f"out of memory with '{plan.name}'; tried again with '{smaller.name}'", smaller
            # Here and not before: while an exception is handled, it holds what the device had in work.
            log.warning(told)
            context.warn(told)
            session.drop()
            plan = following


@contextmanager
def map_device_errors() -> Iterator[None]:
    """
    Raises:
        OutOfMemory, DeviceLost: in place of what torch raises for them.
    """
    try:
        yield
    except Exception as exc:
        if lacks_memory(exc):
            raise OutOfMemory(f"out of memory: {_first_line(exc)}; free memory, or choose a smaller --canvas") from exc
        if _is_lost(exc):
            raise DeviceLost(
                f"the GPU no longer answers ({_first_line(exc)}); submit the job again, and look at the driver's log if"
                " this comes back"
            ) from exc
        raise


def lacks_memory(exc: BaseException) -> bool:
    """Whether a device or the machine had too little memory; torch has several ways to say so."""
    if isinstance(exc, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(exc, RuntimeError) and any(words in str(exc) for words in _NO_MEMORY)


def _is_lost(exc: BaseException) -> bool:
    """As an AcceleratorError, or as the plain RuntimeError of torch's start-up and of the libraries below it."""
    if isinstance(exc, torch.AcceleratorError):
        return True
    return isinstance(exc, RuntimeError) and any(words in str(exc) for words in _LOST)


def _wider(session: ModelManager, request: Request, plan: MemoryPlan, failure: NotFinite) -> MemoryPlan:
    """Raises NotFinite: there is no wider precision, or no room for it."""
    precision = WIDER.get(plan.precision)
    if precision is None:
        raise failure
    try:
        return session.plan(dataclasses.replace(request, precision=precision))
    except OutOfMemory as exc:
        raise NotFinite(f"{failure.message}; in {precision}, {exc.message}") from exc


def _too_small(plan: MemoryPlan) -> str:
    return f"out of memory with '{plan.name}', the smallest plan; free memory, or choose a smaller --canvas"


def _first_line(exc: BaseException) -> str:
    lines = str(exc).strip().splitlines()
    return lines[0][:200] if lines else type(exc).__name__
