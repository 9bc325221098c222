"""A clean plate for a locked-off camera: each hidden pixel is the median of the frames that show it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpu_server.engines.base import Clip, Context, Engine, EngineStage, Generated, Patch
from void_bridge.pixels.arrays import spread_indices

SAMPLES = 25
"""Frames that a median is taken of at most, spread over the shot."""


class MedianStage(EngineStage):
    """The stages of a job, by the names that clients see."""

    FILL = "fill"


class MedianEngine(Engine):
    """An engine that fills the paste matte with the median of other frames."""

    name = "median"
    version = "1"
    summary = "the median of other frames; for a locked-off camera"
    stages = MedianStage

    def generate(self, clip: Clip, context: Context) -> Generated:
        """Return at once: there is no device, and each patch is made when it is taken."""
        return Generated(self._patches(clip, context))

    def _patches(self, clip: Clip, context: Context) -> Iterator[Patch]:
        sampled = spread_indices(len(clip.frames), SAMPLES)
        for done, index in enumerate(clip.wanted):
            context.progress(MedianStage.FILL, done, len(clip.wanted))
            box = clip.matte_box("paste", index)
            if box.empty:
                yield Patch.unchanged(index)
                continue
            plate = clip.plate(index, box)
            plates = np.stack([clip.plate(i, box) for i in sampled])
            hidden = np.stack([clip.matte("paste", i, box) > 0 for i in sampled])
            median = np.ma.median(np.ma.masked_array(plates, np.repeat(hidden[..., None], 3, axis=-1)), axis=0)
            shown = ~hidden.all(axis=0)  # pixels that no frame shows stay the plate's
            rgb = np.where(shown[..., None], np.ma.getdata(median), plate)
            yield Patch(index, box, rgb.astype(np.float32), confidence=shown.astype(np.float32))
