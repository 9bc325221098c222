"""Fallbacks to smaller memory plans and wider precisions, mapped device errors, and the loaded models."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from dataclasses import replace

import pytest
import torch
from diffusers import CogVideoXTransformer3DModel

from gpu_server.engines.void.device_errors import map_device_errors
from gpu_server.engines.void.fallback import with_fallback
from gpu_server.engines.void.model_manager import ModelManager
from gpu_server.engines.void.planner.memory_plans import AvailableMemory, all_plans
from gpu_server.engines.void.planner.plan import PlanRequest
from gpu_server.engines.void.planner.spec import read_spec
from gpu_server.engines.void.precision.attention import KERNELS, AttentionKernel, try_kernel
from gpu_server.engines.void.precision.compilation import keep_compiled_in
from gpu_server.engines.void.random_checkpoints.tiny import write_tiny
from gpu_server.worker.context import RunContext, StageClock
from gpu_server.worker.messages import RunJob
from tests.support.shots import make_job
from void_bridge.errors import DeviceLost, NotFinite, OutOfMemory
from void_bridge.sequence import Sequence

REQUEST = PlanRequest(canvas=(32, 48), frames=5, steps=2)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_tiny(folder, seed=3)
    return folder


@pytest.fixture
def manager(models, tmp_path):
    return ModelManager(models, tmp_path / "compiled")


@pytest.fixture
def job():
    plate, roto = (Sequence.parse(f"{name}.####.exr") for name in ("plate", "roto"))
    return make_job(plate, range(5), roto, engine="void")


@pytest.fixture
def context(tmp_path, job):
    run = RunJob("job", 1, job, {}, "", str(tmp_path), cache=str(tmp_path), models="", finished=())
    return RunContext(run, job, lambda message: None, threading.Event(), StageClock({}))


def failing(failures, tried):
    """Return a function that raises one failure after the other, then returns the plan that it was given."""
    left = list(failures)

    def run(plan):
        tried.append(plan)
        if left:
            raise left.pop(0)
        return plan

    return run


def test_each_plan_tried_takes_less_memory_than_the_last(manager, context):
    tried = []
    with pytest.raises(OutOfMemory, match="the smallest plan"):
        with_fallback(manager, REQUEST, context, failing([torch.OutOfMemoryError("CUDA out of memory")] * 99, tried))
    peaks = [max(plan.host_peaks.values()) for plan in tried]
    assert len(peaks) > 2 and peaks == sorted(set(peaks), reverse=True)
    assert len(context.report["warnings"]) == len(tried) - 1


def test_tensors_of_a_failed_attempt_are_freed_before_the_next(manager, context):
    held = []

    def run(plan):
        if held:
            assert held[0]() is None
            return "done"
        tensor = torch.zeros(3)
        held.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert with_fallback(manager, REQUEST, context, run) == "done"


@pytest.mark.parametrize(
    ("precision", "wider"), [("fp8", "bf16"), ("fp8-stored", "bf16"), ("bf16", "float32"), ("float32", None)]
)
def test_nan_is_tried_once_more_in_the_next_wider_precision(manager, context, precision, wider):
    tried = []
    request = replace(REQUEST, precision=precision)
    with pytest.raises(NotFinite):
        with_fallback(manager, request, context, failing([NotFinite("step 1: NaN")] * 9, tried))
    assert [plan.precision for plan in tried] == [precision] + ([wider] if wider else [])


def test_out_of_memory_in_the_wider_precision_keeps_that_precision(manager, context):
    failures = [NotFinite("step 1: NaN"), MemoryError(), MemoryError()]
    tried = []
    made = with_fallback(manager, replace(REQUEST, precision="bf16"), context, failing(failures, tried))
    assert [plan.precision for plan in tried] == ["bf16", "float32", "float32", "float32"]
    assert made is tried[-1]


def test_nan_is_raised_where_the_wider_precision_does_not_fit(models, context, tmp_path):
    spec, everything = read_spec(models), AvailableMemory(None)

    def least(precision):
        plans = all_plans(spec, replace(REQUEST, precision=precision), everything)
        return min(max(plan.host_peaks.values()) for plan in plans)

    class Small(ModelManager):
        def _room(self):
            return AvailableMemory(None, host=(least("bf16") + least("float32")) // 2)

    assert least("bf16") < least("float32")
    manager = Small(models, tmp_path)
    with pytest.raises(NotFinite, match=r"step 1: NaN; in float32, no plan for 48x32 fits"):
        with_fallback(manager, replace(REQUEST, precision="bf16"), context, failing([NotFinite("step 1: NaN")], []))


@pytest.mark.parametrize(
    ("failure", "named"),
    [
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nmore"), DeviceLost),
        (RuntimeError("CUDA error: device-side assert triggered"), DeviceLost),
        (RuntimeError("No CUDA GPUs are available"), DeviceLost),
        (torch.AcceleratorError("CUDA error: out of memory"), OutOfMemory),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), OutOfMemory),
        (MemoryError(), OutOfMemory),
        (RuntimeError("shapes do not match"), RuntimeError),
        (NotFinite("NaN"), NotFinite),
    ],
)
def test_device_errors_are_mapped(failure, named):
    with pytest.raises(named) as caught, map_device_errors():
        raise failure
    assert type(caught.value) is named and "\n" not in str(caught.value)


def test_device_errors_of_an_attention_kernel_are_not_taken_for_a_refusal(manager, context, monkeypatch):
    failures = [
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: device-side assert triggered"),
    ]

    def attend(query, key, value):
        raise failures.pop(0)

    monkeypatch.setitem(KERNELS, "sdpa", AttentionKernel(attend))
    with pytest.raises(DeviceLost), map_device_errors():
        with_fallback(
            manager, REQUEST, context, lambda plan: try_kernel("sdpa", torch.device("cpu"), torch.float32, 64)
        )
    (warning,) = context.report["warnings"]
    assert warning.startswith("out of memory with") and not failures


def transformers():
    gc.collect()
    return {id(thing) for thing in gc.get_objects() if type(thing) is CogVideoXTransformer3DModel}


@pytest.fixture
def loaded_transformers():
    """Return a function that counts the transformers loaded since; other test modules may keep some."""
    before = transformers()
    return lambda: len(transformers() - before)


def test_a_plan_keeps_its_number_of_transformers_loaded(manager, job, loaded_transformers):
    plan = manager.plan(REQUEST)
    counts = []
    for kept in (2, 1):
        for number in (1, 2):
            with manager.denoiser(number, replace(plan, passes_kept=kept), job):
                counts.append(loaded_transformers())
        manager.unload()
    assert counts == [1, 2, 1, 1]
    assert loaded_transformers() == 0


def test_a_swapped_plan_has_the_transformer_or_the_autoencoder(manager, job, loaded_transformers):
    plan = replace(manager.plan(REQUEST), transformer="swapped", passes_kept=1, vae="offloaded")
    with manager.denoiser(1, plan, job):
        assert loaded_transformers() == 1
    with manager.vae(plan):
        assert loaded_transformers() == 0
    assert manager.loaded == ["pass 1", "vae"]
    with manager.vae(plan):
        pass
    assert manager.loaded[2:] == ["vae"], "without a GPU what is swapped out is read again"


def test_another_plan_unloads_the_transformers_that_it_does_not_keep(manager, job, loaded_transformers):
    with manager.denoiser(1, manager.plan(replace(REQUEST, precision="bf16")), job):
        pass
    manager.plan(replace(REQUEST, precision="bf16", frames=9))
    assert loaded_transformers() == 1
    manager.plan(replace(REQUEST, precision="float32"))
    assert loaded_transformers() == 0


def test_compiled_code_stays_in_torchs_folder_if_ours_cannot_be_made(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "before")
    (tmp_path / "file").write_text("in the way")
    keep_compiled_in(tmp_path / "file" / "compiled")
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "before"
