"""The optimised denoiser against diffusers' own transformer, on a tiny random checkpoint."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install void-bridge[void]")
pytest.importorskip("diffusers", reason="diffusers is not installed: pip install void-bridge[void]")

from torch import nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from gpu_server.engines.void.checkpoint.loading import load_scheduler, load_transformer  # noqa: E402
from gpu_server.engines.void.denoise import (  # noqa: E402
    DenoiseSettings,
    PlainDenoiser,
    SequentialGuidance,
    denoise,
    make_guidance,
    rotary,
)
from gpu_server.engines.void.latent_windows import equal_windows  # noqa: E402
from gpu_server.engines.void.noise import initial_latents  # noqa: E402
from gpu_server.engines.void.precision.adaln import AdaLNTable  # noqa: E402
from gpu_server.engines.void.precision.attention import (  # noqa: E402
    KERNELS,
    AttentionKernel,
    VoidAttention,
    _torch_product,
    available_attention,
)
from gpu_server.engines.void.precision.compilation import CompiledBlocks  # noqa: E402
from gpu_server.engines.void.precision.denoiser import OptimisedDenoiser, build_denoiser  # noqa: E402
from gpu_server.engines.void.precision.float8 import Float8Linear, StoredFloat8Linear  # noqa: E402
from gpu_server.engines.void.precision.placement import (  # noqa: E402
    TensorPlacement,
    offload_blocks,
    place_transformer,
)
from gpu_server.engines.void.precision.step_cache import StepCache  # noqa: E402
from gpu_server.engines.void.random_checkpoints.tiny import write_tiny  # noqa: E402
from void_bridge.errors import EngineError, InternalError, UsageError  # noqa: E402

CPU = torch.device("cpu")
STEPS = [999, 666, 333]
ALWAYS = 1e9
"""A threshold above every difference, so that every step is skipped."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("precision") / "models"
    write_tiny(folder, seed=11)
    return folder


