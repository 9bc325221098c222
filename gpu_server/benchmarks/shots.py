"""Shots on disk for the benchmarks, and jobs on them: half RGBA with grain, ZIP; alpha holds a centred matte."""

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
    """Write frames 1 to `frames`, with a matte over a quarter of the picture in alpha.

    Every sixth frame has the same pixels, in a file of its own.

    Args:
        folder: where the files are written.
        frames: number of frames.
        height: height in pixels.
        width: width in pixels.
    """
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


def benchmark_job(plate: Sequence, frames: int, output: Path, **options: object) -> Job:
    """Return a job on a shot of `write_shot`.

    Args:
        plate: the shot.
        frames: number of frames, from the first.
        output: the folder of the results.
        options: further options of `Job`.
    """
    return Job(
        plate=str(plate),
        frames=FrameRange(range(1, frames + 1)),
        output=str(output / "clean.####.exr"),
        colour=Colour("ACEScg", "ocio://cg-config-v2.2.0_aces-v1.3_ocio-v2.4", exposure=0.0),
        remove=MatteSource(str(plate), "A"),
        **options,
    )
