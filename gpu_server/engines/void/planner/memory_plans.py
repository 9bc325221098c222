"""All memory plans, from the widest to the smallest, and the choice of one that fits a machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gpu_server.engines.void.planner.parts import plan_parts
from gpu_server.engines.void.planner.plan import PHASES, MemoryPlan, Phase, PlanRequest
from gpu_server.engines.void.planner.spec import ModelSpec
from gpu_server.engines.void.precision.layers import FP8_CAPABILITY, is_float8
from void_bridge.errors import OutOfMemory, UsageError
from void_bridge.options import Precision

GIB = 2**30
CONTEXT_BYTES = GIB // 2
"""GPU memory of CUDA's own context with the libraries' kernels."""
SLACK = 0.05
"""Share of the GPU's memory that is left for fragmentation and for allocations inside kernels."""


@dataclass(frozen=True)
class _VaeSaving:
    """Settings by which the VAE saves memory: see `MemoryPlan`."""

    rows: int | None = None
    parked: bool = False
    latents_at_once: int = 2


_EXACT = (_VaeSaving(), _VaeSaving(32), _VaeSaving(16, parked=True))
_SMALLEST = _VaeSaving(16, parked=True, latents_at_once=1)


@dataclass(frozen=True)
class AvailableMemory:
    """Memory that is free on a machine.

    Attributes:
        device: bytes free on the GPU before the model is loaded; None without a GPU.
        capability: the GPU's compute capability.
        host: bytes free in host memory; None if unknown, which counts as enough.
    """

    device: int | None
    capability: tuple[int, int] = (0, 0)
    host: int | None = None

    @property
    def usable(self) -> int:
        """Bytes of GPU memory that a plan may use."""
        return max(0, int((self.device or 0) * (1 - SLACK)) - CONTEXT_BYTES)

    def lacks(self, plan: MemoryPlan) -> str:
        """Return why a plan does not fit, '' if it fits."""
        phase, need = max(plan.peaks.items(), key=lambda item: item[1])
        if plan.device == "cuda" and need > self.usable:
            return f"{phase} takes {need / GIB:.1f} GiB of {self.usable / GIB:.1f} of GPU memory"
        phase, need = max(plan.host_peaks.items(), key=lambda item: item[1])
        if self.host is not None and need > self.host:
            return f"{phase} takes {need / GIB:.1f} GiB of {self.host / GIB:.1f} of host memory"
        return ""


def all_plans(spec: ModelSpec, request: PlanRequest, memory: AvailableMemory) -> tuple[MemoryPlan, ...]:
    """Return every plan for a kind of device, the widest first.

    Savings that change no pixel come first: one pass's transformer at a time, swapped out while the VAE works, the
    halves of a guided step one by one, T5 on the CPU, the VAE over bands. Then come 8-bit weights, then streamed
    blocks, then a VAE that sees less at once.

    Args:
        spec: the model's sizes.
        request: the job.
        memory: whether there is a GPU, and its compute capability; the sizes are not read.

    Raises:
        UsageError: the device does not compute the wanted precision.
    """
    plans = _cuda_plans(request, memory) if memory.device is not None else _cpu_plans(request)
    return tuple(replace(plan, parts=plan_parts(plan, spec, request)) for plan in plans)


def _cuda_plans(request: PlanRequest, memory: AvailableMemory) -> Iterator[MemoryPlan]:
    """Yield the plans for a GPU, without their parts."""
    wanted = _cuda_precisions(request.precision, memory.capability)
    for precision in wanted:
        for saving in _EXACT:
            yield from _variants("cuda", precision, saving, request, streamed=False)
    for saving in (*_EXACT, _SMALLEST):
        yield from _variants("cuda", wanted[-1], saving, request, streamed=True)


def _cuda_precisions(wanted: Precision | Literal["auto"], capability: tuple[int, int]) -> Sequence[Precision]:
    """Return the precisions to try on a GPU. Raise UsageError if it cannot compute the wanted one."""
    computes = capability >= FP8_CAPABILITY
    if wanted == "auto":
        return ("bf16", "fp8", "fp8-stored") if computes else ("bf16", "fp8-stored")
    if wanted == "fp8" and not computes:
        got = "{}.{}".format(*capability)
        raise UsageError(f"got precision fp8 and compute capability {got}, expected 8.9 or later: choose fp8-stored")
    return (wanted,)


def _cpu_plans(request: PlanRequest) -> Iterator[MemoryPlan]:
    """Yield the plans without a GPU. There bf16 is slower than float32 and only saves memory."""
    auto: Sequence[Precision] = ("float32", "bf16", "fp8-stored")
    for precision in auto if request.precision == "auto" else (request.precision,):
        for saving in (_VaeSaving(), _VaeSaving(32), _VaeSaving(16, latents_at_once=1)):
            yield from _variants("cpu", precision, saving, request, streamed=False)