def inputs(seed: int, batch: int = 1, latents: int = 4):
    """Return hidden states, prompt embeddings, and rotary tables for 2 x 3 tokens of a latent pair."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(batch, latents, 48, 4, 6, generator=generator)
    return hidden, torch.randn(batch, 226, 24, generator=generator), rotary(64, latents // 2, 2, 3, CPU)


def call(denoiser, given, timestep: int):
    hidden, prompt, turn = given
    return denoiser(hidden, prompt, timestep, turn)


def plain(models: Path, dtype: torch.dtype = torch.float32) -> PlainDenoiser:
    return PlainDenoiser(load_transformer(models, 1, lambda _, tensor: tensor.to(dtype)))


def cached(models: Path, threshold: float = ALWAYS) -> OptimisedDenoiser:
    transformer, table = place_transformer(models, 1, "float32", CPU)
    return OptimisedDenoiser(transformer, table, StepCache(transformer, "first-block", threshold))


def error(got, expected) -> float:
    return float((got.float() - expected.float()).norm() / expected.float().norm())


@pytest.mark.parametrize("offload", ["none", "blocks"])
def test_in_float32_the_denoiser_gives_the_plain_transformers_result(models, offload):
    expected, denoiser = plain(models), build_denoiser(models, 1, precision="float32", device="cpu", offload=offload)
    denoiser.start(STEPS)
    for timestep in STEPS:
        given = inputs(timestep, batch=2)
        assert (call(denoiser, given, timestep) - call(expected, given, timestep)).abs().max() < 1e-5


@pytest.mark.parametrize("offload", ["none", "blocks"])
@pytest.mark.parametrize(
    ("precision", "least", "most"), [("bf16", 0, 5e-3), ("fp8-stored", 1e-3, 0.03), ("fp8", 1e-3, 0.03)]
)
def test_8_bit_precisions_are_near_bfloat16(models, precision, least, most, offload):
    given = inputs(1)
    hidden, prompt, turn = given
    expected = plain(models, torch.bfloat16)(hidden.bfloat16(), prompt.bfloat16(), 666, turn)
    denoiser = build_denoiser(models, 1, precision=precision, device="cpu", offload=offload)
    denoiser.start(STEPS)
    got = call(denoiser, given, 666)
    assert got.dtype == torch.float32 and least <= error(got, expected) <= most


def test_the_quantised_layers_are_those_of_the_list_and_every_tensor_is_placed(models):
    for precision, kind in (("bf16", nn.Linear), ("fp8-stored", StoredFloat8Linear), ("fp8", Float8Linear)):
        transformer, _ = place_transformer(models, 1, precision, CPU)
        block = transformer.transformer_blocks[1]
        for layer in (block.attn1.to_q, block.attn1.to_out[0], block.ff.net[0].proj, block.ff.net[2]):
            assert type(layer) is kind
        for layer in (transformer.proj_out, transformer.patch_embed.proj, transformer.time_embedding.linear_1):
            assert type(layer) is nn.Linear and layer.weight.dtype == torch.bfloat16
        assert not any(parameter.is_meta for parameter in transformer.parameters())


def test_adaln_weights_take_no_memory_and_quantised_ones_half(models):
    held = {
        precision: build_denoiser(models, 1, precision=precision, device="cpu").bytes for precision in ("bf16", "fp8")
    }
    whole = sum(parameter.nbytes for parameter in load_transformer(models, 1).bfloat16().parameters())
    adaln = 2 * (4 * (768 * 32 + 768) + 256 * 32 + 256)
    quantised = 2 * (4 * 128 * 128 + 2 * 128 * 512)
    scales = 4 * 2 * (4 * 128 + 512 + 128)
    row = 2 * (4 * 768 + 256)
    assert held == {"bf16": whole - adaln + row, "fp8": whole - adaln - quantised + scales + row}


def test_every_row_of_the_table_is_the_output_of_the_linears(models):
    transformer = load_transformer(models, 1, lambda _, tensor: tensor.float())
    embedding = transformer.time_embedding(transformer.time_proj(torch.tensor(STEPS)))
    linears = {
        name: module
        for name, module in transformer.named_modules()
        if name.endswith(("norm1.linear", "norm_out.linear"))
    }
    expected = {name: linear(nn.functional.silu(embedding)) for name, linear in linears.items()}
    table = AdaLNTable(transformer, dict(transformer.named_parameters()).__getitem__, CPU, torch.float32)
    table.tabulate(STEPS)
    for row, timestep in enumerate(STEPS):
        table.select(timestep)
        for name, rows in expected.items():
            got = transformer.get_submodule(name)(embedding[:2])
            assert got.shape[0] == 2 and (got - rows[row]).abs().max() < 1e-6


def test_adaln_weights_are_read_again_only_for_another_schedule(models):
    placement, asked = TensorPlacement("float32", CPU), []
    transformer = load_transformer(models, 1, placement)

    def reload(name: str):
        asked.append(name)
        return placement.mapped[name]

    table = AdaLNTable(transformer, reload, CPU, torch.float32)
    for steps, reads in (([9, 5], 1), ([9, 5], 1), ([5, 9], 2), ([9, 5, 1], 3)):
        table.tabulate(steps)
        assert len(asked) == reads * len(placement.mapped) == reads * 10
    assert table.bytes == (3 + 1) * 4 * (4 * 768 + 256)


def test_a_second_schedule_gives_what_a_fresh_denoiser_gives(models):
    denoiser, fresh = (build_denoiser(models, 1, precision="float32", device="cpu") for _ in range(2))
    denoiser.start(STEPS)
    denoiser.start([900, 100])
    fresh.start([900, 100])
    assert torch.equal(call(denoiser, inputs(1), 100), call(fresh, inputs(1), 100))


def test_a_timestep_outside_the_schedule_is_refused(models):
    denoiser = build_denoiser(models, 1, precision="float32", device="cpu")
    denoiser.start(STEPS)
    with pytest.raises(InternalError, match="998"):
        call(denoiser, inputs(1), 998)


def test_the_two_passes_give_different_results(models):
    outputs = []
    for number in (1, 2):
        denoiser = build_denoiser(models, number, precision="fp8", device="cpu")
        denoiser.start(STEPS)
        outputs.append(call(denoiser, inputs(1), 666))
    assert error(*outputs) > 0.1


def test_nan_in_the_input_shows_in_the_output(models):
    denoiser = build_denoiser(models, 1, precision="fp8", device="cpu")
    denoiser.start(STEPS)
    hidden, prompt, turn = inputs(1)
    hidden[0, 1, 3, 2, 2] = float("nan")
    assert denoiser(hidden, prompt, 666, turn).isnan().any()


class Recorded(TorchDispatchMode):
    """A record of the names of the operations that ran."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.names.add(str(operation))
        return operation(*args, **(kwargs or {}))


