"""The worker's small parts: stores, clock, pipe messages."""

from __future__ import annotations

import io
import threading
from dataclasses import replace

import numpy as np
import pytest

from gpu_server.engines.base import ArrayClip, Clip, Context, Engine, EngineStage, Generated, Patch
from gpu_server.engines.propagate.survey import PropagateStage
from gpu_server.engines.void.stages import VoidStage
from gpu_server.frame_files import FrameFiles
from gpu_server.worker.clips import MatteCache
from gpu_server.worker.context import RunContext, StageClock, stage_shares
from gpu_server.worker.generation import generate
from gpu_server.worker.messages import Advance, CancelJob, RunJob, receive, send
from tests.support.clips import memory_job
from void_bridge.errors import EngineError, ProtocolError
from void_bridge.pixels.box import Box


def test_a_stored_plate_is_read_by_box(tmp_path):
    plate = np.random.default_rng(1).normal(0, 3, (20, 30, 3)).astype(np.float16)
    store = FrameFiles(tmp_path / "plates", 20, 30, np.float16)
    store.put(4, plate.astype(np.float32))
    box = Box(3, 5, 17, 29)
    assert np.array_equal(store.get(4, box), plate[box.slices].astype(np.float32))


def test_a_cached_matte_comes_back_exactly_also_across_its_edge():
    matte = np.zeros((20, 30), np.float32)
    matte[5:9, 6:12] = np.linspace(0.001, 1, 24, dtype=np.float16).reshape(4, 6)
    cache = MatteCache(20, 30)
    cache.put("remove", 2, matte)
    assert cache.box("remove", 2) == Box(5, 6, 9, 12)
    for box in (Box(0, 0, 20, 30), Box(7, 0, 20, 9), Box(0, 0, 3, 3)):
        assert np.array_equal(cache.get("remove", 2, box), matte[box.slices])


def test_a_matte_that_was_never_cached_is_empty():
    cache = MatteCache(4, 5)
    assert cache.box("keep", 0).empty
    assert not cache.get("keep", 0, Box(0, 0, 4, 5)).any()


class _Stage(EngineStage):
    FLOW = "flow", 0.25
    FILL = "fill", 0.75


