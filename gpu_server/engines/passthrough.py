"""Engines that change nothing: they show the cost of the loop around an engine, and that it keeps every bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpu_server.engines.base import Clip, Context, Engine, EngineStage, Generated, Patch
from void_bridge.pixels.box import Box


class PassthroughStage(EngineStage):
    """The stage of the passthrough engine."""

    RETURN = "passthrough"


class RoundtripStage(EngineStage):
    """The stage of the roundtrip engine."""

    RETURN = "roundtrip"


class PassthroughEngine(Engine):
    """An engine that returns every plate as it is, inside the paste matte, at plate resolution."""

    name = "passthrough"
    version = "1"
    summary = "returns the plate unchanged; for measurements"
    access = "stream"
    stages = PassthroughStage

    def generate(self, clip: Clip, context: Context) -> Generated:
        """Return the plate's own pixels as patches."""
        return Generated(self._patches(clip, context))

    def _patches(self, clip: Clip, context: Context) -> Iterator[Patch]:
        for done, index in enumerate(clip.wanted):
            context.progress(PassthroughStage.RETURN, done, len(clip.wanted))
            box = clip.matte_box("paste", index)
            yield Patch(index, box, clip.plate(index, box), generated=not box.empty)


class RoundtripEngine(Engine):
    """An engine that returns every plate as a model would see it: framed, on the canvas, in the model domain."""

    name = "roundtrip"
    version = "1"
    summary = "returns the plate through the model's canvas and colour domain; for judging their loss"
    domain = "model"
    stages = RoundtripStage

    def generate(self, clip: Clip, context: Context) -> Generated:
        """Return the framed plate as patches."""
        return Generated(self._patches(clip, context))

    def _patches(self, clip: Clip, context: Context) -> Iterator[Patch]:
        whole = Box(0, 0, clip.height, clip.width)
        for done, index in enumerate(clip.wanted):
            context.progress(RoundtripStage.RETURN, done, len(clip.wanted))
            confidence = np.ones((clip.height, clip.width), np.float32)
            yield Patch(index, whole, clip.plate(index), confidence)