def test_a_call_reads_nothing_back_from_the_device(models):
    denoiser = build_denoiser(models, 1, precision="fp8", device="cpu")
    denoiser.start(STEPS)
    for start, reads in ((lambda: None, False), (lambda: torch.ones(1).item(), True)):
        with Recorded() as recorded:
            start()
            call(denoiser, inputs(1), 666)
        assert ("aten._local_scalar_dense.default" in recorded.names) == reads


def test_results_stay_the_same_after_weights_are_moved(models):
    denoiser = cached(models)
    first = run(denoiser, (1,))[1]
    denoiser.to(CPU)
    assert all(map(torch.equal, run(denoiser, (1,))[1], first))


# --- attention ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in available_attention() if not KERNELS[name].cuda])
def test_every_attention_kernel_gives_torchs_result(models, name):
    given = inputs(1, batch=2)
    denoiser = build_denoiser(models, 1, precision="float32", device="cpu", attention=name)
    denoiser.start(STEPS)
    assert (call(denoiser, given, 666) - call(plain(models), given, 666)).abs().max() < 1e-5


def test_the_kernel_that_was_asked_for_is_the_one_that_runs(models):
    transformer, table = place_transformer(models, 1, "float32", CPU)
    shapes = []

    def product(query, key, value):
        shapes.append(tuple(query.shape))
        return value

    transformer.set_attn_processor(VoidAttention(product))
    denoiser = OptimisedDenoiser(transformer, table, StepCache(transformer, "off"))
    denoiser.start(STEPS)
    call(denoiser, inputs(1), 666)
    assert shapes == [(1, 226 + 12, 2, 64)] * 2


def test_the_error_of_a_kernel_that_refuses_names_the_others(models, monkeypatch):
    """Use cuDNN's attention, which torch has on CUDA alone."""
    refusing = AttentionKernel(_torch_product(torch.nn.attention.SDPBackend.CUDNN_ATTENTION))
    monkeypatch.setitem(KERNELS, "sdpa-cudnn", refusing)
    with pytest.raises(EngineError, match=r"'sdpa-cudnn' does not run on cpu in torch.float32.*64.*sdpa-math"):
        build_denoiser(models, 1, precision="float32", device="cpu", attention="sdpa-cudnn")


def test_unavailable_names_are_refused_before_any_file_is_read(tmp_path):
    missing = next(name for name in KERNELS if name not in available_attention())
    cases = (
        (UsageError, {"attention": "fast"}),
        (EngineError, {"attention": missing}),
        (UsageError, {"step_cache": "second-block"}),
        (UsageError, {"precision": "int4"}),
        (UsageError, {"offload": "disk"}),
    )
    for kind, options in cases:
        with pytest.raises(kind, match=next(iter(options.values()))):
            build_denoiser(tmp_path / "nowhere", 1, **{"precision": "bf16", "device": "cpu", **options})


