"""A model's frames on the plate, through a worker's run: with an engine that knows the truth, so that errors show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gpu_server.footage import Footage, make_clip
from gpu_server.worker.messages import FrameWritten
from tests.support.exrs import same_bits
from tests.support.knowing import NAME, KnowingEngines
from tests.support.shots import files_of, make_job, run_job, write_matte
from void_bridge.job import MatteSource
from void_bridge.pixels.box import Box
from void_bridge.pixels.exr import ExrFrame, ExrPart, read_frame, write_frame
from void_bridge.sequence import Sequence

FIRST, FRAMES = 1001, 7
SHAPE = HEIGHT, WIDTH = 216, 384
EMPTY = 1004
"""A frame in which nothing is drawn."""


@dataclass(frozen=True)
class Known:
    """A shot on disk whose truth is known."""

    footage: Footage
    plate: Sequence
    remove: Sequence
    affected: Sequence

    def truth(self, frame: int) -> np.ndarray:
        return self.footage.backgrounds[frame - FIRST]


def write_known(folder: Path, footage: Footage, dtype: type = np.float16) -> Known:
    plate = Sequence.parse(str(folder / "plate.####.exr"))
    frames, window = range(FIRST, FIRST + len(footage.plates)), Box(0, 0, *SHAPE)
    for frame, rgb in zip(frames, footage.plates, strict=True):
        channels = {name: rgb[..., axis].astype(dtype) for axis, name in enumerate("RGB")}
        channels["A"] = np.random.default_rng(frame).random(SHAPE).astype(dtype)
        channels["depth.Z"] = np.random.default_rng(-frame % 999).normal(0, 9, SHAPE).astype(np.float32)
        write_frame(ExrFrame((ExrPart(channels, window, window.grown(-8)),)), plate.path(frame))

    def drawn(matte: np.ndarray):
        return lambda frame: (matte[frame - FIRST] * (frame != EMPTY)).astype(np.float16)

    remove = write_matte(folder, frames, drawn(footage.remove), display_window=window.grown(-8), data_window=window)
    affected = write_matte(
        folder, frames, drawn(footage.affected), "affected", display_window=window.grown(-8), data_window=window
    )
    return Known(footage, plate, remove, affected)


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> Known:
    footage = make_clip("pan", HEIGHT, WIDTH, FRAMES, seed=4, object_size=0.3)
    return write_known(tmp_path_factory.mktemp("known"), footage)


def removed(known: Known, folder: Path, finished=(), **options):
    options = {"canvas": "96x160", "affected": MatteSource(str(known.affected)), **options}
    job = make_job(known.plate, range(FIRST, FIRST + FRAMES), known.remove, engine=NAME, **options)
    files = files_of(known.plate, known.remove, known.affected)
    return run_job(job, files, folder, finished, engines=KnowingEngines(known.truth))


def digests(messages):
    return {m.frame: m.digest for m in messages if isinstance(m, FrameWritten)}


KINDS = {
    "model": {},
    "moving": {"framing": "moving", "canvas": "48x80"},
    "hybrid": {"fill": "hybrid"},
    "full fill": {"full_fill": True, "confidence": True},
    "no grain": {"grain": False},
}


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_a_job_that_was_interrupted_writes_the_same_bytes(known, tmp_path, options):
    ended, _, whole = removed(known, tmp_path / "whole", **options)
    assert ended.state == "done", ended.message
    _, _, rest = removed(known, tmp_path / "rest", finished=[1001, 1002, 1005], **options)
    assert digests(rest) == {frame: digests(whole)[frame] for frame in (1003, 1004, 1006, 1007)}


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_outside_of_the_matte_every_bit_of_every_channel_stays(known, tmp_path, options):
    ended, written, _ = removed(known, tmp_path, **options)
    assert (ended.state, len(written)) == ("done", FRAMES), ended.message
    for frame, result in written.items():
        before, after = read_frame(known.plate.path(frame)).parts[0], result.parts[0]
        outside = after.channels["void_bridge.paste"] == 0
        assert outside.all() == (frame == EMPTY)
        for name, plane in before.channels.items():
            where = outside if name in "RGB" else ...
            assert same_bits(plane[where], after.channels[name][where]), (frame, name)
