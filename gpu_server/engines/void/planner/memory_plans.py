"""The all_plans of plans, from the widest to the smallest, and the one that a machine has room for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gpu_server.engines.void.planner.parts import plan_parts
from gpu_server.engines.void.planner.plan import PHASES, MemoryPlan, Phase, Request
from gpu_server.engines.void.planner.spec import ModelSpec
from gpu_server.engines.void.planner.weight_bytes import Precision, is_narrow
from void_bridge.errors import OutOfMemory, UsageError

GIB = 2**30
CONTEXT_BYTES = GIB // 2
"""CUDA's own context with the libraries' kernels."""
SLACK = 0.05
"""Of the memory: fragmentation, and what kernels allocate inside one call."""
COMPUTED_FP8 = (8, 9)
"""Compute capability from which a GPU multiplies 8-bit floats."""


@dataclass(frozen=True)
class _Saving:
    """How the VAE saves memory: see `MemoryPlan`."""

    rows: int | None = None
    parked: bool = False
    latents_at_once: int = 2


_EXACT = (_Saving(), _Saving(32), _Saving(16, parked=True))
_LAST = _Saving(16, parked=True, latents_at_once=1)


@dataclass(frozen=True)
class AvailableMemory:
    """Memory to be had, in bytes. device: free memory of the GPU before the model is loaded, None without a GPU.

    capability: the GPU's compute capability. host: free memory of the machine; None where nobody asked.
    """

    device: int | None
    capability: tuple[int, int] = (0, 0)
    host: int | None = None

    @property
    def usable(self) -> int:
        """Of the GPU's memory, what a plan may use."""
        return max(0, int((self.device or 0) * (1 - SLACK)) - CONTEXT_BYTES)

    def lacks(self, plan: MemoryPlan) -> str:
        """Why a plan does not fit; '' where it does."""
        phase, need = max(plan.peaks.items(), key=lambda item: item[1])
        if plan.device == "cuda" and need > self.usable:
            return f"{phase} takes {need / GIB:.1f} GiB of {self.usable / GIB:.1f} of GPU memory"
        phase, need = max(plan.host_peaks.items(), key=lambda item: item[1])
        if self.host is not None and need > self.host:
            return f"{phase} takes {need / GIB:.1f} GiB of {self.host / GIB:.1f} of host memory"
        return ""


def all_plans(spec: ModelSpec, request: Request, room: AvailableMemory) -> tuple[MemoryPlan, ...]:
    """Every plan for this kind of device, the widest first.

    What changes no pixel comes first: one pass's transformer at a time, swapped out while the VAE works, the halves of
    a guided step one by one, T5 on the CPU, the VAE over bands. Then narrow weights; then streamed blocks; then a VAE
    that sees less at once.

    Raises:
        UsageError: a precision that this device does not compute.
    """
    plans = _cuda_plans(request, room) if room.device is not None else _cpu_plans(request)
    return tuple(replace(plan, parts=plan_parts(plan, spec, request)) for plan in plans)


def _cuda_plans(request: Request, room: AvailableMemory) -> Iterator[MemoryPlan]:
    wanted = _cuda_precisions(request.precision, room.capability)
    for precision in wanted:
        for saving in _EXACT:
            yield from _placed("cuda", precision, saving, request, streamed=False)
    for saving in (*_EXACT, _LAST):
        yield from _placed("cuda", wanted[-1], saving, request, streamed=True)


def _cuda_precisions(wanted: Precision | Literal["auto"], capability: tuple[int, int]) -> Sequence[Precision]:
    computes = capability >= COMPUTED_FP8
    if wanted == "auto":
        return ("bf16", "fp8", "fp8-stored") if computes else ("bf16", "fp8-stored")
    if wanted == "fp8" and not computes:
        got = "{}.{}".format(*capability)
        raise UsageError(f"got precision fp8 and compute capability {got}, expected 8.9 or later: choose fp8-stored")
    return (wanted,)


def _cpu_plans(request: Request) -> Iterator[MemoryPlan]:
    """Without a GPU bf16 is slower than float32, and saves memory alone."""
    auto: Sequence[Precision] = ("float32", "bf16", "fp8-stored")
    for precision in auto if request.precision == "auto" else (request.precision,):
        for saving in (_Saving(), _Saving(32), _Saving(16, latents_at_once=1)):
            yield from _placed("cpu", precision, saving, request, streamed=False)


