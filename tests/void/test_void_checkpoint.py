"""The check of models folders: whole, damaged, half downloaded, repackaged; and the hash of weights."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from gpu_server.engines.void.checkpoint import identity
from gpu_server.engines.void.checkpoint.check import CheckedPart, check_parts, readiness_problem
from gpu_server.engines.void.checkpoint.identity import weights_hash
from gpu_server.engines.void.checkpoint.layout import BASE_NAME, BASE_PARTS, PATCH_WEIGHT
from gpu_server.engines.void.checkpoint.safetensors_header import read_header
from gpu_server.engines.void.checkpoint.tensor_shapes import (
    FULL_CONFIG,
    FULL_PARAMETERS,
    FULL_TENSORS,
    Shapes,
    parameters,
    transformer_shapes,
)
from gpu_server.engines.void.random_checkpoints import safetensors_writer
from gpu_server.engines.void.random_checkpoints.configs import TEXT_ENCODER, TRANSFORMER
from gpu_server.engines.void.random_checkpoints.tiny import write_tiny
from void_bridge.errors import InputError, OutputError, UnreadableFile

pytest.importorskip("sentencepiece", reason="sentencepiece is not installed: pip install void-bridge[void]")

PASS_1 = "void_pass1.safetensors"
BASE_WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "models"
    write_tiny(folder, seed=5)
    return folder


@pytest.fixture
def own(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "models"))


def finding(folder: Path, part: str) -> CheckedPart:
    return {found.part: found for found in check_parts(folder)}[part]


def header_and_data(path: Path) -> tuple[dict[str, dict], bytes]:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    return header, data[8 + length :]


def write_raw(path: Path, header: dict, data: bytes) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def change(path: Path, edit: Callable[[dict], None]) -> None:
    """Edit the header of a file; its data stay."""
    header, data = header_and_data(path)
    edit(header)
    write_raw(path, header, data)


def write_zeros(path: Path, shapes: Shapes, dtype: safetensors_writer.Stored = "BF16") -> None:
    size = safetensors_writer.ITEM_BYTES[dtype]
    safetensors_writer.write_tensors(path, shapes, dtype, lambda name: [bytes(size * parameters({name: shapes[name]}))])


def test_a_whole_folder_passes_the_check(tiny: Path) -> None:
    findings = check_parts(tiny)
    parts = ["transformer", "base weights", "vae", "text_encoder", "tokenizer", "scheduler", "pass 1", "pass 2"]
    assert [found.part for found in findings] == parts
    assert {found.state for found in findings} == {"ok"}
    assert all(found.licence and not found.fix for found in findings)
    assert readiness_problem(tiny, (1, 2)) == ""
    assert "not the published size" in finding(tiny, "transformer").detail


def test_a_nested_base_is_found(own: Path) -> None:
    for part in BASE_PARTS:
        (own / BASE_NAME).mkdir(exist_ok=True)
        (own / part).rename(own / BASE_NAME / part)
    assert readiness_problem(own, (1, 2)) == ""
    (own / PASS_1).rename(own / BASE_NAME / PASS_1)
    assert readiness_problem(own, (1, 2)) == ""


def test_the_check_of_an_empty_folder_says_what_to_get_and_where(tmp_path: Path) -> None:
    findings = check_parts(tmp_path)
    assert [found.state for found in findings] == ["missing", "unneeded", *["missing"] * 6]
    assert f"get {PASS_1} of netflix/void-model into {tmp_path}" in findings[-2].fix
    assert f"alibaba-pai/{BASE_NAME} into {tmp_path / BASE_NAME}" in findings[0].fix
    assert "models fetch" in readiness_problem(tmp_path / "nowhere", (1,))


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 300)
    with pytest.raises(UnreadableFile, match="cannot look into"):
        check_parts(folder)
    assert readiness_problem(folder, (1,)).startswith("a models folder that can be read: cannot look into")


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("transformer/config.json", "transformer"),
        ("vae/config.json", "vae"),
        ("vae/diffusion_pytorch_model.safetensors", "vae"),
        ("text_encoder/config.json", "text_encoder"),
        ("text_encoder/model.safetensors", "text_encoder"),
        ("tokenizer/spiece.model", "tokenizer"),
        ("tokenizer/tokenizer_config.json", "tokenizer"),
        ("scheduler/scheduler_config.json", "scheduler"),
        (PASS_1, "pass 1"),
        ("void_pass2.safetensors", "pass 2"),
    ],
)
def test_a_part_that_is_missing_or_damaged_is_named(own: Path, file: str, part: str) -> None:
    path = own / file
    whole = path.read_bytes()
    for wrong in (None, b"", whole[: len(whole) // 2], b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"):
        path.unlink()
        if wrong is not None:
            path.write_bytes(wrong)
        found = finding(own, part)
        assert not found.is_whole and path.name in found.detail and found.fix, wrong
        assert part in readiness_problem(own, (1, 2))
        path.write_bytes(whole)
    assert readiness_problem(own, (1, 2)) == ""


def test_an_unwanted_pass_may_be_missing(own: Path) -> None:
    (own / "void_pass2.safetensors").unlink()
    assert readiness_problem(own, (1,)) == ""
    assert readiness_problem(own, (1, 2)).startswith("pass 2")


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"<!DOCTYPE html><html>", "web page"),
        (b"PK\x03\x04 archive of pickles", "pickle"),
        (b"\x80\x02 a pickle of tensors", "pickle"),
        (struct.pack("<Q", 2**62) + b"{", "header of 4,611"),
        (struct.pack("<Q", 500) + b'{"a": ', "cut short"),
        (struct.pack("<Q", 16) + b'{"a":{"dtype":1}}', "damaged header"),
        (struct.pack("<Q", 17) + b"[" * 17, "not a safetensors"),
        (b"\0" * 4000, "not a safetensors"),
    ],
)
def test_other_kinds_of_files_are_named(tmp_path: Path, start: bytes, what: str) -> None:
    (tmp_path / "x.safetensors").write_bytes(start)
    with pytest.raises(UnreadableFile, match=rf"x\.safetensors.*{what}"):
        read_header(tmp_path / "x.safetensors")


def test_a_header_of_any_length_is_read(tmp_path: Path) -> None:
    """Test lengths whose first byte is that of a web page or a pickle, too."""
    for extra in range(256):
        text = json.dumps({"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}).encode() + b" " * extra
        (tmp_path / "x").write_bytes(struct.pack("<Q", len(text)) + text + b"ab")
        assert read_header(tmp_path / "x").tensors["a"].shape == (2,)


@pytest.mark.parametrize(
    "entry",
    [
        {"shape": [4, 4]},
        {"shape": [-8, -1]},
        {"data_offsets": [0, 10]},
        {"data_offsets": [4, 20]},
        {"data_offsets": [16, 0]},
        {"dtype": "X9"},
        {"shape": [2.0, 4]},
    ],
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path: Path, entry: dict) -> None:
    good = {"dtype": "BF16", "shape": [2, 4], "data_offsets": [0, 16]}
    write_raw(tmp_path / "x", {"a": good}, bytes(16))
    assert read_header(tmp_path / "x").size > 16
    write_raw(tmp_path / "x", {"a": {**good, **entry}}, bytes(16))
    with pytest.raises(UnreadableFile, match="damaged header"):
        read_header(tmp_path / "x")


def test_a_file_with_too_many_bytes_is_refused(own: Path) -> None:
    with (own / PASS_1).open("ab") as out:
        out.write(b"more")
    assert "4 bytes more" in finding(own, "pass 1").detail


def test_a_download_that_stopped_is_recognised(own: Path) -> None:
    path = own / PASS_1
    for partial in (f"{PASS_1}.incomplete", f".cache/huggingface/download/{PASS_1}.0123abcd.incomplete"):
        (own / partial).parent.mkdir(parents=True, exist_ok=True)
        path.rename(own / partial)
        found = finding(own, "pass 1")
        assert found.state == "missing" and "half downloaded" in found.detail and "incomplete" in found.detail
        (own / partial).rename(path)


@pytest.mark.parametrize("dtype", ["F16", "I16"])
def test_a_wrong_type_is_refused(own: Path, dtype: str) -> None:
    change(own / PASS_1, lambda header: [entry.update(dtype=dtype) for entry in header.values()])
    assert f"stored as {dtype}, expected BF16" in finding(own, "pass 1").detail


def test_one_tensor_of_another_type_is_refused(own: Path) -> None:
    change(own / PASS_1, lambda header: header["proj_out.weight"].update(dtype="F16"))
    assert "proj_out.weight is F16 where the rest is BF16" in finding(own, "pass 1").detail


def test_a_quantised_copy_is_refused(own: Path) -> None:
    shapes = transformer_shapes(TRANSFORMER, 48)
    header, at = {}, 0
    for name, shape in shapes.items():
        count = parameters({name: shape})
        header[name] = {"dtype": "F8_E4M3", "shape": list(shape), "data_offsets": [at, at + count]}
        at += count
    write_raw(own / PASS_1, header, bytes(at))
    assert "F8_E4M3" in finding(own, "pass 1").detail and "quantised" in finding(own, "pass 1").detail


@pytest.mark.parametrize("file", [PASS_1, BASE_WEIGHTS, "vae/diffusion_pytorch_model.safetensors"])
def test_a_missing_an_extra_and_a_misshapen_tensor_are_named(own: Path, file: str) -> None:
    part = {PASS_1: "pass 1", BASE_WEIGHTS: "base weights"}.get(file, "vae")
    whole = (own / file).read_bytes()
    name = min(name for name, entry in header_and_data(own / file)[0].items() if len(entry["shape"]) == 1)
    change(own / file, lambda header: header.update({"added.weight": header.pop(name)}))
    assert f"lacks {name} and holds added.weight" in finding(own, part).detail
    (own / file).write_bytes(whole)
    change(own / file, lambda header: header[name].update(shape=[1, *header[name]["shape"]]))
    assert f"{name} has shape [1, " in finding(own, part).detail


def test_another_configuration_is_refused(own: Path) -> None:
    path = own / "transformer/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_layers": 3}))
    assert "lacks transformer_blocks.2." in finding(own, "pass 1").detail
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_layers": 10**9}))
    assert finding(own, "transformer").state == "bad"
    path.write_text("{}")
    assert finding(own, "transformer").state == "bad" and "not compared" in finding(own, "pass 1").detail
    path.write_text('{"num_layers": ')
    assert "not JSON" in finding(own, "transformer").detail


def test_parts_that_do_not_fit_each_other_are_refused(own: Path) -> None:
    path = own / "text_encoder/config.json"
    path.write_text(json.dumps({**TEXT_ENCODER, "d_model": 32}))
    assert "width 32, the transformer takes 24" in finding(own, "text_encoder").detail
    path.write_text(json.dumps({**TEXT_ENCODER, "vocab_size": 100}))
    assert "the text encoder knows 100" in finding(own, "tokenizer").detail


def test_another_scheduler_is_refused(own: Path) -> None:
    path = own / "scheduler/scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction_type": "epsilon"}))
    assert "prediction_type 'epsilon', expected 'v_prediction'" in finding(own, "scheduler").detail


def test_a_pass_of_33_channels_is_adapted_and_needs_the_base(own: Path) -> None:
    shapes = transformer_shapes(TRANSFORMER, 33)
    write_zeros(own / PASS_1, shapes)
    assert finding(own, "pass 1").state == "adapted" and readiness_problem(own, (1, 2)) == ""
    (own / BASE_WEIGHTS).unlink()
    assert finding(own, "base weights").state == "missing"
    assert readiness_problem(own, (1,)).startswith("base weights")
    write_zeros(own / PASS_1, {**shapes, PATCH_WEIGHT: (128, 200)})
    assert f"{PATCH_WEIGHT} has shape [128, 200]" in finding(own, "pass 1").detail


def test_passes_of_48_channels_do_not_need_the_base(own: Path) -> None:
    (own / BASE_WEIGHTS).unlink()
    assert finding(own, "base weights").state == "unneeded" and readiness_problem(own, (1, 2)) == ""


def test_a_known_prefix_is_removed_and_other_names_are_refused(own: Path) -> None:
    whole = (own / PASS_1).read_bytes()
    rename = "model.diffusion_model.{}"
    change(own / PASS_1, lambda header: [header.update({rename.format(n): header.pop(n)}) for n in list(header)])
    found = finding(own, "pass 1")
    assert found.state == "ok" and "the prefix model.diffusion_model. is removed" in found.detail
    (own / PASS_1).write_bytes(whole)
    for old, new in (("transformer_blocks.", "blocks."), ("attn1.to_", "self_attn."), (".weight", ".w")):
        change(own / PASS_1, lambda h, o=old, n=new: [h.update({k.replace(o, n): h.pop(k)}) for k in list(h)])
    found = finding(own, "pass 1")
    assert found.state == "bad" and "repackaged for another tool" in found.detail
    assert f"get {PASS_1} of netflix/void-model" in found.fix


def test_a_renamed_file_is_recognised(own: Path) -> None:
    (own / PASS_1).rename(own / "my_void_bf16.safetensors")
    assert "my_void_bf16.safetensors holds such a transformer" in finding(own, "pass 1").detail


def test_shards_are_checked_against_their_index(own: Path) -> None:
    folder = own / "text_encoder"
    header, data = header_and_data(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(header)
    weight_map = {}
    for number, part in ((1, names[:5]), (2, names[5:])):
        file, at, kept, blob = f"model-0000{number}-of-00002.safetensors", 0, {}, b""
        for name in part:
            begin, end = header[name]["data_offsets"]
            kept[name] = {**header[name], "data_offsets": [at, at + end - begin]}
            blob, at, weight_map[name] = blob + data[begin:end], at + end - begin, file
        write_raw(folder / file, kept, blob)
    index = folder / "model.safetensors.index.json"
    assert "model.safetensors.index.json is not there" in finding(own, "text_encoder").detail
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert finding(own, "text_encoder").state == "ok"
    (folder / "model-00002-of-00002.safetensors").rename(folder / "elsewhere")
    assert "model-00002-of-00002.safetensors is not there" in finding(own, "text_encoder").detail
    (folder / "elsewhere").rename(folder / "model-00002-of-00002.safetensors")
    moved = {**weight_map, names[0]: "model-00002-of-00002.safetensors"}
    index.write_text(json.dumps({"weight_map": moved}))
    assert f"lacks {names[0]}" in finding(own, "text_encoder").detail
    index.write_text(json.dumps({"weight_map": {names[0]: "../../outside.safetensors"}}))
    assert "names no shards" in finding(own, "text_encoder").detail


def test_the_published_size_is_recognised_from_its_header(own: Path) -> None:
    """Check a sparse file of the published size: 11.14 GB, of which the disk holds the header."""
    shapes = transformer_shapes(FULL_CONFIG, 48)
    (own / "transformer/config.json").write_text(json.dumps(FULL_CONFIG))
    safetensors_writer.write_tensors(own / PASS_1, shapes, "BF16", lambda name: [])
    with (own / PASS_1).open("rb+") as out:
        out.truncate(safetensors_writer.file_bytes(shapes, "BF16"))
    found = finding(own, "pass 1")
    assert found.state == "ok" and f"{FULL_TENSORS:,} tensors, {FULL_PARAMETERS:,} parameters, BF16" in found.detail
    assert (
        "the published size" in found.detail and "42 layers: the published size" in finding(own, "transformer").detail
    )
    header = read_header(own / PASS_1)
    assert header.size - header.data_begin == 11_142_925_568


def test_a_tiny_checkpoint_is_the_same_for_the_same_seed(tiny: Path, tmp_path: Path) -> None:
    for seed in (5, 6):
        write_tiny(tmp_path / str(seed), seed)
    files = [path.relative_to(tiny) for path in sorted(tiny.rglob("*")) if path.is_file()]
    assert len(files) == 12
    assert all((tmp_path / "5" / file).read_bytes() == (tiny / file).read_bytes() for file in files)
    changed = {str(file) for file in files if (tmp_path / "6" / file).read_bytes() != (tiny / file).read_bytes()}
    assert changed == {str(file) for file in files if file.suffix == ".safetensors"}


def test_a_tiny_checkpoint_is_not_written_over_anything(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        write_tiny(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_bf16_is_rounded_to_nearest_even() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install void-bridge[void]")
    values = torch.linspace(-3, 3, 10_001)
    ties = torch.tensor([1.00390625, 1.01171875, -1.00390625])
    for tensor in (values, ties):
        got = torch.frombuffer(bytearray(safetensors_writer.encoded(tensor.numpy(), "BF16")), dtype=torch.bfloat16)
        assert torch.equal(got, tensor.bfloat16())


def test_a_hash_depends_on_the_content_alone(tiny: Path, own: Path) -> None:
    parts = ("pass 1", "pass 2", "transformer", "vae", "text_encoder", "tokenizer", "scheduler")
    hashes = {part: weights_hash(tiny, part) for part in parts}
    assert len(set(hashes.values())) == len(parts)
    assert hashes == {part: weights_hash(own, part) for part in parts}
    with pytest.raises(InputError, match="expected pass 1"):
        weights_hash(own, "pass 3")


@pytest.mark.parametrize("whole_bytes", [64 << 20, 1000])
def test_a_hash_differs_when_any_tensor_differs(own: Path, monkeypatch: pytest.MonkeyPatch, whole_bytes: int) -> None:
    """Test files that are hashed whole, and by samples."""
    monkeypatch.setattr(identity, "_WHOLE_BYTES", whole_bytes)
    path = own / PASS_1
    whole, seen = path.read_bytes(), {weights_hash(own, "pass 1")}
    tensors = read_header(path).tensors.values()
    for tensor in tensors:
        changed = bytes(byte ^ 1 for byte in whole[tensor.begin : tensor.end])
        path.write_bytes(whole[: tensor.begin] + changed + whole[tensor.end :])
        identity._sampled.cache_clear()
        seen.add(weights_hash(own, "pass 1"))
    assert len(seen) == len(tensors) + 1


def test_the_hash_of_a_pass_of_33_channels_includes_the_base(own: Path) -> None:
    wide = weights_hash(own, "pass 1")
    write_zeros(own / BASE_WEIGHTS, transformer_shapes(TRANSFORMER, 33), "F32")
    assert weights_hash(own, "pass 1") == wide
    write_zeros(own / PASS_1, transformer_shapes(TRANSFORMER, 33))
    narrow = weights_hash(own, "pass 1")
    header, data = header_and_data(own / BASE_WEIGHTS)
    write_raw(own / BASE_WEIGHTS, header, bytes([1]) + data[1:])
    assert weights_hash(own, "pass 1") != narrow
