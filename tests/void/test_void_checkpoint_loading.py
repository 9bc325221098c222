"""Loaded models are those that the libraries load, without a second copy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install void-bridge[void]")
pytest.importorskip("diffusers", reason="diffusers is not installed: pip install void-bridge[void]")
pytest.importorskip("transformers", reason="transformers is not installed: pip install void-bridge[void]")

from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import T5Config, T5EncoderModel  # noqa: E402

from gpu_server.engines.void.checkpoint import loading  # noqa: E402
from gpu_server.engines.void.checkpoint.layout import BASE_NAME, PATCH_WEIGHT  # noqa: E402
from gpu_server.engines.void.checkpoint.tensor_shapes import (  # noqa: E402
    FULL_CONFIG,
    FULL_PARAMETERS,
    FULL_TENSORS,
    FULL_TEXT_CONFIG,
    FULL_VAE_CONFIG,
    parameters,
    text_encoder_shapes,
    transformer_shapes,
    vae_shapes,
)
from gpu_server.engines.void.random_checkpoints.full_size import TINY  # noqa: E402
from gpu_server.engines.void.random_checkpoints.tiny import write_tiny  # noqa: E402
from void_bridge.errors import UnreadableFile  # noqa: E402


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "models"
    write_tiny(folder, seed=5)
    return folder


@pytest.fixture
def own(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "models"))


def shapes(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def assert_same(found: torch.nn.Module, wanted: torch.nn.Module) -> None:
    got, expected = found.state_dict(), wanted.state_dict()
    assert got.keys() == expected.keys()
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype, name
        assert torch.equal(got[name], tensor), name


def rewritten(path: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    save_file(change(tensors), path)


def test_expected_shapes_of_the_transformer_are_those_of_diffusers() -> None:
    wanted = transformer_shapes(FULL_CONFIG, 48)
    assert shapes(loading.empty_transformer(FULL_CONFIG)) == wanted
    assert (len(wanted), parameters(wanted)) == (FULL_TENSORS, FULL_PARAMETERS)
    assert wanted[PATCH_WEIGHT] == (3072, 384)


def test_expected_shapes_of_vae_and_text_encoder_are_those_of_the_libraries() -> None:
    with torch.device("meta"):
        vae = AutoencoderKLCogVideoX.from_config(FULL_VAE_CONFIG)
        text = T5EncoderModel(T5Config(**FULL_TEXT_CONFIG))
    assert shapes(vae) == vae_shapes(FULL_VAE_CONFIG)
    wanted = text_encoder_shapes(FULL_TEXT_CONFIG)
    assert shapes(text) == {**wanted, "encoder.embed_tokens.weight": wanted["shared.weight"]}
    assert parameters(wanted) == 4_762_310_656


@pytest.mark.parametrize("number", [1, 2])
def test_a_loaded_transformer_is_bit_for_bit_the_librarys(tiny: Path, number: int) -> None:
    config = json.loads((tiny / "transformer/config.json").read_text())
    wanted = CogVideoXTransformer3DModel.from_config({**config, "in_channels": 48}).to(torch.bfloat16)
    wanted.load_state_dict(load_file(tiny / f"void_pass{number}.safetensors"))
    assert_same(loading.load_transformer(tiny, number), wanted)


def test_a_loaded_vae_and_text_encoder_are_bit_for_bit_the_libraries(tiny: Path) -> None:
    assert_same(loading.load_vae(tiny), AutoencoderKLCogVideoX.from_pretrained(tiny / "vae"))
    text = loading.load_text_encoder(tiny)
    assert_same(text, T5EncoderModel.from_pretrained(tiny / "text_encoder"))
    assert text.encoder.embed_tokens.weight is text.shared.weight


def test_every_tensor_has_values(tiny: Path) -> None:
    models = (loading.load_transformer(tiny, 1), loading.load_vae(tiny), loading.load_text_encoder(tiny))
    for model in models:
        assert not model.training
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            assert tensor.device.type == "cpu", name
            assert not tensor.requires_grad, name


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists what a process maps")
def test_kept_tensors_are_views_of_the_mapped_file(tiny: Path) -> None:
    path = str((tiny / "void_pass1.safetensors").resolve())
    model = loading.load_transformer(tiny, 1)
    mapped = [line.split("-") for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(path)]
    ranges = [(int(begin, 16), int(rest[0].split()[0], 16)) for begin, *rest in mapped]
    for name, tensor in model.named_parameters():
        assert any(begin <= tensor.data_ptr() < end for begin, end in ranges), name


def test_place_sees_every_tensor_once_and_decides(tiny: Path) -> None:
    seen: list[str] = []

    def wide(name: str, tensor: torch.Tensor) -> torch.Tensor:
        seen.append(name)
        return tensor.double()

    model = loading.load_transformer(tiny, 1, wide)
    assert sorted(seen) == sorted(model.state_dict())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}


def test_tiny_models_keep_the_variance_of_their_input(tiny: Path) -> None:
    vae = loading.load_vae(tiny)
    video = torch.linspace(-1, 1, 48).expand(1, 3, 9, 32, 48)
    tokens = loading.load_tokenizer(tiny)("A cup falls on the table.", padding="max_length", max_length=226)
    with torch.no_grad():
        embeds = loading.load_text_encoder(tiny)(torch.tensor([tokens.input_ids])).last_hidden_state
        latents = vae.encode(video).latent_dist.mode()
        decoded = vae.decode(latents).sample
        transformer = loading.load_transformer(tiny, 1, lambda _, tensor: tensor.float())
        generator = torch.Generator().manual_seed(3)
        hidden = torch.randn(1, 4, 48, 4, 6, generator=generator)
        output = transformer(hidden, embeds, torch.tensor([500]), return_dict=False)[0]
    assert 0.1 < latents.std() < 2 and latents.abs().max() < 8
    assert 0.1 < decoded.std() < 0.6 and decoded.abs().max() < 3
    assert 0.3 < output.std() < 3 and output.abs().max() < 20
    assert output.shape == (1, 4, 16, 4, 6)


def test_the_scheduler_is_that_of_the_reference(tiny: Path) -> None:
    config = loading.load_scheduler(tiny).config
    assert (config.prediction_type, config.timestep_spacing) == ("v_prediction", "trailing")
    assert config.rescale_betas_zero_snr and config.snr_shift_scale == 1.0


def test_a_checkpoint_of_33_channels_is_widened(own: Path) -> None:
    published = load_file(own / "void_pass1.safetensors")[PATCH_WEIGHT].clone()
    base = load_file(own / "transformer/diffusion_pytorch_model.safetensors")[PATCH_WEIGHT]
    narrow = torch.cat([published[:, :128], published[:, 128:136], published[:, -128:]], dim=1)
    rewritten(own / "void_pass1.safetensors", lambda tensors: {**tensors, PATCH_WEIGHT: narrow})
    wide = loading.load_transformer(own, 1).get_parameter(PATCH_WEIGHT)
    assert wide.shape == (128, 384) and wide.dtype == torch.bfloat16
    assert torch.equal(wide[:, :128], published[:, :128]) and torch.equal(wide[:, -128:], published[:, -128:])
    for channel in range(16):
        assert torch.equal(wide[:, 128 + 8 * channel :][:, :8], base[:, 128:136].bfloat16())


def test_a_base_of_48_channels_gives_its_own_middle() -> None:
    base, narrow = torch.rand(5, 384), torch.rand(5, 264)
    wide = loading.widen_patch_embedding(narrow, base, 384)
    assert torch.equal(wide, torch.cat([narrow[:, :128], base[:, 128:256], narrow[:, -128:]], dim=1))


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "transformer."])
def test_a_prefix_of_another_tool_is_removed(own: Path, prefix: str) -> None:
    wanted = loading.load_transformer(own, 1)
    rewritten(own / "void_pass1.safetensors", lambda tensors: {prefix + name: t for name, t in tensors.items()})
    assert_same(loading.load_transformer(own, 1), wanted)


def test_shards_of_a_nested_base_are_loaded(own: Path) -> None:
    wanted = loading.load_text_encoder(own)
    nested = own / BASE_NAME
    nested.mkdir()
    for part in ("transformer", "vae", "text_encoder", "tokenizer", "scheduler"):
        (own / part).rename(nested / part)
    whole = nested / "text_encoder/model.safetensors"
    tensors = load_file(whole)
    names = sorted(tensors)
    shards = {name: f"model-0000{1 + (i > 5)}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(shards.values()):
        save_file({name: tensors[name].clone() for name in names if shards[name] == file}, whole.with_name(file))
    whole.unlink()
    whole.with_name("model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert_same(loading.load_text_encoder(own), wanted)


def test_a_tensor_that_is_missing_is_named(own: Path) -> None:
    rewritten(own / "void_pass2.safetensors", lambda t: {n: v for n, v in t.items() if n != "proj_out.bias"})
    with pytest.raises(UnreadableFile, match=r"void_pass2.*proj_out\.bias.*models check"):
        loading.load_transformer(own, 2)


def test_a_file_cut_short_or_missing_is_named(own: Path) -> None:
    path = own / "void_pass1.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnreadableFile, match=r"void_pass1.*the download stopped"):
        loading.load_transformer(own, 1)
    path.unlink()
    with pytest.raises(UnreadableFile, match=r"cannot read .*void_pass1"):
        loading.load_transformer(own, 1)


def test_a_file_is_mapped_in_groups(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = loading.load_transformer(tiny, 2)
    monkeypatch.setattr(loading, "_GROUP_BYTES", 100_000)
    assert_same(loading.load_transformer(tiny, 2), wanted)


def test_random_weights_run_and_depend_on_the_seed(tmp_path: Path) -> None:
    for seed in (0, 1):
        TINY.write(tmp_path / f"{seed}", seed)
    model, other = (
        loading.load_transformer(tmp_path / f"{seed}", 1, lambda _, tensor: tensor.float()) for seed in (0, 1)
    )
    assert not torch.equal(model.proj_out.weight, other.proj_out.weight)
    with torch.no_grad():
        hidden = torch.linspace(-2, 2, 4 * 48 * 24).view(1, 4, 48, 4, 6)
        output = model(hidden, torch.zeros(1, 226, 24), torch.tensor([500]), return_dict=False)[0]
    assert output.isfinite().all() and output.std() > 0
    assert {parameter.dtype for parameter in loading.load_vae(tmp_path / "0").parameters()} == {torch.bfloat16}
