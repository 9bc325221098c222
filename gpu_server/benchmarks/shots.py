"""Shots on disk for the benches: UHD half RGBA with grain, ZIP; alpha holds a matte over a quarter of the frame."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from gpu_server.footage import Scene
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource
from void_bridge.pixels.exr import write_simple
from void_bridge.sequence import Sequence

DISTINCT_FRAMES = 6


def write_shot(folder: Path, frames: int, height: int = 2160, width: int = 3840) -> Sequence:
    """Frames 1 to `frames`; every sixth has the same pixels, in a file of its own."""
    scene = Scene("static", height, width, DISTINCT_FRAMES, seed=3)
    sequence = Sequence.parse(str(folder / "plate.####.exr"))
    matte = np.zeros((height, width), np.float16)
    matte[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4] = 1
    for index in range(frames):
        path = sequence.path(index + 1)
        if index < DISTINCT_FRAMES:
            plate = scene.frame(index).plate
            channels = {name: np.ascontiguousarray(plate[..., i], dtype=np.float16) for i, name in enumerate("RGB")}
            write_simple(path, {**channels, "A": matte}, compression="zip")
        else:
            shutil.copyfile(sequence.path(index % DISTINCT_FRAMES + 1), path)
    return sequence


def passthrough_job(plate: Sequence, frames: int, output: Path) -> Job:
    return Job(
        plate=str(plate),
        frames=FrameRange(range(1, frames + 1)),
        output=str(output / "clean.####.exr"),
        colour=Colour("ACEScg", "ocio://cg-config-v2.2.0_aces-v1.3_ocio-v2.4", exposure=0.0),
        remove=MatteSource(str(plate), "A"),
        engine="passthrough",
        feather=0,
    )
