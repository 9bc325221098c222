"""The parts of a plan: their bytes, and where they are in each phase."""

from __future__ import annotations

from collections.abc import Iterator

from gpu_server.engines.void.latent_geometry import padded_length
from gpu_server.engines.void.planner import activations
from gpu_server.engines.void.planner.plan import PHASES, MemoryPlan, PartBytes, Place, PlanRequest
from gpu_server.engines.void.planner.spec import ModelSpec
from gpu_server.engines.void.planner.weight_bytes import (
    ELEMENT_BYTES,
    blocks_bytes,
    pinned_extra_bytes,
    quantised_bytes,
    table_bytes,
)

PROCESS_BYTES = 2 * 2**30
"""Host memory of the worker beside the model: Python, torch with its libraries, frames being processed."""

_BLOCKS_IN_FLIGHT = 2


def plan_parts(plan: MemoryPlan, spec: ModelSpec, request: PlanRequest) -> tuple[PartBytes, ...]:
    """Return every part of a plan.

    Args:
        plan: the plan; its own parts are not read.
        spec: the model's sizes.
        request: the job.
    """
    return (
        *_transformer(plan, spec, request),
        *_neighbours(plan, spec),
        *_activations(plan, spec, request),
        PartBytes("worker process", PROCESS_BYTES, "estimate", ("host",) * 4),
    )


def _transformer(plan: MemoryPlan, spec: ModelSpec, request: PlanRequest) -> Iterator[PartBytes]:
    """Yield the weights of the loaded transformers and their tables."""
    sizes, kept, precision = spec.transformer, plan.passes_kept, plan.precision
    here = _active_place(plan)
    streamed = plan.transformer == "blocks"
    idle = here if plan.transformer == "device" else _idle_place(plan)
    blocks = _places(denoise="host" if streamed else here, otherwise=idle)
    yield PartBytes("attention and feed-forward", kept * quantised_bytes(sizes, precision), "exact", blocks)
    yield PartBytes("rest of the transformer", kept * sizes.rest * ELEMENT_BYTES[precision], "exact", blocks)
    if streamed:
        in_flight = _BLOCKS_IN_FLIGHT * blocks_bytes(sizes, precision) // sizes.layers
        yield PartBytes("blocks in flight", in_flight, "estimate", _places(denoise=here))
        ends = (sizes.rest - sizes.blocks_rest) * ELEMENT_BYTES[precision]
        yield PartBytes("embeddings and output in flight", ends, "estimate", _places(denoise=here))
        yield PartBytes("blocks: pinned", pinned_extra_bytes(sizes, precision), "estimate", ("host",) * 4)
    table = kept * table_bytes(sizes, request.steps, precision)
    yield PartBytes("AdaLN table", table, "exact", (here,) * 4)


def _neighbours(plan: MemoryPlan, spec: ModelSpec) -> Iterator[PartBytes]:
    """Yield the weights of the text encoder and the VAE."""
    here, element = _active_place(plan), ELEMENT_BYTES[plan.activation_precision]
    text = _places(text=_text_place(plan), otherwise="disk")
    yield PartBytes("text encoder", spec.text.parameters * element, "exact", text)
    idle = here if plan.vae == "device" else _idle_place(plan)
    vae = _places(encode=here, decode=here, otherwise=idle)
    yield PartBytes("VAE", spec.vae.parameters * element, "exact", vae)


def _activations(plan: MemoryPlan, spec: ModelSpec, request: PlanRequest) -> Iterator[PartBytes]:
    """Yield the working memory of each phase."""
    here = _active_place(plan)
    batch = 2 if request.guided and plan.guidance == "together" else 1
    work = activations.VaeWork(
        request.canvas, padded_length(request.frames), plan.vae_latents_at_once, plan.vae_rows, plan.vae_parked
    )
    encode = activations.encode_bytes(spec.vae, work, plan.activation_precision)
    decode = activations.decode_bytes(spec.vae, work, plan.activation_precision)
    denoise = activations.transformer_bytes(spec.transformer, request.window, batch, plan.precision)
    if plan.vae == "device":
        denoise = max(denoise, activations.preview_bytes(spec.vae, work, plan.activation_precision).peak)
    text = activations.text_bytes(spec.text, spec.transformer.text_tokens, plan.activation_precision)
    yield PartBytes("text: activations", text, "estimate", _places(text=_text_place(plan)))
    yield PartBytes("encode: activations", encode.peak, "estimate", _places(encode=here))
    yield PartBytes("denoise: activations", denoise, "estimate", _places(denoise=here))
    yield PartBytes("decode: activations", decode.peak, "estimate", _places(decode=here))
    latents = activations.latents_bytes(spec.transformer, request.shot)
    yield PartBytes("latents and conditioning", latents, "estimate", ("-", here, here, here))
    if plan.vae_parked:
        yield PartBytes("encode: parked", encode.parked, "estimate", _places(encode="host"))
        yield PartBytes("decode: parked", decode.parked, "estimate", _places(decode="host"))


def _active_place(plan: MemoryPlan) -> Place:
    """Return where a part is while it computes."""
    return "device" if plan.device == "cuda" else "host"


def _idle_place(plan: MemoryPlan) -> Place:
    """Return where a part is while others compute, unless the plan keeps it on the device."""
    return "host" if plan.device == "cuda" else "disk"


def _text_place(plan: MemoryPlan) -> Place:
    """Return where the text encoder computes."""
    return _active_place(plan) if plan.text_encoder == "device" else "host"


def _places(otherwise: Place = "-", **by_phase: Place) -> tuple[Place, Place, Place, Place]:
    """Return the place in each phase.

    Args:
        otherwise: the place in the phases that are not named.
        by_phase: the place in each named phase.
    """
    text, encode, denoise, decode = (by_phase.get(phase, otherwise) for phase in PHASES)
    return text, encode, denoise, decode
