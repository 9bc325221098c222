"""Trying again on a smaller plan after the device ran out of memory, and once in a wider precision after NaN."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from gpu_server.engines.base import Context
from gpu_server.engines.void.planner.plan import Plan, Request
from gpu_server.engines.void.planner.weights import Precision
from gpu_server.engines.void.session import Session
from void_bridge.errors import DeviceLost, NotFinite, OutOfMemory

log = logging.getLogger(__name__)

WIDER: dict[Precision, Precision] = {"fp8": "bf16", "fp8-stored": "bf16", "bf16": "float32"}

Made = TypeVar("Made")


def persisting(session: Session, request: Request, context: Context, work: Callable[[Plan], Made]) -> Made:
    """What `work` makes on the widest plan that holds. What was finished on one plan is found again on the next.

    Raises:
        OutOfMemory: the smallest plan is too large.
        NotFinite: also in the wider precision, or there is none.
        DeviceLost: the GPU no longer answers.
    """
    plan, widened = session.plan(request), False
    while True:
        try:
            return work(plan)
        except NotFinite as exc:
            wider = WIDER.get(plan.precision)
            if widened or wider is None:
                raise
            _tell(context, f"{exc.message}; tried again in {wider}")
            request, widened = dataclasses.replace(request, precision=wider), True
            smaller: Plan | None = session.plan(request)
        except torch.OutOfMemoryError as exc:
            smaller = session.next_plan(request, plan)
            if smaller is None:
                raise OutOfMemory(_too_small(plan)) from exc
            _tell(context, f"out of memory with '{plan.name}'; tried again with '{smaller.name}'")
        except torch.AcceleratorError as exc:
            raise DeviceLost(f"the GPU no longer answers: {_first_line(exc)}; look at its driver's log") from exc
        session.drop()
        assert smaller is not None
        plan = smaller


def _tell(context: Context, text: str) -> None:
    log.warning(text)
    context.warn(text)


def _too_small(plan: Plan) -> str:
    return f"out of memory with '{plan.name}', the smallest plan; free memory, or choose a smaller --canvas"


def _first_line(exc: BaseException) -> str:
    return str(exc).strip().splitlines()[0][:200] if str(exc).strip() else type(exc).__name__
