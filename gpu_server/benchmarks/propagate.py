"""The propagate engine on footage whose background is known."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpu_server import picture_quality
from gpu_server.engines.base import ArrayClip, SilentContext
from gpu_server.engines.propagate.engine import PropagateEngine
from gpu_server.footage import Camera, SyntheticFootage, make_clip
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource


@dataclass(frozen=True)
class Quality:
    """psnr_db, inpaint_db: display-encoded, inside the matte, against the clean background, mean over frames.

    grain, flicker: inside the matte over outside it.
    """

    camera: str
    psnr_db: float
    inpaint_db: float
    grain: float
    flicker: float
    seconds_a_frame: float


def quality(camera: Camera, height: int = 540, width: int = 960, frames: int = 24, seed: int = 1) -> Quality:
    footage = make_clip(camera, height, width, frames, seed)
    matte = np.maximum(footage.remove, footage.affected)
    hole = matte > 0.01
    began = time.perf_counter()
    result = propagated(footage, hole)
    seconds = time.perf_counter() - began
    inpainted = np.stack([picture_quality.inpainted(p, h) for p, h in zip(footage.plates, hole, strict=True)])
    return Quality(
        camera,
        _mean_psnr(result, footage, hole),
        _mean_psnr(inpainted, footage, hole),
        _grain(result, footage, hole),
        picture_quality.flicker_ratio(result, footage.to_world, hole),
        seconds / frames,
    )


def propagated(footage: SyntheticFootage, hole: np.ndarray) -> np.ndarray:
    """Shape [T, H, W, 3]: the plates with the engine's patches inside `hole`."""
    clip = ArrayClip(
        footage.plates, {"paste": hole.astype(np.float32), "remove": footage.remove, "affected": footage.affected}
    )
    result = footage.plates.copy()
    with tempfile.TemporaryDirectory() as scratch:
        context = SilentContext(_job(len(footage.plates)), Path(scratch))
        for patch in PropagateEngine().generate(clip, context).patches:
            here = (patch.index, *patch.box.slices)
            result[here] = np.where(hole[here][..., None], patch.rgb, result[here])
    return result


def _job(frames: int) -> Job:
    return Job(
        plate="plate.####.exr",
        frames=FrameRange(range(1, frames + 1)),
        output="clean.####.exr",
        colour=Colour("ACEScg", "ocio://cg-config-v2.2.0_aces-v1.3_ocio-v2.4", exposure=0.0),
        remove=MatteSource("roto.####.exr"),
    )


def _grain(result: np.ndarray, footage: SyntheticFootage, hole: np.ndarray) -> float:
    rows = zip(result, footage.backgrounds, hole, strict=True)
    return float(np.mean([picture_quality.grain_ratio(picture, clean, h, ~h) for picture, clean, h in rows if h.any()]))


def _mean_psnr(pictures: np.ndarray, footage: SyntheticFootage, hole: np.ndarray) -> float:
    rows = zip(pictures, footage.backgrounds, hole, strict=True)
    return float(np.mean([picture_quality.psnr(picture, background, h) for picture, background, h in rows if h.any()]))
