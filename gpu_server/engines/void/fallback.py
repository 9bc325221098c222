"""Fallbacks of a job: a smaller memory plan if memory runs out, and once a wider precision after NaN or infinity."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import TypeVar

from gpu_server.engines.base import Context
from gpu_server.engines.void.device_errors import is_out_of_memory
from gpu_server.engines.void.model_manager import ModelManager
from gpu_server.engines.void.planner.plan import MemoryPlan, PlanRequest
from void_bridge.errors import NotFinite, OutOfMemory
from void_bridge.options import Precision

log = logging.getLogger(__name__)

WIDER: dict[Precision, Precision] = {"fp8": "bf16", "fp8-stored": "bf16", "bf16": "float32"}

Result = TypeVar("Result")


def with_fallback(
    models: ModelManager, request: PlanRequest, context: Context, run: Callable[[MemoryPlan], Result]
) -> Result:
    """Run a job on the widest memory plan that fits, and again on another plan as long as that may help.

    Args:
        models: chooses the plans; all models are unloaded before another attempt.
        request: what the job asks of the model.
        context: of the job; each fallback is a warning in its report.
        run: does the job. Results that it cached on one plan are found again on the next.

    Returns:
        The result of `run`.

    Raises:
        OutOfMemory: if the smallest plan takes too much.
        NotFinite: if the wider precision gave NaN or infinity too, or there is none.
    """
    plan, widened = models.plan(request), False
    while True:
        try:
            return run(plan)
        except NotFinite as exc:
            if widened:
                raise
            following = _wider_plan(models, request, plan, exc)
            request, widened = dataclasses.replace(request, precision=following.precision), True
            warning = f"{exc.message}; repeated in {following.precision}"
        except Exception as exc:
            if not is_out_of_memory(exc):
                raise
            smaller = models.next_smaller_plan(request, plan)
            if smaller is None:
                raise OutOfMemory(
                    f"out of memory with '{plan.name}', the smallest plan; free memory, or choose a smaller --canvas"
                ) from exc
            warning, following = f"out of memory with '{plan.name}'; repeated with '{smaller.name}'", smaller
        # Not inside `except`: until it ends, the exception holds the tensors that were in use.
        log.warning(warning)
        context.warn(warning)
        models.unload()
        plan = following


def _wider_plan(models: ModelManager, request: PlanRequest, plan: MemoryPlan, failure: NotFinite) -> MemoryPlan:
    """Return a plan in the next wider precision, or raise NotFinite if there is none or no room for it."""
    precision = WIDER.get(plan.precision)
    if precision is None:
        raise failure
    try:
        return models.plan(dataclasses.replace(request, precision=precision))
    except OutOfMemory as exc:
        raise NotFinite(f"{failure.message}; in {precision}, {exc.message}") from exc
