"""A stand-in for a video model: it is given the clean background and returns it with a model's flaws.

Its picture is the background at the canvas, through a stand-in for an autoencoder: soft, noisy, a little off in
exposure and tint, and wobbling by a fraction of a pixel. Other errors of trained models are not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import cv2
import numpy as np

from gpu_server.engines.base import Array, Clip, Context, Engine, EngineStage, Generated, Patch, rng
from gpu_server.engines.registry import Engines
from gpu_server.worker.model_clip import FramedClip
from void_bridge.pixels.box import Box

NAME = "oracle"
Picture = Callable[[int], Array]


@dataclass(frozen=True)
class Flaws:
    """Flaws of the model: blur and wobble in pixels of the canvas, noise in the display range, tint of its light."""

    blur: float = 0.7
    noise: float = 0.008
    reconstruction_noise: float = 0.002
    wobble: float = 0.1
    tint: tuple[float, float, float] = (1.05, 1.01, 0.97)


class OracleStage(EngineStage):
    GENERATE = "generate"


class OracleEngine(Engine):
    """An engine that returns the clean background.

    Args:
        truth: returns the plate without the object by frame number, shape [H, W, 3] of the raster, linear.
        flaws: the flaws of its picture.
    """

    name: ClassVar[str] = NAME
    version: ClassVar[str] = "1"
    summary: ClassVar[str] = "returns the clean background, with a model's flaws"
    domain: ClassVar[Literal["plate", "model"]] = "model"
    stages: ClassVar[type[EngineStage]] = OracleStage

    def __init__(self, truth: Picture, flaws: Flaws = Flaws()) -> None:
        self._truth, self._flaws = truth, flaws

    def generate(self, clip: Clip, context: Context) -> Generated:
        return Generated(self._patches(clip, context))

    def _patches(self, clip: Clip, context: Context) -> Iterator[Patch]:
        assert isinstance(clip, FramedClip)
        whole = Box(0, 0, clip.height, clip.width)
        for index in clip.wanted:
            context.progress(OracleStage.GENERATE, index, len(clip.frames))
            if clip.matte_box("paste", index).empty and not context.job.full_fill:
                yield Patch.unchanged(index)
                continue
            frame = clip.frames[index]
            clean = self._truth(frame)[clip.inside(index).slices]
            light = clip.framings[index].to_canvas(clean) * np.float32(self._flaws.tint)
            generated = self._through(clip.code(light), self._flaws.noise, self._flaws.wobble, "made", frame)
            reconstruction = self._through(clip.plate(index), self._flaws.reconstruction_noise, 0.0, "trip", frame)
            yield Patch(index, whole, generated, np.zeros(whole.shape, np.float32), reconstruction=reconstruction)

    def _through(self, code: Array, noise: float, wobble: float, *keys: object) -> Array:
        draw = rng(1, "flaws", *keys)
        soft = cv2.GaussianBlur(code, (0, 0), self._flaws.blur)
        error = cv2.GaussianBlur(draw.standard_normal(code.shape, np.float32), (0, 0), 1.0)
        if wobble:
            soft = _wobbling(soft, wobble, draw)
        return np.asarray(soft + np.float32(noise) * error / error.std(), np.float32)


class OracleEngines(Engines):
    """The registered engines and the oracle."""

    def __init__(self, truth: Picture, flaws: Flaws = Flaws()) -> None:
        super().__init__({NAME: OracleEngine(truth, flaws)})


def _wobbling(picture: Array, pixels: float, draw: np.random.Generator) -> Array:
    """Shift a picture by a smooth field of about `pixels` in each direction."""
    height, width = picture.shape[:2]
    coarse = draw.standard_normal((height // 24 + 2, width // 24 + 2, 2), np.float32) * np.float32(pixels)
    shift = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = cv2.remap(
        picture, columns + shift[..., 0], rows + shift[..., 1], cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(moved, np.float32)
