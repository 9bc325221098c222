"""Clips in memory for engines, and an engine's results on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from gpu_server.engines.base import Array, ArrayClip, Engine, Patch, SilentContext
from gpu_server.footage import SyntheticFootage
from void_bridge.frames import FrameRange
from void_bridge.job import Colour, Job, MatteSource


def memory_job(frames: int, **options: object) -> Job:
    """Return a job for a clip in memory; its paths do not exist."""
    return Job(
        plate="plate.####.exr",
        frames=FrameRange(range(1, frames + 1)),
        output="clean.####.exr",
        colour=Colour("scene_linear", "ocio://default", exposure=0.0),
        remove=MatteSource("roto.####.exr"),
        **options,  # type: ignore[arg-type]
    )


def paste_matte(footage: SyntheticFootage, feather_px: int = 4) -> Array:
    """Return the paste matte, shape [T, H, W]: full weight over both mattes, fading outward."""
    touched = np.maximum(footage.remove, footage.affected) > 0.01
    away = [cv2.distanceTransform((~m).astype(np.uint8), cv2.DIST_L2, 5) for m in touched]
    return np.clip(1 - np.stack(away) / (feather_px + 1), 0, 1).astype(np.float32)


def footage_clip(footage: SyntheticFootage, **options: object) -> ArrayClip:
    mattes = {"paste": paste_matte(footage), "remove": footage.remove, "affected": footage.affected}
    return ArrayClip(footage.plates, mattes, **options)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Outcome:
    """The results of an engine on a clip.

    Attributes:
        patches: of the wanted frames.
        pasted: shape [T, H, W, 3], the plates with the patches pasted in.
        report: the job's report.
    """

    patches: list[Patch]
    pasted: Array
    report: dict[str, object]


def outcome(engine: Engine, clip: ArrayClip, scratch: Path, **options: object) -> Outcome:
    context = SilentContext(memory_job(len(clip.plates), **options), scratch)
    patches = list(engine.generate(clip, context).patches)
    pasted = clip.plates.copy()
    for patch in patches:
        weight = clip.matte("paste", patch.index, patch.box)[..., None]
        here = pasted[patch.index][patch.box.slices]
        here += weight * (patch.rgb - here)
    return Outcome(patches, pasted, context.report)
