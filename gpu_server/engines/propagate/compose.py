"""The filling of one frame: pixels that other frames show, over synthesised pixels, over a smooth ground."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.base import Clip, rng
from gpu_server.engines.propagate.alignment import SourceAlignment, align_source, colour_cells, hole_context
from gpu_server.engines.propagate.camera import Camera
from gpu_server.engines.propagate.flow import complete_field, resized_grid
from gpu_server.engines.propagate.frame_cache import Encoded, FrameCache
from gpu_server.engines.propagate.gather import map_grid, mix, sample, sample_small, tiles
from gpu_server.engines.propagate.survey import Survey
from void_bridge.pixels.arrays import Array
from void_bridge.pixels.box import Box
from void_bridge.pixels.encoding import decode, encode
from void_bridge.pixels.grain import Grain

_RIM = 8  # pixels around a tile, for operations on neighbours
_GRAIN_OF_SYNTHESISED = 0.25  # share of variance that is left after its grain was removed


@dataclass(frozen=True)
class SynthesisedArea:
    """Pixels that no frame shows, synthesised in one frame.

    Attributes:
        frame: the frame in which they were synthesised.
        mask: shape [h, w] of that frame's proxy.
        box: in pixels of the plate.
        picture: shape [*box.shape, 3], encoded, float16, without grain.
    """

    frame: int
    mask: NDArray[np.bool_]
    box: Box
    picture: Encoded


@dataclass(frozen=True)
class FilledHole:
    """A frame's hole, filled.

    Attributes:
        box: in pixels of the plate.
        rgb: shape [*box.shape, 3], linear.
        seen: shape box.shape: confidence, in [0, 1].
    """

    box: Box
    rgb: Array
    seen: Array


@dataclass(frozen=True)
class FillLayer:
    """A layer of a filling.

    Attributes:
        encoded: shape [H, W, 3].
        weight: shape [H, W], in [0, 1].
        grain: share of the grain's variance in it.
    """

    encoded: Array
    weight: Array
    grain: Array | float


@dataclass(frozen=True)
class Composer:
    """Everything that filling a frame needs.

    Attributes:
        clip: the clip.
        survey: its survey.
        camera: the camera's motion.
        store: encoded frames.
        grain: grain of the plate.
        grain_seed: seed of new grain; None adds none.
        check: called between tiles; raises Cancelled.
    """

    clip: Clip
    survey: Survey
    camera: Camera
    store: FrameCache
    grain: Grain
    grain_seed: int | None
    check: Callable[[], None] = lambda: None

    def fill(
        self, target: int, sources: Sequence[int], synthesised: Sequence[SynthesisedArea], box: Box | None = None
    ) -> FilledHole:
        """Fill the hole of a frame.

        Args:
            target: the frame.
            sources: frames that pixels are taken from.
            synthesised: areas that no frame shows.
            box: in pixels of the plate; None: the hole's.
        """
        box = box or self.survey.boxes[target]
        exposure = self.clip.exposure
        alignments = [align_source(self.survey, self.camera, target, s, exposure) for s in sources]
        carried = [(m, align_source(self.survey, self.camera, target, m.frame, exposure, m.mask)) for m in synthesised]
        ground = _ground(self.survey, target, exposure)
        rgb = np.empty((*box.shape, 3), np.float32)
        seen = np.zeros(box.shape, np.float32)
        hole = self.store.hole(target, box)
        plate = self.store.frame(target)
        for tile in tiles(box):
            self.check()
            inside = tile.relative_to(box).slices
            rgb[inside] = decode(plate[tile.slices], exposure)
            if hole[inside].any():
                encoded, confidence = self._tile(target, tile, alignments, carried, ground)
                rgb[inside] = np.where(hole[inside][..., None], decode(encoded, exposure), rgb[inside])
                seen[inside] = np.where(hole[inside], confidence, 0)
        return FilledHole(box, rgb, seen)

    def _tile(
        self,
        target: int,
        tile: Box,
        alignments: Sequence[SourceAlignment],
        carried: Sequence[tuple[SynthesisedArea, SourceAlignment]],
        ground: Array,
    ) -> tuple[Array, Array]:
        around = tile.grown(_RIM) & Box(0, 0, self.clip.height, self.clip.width)
        offered = [sample(self.survey, k, partial(self.store.frame, k.source), target, around) for k in alignments]
        samples = [s for s in offered if s is not None]
        found = mix(samples, self.grain.resampled) if samples else None
        base = self._ground_layer(around, ground, target)
        made = [sample(self.survey, k, lambda m=m: m.picture, target, around, m.box) for m, k in reversed(carried)]
        layers = [FillLayer(s.encoded, s.usable, _GRAIN_OF_SYNTHESISED) for s in made if s is not None]
        if found:
            layers.append(FillLayer(found.encoded, found.seen, found.grain))
        encoded, left = _stack(base, layers)
        if self.grain_seed is not None:
            draws = rng(self.grain_seed, "grain", self.clip.frames[target], tile.y0, tile.x0)
            encoded = encoded + self.grain.make(encoded, 1 - left, draws)
        cut = tile.relative_to(around).slices
        confidence = found.seen * found.agreement if found else np.zeros(around.shape, np.float32)
        return encoded[cut], confidence[cut]

    def _ground_layer(self, tile: Box, ground: Array, target: int) -> FillLayer:
        grid = map_grid(resized_grid(*tile.slices, self.survey.to_proxy), self.survey.to_cells)
        picture = sample_small(ground, grid, colour_cells(self.survey, hole_context(self.survey, target)))
        return FillLayer(picture, np.ones(tile.shape, np.float32), 0.0)


def _stack(base: FillLayer, layers: Sequence[FillLayer]) -> tuple[Array, Array]:
    """Lay each layer over those before it: picture, [H, W, 3], and share of the grain's variance, [H, W]."""
    picture, grain = base.encoded, np.zeros(base.weight.shape, np.float32)
    for layer in layers:
        weight = layer.weight
        picture = picture + weight[..., None] * (layer.encoded - picture)
        grain = np.square(1 - weight) * grain + np.square(weight) * layer.grain
    return picture, grain


def _ground(survey: Survey, target: int, exposure: float) -> Array:
    """Return the surroundings' colours, run smoothly into the hole, over its context's cells, encoded."""
    cells = colour_cells(survey, hole_context(survey, target)).slices
    colour = encode(survey.colour[target][cells].astype(np.float32), exposure)
    return complete_field(colour, survey.colour_valid[target][cells].astype(np.float32), 1.5)