# --- step cache --------------------------------------------------------------------------------


def run(denoiser: OptimisedDenoiser, seeds: tuple[int, ...]) -> dict[int, list[torch.Tensor]]:
    """Run windows, by their seeds, in turn through all steps."""
    denoiser.start(STEPS)
    outputs: dict[int, list[torch.Tensor]] = {seed: [] for seed in seeds}
    for timestep in STEPS:
        for seed in seeds:
            outputs[seed].append(call(denoiser, inputs(seed * 1000 + timestep), timestep))
    return outputs


def test_at_a_threshold_of_zero_no_step_is_skipped(models):
    exact = build_denoiser(models, 1, precision="float32", device="cpu")
    for got, expected in zip(run(cached(models, 0.0), (1,))[1], run(exact, (1,))[1], strict=True):
        assert torch.equal(got, expected)


@pytest.mark.parametrize("halves", ["together", "one by one"])
def test_at_a_threshold_of_zero_a_guided_loop_over_two_windows_is_exact(models, halves):
    start, conditioning = initial_latents(3, 6, (4, 6)), torch.zeros(1, 6, 32, 4, 6)
    guidance = make_guidance(torch.ones(1, 226, 24), torch.zeros(1, 226, 24), 6.0)
    results = []
    for denoiser in (cached(models, 0.0), build_denoiser(models, 1, precision="float32", device="cpu")):
        run = SequentialGuidance(denoiser) if halves == "one by one" else denoiser
        loop = DenoiseSettings(1, 3, equal_windows(6, 4, 2))
        results += [denoise(run, load_scheduler(models), start, conditioning, guidance, loop) for _job in range(2)]
    assert all(torch.equal(result, results[0]) for result in results)


def test_windows_and_jobs_do_not_see_each_others_steps(models):
    exact = run(build_denoiser(models, 1, precision="float32", device="cpu"), (1,))[1]
    alone = {seed: run(cached(models), (seed,))[seed] for seed in (1, 2)}
    denoiser = cached(models)
    for _job in range(2):
        for seed, outputs in run(denoiser, (1, 2)).items():
            assert all(map(torch.equal, outputs, alone[seed]))
    assert torch.equal(alone[1][0], exact[0])
    assert error(alone[1][1], exact[1]) > 1e-3


def test_both_halves_of_guidance_have_their_own_cache_state(models):
    hidden, prompt, turn = inputs(5, batch=2)
    together, apart = cached(models), cached(models)
    together.start(STEPS)
    apart.start(STEPS)
    for timestep in STEPS:
        both = together(hidden, prompt, timestep, turn)
        halves = [apart(hidden[i : i + 1], prompt[i : i + 1], timestep, turn) for i in range(2)]
        assert (torch.cat(halves) - both).abs().max() < 1e-5


def test_a_window_of_another_shape_starts_without_cache_state(models):
    exact, denoiser = build_denoiser(models, 1, precision="float32", device="cpu"), cached(models)
    exact.start(STEPS)
    denoiser.start(STEPS)
    call(denoiser, inputs(1), 999)
    given = inputs(2, latents=6)
    assert torch.equal(call(denoiser, given, 666), call(exact, given, 666))


def test_a_step_cache_for_a_transformer_of_one_block_is_refused(models):
    transformer = load_transformer(models, 1)
    transformer.transformer_blocks = transformer.transformer_blocks[:1]
    with pytest.raises(UsageError, match="one block"):
        StepCache(transformer, "first-block")


def test_after_release_every_block_is_computed_again(models):
    exact, denoiser = build_denoiser(models, 1, precision="float32", device="cpu"), cached(models)
    exact.start(STEPS)
    denoiser.start(STEPS)
    call(denoiser, inputs(1), 999)
    denoiser.release()
    assert torch.equal(call(denoiser, inputs(2), 666), call(exact, inputs(2), 666))


