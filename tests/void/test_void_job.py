"""The VOID engine in a worker, on a tiny random checkpoint, which generates noise."""

from __future__ import annotations

import json
import shutil
import threading

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from gpu_server.engines.registry import Engines
from gpu_server.engines.void.flow import DenseInverseSearch
from gpu_server.engines.void.random_checkpoints.tiny import write_tiny
from gpu_server.worker.messages import Advance, FrameWritten
from tests.support.exrs import same_bits
from tests.support.shots import disc, files_of, make_job, run_job, write_matte, write_plate
from void_bridge.job import MatteSource
from void_bridge.pixels.exr import read_frame

FRAMES = range(1001, 1007)
SHAPE = (48, 80)
HOLE = disc(SHAPE, (24, 30), 9)


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
    affected = disc(SHAPE, (30, 50), 8)
    return (
        write_plate(folder, FRAMES, SHAPE),
        write_matte(folder, FRAMES, HOLE),
        write_matte(folder, FRAMES, affected, name="affected"),
    )


@pytest.fixture
def removal(shot, models, engines):
    def run(folder, finished=(), cancelled=None, models=models, **options):
        plate, remove, affected = shot
        options = {"canvas": "48x80", "steps": 2, "passes": "1", "prompt": "an empty table", **options}
        job = make_job(plate, FRAMES, remove, engine="void", affected=MatteSource(str(affected)), **options)
        return run_job(job, files_of(*shot), folder, finished, cancelled, models=models, engines=engines)

    return run


def digests(messages):
    return {m.frame: m.digest for m in messages if isinstance(m, FrameWritten)}


def stages(messages):
    return {m.stage for m in messages if isinstance(m, Advance)}


def test_both_passes_change_every_frame_and_nothing_outside_the_matte(removal, shot, tmp_path):
    ended, written, messages = removal(tmp_path, passes="2")
    assert (ended.state, sorted(written)) == ("done", list(FRAMES)), ended.failure
    assert ended.report["passes"] == 2
    assert {"look", "prompt", "encode", "pass 1", "decode 1", "flow", "pass 2", "decode 2"} <= stages(messages)
    for frame in FRAMES:
        before, after = read_frame(shot[0].path(frame)).parts[0], written[frame].parts[0]
        outside = after.channels["void_bridge.paste"] == 0
        assert outside.any()
        for name in "RGBA":
            assert same_bits(before.channels[name][outside], after.channels[name][outside]), (frame, name)
            assert np.isfinite(after.channels[name]).all()
        assert not same_bits(before.channels["R"], after.channels["R"])


def test_frames_say_which_weights_made_them(removal, tmp_path):
    _, written, _ = removal(tmp_path, passes="2")
    header = written[1001].parts[0].header
    assert header["void_bridge/engine"] == "void"
    assert (header["void_bridge/passes"], header["void_bridge/precision"]) == ("2", "float32")
    assert header["void_bridge/weights1"] != header["void_bridge/weights2"]


def test_two_fresh_spools_with_cold_caches_and_a_warm_one_give_the_same_bytes(removal, tmp_path):
    _, _, first = removal(tmp_path / "a", passes="2")
    _, _, second = removal(tmp_path / "b", passes="2")
    _, _, warm = removal(tmp_path / "b", passes="2")
    assert digests(first) == digests(second) == digests(warm) != {}
    assert {"encode", "pass 1", "pass 2"} & stages(warm) == set(), "nothing that is known was made again"


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"prompt": "a wooden table"}, {"prompt", "pass 1"}),
        ({"seed": 9}, {"encode", "pass 1"}),
        ({"steps": 3}, {"pass 1"}),
        ({"passes": "2"}, {"prompt", "pass 2"}),
        ({"dilate": 2}, set()),
    ],
)
def test_a_changed_option_runs_only_the_stages_that_depend_on_it(removal, tmp_path, change, again):
    _, _, first = removal(tmp_path)
    ended, _, second = removal(tmp_path, **change)
    assert ended.state == "done", ended.failure
    ran = stages(second) & {"prompt", "encode", "pass 1", "pass 2"}
    assert ran == again
    assert digests(second) != digests(first)


def test_a_changed_matte_does_not_encode_the_plate_again(removal, shot, tmp_path, models, engines):
    plate, remove, _ = shot
    removal(tmp_path)
    other = write_matte(tmp_path / "other", FRAMES, disc(SHAPE, (30, 20), 6), name="affected")
    job = make_job(plate, FRAMES, remove, engine="void", affected=MatteSource(str(other)), canvas="48x80", steps=2)
    job = job.replace(passes="1", prompt="an empty table")
    ended, _, messages = run_job(
        job, files_of(plate, remove, other), tmp_path, attempt=2, models=models, engines=engines
    )
    assert ended.state == "done", ended.failure
    assert "pass 1" in stages(messages)
    assert not {"prompt", "encode", "trip"} & (stages(messages) - {"trip"})


def test_a_resumed_job_writes_the_rest_with_the_same_bytes(removal, tmp_path):
    _, _, whole = removal(tmp_path / "a")
    _, _, rest = removal(tmp_path / "b", finished=[1001, 1002, 1005])
    assert digests(rest) == {frame: digests(whole)[frame] for frame in (1003, 1004, 1006)}


def test_auto_decides_by_the_morph_check_and_reports_the_score(removal, tmp_path):
    ended, _, _ = removal(tmp_path, passes="auto")
    morph = ended.report["morph"]
    assert ended.report["passes"] == (2 if morph["score"] >= morph["threshold"] else 1)
    assert set(morph["worst_frames"]) <= set(FRAMES)


