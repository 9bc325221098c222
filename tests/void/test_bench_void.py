"""The benchmarks of the VOID engine: their counts, what they cannot measure, and the packages that they need."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from gpu_server.benchmarks.void.denoising_loop import loop_ratios
from gpu_server.benchmarks.void.flops import StepFlop, decode_flop, encode_flop, step_flop
from gpu_server.benchmarks.void.jobs import JobTime, QueueTime
from gpu_server.benchmarks.void.model import (
    CPU_VARIANTS,
    NotMeasured,
    StepTime,
    Variant,
    limit_seconds,
    product_rate,
    step_times,
)
from gpu_server.benchmarks.void.model_page import _step_row, full_size_lines
from gpu_server.engines.void.checkpoint.loading import load_transformer, load_vae
from gpu_server.engines.void.checkpoint.tensor_shapes import FULL_CONFIG, FULL_VAE_CONFIG
from gpu_server.engines.void.random_checkpoints.full_size import FULL, TINY

CPU = torch.device("cpu")
SIZE, FRAMES = (32, 48), 5


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    TINY.write(folder)
    return folder


def test_a_step_of_the_published_model_is_174_tflop_most_of_it_linear_layers():
    flop = step_flop(FULL_CONFIG, (384, 672), 85)
    assert flop.total == pytest.approx(173.7e12, rel=0.001)
    assert flop.attention / flop.total == pytest.approx(0.38, abs=0.005)


def test_a_long_shot_counts_every_window():
    assert step_flop(TINY.transformer, SIZE, 197).total == 3 * step_flop(TINY.transformer, SIZE, 85).total


def test_operations_of_the_published_autoencoder_are_known():
    """Compare with diffusers' own decoding: 421.7 TFLOP for the 88 frames that it makes of 85."""
    assert encode_flop(FULL_VAE_CONFIG, (384, 672), 85) == pytest.approx(192.0e12, rel=0.001)
    assert decode_flop(FULL_VAE_CONFIG, (384, 672), 13) == pytest.approx(421.7e12 * 13 / 88, rel=0.02)


def test_random_weights_of_the_published_size_are_as_large_as_the_published_file():
    vae_bytes = 2 * 215_583_907
    assert 11_142_925_568 + vae_bytes < FULL.bytes + 200_000 < 11_142_925_568 + vae_bytes + 400_000


def test_random_weights_are_models_that_stay_finite(models):
    transformer, vae = load_transformer(models, 1), load_vae(models)
    assert {parameter.dtype for parameter in (*transformer.parameters(), *vae.parameters())} == {torch.bfloat16}
    every = list(step_times(models, SIZE, FRAMES, CPU_VARIANTS, CPU))
    assert [type(timed) for timed in every] == [StepTime] * len(CPU_VARIANTS), every


def test_a_variant_that_cannot_run_says_why_and_the_next_one_runs(models):
    variants = (Variant("fp4"), Variant("bf16", attention="sdpa-cudnn"), Variant("float32"))
    wrong, elsewhere, right = step_times(models, SIZE, FRAMES, variants, CPU)
    assert isinstance(wrong, NotMeasured) and "fp4" in wrong.reason
    assert isinstance(elsewhere, NotMeasured) and "CUDA" in elsewhere.reason
    assert isinstance(right, StepTime) and right.seconds > 0


def test_the_limit_of_a_step_gives_attention_the_rate_of_its_activations():
    rates = {"float32": 1.0, "bf16": 10.0, "fp8": 20.0}
    flop = StepFlop(products=200, attention=100)
    assert limit_seconds(flop, "bf16", rates) == limit_seconds(flop, "fp8-stored", rates) == 30
    assert limit_seconds(flop, "fp8", rates) == 20
    assert limit_seconds(flop, "float32", rates) == 300


def test_a_step_whose_limit_is_not_known_has_no_share():
    timed = StepTime(Variant("fp8"), 2.0, 3.0, 0)
    assert "| 50.0% |" in _step_row(timed, StepFlop(20, 0), {"bf16": 10.0, "fp8": 20.0})
    assert "| not measured | 3 s |" in _step_row(timed, StepFlop(20, 0), {"bf16": 10.0})


def test_every_precision_has_a_rate_on_a_cpu():
    assert min(product_rate(precision, CPU) for precision in ("float32", "bf16", "fp8")) > 0


def test_the_loop_is_compared_with_the_same_calls(models):
    ratios = loop_ratios(models, pairs=2, steps=2, shape=(4, 8, 8))
    assert len(ratios) == 2 and min(ratios) > 0


def test_without_a_gpu_its_figures_are_not_measured():
    rows = [line for line in full_size_lines() if line.startswith("| ") and "sdpa" in line]
    assert len(rows) == 7
    assert all(row.count("not measured") == 5 for row in rows)


def test_a_queue_is_busy_while_the_model_computes():
    job = JobTime(6.0, {"decode": 1.0, "encode": 0.5, "pass 1": 3.0, "deliver": 1.5}, "kept")
    queue = QueueTime(10.0, (job, job))
    assert queue.busy_share == pytest.approx(0.7)
    assert queue.overlap_s == pytest.approx(2.0)
    assert QueueTime(20.0, (job, job)).overlap_s == 0


def test_the_model_is_measured_with_torch_and_diffusers_alone():
    absent = "zmq msgpack fileseq rich OpenEXR PyOpenColorIO cv2 av psutil sentencepiece google.protobuf accelerate"
    script = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({absent!r}.split()))\n"
        "from gpu_server.benchmarks.void.model_page import main\n"
        "sys.exit(main(['--random-weights', '--size', '16x32', '--frames', '1']))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if ", eager, sdpa |" in line]
    assert len(rows) == len(CPU_VARIANTS)
    assert all(row.count("not measured") == 1 for row in rows), "all but the VRAM"


@pytest.mark.parametrize("words", [["--size", "384"], ["--size", "380x672"], ["--frames", "0"], ["--frames", "-1"]])
def test_a_wrong_size_is_refused(words, capsys):
    from gpu_server.benchmarks.void.model_page import main

    with pytest.raises(SystemExit) as exits:
        main(words)
    assert exits.value.code == 2
    assert "expected" in capsys.readouterr().err
