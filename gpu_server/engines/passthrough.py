"""Engines that change nothing: they show what the loop around an engine costs and keeps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpu_server.engines.base import Clip, Context, Engine, Patch
from void_bridge.pixels.box import Box


class PassthroughEngine(Engine):
    """Hands every plate back as it is, inside the paste matte, at plate resolution."""

    name = "passthrough"
    version = "1"
    summary = "returns the plate; for measuring the loop"
    access = "stream"

    def run(self, clip: Clip, context: Context) -> Iterator[Patch]:
        for done, index in enumerate(clip.wanted):
            context.progress("passthrough", done, len(clip.wanted))
            box = clip.matte_box("paste", index)
            yield Patch(index, box, clip.plate(index, box), generated=not box.empty)


class RoundtripEngine(Engine):
    """Hands every plate back as a model would see it: framed, on the canvas, in the model domain."""

    name = "roundtrip"
    version = "1"
    summary = "returns the plate after its trip to the model's canvas and domain; for judging that trip"
    domain = "model"

    def run(self, clip: Clip, context: Context) -> Iterator[Patch]:
        whole = Box(0, 0, clip.height, clip.width)
        for done, index in enumerate(clip.wanted):
            context.progress("roundtrip", done, len(clip.wanted))
            confidence = np.ones((clip.height, clip.width), np.float32)
            yield Patch(index, whole, clip.plate(index), confidence)