def test_twelve_frames_a_second_gives_the_model_fewer_frames_and_delivers_all(removal, tmp_path):
    ended, written, _ = removal(tmp_path, model_fps="12")
    assert (ended.state, sorted(written)) == ("done", list(FRAMES)), ended.failure
    assert ended.report["frames_shown"] < len(FRAMES) + 1


class DeviceFlow(DenseInverseSearch):
    """A flow that says it runs on the GPU, and counts its calls."""

    uses_device, calls = True, 0

    def between(self, here, there):
        type(self).calls += 1
        return super().between(here, there)


def test_a_flow_on_the_device_is_not_called_once_the_device_is_free(
    removal, shot, engines, models, tmp_path, monkeypatch
):
    _, _, expected = removal(tmp_path / "a", model_fps="12")
    monkeypatch.setattr("gpu_server.engines.void.pipeline.make_flow", lambda name: DeviceFlow())
    calls_until_free = []
    plate, remove, affected = shot
    job = make_job(plate, FRAMES, remove, engine="void", affected=MatteSource(str(affected)), model_fps="12")
    job = job.replace(canvas="48x80", steps=2, passes="1", prompt="an empty table")
    ended, _, messages = run_job(
        job,
        files_of(*shot),
        tmp_path / "b",
        models=models,
        engines=engines,
        freed=lambda _: calls_until_free.append(DeviceFlow.calls),
    )
    assert ended.state == "done", ended.failure
    assert "interpolate" in stages(messages)
    assert calls_until_free == [DeviceFlow.calls] != [0]
    assert digests(messages) == digests(expected)


@pytest.mark.parametrize("frames", [1, 2, 9])
def test_short_shots_deliver_every_frame(models, engines, tmp_path, frames):
    plate, roto = write_plate(tmp_path, range(frames), SHAPE), write_matte(tmp_path, range(frames), HOLE)
    job = make_job(plate, range(frames), roto, engine="void", canvas="48x80", steps=1, passes="2")
    ended, written, _ = run_job(job, files_of(plate, roto), tmp_path, models=models, engines=engines)
    assert (ended.state, sorted(written)) == ("done", list(range(frames))), ended.failure


def test_a_cancelled_job_ends_and_the_next_one_runs(removal, tmp_path):
    cancelled = threading.Event()
    cancelled.set()
    ended, written, _ = removal(tmp_path / "a", cancelled=cancelled)
    assert (ended.state, written) == ("cancelled", {})
    assert removal(tmp_path / "b")[0].state == "done"


def test_a_prompt_that_is_too_long_is_cut_with_a_warning(removal, tmp_path):
    words = " ".join(f"word{i}" for i in range(400))
    ended, _, _ = removal(tmp_path, prompt=words)
    assert ended.state == "done"
    warning = next(text for text in ended.report["warnings"] if "226 tokens" in text)
    assert "word399" in warning


def broken_copy(models, folder, change):
    shutil.copytree(models, folder)
    change(folder)
    return folder


def poison(folder):
    tensors = load_file(folder / "void_pass1.safetensors")
    tensors["proj_out.bias"][:] = float("nan")
    save_file(tensors, folder / "void_pass1.safetensors")


def halve(folder):
    path = folder / "void_pass1.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def mistype(folder):
    tensors = load_file(folder / "void_pass1.safetensors")
    save_file({name: tensor.double() for name, tensor in tensors.items()}, folder / "void_pass1.safetensors")


@pytest.mark.parametrize(
    ("change", "options", "code", "named"),
    [
        (poison, {}, "not_finite", "step 1"),
        (halve, {}, "engine", "void_pass1.safetensors"),
        (mistype, {}, "engine", "F64"),
        (lambda folder: (folder / "void_pass2.safetensors").unlink(), {"passes": "2"}, "engine", "void_pass2"),
        (shutil.rmtree, {}, "engine", "models"),
    ],
    ids=["NaN in the latents", "half a file", "wrong type", "no second pass", "no models folder"],
)
def test_bad_weights_fail_by_name_and_the_next_job_runs(removal, models, tmp_path, change, options, code, named):
    bad = broken_copy(models, tmp_path / "models", change)
    ended, written, _ = removal(tmp_path / "a", models=bad, **options)
    assert (ended.state, ended.failure.code, written) == ("failed", code, {})
    assert named in ended.failure.message
    assert removal(tmp_path / "b")[0].state == "done"


def test_a_wider_precision_embeds_the_prompt_again(removal, models, tmp_path):
    bad = broken_copy(models, tmp_path / "models", poison)
    ended, _, messages = removal(tmp_path / "a", models=bad, precision="bf16")
    assert (ended.state, ended.failure.code) == ("failed", "not_finite")
    assert [m.done for m in messages if isinstance(m, Advance) and m.stage == "prompt"] == [0, 0]


@pytest.mark.parametrize("precision", ["bf16", "fp8-stored", "fp8"])
def test_every_precision_runs(removal, tmp_path, precision):
    ended, written, _ = removal(tmp_path, precision=precision, steps=1)
    assert (ended.state, len(written)) == ("done", len(FRAMES)), ended.failure
    assert ended.report["precision"] == precision


def test_the_device_is_free_before_frames_go_onto_the_plate(shot, models, engines, tmp_path):
    until_free = []
    job = make_job(shot[0], FRAMES, shot[1], engine="void", canvas="48x80", steps=1, passes="1")
    ended, written, messages = run_job(
        job, files_of(*shot), tmp_path, models=models, engines=engines, freed=until_free.extend
    )
    assert (ended.state, len(written)) == ("done", len(FRAMES))
    assert "decode 1" in stages(until_free)
    assert digests(until_free) == {} != digests(messages)


def test_a_report_goes_through_json(removal, tmp_path):
    ended, _, _ = removal(tmp_path)
    assert json.loads(json.dumps(ended.report)) == ended.report