def _placed(
    device: Literal["cuda", "cpu"], precision: Precision, saving: _Saving, request: Request, streamed: bool
) -> Iterator[MemoryPlan]:
    """Plans that differ in placement and batches alone."""
    kept_and_swapped = [("device", count, "device") for count in range(len(request.passes), 0, -1)]
    placements = [("blocks", 1, "offloaded")] if streamed else [*kept_and_swapped, ("swapped", 1, "offloaded")]
    batches = ("together", "one by one") if request.guided else ("together",)
    for transformer, kept, vae in placements:
        for guidance in batches:
            for text in ("device", "cpu") if device == "cuda" else ("cpu",):
                yield MemoryPlan(
                    device,
                    precision,
                    transformer,
                    kept,
                    text,
                    vae,
                    saving.rows,
                    saving.parked,
                    saving.latents_at_once,
                    guidance,
                    request.attention,
                )


def choose_plan(spec: ModelSpec, request: Request, room: AvailableMemory) -> MemoryPlan:
    """The first plan that fits, with the reasons why.

    Raises:
        OutOfMemory: none does; says what the smallest one takes, or which precision would fit.
        UsageError: a precision that this device does not compute.
    """
    refused: list[tuple[MemoryPlan, str]] = []
    for plan in all_plans(spec, request, room):
        lack = room.lacks(plan)
        if not lack:
            return replace(plan, why=(*_reasons(plan, room), *_wider(plan, refused)))
        refused.append((plan, lack))
    raise OutOfMemory(_nothing_fits(spec, request, room, refused))


def next_smaller_plan(
    spec: ModelSpec, request: Request, room: AvailableMemory, failed: MemoryPlan, phase: Phase | None = None
) -> MemoryPlan | None:
    """The plan to go on with after `failed` ran out of memory in `phase` (None: nobody knows where).

    It is the next one down that fits on paper and takes less there; None where there is none.
    """
    phases = (phase,) if phase else PHASES
    need = _peak(failed, phases)
    below = iter(all_plans(spec, request, room))
    for plan in below:
        if plan.name == failed.name:
            break
    for plan in below:
        if _peak(plan, phases) < need and not room.lacks(plan):
            return replace(plan, why=(f"'{failed.name}' ran out of memory{f' in {phase}' if phase else ''}",))
    return None


def _peak(plan: MemoryPlan, phases: Sequence[Phase]) -> int:
    peaks = plan.peaks if plan.device == "cuda" else plan.host_peaks
    return max(peaks[phase] for phase in phases)


def _reasons(plan: MemoryPlan, room: AvailableMemory) -> Iterator[str]:
    on_gpu = plan.device == "cuda"
    if on_gpu:
        yield (
            f"{room.usable / GIB:.1f} GiB of {(room.device or 0) / GIB:.1f} may be used: {CONTEXT_BYTES / GIB:.1f} GiB"
            f" are CUDA's own, {SLACK:.0%} are left for fragmentation and for what kernels allocate"
        )
    if plan.precision == "fp8":
        yield "8-bit weights, multiplied as such; compiled blocks take less than the estimate"
    elif is_narrow(plan.precision):
        yield "8-bit weights, widened where they are used"
    if plan.transformer == "swapped":
        yield "the transformer leaves the GPU while T5 and the VAE work" if on_gpu else "one part is loaded at a time"
    if plan.vae_rows:
        yield "the VAE's layers run over bands of rows: the same numbers, slower"
    if plan.vae_latents_at_once < 2:
        yield "the VAE takes one latent at a time, and differs a little from the reference's pairs"
    if plan.guidance == "one by one":
        yield "the two halves of a guided step run one after the other"


def _wider(chosen: MemoryPlan, refused: Sequence[tuple[MemoryPlan, str]]) -> Iterator[str]:
    """Of each wider kind of plan, why its smallest variant does not fit."""
    smallest = {_kind(plan, chosen): (plan.name, lack) for plan, lack in refused}
    for name, lack in smallest.values():
        yield f"not '{name}': {lack}"


def _kind(plan: MemoryPlan, chosen: MemoryPlan) -> tuple[object, ...]:
    """Kinds are told apart by precision and placement; those of the chosen plan also by how the VAE works."""
    kind = (plan.precision, plan.transformer, plan.passes_kept)
    same = kind == (chosen.precision, chosen.transformer, chosen.passes_kept)
    return (*kind, *plan.vae_saving.values()) if same else kind


def _nothing_fits(
    spec: ModelSpec, request: Request, room: AvailableMemory, refused: Sequence[tuple[MemoryPlan, str]]
) -> str:
    plan, lack = refused[-1]
    start = "no plan for {}x{} fits".format(*request.canvas) + f": of '{plan.name}', the smallest, {lack}"
    if request.precision != "auto":
        for other in all_plans(spec, replace(request, precision="auto"), room):
            if not room.lacks(other):
                return f"{start}; '{other.name}' fits: choose --precision auto or {other.precision}"
    return f"{start}; free memory, or choose a smaller --canvas"
