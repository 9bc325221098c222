"""The parts of a plan, with their bytes and their places."""

from __future__ import annotations

from collections.abc import Iterator

from gpu_server.engines.void.latent_geometry import padded_length
from gpu_server.engines.void.planner import activations
from gpu_server.engines.void.planner.plan import PHASES, MemoryPlan, PartBytes, Place, Request
from gpu_server.engines.void.planner.spec import ModelSpec
from gpu_server.engines.void.planner.weight_bytes import (
    ELEMENT_BYTES,
    blocks_bytes,
    narrow_bytes,
    pinned_bytes,
    rest_bytes,
    table_bytes,
)

PROCESS_BYTES = 2 * 2**30
"""The worker beside the model, in the machine's memory: Python, torch with its libraries, frames in hand."""

_BLOCKS_IN_FLIGHT = 2


def plan_parts(plan: MemoryPlan, spec: ModelSpec, request: Request) -> tuple[PartBytes, ...]:
    return (
        *_transformer(plan, spec, request),
        *_others(plan, spec),
        *_activations(plan, spec, request),
        PartBytes("worker process", PROCESS_BYTES, "estimate", ("host",) * 4),
    )


def _transformer(plan: MemoryPlan, spec: ModelSpec, request: Request) -> Iterator[PartBytes]:
    sizes, kept, precision = spec.transformer, plan.passes_kept, plan.precision
    here = _on(plan)
    streamed = plan.transformer == "blocks"
    away = here if plan.transformer == "device" else _off(plan)
    blocks = _places(denoise="host" if streamed else here, otherwise=away)
    yield PartBytes("attention and feed-forward", kept * narrow_bytes(sizes, precision), "exact", blocks)
    yield PartBytes("rest of the transformer", kept * rest_bytes(sizes, precision), "exact", blocks)
    if streamed:
        in_flight = _BLOCKS_IN_FLIGHT * blocks_bytes(sizes, precision) // sizes.layers
        yield PartBytes("blocks in flight", in_flight, "estimate", _places(denoise=here))
        ends = (sizes.rest - sizes.blocks_rest) * ELEMENT_BYTES[precision]
        yield PartBytes("embeddings and output in flight", ends, "estimate", _places(denoise=here))
        yield PartBytes("blocks: pinned", pinned_bytes(sizes, precision), "estimate", ("host",) * 4)
    table = kept * table_bytes(sizes, request.steps, precision)
    yield PartBytes("AdaLN table", table, "exact", (here,) * 4)


def _others(plan: MemoryPlan, spec: ModelSpec) -> Iterator[PartBytes]:
    here, element = _on(plan), ELEMENT_BYTES[plan.wide]
    text: Place = here if plan.text_encoder == "device" else "host"
    yield PartBytes("text encoder", spec.text.parameters * element, "exact", _places(text=text, otherwise="disk"))
    away = here if plan.vae == "device" else _off(plan)
    vae = _places(encode=here, decode=here, otherwise=away)
    yield PartBytes("VAE", spec.vae.parameters * element, "exact", vae)


def _activations(plan: MemoryPlan, spec: ModelSpec, request: Request) -> Iterator[PartBytes]:
    here = _on(plan)
    text: Place = here if plan.text_encoder == "device" else "host"
    batch = 2 if request.guided and plan.guidance == "together" else 1
    work = _vae_work(plan, request)
    encode = activations.encode_bytes(spec.vae, work, plan.wide)
    decode = activations.decode_bytes(spec.vae, work, plan.wide)
    denoise = activations.transformer_bytes(spec.transformer, request.window, batch, plan.precision)
    if plan.vae == "device":
        denoise = max(denoise, activations.preview_bytes(spec.vae, work, plan.wide).alive)
    needs = (
        ("text", text, activations.text_bytes(spec.text, spec.transformer.text_tokens, plan.wide)),
        ("encode", here, encode.alive),
        ("denoise", here, denoise),
        ("decode", here, decode.alive),
    )
    for phase, place, count in needs:
        yield PartBytes(f"{phase}: activations", count, "estimate", _places(**{phase: place}))
    latents = activations.latents_bytes(spec.transformer, request.shot)
    yield PartBytes("latents and conditioning", latents, "estimate", ("-", here, here, here))
    if plan.vae_parked:
        yield PartBytes("encode: parked", encode.waiting, "estimate", _places(encode="host"))
        yield PartBytes("decode: parked", decode.waiting, "estimate", _places(decode="host"))


def _vae_work(plan: MemoryPlan, request: Request) -> activations.VaeWork:
    frames = padded_length(request.frames)
    return activations.VaeWork(request.canvas, frames, plan.vae_latents_at_once, plan.vae_rows, plan.vae_parked)


def _on(plan: MemoryPlan) -> Place:
    return "device" if plan.device == "cuda" else "host"


def _off(plan: MemoryPlan) -> Place:
    return "host" if plan.device == "cuda" else "disk"


def _places(otherwise: Place = "-", **by_phase: Place) -> tuple[Place, Place, Place, Place]:
    text, encode, denoise, decode = (by_phase.get(phase, otherwise) for phase in PHASES)
    return text, encode, denoise, decode
