"""Memory plans against the published model on the meta device, with every tensor counted."""

import weakref
from functools import cache

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install void-bridge[void]")
pytest.importorskip("diffusers", reason="diffusers is not installed: pip install void-bridge[void]")
pytest.importorskip("transformers", reason="transformers is not installed: pip install void-bridge[void]")

from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402
from transformers import T5Config, T5EncoderModel  # noqa: E402

from gpu_server.engines.void.checkpoint.tensor_shapes import FULL_CONFIG, FULL_TEXT_CONFIG, FULL_VAE_CONFIG  # noqa: E402
from gpu_server.engines.void.planner import activations, banded_vae_memory  # noqa: E402
from gpu_server.engines.void.planner.memory_plans import GIB, AvailableMemory, all_plans, choose_plan  # noqa: E402
from gpu_server.engines.void.planner.plan import PHASES, PlanRequest  # noqa: E402
from gpu_server.engines.void.planner.spec import VaeSizes, full_size  # noqa: E402
from gpu_server.engines.void.precision.attention import VoidAttention  # noqa: E402
from gpu_server.engines.void.precision.float8 import float8_linear  # noqa: E402
from gpu_server.engines.void.precision.layers import role_of  # noqa: E402
from gpu_server.engines.void.vae import MemorySaving, adapted  # noqa: E402

SPEC = full_size()
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp8": torch.bfloat16, "fp8-stored": torch.bfloat16}
WINDOW = (22, 48, 84)
TOKENS = 22 * 48 * 84 // 8


def built(cls, config, dtype):
    """Return a module on the meta device, from the values of a configuration that its class accepts."""
    known = {key: value for key, value in config.items() if not key.startswith("_")}
    with torch.device("meta"):
        module = cls(T5Config(**known)) if cls is T5EncoderModel else cls(**known)
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.to(dtype)
    return module.eval().requires_grad_(False)


def converted(precision, layers=42):
    """Return the transformer as a plan has it: quantised linears in 8 bits, AdaLN linears still there."""
    config = {**FULL_CONFIG, "in_channels": 48, "num_layers": layers}
    transformer = built(CogVideoXTransformer3DModel, config, DTYPES[precision])
    for name, module in list(transformer.named_modules()):
        if precision.startswith("fp8") and isinstance(module, torch.nn.Linear) and role_of(name) == "quantised":
            weight = torch.empty(module.weight.shape, dtype=torch.float8_e4m3fn, device="meta")
            scale = torch.empty(weight.shape[0], 1, device="meta")
            transformer.set_submodule(name, float8_linear(weight, scale, module.bias, computed=precision == "fp8"))
    return transformer


def held(module, left_out=()):
    """Return the bytes of a module's parameters and buffers, without those of some of its children."""
    gone = {id(t) for name in left_out for t in module.get_submodule(name).parameters()}
    return sum(t.nbytes for t in (*module.parameters(), *module.buffers()) if id(t) not in gone)


@cache
def held_beside_the_transformer(dtype):
    return {
        "vae": held(built(AutoencoderKLCogVideoX, FULL_VAE_CONFIG, dtype)),
        "text": held(built(T5EncoderModel, FULL_TEXT_CONFIG, dtype)),
    }


def table(transformer, steps, dtype):
    """Return the AdaLN linears' names, and the bytes of their outputs at every step and at the current one."""
    linears = {n: m for n, m in transformer.named_modules() if isinstance(m, torch.nn.Linear) and role_of(n) == "table"}
    return list(linears), sum(linear.out_features for linear in linears.values()) * (steps + 1) * dtype.itemsize


@pytest.mark.parametrize("precision", ["bf16", "fp8", "fp8-stored", "float32"])
def test_the_bytes_of_a_16_gib_plan_are_those_of_the_model(precision):
    request, room = PlanRequest(precision=precision), AvailableMemory(16 * GIB, (8, 9))
    plan = choose_plan(SPEC, request, room)
    dtype = DTYPES[precision]
    transformer = converted(precision)
    adaln, outputs = table(transformer, request.steps, dtype)
    weights = held(transformer, adaln)
    whole = {"transformer": weights, **held_beside_the_transformer(dtype)}
    for phase in PHASES:
        expected = outputs * plan.passes_kept
        if plan.transformer == "device" or (plan.transformer == "swapped" and phase == "denoise"):
            expected += whole["transformer"] * plan.passes_kept
        if plan.vae == "device" or phase in ("encode", "decode"):
            expected += whole["vae"]
        if plan.text_encoder == "device" and phase == "text":
            expected += whole["text"]
        here = [part for part in plan.parts if part.places[PHASES.index(phase)] == "device"]
        assert sum(part.bytes for part in here if part.basis == "exact") == expected
        assert sum(part.bytes for part in here) == plan.peaks[phase] <= room.usable < 16 * GIB
    in_host = {part.name: part.bytes for part in plan.parts if part.basis == "exact"}
    assert sum(in_host.values()) == whole["transformer"] + outputs + whole["vae"] + whole["text"]


