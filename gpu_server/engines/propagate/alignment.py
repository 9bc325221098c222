"""The alignment of a source with a frame: where its pixels are, which are usable, and how their light is matched."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gpu_server.engines.propagate.camera import Camera, Map
from gpu_server.engines.propagate.flow import complete_field, residual_flow, resized_grid, source_places, warped_mask
from gpu_server.engines.propagate.survey import Survey, scale_points, scaling
from void_bridge.pixels.arrays import Array, Mask
from void_bridge.pixels.box import Box
from void_bridge.pixels.encoding import encode
from void_bridge.pixels.mattes import matte_box

_CONTEXT_PX = 48  # proxy pixels around the hole
_FADE_PX = 8.0  # proxy pixels over which a source fades in from the border of its hidden pixels
_GAIN_MATTERS = 0.004
_LARGEST_OFFSET = 0.12
_OFFSET_SIGMA = 3.0  # cells of the colour grid


@dataclass(frozen=True)
class SourceAlignment:
    """The way from the pixels of a target's proxy to a source's.

    Attributes:
        source: the source's index.
        box: the part of the target's proxy that is covered.
        motion: map of the camera.
        residual: shape [*box.shape, 2] or None (see `residual_flow`).
        usable: shape box.shape, in [0, 1]: weight of the source, fading in from the borders of its hidden pixels.
        gain: shape [3], linear.
        offset: shape [gh, gw, 3], encoded, over `box` on the colour grid; added after the gain.
        mismatch: encoded: how different source and target still are around the hole.
        sharpness: share of the target's detail that the source resolves, in [0, 1].
    """

    source: int
    box: Box
    motion: Map
    residual: Array | None
    usable: Array
    gain: Array
    offset: Array
    mismatch: float
    sharpness: float

    @property
    def exact(self) -> bool:
        """Whether pixels lie on pixels, so that nothing is resampled."""
        return self.residual is None and np.array_equal(self.motion, np.eye(3))


def align_source(
    survey: Survey, camera: Camera, target: int, source: int, exposure: float, synthesised: Mask | None = None
) -> SourceAlignment:
    """Align a source with the hole of a target.

    Args:
        survey: the survey.
        camera: the camera's motion.
        target: the frame to fill.
        source: the frame that pixels are taken from.
        exposure: stops.
        synthesised: shape [h, w] of the source's proxy: only these pixels of the source are used. None: all valid ones.
    """
    box = hole_context(survey, target)
    motion = camera.precise(target, source)
    residual = residual_flow(survey, target, source, motion, box)
    unusable = survey.invalid(source) if synthesised is None else ~synthesised
    hidden = _hidden_in_source(unusable, motion, residual, box)
    gain, offset, mismatch = _match_light(survey, target, source, motion, residual, box, exposure)
    zoom = float(np.sqrt(abs(np.linalg.det(motion[:2, :2]))))
    usable = _fade(hidden) if synthesised is None else (~hidden).astype(np.float32)
    return SourceAlignment(source, box, motion, residual, usable, gain, offset, mismatch, min(1.0, zoom) ** 2)


def hole_context(survey: Survey, target: int) -> Box:
    """Return the hole's box in the proxy, with some of its surroundings."""
    hole = matte_box(survey.hole(target))
    return hole if hole.empty else hole.grown(_CONTEXT_PX) & Box(0, 0, *survey.shape)


def _hidden_in_source(unusable: Mask, motion: Map, residual: Array | None, box: Box) -> Mask:
    if residual is None:
        to_source = motion @ np.array([[1, 0, box.x0], [0, 1, box.y0], [0, 0, 1]], np.float64)
        return warped_mask(unusable, to_source, (box.width, box.height))
    x, y = source_places(_pixels(box), motion, residual, box)
    bad = unusable.astype(np.uint8) * 255
    return np.asarray(cv2.remap(bad, x, y, cv2.INTER_LINEAR, borderValue=255) > 8, bool)


def _fade(hidden: Mask) -> Array:
    """Return a weight by distance from hidden pixels and from the border of the picture."""
    if not hidden.any():
        return np.ones(hidden.shape, np.float32)
    distance = cv2.distanceTransform((~hidden).astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray(np.clip((distance - 0.5) / _FADE_PX, 0, 1), np.float32)


def _pixels(box: Box) -> Array:
    return resized_grid(slice(box.y0, box.y1), slice(box.x0, box.x1), np.eye(3))


def colour_cells(survey: Survey, box: Box) -> Box:
    """Return the cells of the colour grid that a box of the proxy touches."""
    (h, w), (gh, gw) = survey.shape, survey.colour_valid.shape[1:]
    across, down = gw / w, gh / h
    return Box(
        int(box.y0 * down),
        int(box.x0 * across),
        min(gh, -int(-box.y1 * down // 1)),
        min(gw, -int(-box.x1 * across // 1)),
    )


def _match_light(
    survey: Survey, target: int, source: int, motion: Map, residual: Array | None, box: Box, exposure: float
) -> tuple[Array, Array, float]:
    cells = colour_cells(survey, box)
    (h, w), (gh, gw) = survey.shape, survey.colour_valid.shape[1:]
    grid = resized_grid(*cells.slices, scaling(w / gw, h / gh))
    x, y = scale_points(survey.to_cells, *source_places(grid, motion, residual, box))
    there = cv2.remap(survey.colour[source].astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.remap(survey.colour_valid[source].astype(np.float32), x, y, cv2.INTER_LINEAR, borderValue=0) > 0.999
    here = survey.colour[target][cells.slices].astype(np.float32)
    both = seen & survey.colour_valid[target][cells.slices]
    gain = _gain(here, there, both)
    difference = encode(here, exposure) - encode(there * gain, exposure)
    return gain, *_offset(difference, both)


def _gain(here: Array, there: Array, both: Array) -> Array:
    """Return by how much the target is brighter, shape [3]; 1 if that is unclear or negligible."""
    gain = np.ones(3, np.float32)
    for channel in range(3):
        a, b = here[both, channel], there[both, channel]
        bright = (a > 0.005) & (b > 0.005)
        if bright.sum() >= 24:
            ratio = float(np.clip(np.median(np.log(a[bright] / b[bright])), -2, 2))
            gain[channel] = np.exp(ratio) if abs(ratio) > _GAIN_MATTERS else 1.0
    return gain


def _offset(difference: Array, both: Array) -> tuple[Array, float]:
    """Return a smooth correction of the difference that the gain leaves, and how much remains after it."""
    if both.sum() < 24:
        return np.zeros(difference.shape, np.float32), 0.1
    strength = np.max(np.abs(difference), axis=-1)
    trust = both / (1 + np.square(strength / 0.04))
    smooth = complete_field(difference, trust.astype(np.float32), _OFFSET_SIGMA)
    left = np.abs(difference - smooth)[both]
    return np.clip(smooth, -_LARGEST_OFFSET, _LARGEST_OFFSET), float(1.25 * left.mean())
