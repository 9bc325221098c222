"""Synthesis of the pixels that no frame shows: in few frames, from which they are carried to the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gpu_server.engines.propagate.camera import Camera, apply_map, look_up
from gpu_server.engines.propagate.compose import Composer, SynthesisedArea
from gpu_server.engines.propagate.survey import Survey, grow_mask
from gpu_server.engines.propagate.synthesis import synthesise
from void_bridge.pixels.arrays import Mask
from void_bridge.pixels.box import Box
from void_bridge.pixels.encoding import decode, encode
from void_bridge.pixels.mattes import matte_box

_MOST_FRAMES = 4
_SEAM_PX = 10  # proxy pixels by which a synthesised area reaches under seen pixels
_LEAST_SHARE = 2e-4  # of a frame; smaller areas are left to the smooth ground
_CONTEXT = 0.8  # of the hole's size, on each side, from which texture is taken


def synthesise_unseen(
    composer: Composer, unseen: Sequence[Mask], sources: Sequence[list[int]], seed: int
) -> Iterator[SynthesisedArea]:
    """Synthesise the pixels that are hidden in every frame. Later areas hold the pixels that earlier ones miss.

    Args:
        composer: fills the surroundings.
        unseen: hidden pixels, shape [h, w] of the proxy, of every frame.
        sources: for every frame, the frames that it is filled from.
        seed: seed of the job.
    """
    left = list(unseen)
    done: list[SynthesisedArea] = []
    while len(done) < _MOST_FRAMES:
        frame = _most_hidden(left)
        if left[frame].mean() <= _LEAST_SHARE:
            return
        area = _synthesise_in(composer, frame, left[frame], sources[frame], done, seed)
        yield area
        done.append(area)
        left = [_not_covered(composer.survey, composer.camera, i, mask, area) for i, mask in enumerate(left)]
        left[frame] = np.zeros_like(left[frame])


def _most_hidden(left: Sequence[Mask]) -> int:
    """Return the frame with the most hidden pixels; frames in the middle of the shot are preferred."""
    middle = (len(left) - 1) / 2
    return max(range(len(left)), key=lambda i: (left[i].sum() * (1 - 0.05 * abs(i - middle) / max(1, len(left))), -i))


def _not_covered(survey: Survey, camera: Camera, frame: int, mask: Mask, area: SynthesisedArea) -> Mask:
    """Return the pixels of a mask that an area does not cover."""
    y, x = np.nonzero(mask)
    points = np.column_stack([x, y]).astype(np.float64)
    missing = ~look_up(area.mask, apply_map(camera.rough(frame, area.frame), points))
    result = np.zeros_like(mask)
    result[y[missing], x[missing]] = True
    return result


def _synthesise_in(
    composer: Composer, frame: int, unseen: Mask, sources: list[int], done: list[SynthesisedArea], seed: int
) -> SynthesisedArea:
    """Synthesise the unseen pixels of one frame, without grain, over a filling of its surroundings."""
    survey, clip = composer.survey, composer.clip
    mask = grow_mask(unseen, _SEAM_PX) & survey.hole(frame)
    hole_box = _plate_box(survey, mask, Box(0, 0, clip.height, clip.width))
    context = max(64, round(_CONTEXT * max(hole_box.shape)))
    box = hole_box.grown(context) & Box(0, 0, clip.height, clip.width)
    picture = encode(composer.fill(frame, sources, done, box).rgb, clip.exposure)
    hole = _at_plate(survey, mask, box) & composer.store.hole(frame, box)
    bad = _at_plate(survey, survey.invalid(frame) & mask, box) | hole
    pixels = synthesise(decode(picture, clip.exposure), hole, ~bad, seed)
    grainless = composer.grain.without(encode(pixels, clip.exposure))
    return SynthesisedArea(frame, mask, box, np.where(hole[..., None], grainless, picture).astype(np.float16))


def _plate_box(survey: Survey, mask: Mask, raster: Box) -> Box:
    small = matte_box(mask)
    across, down = survey.scale
    box = Box(int(small.y0 / down), int(small.x0 / across), int(small.y1 / down) + 1, int(small.x1 / across) + 1)
    return box & raster


def _at_plate(survey: Survey, mask: Mask, box: Box) -> Mask:
    """Return a mask of the proxy for a box of the plate: every pixel of every cell."""
    across, down = survey.scale
    rows = np.minimum((np.arange(box.y0, box.y1) * down).astype(np.intp), mask.shape[0] - 1)
    columns = np.minimum((np.arange(box.x0, box.x1) * across).astype(np.intp), mask.shape[1] - 1)
    return np.asarray(mask[np.ix_(rows, columns)], bool)