def test_parameter_counts_are_those_of_the_published_model():
    sizes = SPEC.transformer
    assert (sizes.parameters, sizes.quantised) == (5_571_462_784, 4_756_340_736)
    assert sizes.table == 794_271_744 + 6144 * 513
    assert (SPEC.text.parameters, SPEC.vae.parameters) == (4_762_310_656, 215_583_907)


def test_streamed_blocks_are_counted_twice_at_most():
    plan = next(plan for plan in all_plans(SPEC, PlanRequest(), AvailableMemory(0)) if plan.transformer == "blocks")
    transformer = converted("fp8-stored", layers=1)
    block = held(transformer.transformer_blocks[0], ("norm1.linear", "norm2.linear"))
    in_flight = {part.name: part.bytes for part in plan.parts}
    assert in_flight["blocks in flight"] == 2 * block
    ends = held(transformer, ("transformer_blocks", "norm_out.linear"))
    assert in_flight["embeddings and output in flight"] == ends


class Alive(TorchDispatchMode):
    """A count of the bytes of all storages that operations allocate, and its peak."""

    def __init__(self):
        super().__init__()
        self.peak = self._live = 0
        self._known = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage(), given)
        return out

    def _count(self, storage, given):
        key = storage._cdata
        if key in given or key in self._known:
            return
        self._known.add(key)
        self._live += storage.nbytes()
        self.peak = max(self.peak, self._live)
        weakref.finalize(storage, self._free, key, storage.nbytes())

    def _free(self, key, count):
        self._known.discard(key)
        self._live -= count


def peak_of(run):
    with torch.no_grad(), torch.device("meta"), Alive() as alive:
        run()
    return alive.peak


def through(vae, stage, shapes, rows):
    cache = None
    for index, shape in enumerate(shapes):
        with adapted(vae, MemorySaving(rows=rows), first=index == 0):
            made, cache = stage(torch.empty(shape, dtype=torch.bfloat16), conv_cache=cache)
        del made


SMALL = {**FULL_VAE_CONFIG, "block_out_channels": [8, 8, 16, 16], "layers_per_block": 1, "norm_num_groups": 4}
VAES = [(FULL_VAE_CONFIG, SPEC.vae), (SMALL, VaeSizes((8, 8, 16, 16), 1, 16, 3, 2, 0))]


@pytest.mark.parametrize("rows", [None, 32])
@pytest.mark.parametrize(("config", "sizes"), VAES, ids=["published", "small"])
def test_vae_estimates_are_within_3_percent_of_the_peak(config, sizes, rows):
    vae = built(AutoencoderKLCogVideoX, config, torch.bfloat16)
    decoded = peak_of(lambda: through(vae, vae.decoder, [(1, 16, count, 16, 44) for count in (1, 2, 2)], rows))
    estimate = banded_vae_memory.decode_elements(sizes, (16, 44), (1, 2, 2), rows).peak
    assert 2 * estimate == pytest.approx(decoded, rel=0.03)
    for counts in ((13, 8), (5, 4)):
        encoded = peak_of(lambda c=counts: through(vae, vae.encoder, [(1, 3, n, 128, 352) for n in c], rows))
        estimate = banded_vae_memory.encode_elements(sizes, (128, 352), counts, rows).peak
        assert 2 * estimate == pytest.approx(encoded, rel=0.03)


def test_parked_elements_are_those_that_are_not_kept():
    kept = banded_vae_memory.decode_elements(SPEC.vae, (48, 84), (1, 2, 2), 16, False)
    parked = banded_vae_memory.decode_elements(SPEC.vae, (48, 84), (1, 2, 2), 16, True)
    assert kept.kept < parked.kept + parked.parked < 1.02 * kept.kept
    assert kept.peak - kept.kept < parked.peak < kept.peak


@pytest.mark.parametrize("precision", ["bf16", "fp8", "fp8-stored", "float32"])
@pytest.mark.parametrize("batch", [1, 2])
def test_transformer_estimates_are_close_to_the_peak(precision, batch):
    transformer = converted(precision, layers=2)
    transformer.set_attn_processor(VoidAttention(lambda query, key, value: torch.empty_like(query)))
    dtype = DTYPES[precision]

    def run():
        prompt = torch.empty(batch, 226, 4096, dtype=dtype)
        hidden = torch.empty(batch, 22, 48, 48, 84, dtype=dtype)
        rotary = (torch.empty(TOKENS, 64), torch.empty(TOKENS, 64))
        transformer(hidden, prompt, torch.empty(batch), image_rotary_emb=rotary)

    estimate = activations.transformer_bytes(SPEC.transformer, WINDOW, batch, precision)
    assert estimate == pytest.approx(peak_of(run), rel=0.05)


@pytest.mark.parametrize("precision", ["bf16", "float32"])
def test_text_encoder_estimates_are_close_to_the_peak(precision):
    encoder = built(T5EncoderModel, {**FULL_TEXT_CONFIG, "num_layers": 1}, DTYPES[precision])
    peak = peak_of(lambda: encoder(torch.empty(1, 226, dtype=torch.long)))
    assert 1 <= activations.text_bytes(SPEC.text, 226, precision) / peak <= 1.2
