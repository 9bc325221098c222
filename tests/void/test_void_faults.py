"""Faults under the VOID engine: memory, NaN, the device, damaged caches, replaced weights, cancels."""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import CogVideoXTransformer3DModel
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import CogVideoXDecoder3D, CogVideoXEncoder3D
from safetensors.torch import load_file, save_file
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers import T5EncoderModel

from gpu_server.engines.registry import Engines
from gpu_server.engines.void.random_checkpoints.tiny import write_tiny
from gpu_server.worker.messages import Advance, FrameWritten
from tests.support.client_jobs import config_for, finish
from tests.support.live_server import ServerProcess, settings
from tests.support.shots import disc, files_of, make_job, run_job, write_matte, write_plate
from void_bridge.client import connect

FRAMES = range(1001, 1005)
SHAPE = (32, 48)
HOLE = disc(SHAPE, (16, 20), 6)
FAULTY_WORKER = Path(__file__).parents[1] / "support" / "faulty_worker.py"
LONG = os.environ.get("VOID_BRIDGE_LONG_TESTS")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_tiny(folder, seed=3)
    return folder


@pytest.fixture(scope="module")
def engines():
    """Return one worker's engines, whose models stay loaded from job to job."""
    return Engines()


@pytest.fixture(scope="module")
def shot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shot")
    return write_plate(folder, FRAMES, SHAPE), write_matte(folder, FRAMES, HOLE)


@pytest.fixture
def removal(shot, models, engines):
    def run(folder, cancelled=None, models=models, engines=engines, attempt=1, **options):
        return run_job(job_of(shot, **options), files_of(*shot), folder, (), cancelled, attempt, models, engines)

    return run


def job_of(shot, **options):
    plate, roto = shot
    options = {"canvas": "32x48", "steps": 2, "passes": "1", **options}
    return make_job(plate, FRAMES, roto, engine="void", **options)


@contextmanager
def before_calls_of(kind, action):
    """Call `action(n)` before the n-th call of any module of a class."""
    calls = []

    def hook(module, inputs):
        if isinstance(module, kind):
            calls.append(module)
            action(len(calls))

    handle = register_module_forward_pre_hook(hook)
    try:
        yield calls
    finally:
        handle.remove()


def raising(failure, at=1):
    def action(number):
        if number == at:
            raise failure

    return action


def digests(messages):
    return {m.frame: m.digest for m in messages if isinstance(m, FrameWritten)}


def stages(messages):
    return [m.stage for m in messages if isinstance(m, Advance)]


# --- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["of the GPU", "of the machine", "of torch on the machine"],
)
def test_out_of_memory_is_tried_again_on_a_smaller_plan_with_a_warning(removal, tmp_path, failure):
    with before_calls_of(CogVideoXTransformer3DModel, raising(failure, at=2)) as calls:
        ended, written, messages = removal(tmp_path, passes="2", steps=2)
    assert (ended.state, len(written)) == ("done", len(FRAMES)), ended.failure
    (warning,) = [text for text in ended.report["warnings"] if "out of memory" in text]
    assert warning.endswith(f"repeated with '{ended.report['plan']}'")
    assert len(calls) == 2 + 2 + 2, "the first pass began again, once"
    assert stages(messages).count("trip") <= 2 * len(FRAMES)


def test_out_of_memory_on_every_plan_fails_by_name_and_the_next_job_runs(removal, tmp_path):
    def fail(number):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with before_calls_of(CogVideoXTransformer3DModel, fail) as calls:
        ended, written, _ = removal(tmp_path / "a", precision="fp8-stored")
    assert (ended.state, ended.failure.code, written) == ("failed", "out_of_memory", {})
    assert "the smallest plan" in ended.failure.message and "--canvas" in ended.failure.message
    assert 2 <= len(calls) <= 20
    assert removal(tmp_path / "b")[0].state == "done"


def test_finished_stages_are_found_again_on_a_smaller_plan(removal, tmp_path):
    failure = torch.OutOfMemoryError("CUDA out of memory")
    with before_calls_of(CogVideoXTransformer3DModel, raising(failure, at=3)):
        ended, _, messages = removal(tmp_path, passes="2", steps=2)
    assert ended.state == "done", ended.failure
    order = list(dict.fromkeys(stages(messages)))
    again = stages(messages)[stages(messages).index("flow") :]
    assert order.index("pass 1") < order.index("flow")
    same_numbers = ended.report["precision"] == "float32" and "bands" not in ended.report["plan"]
    assert ("pass 1" in again) is not same_numbers


# --- NaN -----------------------------------------------------------------------------------------