# --- compilation -------------------------------------------------------------------------------


@pytest.fixture
def compiler():
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    yield torch._dynamo.utils.counters
    torch.compiler.reset()


@pytest.mark.parametrize("offload", ["none", "blocks"])
def test_all_blocks_and_steps_share_one_graph(models, compiler, offload):
    transformer, table = place_transformer(models, 1, "fp8", CPU)
    transformer.set_attn_processor(VoidAttention(KERNELS["sdpa"].product))
    blocks = CompiledBlocks(transformer, backend="aot_eager")
    if offload == "blocks":
        offload_blocks(transformer, CPU)
    denoiser = OptimisedDenoiser(transformer, table, StepCache(transformer, "first-block", 0.0), blocks)
    plainly = build_denoiser(models, 1, precision="fp8", device="cpu")
    for seed, outputs in run(denoiser, (1, 2)).items():
        assert all(map(torch.equal, outputs, run(plainly, (seed,))[seed]))
    assert compiler["stats"]["unique_graphs"] == 1 and not compiler["graph_break"]


def test_a_block_that_cannot_be_compiled_runs_uncompiled_with_a_note(models, compiler):
    def broken(graph, example_inputs):
        raise RuntimeError("no such compiler")

    transformer, table = place_transformer(models, 1, "float32", CPU)
    cache = StepCache(transformer, "first-block", 0.0)
    denoiser = OptimisedDenoiser(transformer, table, cache, CompiledBlocks(transformer, backend=broken))
    exact = build_denoiser(models, 1, precision="float32", device="cpu")
    assert all(map(torch.equal, run(denoiser, (1,))[1], run(exact, (1,))[1]))
    assert len(denoiser.notes) == 1 and "no such compiler" in denoiser.notes[0]


def test_errors_of_the_model_are_not_treated_as_compiler_errors(models, compiler):
    transformer, table = place_transformer(models, 1, "float32", CPU)
    blocks = CompiledBlocks(transformer, backend="eager")
    denoiser = OptimisedDenoiser(transformer, table, StepCache(transformer, "off"), blocks)
    denoiser.start(STEPS)
    hidden, prompt, turn = inputs(1)
    with pytest.raises(RuntimeError, match="shapes"):
        denoiser(hidden[:, :, :40], prompt, 666, turn)
    assert not denoiser.notes


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_another_number_of_steps_does_not_compile_again(models, compiler, precision):
    transformer, table = place_transformer(models, 1, precision, CPU)
    blocks = CompiledBlocks(transformer, backend="eager")
    denoiser = OptimisedDenoiser(transformer, table, StepCache(transformer, "off"), blocks)
    for steps in (STEPS, [900, 100]):
        denoiser.start(steps)
        call(denoiser, inputs(1), steps[-1])
    assert compiler["stats"]["unique_graphs"] == 1


class Product(nn.Linear):
    """A block that inductor compiles without a C++ compiler."""

    def forward(self, hidden_states, encoder_hidden_states):
        return super().forward(hidden_states), super().forward(encoder_hidden_states)


class TwoProducts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.transformer_blocks = nn.ModuleList(Product(8, 8, bias=False) for _ in range(2))
        self.requires_grad_(False)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # torch's own, on import
def test_compiled_code_is_kept_in_a_folder(models, compiler, tmp_path, monkeypatch):
    for variable in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(variable, os.devnull)
    build_denoiser(models, 1, precision="float32", device="cpu", compiled=True, compile_cache=tmp_path)
    hits = []
    for _process in range(2):
        torch.compiler.reset()
        small = TwoProducts()
        CompiledBlocks(small)
        for block in small.transformer_blocks:
            block.forward(hidden_states=torch.ones(1, 4, 8), encoder_hidden_states=torch.ones(1, 2, 8))
        hits.append(compiler["inductor"]["fxgraph_cache_hit"])
    assert hits == [0, 1] and any(tmp_path.iterdir())
