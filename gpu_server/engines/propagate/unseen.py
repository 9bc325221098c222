"""What no frame saw is made up once, in few frames, and carried from there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.propagate.camera import Camera, apply, lookup
from gpu_server.engines.propagate.compose import Composer, SynthesisedArea
from gpu_server.engines.propagate.survey import Survey, bounding_box, grow_mask
from gpu_server.engines.propagate.synthesis import synthesise
from void_bridge.pixels.box import Box
from void_bridge.pixels.encoding import decode, encode

Mask = NDArray[np.bool_]

_MOST_FRAMES = 4
_SEAM_PX = 10  # proxy pixels by which the made up reaches under what was seen
_LEAST_SHARE = 2e-4  # of a frame: less is left to the smooth ground
_CONTEXT = 0.8  # of the hole's size, on each side: where texture is taken from


def synthesise_unseen(
    composer: Composer, unseen: Mapping[int, Mask], sources: Mapping[int, list[int]], seed: int
) -> Iterator[SynthesisedArea]:
    """Make up what is hidden in every frame; later ones hold what earlier ones don't cover.

    unseen: frame -> shape [h, w] of its proxy, for every frame. sources: frame -> frames that it is filled from.
    """
    left = dict(unseen)
    done: list[SynthesisedArea] = []
    while len(done) < _MOST_FRAMES:
        frame = _most_hidden(left)
        if left[frame].mean() <= _LEAST_SHARE:
            return
        made = _make(composer, frame, left[frame], sources[frame], done, seed)
        yield made
        done.append(made)
        left = {i: _not_covered(composer.survey, composer.camera, i, mask, made) for i, mask in left.items()}
        left[frame] = np.zeros_like(left[frame])


def _most_hidden(left: Mapping[int, Mask]) -> int:
    middle = (len(left) - 1) / 2
    return max(left, key=lambda i: (left[i].sum() * (1 - 0.05 * abs(i - middle) / max(1, len(left))), -i))


def _not_covered(survey: Survey, camera: Camera, frame: int, mask: Mask, made: SynthesisedArea) -> Mask:
    y, x = np.nonzero(mask)
    points = np.column_stack([x, y]).astype(np.float64)
    missing = ~lookup(made.mask, apply(camera.rough(frame, made.frame), points))
    result = np.zeros_like(mask)
    result[y[missing], x[missing]] = True
    return result


def _make(
    composer: Composer, frame: int, unseen: Mask, sources: list[int], done: list[SynthesisedArea], seed: int
) -> SynthesisedArea:
    survey, clip = composer.survey, composer.clip
    mask = grow_mask(unseen, _SEAM_PX) & survey.hole(frame)
    hole_box = _plate_box(survey, mask, Box(0, 0, clip.height, clip.width))
    context = max(64, round(_CONTEXT * max(hole_box.shape)))
    box = hole_box.grown(context) & Box(0, 0, clip.height, clip.width)
    picture = encode(composer.fill(frame, sources, done, box).rgb, clip.exposure)
    hole = _at_plate(survey, mask, box) & composer.store.hole(frame, box)
    bad = _at_plate(survey, survey.invalid(frame) & mask, box) | hole
    made = synthesise(decode(picture, clip.exposure), hole, ~bad, seed)
    calm = np.where(hole[..., None], composer.grain.without(encode(made, clip.exposure)), picture)
    return SynthesisedArea(frame, mask, box, calm.astype(np.float16))


def _plate_box(survey: Survey, mask: Mask, raster: Box) -> Box:
    small = bounding_box(mask)
    across, down = survey.scale
    box = Box(int(small.y0 / down), int(small.x0 / across), int(small.y1 / down) + 1, int(small.x1 / across) + 1)
    return box & raster


def _at_plate(survey: Survey, mask: Mask, box: Box) -> Mask:
    """A mask of the proxy for a box of the plate: every pixel of every cell."""
    across, down = survey.scale
    rows = np.minimum((np.arange(box.y0, box.y1) * down).astype(np.intp), mask.shape[0] - 1)
    columns = np.minimum((np.arange(box.x0, box.x1) * across).astype(np.intp), mask.shape[1] - 1)
    return np.asarray(mask[np.ix_(rows, columns)], bool)