def test_time_left_follows_the_shares_of_the_stages(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("gpu_server.worker.context.time.monotonic", lambda: now[0])
    clock = StageClock({_Stage.FLOW: 1.0, _Stage.FILL: 3.0})
    clock.enter(_Stage.FLOW)
    now[0] += 10
    assert clock.seconds_left(10, 10) == pytest.approx(30)
    clock.enter(_Stage.FILL)
    now[0] += 15
    assert clock.seconds_left(1, 2) == pytest.approx(15)
    assert clock.seconds == {"flow": 10}


def test_stages_of_two_engines_that_share_a_name_are_different_stages(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("gpu_server.worker.context.time.monotonic", lambda: now[0])
    clock = StageClock({VoidStage.INPUTS: 1.0, VoidStage.DECODE_2: 6.0, PropagateStage.SURVEY: 1.0})
    for stage, seconds, left in (
        (VoidStage.INPUTS, 10, 70),
        (VoidStage.DECODE_2, 60, 10),
        (PropagateStage.SURVEY, 10, 0),
    ):
        clock.enter(stage)
        now[0] += seconds
        assert clock.seconds_left(1, 1) == pytest.approx(left)
    clock.stop()
    assert clock.seconds == {"look": 20, "decode 2": 60}


def test_two_stages_of_one_engine_with_one_name_are_refused():
    with pytest.raises(ValueError, match=r"duplicate values.*FILL_HOLES -> FILL"):

        class _Doubled(EngineStage):
            FILL = "fill", 0.5
            FILL_HOLES = "fill", 0.5


class _Forgetful(Engine):
    """An engine whose `generate` is a generator function by mistake."""

    name, version, summary = "forgetful", "1", "yields where it should return"
    stages = _Stage

    def generate(self, clip: Clip, context: Context) -> Generated:
        yield Patch(0, Box(0, 0, 0, 0), np.zeros((0, 0, 3), np.float32))


def _context(stages=_Stage):
    run = RunJob("job", 1, memory_job(2), {}, "frames", "scratch")
    said: list = []
    return RunContext(run, run.job, said.append, threading.Event(), StageClock(stage_shares(stages))), said


def test_a_generator_function_is_refused_as_an_engine():
    context, _ = _context()
    with pytest.raises(EngineError, match=r"forgetful: generate\(\) returned a generator, expected a Generated"):
        generate(_Forgetful(), ArrayClip(np.zeros((2, 4, 4, 3), np.float32), {}), context)


def patch(index: int, value: float = 0.5) -> Patch:
    return Patch(index, Box(0, 0, 2, 3), np.full((2, 3, 3), value, np.float32))


class _Delivering(Engine):
    """An engine that returns what a test gave it as its patches."""

    name, version, summary = "delivering", "1", "returns what it was given"

    def __init__(self, patches: object) -> None:
        self.patches = patches

    def generate(self, clip: Clip, context: Context) -> Generated:
        return Generated(self.patches)


@pytest.mark.parametrize(
    ("patches", "error"),
    [
        (lambda: [], r"got Generated\(function\), expected an iterable of patches; call the method"),
        ([None, patch(2)], "got a NoneType, expected a Patch"),
        ([patch(2), patch(1)], "got the patch of index 2, expected that of index 1, as in clip.wanted"),
        ([patch(1), patch(1)], "got the patch of index 1, expected that of index 2"),
        ([patch(1), patch(2), patch(3)], "got the patch of index 3, expected no more patches"),
        ([patch(1)], "got 1 patches, expected 2; index 2 is the first that is missing"),
        ([patch(1), patch(2, np.nan)], r"rgb of frame 1003 \(index 2\) has NaN or infinity"),
        ([replace(patch(1), confidence=np.full((2, 3), np.inf))], r"confidence of frame 1002 \(index 1\) has NaN"),
    ],
)
def test_patches_other_than_the_wanted_ones_are_refused(patches, error):
    clip = ArrayClip(np.zeros((4, 4, 4, 3), np.float32), {}, 1001, wanted=(1, 2))
    with pytest.raises(EngineError, match=f"engine delivering: {error}"):
        list(generate(_Delivering(patches), clip, _context()[0]))


def test_wanted_patches_pass_as_they_are():
    patches = [patch(0), Patch.unchanged(1)]
    clip = ArrayClip(np.zeros((2, 4, 4, 3), np.float32), {})
    assert list(generate(_Delivering(iter(patches)), clip, _context()[0])) == patches


@pytest.mark.parametrize("name", ["rgb", "confidence", "reconstruction", "full"])
def test_an_array_of_a_patch_whose_shape_differs_from_the_box_is_refused(name):
    with pytest.raises(EngineError, match=rf"index 7: {name} has the shape \(2, 4, 3\), expected \(2, 3"):
        replace(patch(7), **{name: np.zeros((2, 4, 3), np.float32)})


def test_a_stage_that_the_engine_does_not_declare_is_refused():
    context, said = _context()
    context.progress(_Stage.FLOW, 0, 2)
    assert [message.stage for message in said] == ["flow"]
    with pytest.raises(EngineError, match=r"got the stage 'flwo', .* expected one of _Stage.FLOW, _Stage.FILL"):
        context.progress("flwo", 0, 2)
    with pytest.raises(EngineError, match="`stages`, which are empty"):
        _context(EngineStage)[0].progress(_Stage.FLOW, 0, 2)


def test_pipe_messages_come_back_as_they_went():
    pipe = io.BytesIO()
    messages = [Advance("job", 1, "fill", 3, 9, 1.5), CancelJob("job")]
    for message in messages:
        send(pipe, message)
    pipe.seek(0)
    assert list(receive(pipe)) == messages


@pytest.mark.parametrize(
    "data", [b"\xff\xff\xff\xff", b"\x02\x00\x00\x00\x80\x80", b"\x01\x00\x00\x00\xc1", b"\x01\x00\x00\x00\x07"]
)
def test_bytes_that_are_no_message_are_refused(data):
    with pytest.raises(ProtocolError):
        list(receive(io.BytesIO(data)))


def test_a_pipe_that_ends_within_a_message_just_ends():
    assert list(receive(io.BytesIO(b"\x05\x00\x00\x00\x81"))) == []