def overflows_when_narrow(folder):
    """Set a weight that bfloat16 rounds to infinity, followed by a zero."""
    path = folder / "void_pass1.safetensors"
    tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
    tensors["transformer_blocks.0.ff.net.0.proj.bias"][0] = 3.4e38
    tensors["transformer_blocks.0.ff.net.2.weight"][:, 0] = 0
    save_file(tensors, path)


@pytest.fixture(scope="module")
def overflowing(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("overflowing") / "tiny"
    shutil.copytree(models, folder)
    overflows_when_narrow(folder)
    return folder


def test_nan_in_a_narrow_precision_is_tried_again_in_a_wider_one(removal, overflowing, tmp_path):
    ended, written, _ = removal(tmp_path, models=overflowing, precision="bf16")
    assert (ended.state, len(written)) == ("done", len(FRAMES)), ended.failure
    assert ended.report["precision"] == "float32"
    (warning,) = [text for text in ended.report["warnings"] if "NaN" in text]
    assert "pass 1, step 1 of 2" in warning and warning.endswith("repeated in float32")
    assert all(np.isfinite(frame.parts[0].channels["R"]).all() for frame in written.values())


def test_nan_is_tried_again_no_more_than_once(removal, overflowing, tmp_path):
    with before_calls_of(CogVideoXTransformer3DModel, lambda number: None) as calls:
        ended, written, _ = removal(tmp_path, models=overflowing, precision="fp8")
    assert (ended.state, ended.failure.code, written) == ("failed", "not_finite", {})
    assert len({id(model) for model in calls}) == 2 and "pass 1, step 1 of 2" in ended.failure.message


def test_nan_of_the_autoencoder_is_named(removal, models, tmp_path):
    bad = tmp_path / "models"
    shutil.copytree(models, bad)
    path = bad / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["decoder.conv_out.conv.bias"][:] = float("nan")
    save_file(tensors, path)
    ended, written, _ = removal(tmp_path / "a", models=bad)
    assert (ended.state, ended.failure.code, written) == ("failed", "not_finite", {})
    assert "trip, frame 1 of 5" in ended.failure.message


# --- the device ----------------------------------------------------------------------------------


def test_a_lost_gpu_fails_its_job_and_a_new_worker_runs_the_next(shot, models, tmp_path):
    faults = tmp_path / "faults"
    faults.mkdir()
    (faults / "lose-the-gpu").touch()
    command = (sys.executable, str(FAULTY_WORKER), str(faults))
    chosen = settings(tmp_path, worker_command=command, models=models, engines=("void",))
    with ServerProcess(chosen) as server, connect(config_for(tmp_path)) as client:
        jobs = [job_of(shot, steps=1, seed=seed) for seed in (1, 2)]
        placed = [job.replace(output=str(tmp_path / str(job.seed) / "clean.####.exr")) for job in jobs]
        lost, done = [finish(client, id) for id in [client.submit(job).id for job in placed]]
        assert (lost.state, lost.error.code) == ("failed", "device_lost")
        assert "CUDA error" in lost.error.message and "submit the job again" in lost.error.message
        assert done.state == "done", done.error
        workers = (faults / "pids").read_text().split()
        log = server.log_path.read_text()
    assert len(set(workers)) == 2
    assert "its worker" not in log, "the second job was never with the worker that left"


# --- caches --------------------------------------------------------------------------------------


def truncate(path, others):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def swap(path, others):
    path.write_bytes(others[path])


def flip(path, others):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)


def empty(path, others):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, swap, flip, empty])
def test_damaged_cache_entries_count_as_missing(removal, tmp_path, damage):
    _, _, first = removal(tmp_path)
    entries = sorted((tmp_path / "cache").glob("*.npy"))
    contents = [path.read_bytes() for path in entries]
    others = dict(zip(entries, contents[1:] + contents[:1], strict=True))
    for path in entries:
        damage(path, others)
    ended, _, second = removal(tmp_path)
    assert ended.state == "done", ended.failure
    assert "pass 1" in stages(second)
    assert digests(second) == digests(first)


def test_a_cache_that_cannot_be_written_costs_time_alone(removal, tmp_path):
    (tmp_path / "cache").write_text("a file is in the way")
    first, second = (removal(tmp_path) for _ in range(2))
    assert (first[0].state, second[0].state) == ("done", "done"), first[0].message
    assert digests(first[2]) == digests(second[2])


def test_two_workers_share_a_cache(shot, models, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "cache").symlink_to(tmp_path / "a" / "cache")
    (tmp_path / "a" / "cache").mkdir(parents=True)
    results = {}

    def work(name):
        results[name] = run_job(job_of(shot), files_of(*shot), tmp_path / name, models=models, engines=Engines())

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results[name][0].state for name in "ab"] == ["done", "done"]
    assert digests(results["a"][2]) == digests(results["b"][2])