def _variants(
    device: Literal["cuda", "cpu"], precision: Precision, saving: _VaeSaving, request: PlanRequest, streamed: bool
) -> Iterator[MemoryPlan]:
    """Yield the plans of one precision and VAE saving, which differ in placement and batches."""
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


def choose_plan(spec: ModelSpec, request: PlanRequest, memory: AvailableMemory) -> MemoryPlan:
    """Return the widest plan that fits, with the reasons why.

    Args:
        spec: the model's sizes.
        request: the job.
        memory: free memory of the machine.

    Raises:
        OutOfMemory: no plan fits; the message gives the smallest one's need, or a precision that would fit.
        UsageError: the device does not compute the wanted precision.
    """
    refused: list[tuple[MemoryPlan, str]] = []
    for plan in all_plans(spec, request, memory):
        lack = memory.lacks(plan)
        if not lack:
            return replace(plan, why=(*_reasons(plan, memory), *_refusals(plan, refused)))
        refused.append((plan, lack))
    raise OutOfMemory(_nothing_fits(spec, request, memory, refused))


def next_smaller_plan(
    spec: ModelSpec, request: PlanRequest, memory: AvailableMemory, failed: MemoryPlan, phase: Phase | None = None
) -> MemoryPlan | None:
    """Return the plan to continue with after another one ran out of memory.

    Args:
        spec: the model's sizes.
        request: the job.
        memory: free memory of the machine, as it was before the model was loaded.
        failed: the plan that ran out of memory.
        phase: the phase in which it did; None if unknown.

    Returns:
        The next smaller plan that should fit and takes less in that phase, or None if there is none.
    """
    phases = (phase,) if phase else PHASES
    need = _peak(failed, phases)
    smaller = iter(all_plans(spec, request, memory))
    for plan in smaller:
        if plan.name == failed.name:
            break
    for plan in smaller:
        if _peak(plan, phases) < need and not memory.lacks(plan):
            return replace(plan, why=(f"'{failed.name}' ran out of memory{f' in {phase}' if phase else ''}",))
    return None


def _peak(plan: MemoryPlan, phases: Sequence[Phase]) -> int:
    """Return the bytes that a plan takes at most in some phases, where it computes."""
    peaks = plan.peaks if plan.device == "cuda" else plan.host_peaks
    return max(peaks[phase] for phase in phases)


def _reasons(plan: MemoryPlan, memory: AvailableMemory) -> Iterator[str]:
    """Yield sentences that explain a plan."""
    on_gpu = plan.device == "cuda"
    if on_gpu:
        yield (
            f"{memory.usable / GIB:.1f} GiB of {(memory.device or 0) / GIB:.1f} may be used:"
            f" {CONTEXT_BYTES / GIB:.1f} GiB are CUDA's own, {SLACK:.0%} are left for fragmentation and for what"
            " kernels allocate"
        )
    if plan.precision == "fp8":
        yield "8-bit weights, multiplied as such; compiled blocks take less than the estimate"
    elif is_float8(plan.precision):
        yield "8-bit weights, widened where they are used"
    if plan.transformer == "swapped":
        yield "the transformer leaves the GPU while T5 and the VAE work" if on_gpu else "one part is loaded at a time"
    if plan.vae_rows:
        yield "the VAE's layers run over bands of rows: the same numbers, slower"
    if plan.vae_latents_at_once < 2:
        yield "the VAE takes one latent at a time, and differs a little from the reference's pairs"
    if plan.guidance == "one by one":
        yield "the two halves of a guided step run one after the other"


def _refusals(chosen: MemoryPlan, refused: Sequence[tuple[MemoryPlan, str]]) -> Iterator[str]:
    """Yield, for each wider kind of plan, why its smallest variant does not fit."""
    smallest = {_kind(plan, chosen): (plan.name, lack) for plan, lack in refused}
    for name, lack in smallest.values():
        yield f"not '{name}': {lack}"


def _kind(plan: MemoryPlan, chosen: MemoryPlan) -> tuple[object, ...]:
    """Return the kind of a plan: precision and placement, and for those of the chosen plan also the VAE's saving."""
    kind = (plan.precision, plan.transformer, plan.passes_kept)
    same = kind == (chosen.precision, chosen.transformer, chosen.passes_kept)
    return (*kind, *plan.vae_saving.values()) if same else kind


def _nothing_fits(
    spec: ModelSpec, request: PlanRequest, memory: AvailableMemory, refused: Sequence[tuple[MemoryPlan, str]]
) -> str:
    """Return the message for a machine that no plan fits."""
    plan, lack = refused[-1]
    size = f"{request.canvas[1]}x{request.canvas[0]}"
    start = f"no plan for {size} fits: of '{plan.name}', the smallest, {lack}"
    if request.precision != "auto":
        for other in all_plans(spec, replace(request, precision="auto"), memory):
            if not memory.lacks(other):
                return f"{start}; '{other.name}' fits: choose --precision auto or {other.precision}"
    return f"{start}; free memory, or choose a smaller --canvas"
