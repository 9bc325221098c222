"""The propagate engine on footage whose background is known."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpu_server import picture_quality
from gpu_server.benchmarks.shots import benchmark_job
from gpu_server.engines.base import Array, ArrayClip, SilentContext
from gpu_server.engines.propagate.engine import PropagateEngine
from gpu_server.footage import Camera, SyntheticFootage, make_clip
from void_bridge.sequence import Sequence


@dataclass(frozen=True)
class PropagateQuality:
    """Quality of the engine's result for one kind of camera motion.

    Attributes:
        camera: the camera's motion.
        psnr_db: PSNR of display-encoded values inside the matte against the clean background, mean over frames.
        inpaint_db: the same of OpenCV's inpainting.
        grain: grain inside the matte over that outside it.
        flicker: flicker inside the matte over that outside it.
        seconds_a_frame: the engine's time.
    """

    camera: str
    psnr_db: float
    inpaint_db: float
    grain: float
    flicker: float
    seconds_a_frame: float


def measure_quality(
    camera: Camera, height: int = 540, width: int = 960, frames: int = 24, seed: int = 1
) -> PropagateQuality:
    """Run the engine on synthetic footage and measure its result.

    Args:
        camera: the camera's motion.
        height: height in pixels.
        width: width in pixels.
        frames: number of frames.
        seed: the seed of the footage.
    """
    footage = make_clip(camera, height, width, frames, seed)
    hole = np.maximum(footage.remove, footage.affected) > 0.01
    began = time.perf_counter()
    result = _propagate(footage, hole)
    seconds = time.perf_counter() - began
    inpainted = np.stack([picture_quality.inpainted(p, h) for p, h in zip(footage.plates, hole, strict=True)])
    rows = [row for row in zip(result, inpainted, footage.backgrounds, hole, strict=True) if row[3].any()]
    return PropagateQuality(
        camera,
        float(np.mean([picture_quality.psnr(picture, clean, h) for picture, _, clean, h in rows])),
        float(np.mean([picture_quality.psnr(picture, clean, h) for _, picture, clean, h in rows])),
        float(np.mean([picture_quality.grain_ratio(picture, clean, h, ~h) for picture, _, clean, h in rows])),
        picture_quality.flicker_ratio(result, footage.to_world, hole),
        seconds / frames,
    )


def _propagate(footage: SyntheticFootage, hole: Array) -> Array:
    """Return the plates with the engine's patches inside `hole`. Shape [T, H, W, 3], linear; `hole`: bool [T, H, W]."""
    clip = ArrayClip(
        footage.plates, {"paste": hole.astype(np.float32), "remove": footage.remove, "affected": footage.affected}
    )
    result = footage.plates.copy()
    with tempfile.TemporaryDirectory() as scratch:
        job = benchmark_job(Sequence.parse("plate.####.exr"), len(footage.plates), Path(scratch))
        for patch in PropagateEngine().generate(clip, SilentContext(job, Path(scratch))).patches:
            here = (patch.index, *patch.box.slices)
            result[here] = np.where(hole[here][..., None], patch.rgb, result[here])
    return result