# --- weights and warmth --------------------------------------------------------------------------


def test_a_second_job_loads_nothing_and_the_text_encoder_is_gone(removal, models, tmp_path):
    engines = Engines()
    first, _, _ = removal(tmp_path, engines=engines, passes="2", prompt="a bare wall")
    second, _, messages = removal(tmp_path, engines=engines, passes="2", prompt="a bare wall", seed=9)
    assert set(first.report["loaded"]) == {"vae", "text_encoder", "pass 1", "pass 2"}
    assert len(first.report["loaded"]) == 1 + 2 + 1 + 1, "the text encoder once a prompt, of which one is empty"
    assert second.report["loaded"] == [] and "pass 2" in stages(messages)
    assert not [thing for thing in gc.get_objects() if type(thing) is T5EncoderModel]
    assert {"plan", "precision", "passes", "seconds_by_stage"} <= set(second.report)


def test_weights_that_are_replaced_between_two_jobs_are_noticed(removal, models, tmp_path):
    own, engines = tmp_path / "models", Engines()
    shutil.copytree(models, own)
    _, before, first = removal(tmp_path / "a", models=own, engines=engines)
    write_tiny(tmp_path / "other", seed=8)
    os.replace(tmp_path / "other" / "void_pass1.safetensors", own / "void_pass1.safetensors")
    _, after, second = removal(tmp_path / "a", models=own, engines=engines)
    _, _, fresh = removal(tmp_path / "b", models=own, engines=Engines())
    names = [frames[1001].parts[0].header["void_bridge/weights1"] for frames in (before, after)]
    assert names[0] != names[1]
    assert digests(second) == digests(fresh) != digests(first)


def test_weights_that_are_deleted_while_they_load_fail_the_job_by_name(removal, models, tmp_path):
    own, engines = tmp_path / "models", Engines()
    shutil.copytree(models, own)
    assert removal(tmp_path / "a", models=own, engines=engines)[0].state == "done"
    with before_calls_of(CogVideoXTransformer3DModel, lambda number: shutil.rmtree(own, ignore_errors=True)):
        ended, _, _ = removal(tmp_path / "b", models=own, engines=engines, prompt="new", passes="2")
    assert (ended.state, ended.failure.code) == ("failed", "unreadable"), ended.failure
    ended, _, _ = removal(tmp_path / "c", models=own, engines=engines)
    assert (ended.state, ended.failure.code) == ("failed", "engine") and "models fetch" in ended.failure.message


# --- cancels -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "calls_at_most"), [(CogVideoXEncoder3D, 2), (CogVideoXDecoder3D, 2), (CogVideoXTransformer3DModel, 1)]
)
def test_a_cancel_waits_for_little_more_than_one_call(removal, shot, models, tmp_path, kind, calls_at_most):
    plate, roto = (write(tmp_path, range(25), SHAPE if write is write_plate else HOLE) for write in WRITERS)
    job = make_job(plate, range(25), roto, engine="void", canvas="32x48", steps=4, passes="1")
    cancelled = threading.Event()
    with before_calls_of(kind, lambda number: cancelled.set()) as calls:
        ended, written, _ = run_job(
            job, files_of(plate, roto), tmp_path, cancelled=cancelled, models=models, engines=Engines()
        )
    assert (ended.state, written) == ("cancelled", {})
    assert len(calls) <= calls_at_most


WRITERS = (write_plate, write_matte)


# --- lengths -------------------------------------------------------------------------------------


LONG_SHOT = pytest.mark.skipif(not LONG, reason="takes minutes: set VOID_BRIDGE_LONG_TESTS=1 to run it")


@pytest.mark.parametrize(
    ("count", "padded"),
    [(105, 109), pytest.param(198, 205, marks=LONG_SHOT), pytest.param(1000, 1005, marks=LONG_SHOT)],
)
def test_long_shots_run_in_windows(models, engines, tmp_path, count, padded):
    plate, roto = write_plate(tmp_path, range(count), SHAPE), write_matte(tmp_path, range(count), HOLE)
    job = make_job(plate, range(count), roto, engine="void", canvas="32x48", steps=1, passes="2")
    ended, written, _ = run_job(job, files_of(plate, roto), tmp_path, models=models, engines=engines)
    assert (ended.state, sorted(written)) == ("done", list(range(count))), ended.failure
    assert ended.report["frames_with_padding"] == padded
    assert json.dumps(ended.report)
