"""Tracking of one object through the result: for each pixel of its first view, the position in other frames.

Flow is chained from frame to frame. Each step is taken between images that are already warped back to the first view,
so that it is small however fast the object moves or turns. A comparison with the first view itself then removes the
drift of the chain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.void.flow import Flow
from gpu_server.engines.void.morph.frames import Array, Map, Mask, ResultFrames
from gpu_server.engines.void.morph.objects import MovingObject

_FLAT = 0.02  # contrast below which there is no texture
_LUMA = np.array([0.2126, 0.7152, 0.0722])
_MARGIN = 0.35  # of the radius, around the object
_LEAST_MARGIN = 8
_LARGEST_CROP = 80  # samples along the longer side
_SEARCH = 40  # samples around the predicted position
_SURE = 0.75  # correlation at which no search is needed
_LEAST_CORRELATION = 0.5  # of neighbouring frames after a rigid step, below which the object is lost
_HIDDEN = 0.4  # correlation around a sample in neighbouring frames, below which it is hidden
_SMOOTHING = 0.12  # of the radius: finer deformation is taken for noise
_CONSISTENT = 0.6  # samples of forward-backward error
_LEAST_FOUND = 0.5  # of the samples around one, with consistent flow
_LEAST_INSIDE = 0.6  # of the object, within the frame
_LEAST_VISIBLE = 0.5  # of the object, visible in every frame


@dataclass(frozen=True)
class ReferenceView:
    """The first view of an object, on a grid of its own.

    Attributes:
        image: shape [h, w, 2]; see `channels`.
        mask: shape [h, w].
        core: the mask without its outermost samples, where flow follows the background.
        grid: position of each sample in the frame, shape [h, w, 2], x and y in pixels.
        spacing: pixels between samples.
        radius: of the object, in samples.
        channels: shape [2, 3], from RGB to the two channels: the direction of colour with most contrast, and luma.
    """

    image: Array
    mask: Mask
    core: Mask
    grid: Array
    spacing: float
    radius: float
    channels: NDArray[np.float64]


@dataclass(frozen=True)
class TrackedView:
    """The object in another frame.

    Attributes:
        frame: the frame, counted within the run.
        positions: where each sample of the reference view is now, shape [h, w, 2], x and y in pixels.
        image: the frame warped back to the reference view, shape [h, w, 2].
        visible: samples that were visible in every frame up to this one, shape [h, w].
        motion: the similarity nearest to `positions`.
    """

    frame: int
    positions: Array
    image: Array
    visible: Mask
    motion: Map


def make_reference_view(result: ResultFrames, target: MovingObject) -> ReferenceView:
    """Return the view of an object in the frame where it was found."""
    rows, columns = np.nonzero(target.mask)
    margin = max(_LEAST_MARGIN, _MARGIN * target.radius)
    top, left = rows.min() - margin, columns.min() - margin
    height, width = np.ptp(rows) + 1 + 2 * margin, np.ptp(columns) + 1 + 2 * margin
    spacing = max(1.0, max(height, width) / _LARGEST_CROP)
    ys, xs = np.arange(0, height, spacing, np.float32) + top, np.arange(0, width, spacing, np.float32) + left
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).astype(np.float32)
    mask = _sample(target.mask.astype(np.float32), grid) > 0.5
    core = cv2.erode(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))) > 0
    channels = _channels(result.images[target.frame][target.mask])
    image = _sample_frame(result, target.frame, grid, spacing, channels)
    return ReferenceView(image, mask, core, grid, spacing, target.radius / spacing, channels)


def track_object(
    result: ResultFrames, target: MovingObject, reference: ReferenceView, flow: Flow, direction: int, reach: int
) -> Iterator[TrackedView]:
    """Yield the views in the frames after or before the reference, until the object is lost or leaves.

    Args:
        result: the frames.
        target: the object.
        reference: its first view.
        flow: the optical flow to use.
        direction: 1 for the frames after, -1 for those before.
        reach: the most frames.
    """
    speed, motion = np.eye(3), np.eye(3)
    positions, last, visible = reference.grid, reference.image, reference.mask
    near = max(2.0, 0.15 * reference.radius)
    end = result.count if direction > 0 else -1
    stop = min(end, target.frame + reach + 1) if direction > 0 else max(end, target.frame - reach - 1)
    for frame in range(target.frame + direction, stop, direction):
        step = _predict_step(result, frame, reference, visible, positions, last, motion, speed)
        if step is None:
            return
        positions = _apply(step, positions)
        positions, found = _refine(result, frame, reference, visible, positions, last, flow, np.inf)
        positions, valid = _refine(result, frame, reference, visible, positions, reference.image, flow, near)
        image, within = warp_to_reference(result, frame, positions, reference), _inside(result, positions)
        found = cv2.GaussianBlur(found.astype(np.float32), (0, 0), near) > _LEAST_FOUND
        visible = visible & found & (_local_correlation(last, image, visible, near) > _HIDDEN) & within
        fitted = fit_similarity(reference.grid, positions, visible & valid)
        if fitted is None or visible.sum() < _LEAST_VISIBLE * reference.mask.sum():
            return
        if (within & reference.mask).sum() < _LEAST_INSIDE * reference.mask.sum():
            return
        speed, motion, last = fitted @ np.linalg.inv(motion), fitted, image
        yield TrackedView(frame, positions, image, visible, motion)


def warp_to_reference(result: ResultFrames, frame: int, positions: Array, reference: ReferenceView) -> Array:
    """Return the channels of a frame at `positions`: shape [h, w, 2], float32."""
    return _sample_frame(result, frame, positions, reference.spacing, reference.channels)


def fit_similarity(before: Array, after: Array, mask: Mask) -> Map | None:
    """Return the turn, scale and shift that most samples agree on, or None if there are too few samples.

    Args:
        before: positions of samples, shape [h, w, 2].
        after: their positions after the motion.
        mask: the samples to use, shape [h, w].
    """
    before, after = before[mask], after[mask]
    if len(before) < 12:
        return None
    every = max(1, len(before) // 300)
    before, after = (np.ascontiguousarray(p[::every]) for p in (before, after))
    fitted, _ = cv2.estimateAffinePartial2D(before, after, method=cv2.LMEDS)
    return None if fitted is None else np.vstack([fitted, [0, 0, 1]])


def _channels(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    _, vectors = np.linalg.eigh(np.cov(colours.T.astype(np.float64)) + np.eye(3) * 1e-3)
    axis = vectors[:, -1] * (1 if vectors[:, -1].sum() >= 0 else -1)
    return np.stack([axis, _LUMA])


def _sample_frame(
    result: ResultFrames, frame: int, positions: Array, spacing: float, channels: NDArray[np.float64]
) -> Array:
    """Return the channels of a frame at `positions`, blurred first if samples are further apart than pixels."""
    image = result.images[frame]
    left, top = np.floor(positions.min(axis=(0, 1))).astype(int) - 4
    right, bottom = np.ceil(positions.max(axis=(0, 1))).astype(int) + 5
    left, top = int(np.clip(left, 0, image.shape[1] - 2)), int(np.clip(top, 0, image.shape[0] - 2))
    part = image[top : max(bottom, top + 2), left : max(right, left + 2)].astype(np.float32) / np.float32(255)
    part = cv2.transform(part, channels)
    if spacing > 1.2:
        part = cv2.GaussianBlur(part, (0, 0), 0.4 * spacing)
    return _sample(part, positions - np.float32([left, top]))


def _predict_step(
    result: ResultFrames,
    frame: int,
    reference: ReferenceView,
    visible: Mask,
    positions: Array,
    last: Array,
    motion: Map,
    speed: Map,
) -> Map | None:
    """Return the rigid step from the frame before: the last step again, or the result of a search; None if lost."""

    def correlation(step: Map) -> float:
        moved = _apply(step, positions)
        return _correlation(last, warp_to_reference(result, frame, moved, reference), visible & _inside(result, moved))

    steps = [speed, np.eye(3)]
    found = [correlation(step) for step in steps]
    for step in steps[:2]:
        if max(found) > _SURE:
            break
        steps.append(_search_step(result, frame, reference, positions, last, step))
        found.append(correlation(steps[-1]))
    best = int(np.argmax(found))
    return steps[best] if found[best] > _LEAST_CORRELATION else None


def _search_step(
    result: ResultFrames, frame: int, reference: ReferenceView, positions: Array, last: Array, step: Map
) -> Map:
    """Return `step` followed by the shift after which the frame looks most like the last image."""
    moved = _apply(step, positions)
    fitted = fit_similarity(reference.grid, moved, reference.mask)
    if fitted is None:
        return step
    spacing = reference.spacing
    reach = _SEARCH * spacing
    height, width = reference.mask.shape
    ys = np.arange(-_SEARCH, height + _SEARCH, dtype=np.float32) * spacing + reference.grid[0, 0, 1]
    xs = np.arange(-_SEARCH, width + _SEARCH, dtype=np.float32) * spacing + reference.grid[0, 0, 0]
    wide = _apply(fitted, np.stack(np.meshgrid(xs, ys), axis=-1).astype(np.float32))
    around = warp_to_reference(result, frame, wide, reference)
    template, weight = np.ascontiguousarray(last[::2, ::2, 0]), reference.mask[::2, ::2].astype(np.float32)
    found = cv2.matchTemplate(np.ascontiguousarray(around[::2, ::2, 0]), template, cv2.TM_CCOEFF_NORMED, mask=weight)
    found = np.where(np.isfinite(found), found, -1)
    _, _, _, (x, y) = cv2.minMaxLoc(found)
    shift = np.eye(3)
    shift[:2, 2] = fitted[:2, :2] @ np.array([2 * x * spacing - reach, 2 * y * spacing - reach])
    return shift @ step


def _refine(
    result: ResultFrames,
    frame: int,
    reference: ReferenceView,
    visible: Mask,
    positions: Array,
    wanted: Array,
    flow: Flow,
    limit: float,
) -> tuple[Array, Mask]:
    """Correct positions by the flow from an image to the frame warped back.

    Args:
        result: the frames.
        frame: the frame to warp back.
        reference: the first view.
        visible: samples that may be used.
        positions: to start from.
        wanted: the image that the frame warped back should look like.
        flow: the optical flow to use.
        limit: the largest correction that is believed, in samples.

    Returns:
        The corrected positions, and where forward and backward flow agree.
    """
    here = _flow_input(wanted, visible)
    warped = _flow_input(warp_to_reference(result, frame, positions, reference), visible)
    forward, backward = flow.between(here, warped), flow.between(warped, here)
    own = _own_grid(reference.mask.shape)
    error = np.linalg.norm(forward + _sample(backward, own + forward), axis=-1)
    size = np.linalg.norm(forward, axis=-1)
    found = (error < _CONSISTENT + 0.1 * size) & _inside(result, positions)
    weight = (found & reference.core & visible & (size < limit)).astype(np.float32)
    smooth = _smooth(forward, weight, max(1.5, _SMOOTHING * reference.radius))
    return _sample(positions, own + smooth), found


def _smooth(field: Array, weight: Array, sigma: float) -> Array:
    """Smooth a field; samples without weight are filled from those around, and with 0 far from any."""
    total = cv2.GaussianBlur(weight, (0, 0), sigma)
    wide = cv2.GaussianBlur(weight, (0, 0), 4 * sigma)
    near = cv2.GaussianBlur(field * weight[..., None], (0, 0), sigma)
    far = cv2.GaussianBlur(field * weight[..., None], (0, 0), 4 * sigma)
    return (near + 0.02 * far) / (total + 0.02 * wide + 1e-5)[..., None]


def _flow_input(image: Array, mask: Mask) -> Array:
    """Return the object alone, normalised in brightness and contrast, which flow expects to stay: shape [h, w, 3].

    Its surroundings are filled from its edge, so that the background does not pull the flow along.
    """
    values = image[..., 0][mask]
    level = (image[..., 0] - values.mean()) / max(4 * float(values.std()), 0.08)
    weight = mask.astype(np.float32)
    around = cv2.GaussianBlur(level * weight, (0, 0), 3) / (cv2.GaussianBlur(weight, (0, 0), 3) + 1e-3)
    return cv2.cvtColor(np.clip(np.where(mask, level, around) + np.float32(0.5), 0, 1), cv2.COLOR_GRAY2RGB)


def _correlation(one: Array, other: Array, mask: Mask) -> float:
    """Return the correlation over a mask, or -1 if the mask is too small."""
    if mask.sum() < 12:
        return -1.0
    a, b = (cv2.GaussianBlur(p[..., 0], (0, 0), 1)[mask] for p in (one, other))
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / np.sqrt(float((a * a).sum()) * float((b * b).sum()) + 1e-9))


def _local_correlation(one: Array, other: Array, mask: Mask, sigma: float) -> Array:
    """Return the correlation around each sample; it is 1 where there is no texture."""
    weight = mask.astype(np.float32)
    total = cv2.GaussianBlur(weight, (0, 0), sigma) + 1e-6

    def mean(values: Array) -> Array:
        return cv2.GaussianBlur(values * weight, (0, 0), sigma) / total

    a, b = (cv2.GaussianBlur(p[..., 0], (0, 0), 1) for p in (one, other))
    ma, mb = mean(a), mean(b)
    aa, bb, ab = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    return (ab + _FLAT**2) / (np.sqrt(np.maximum(aa, 0) * np.maximum(bb, 0)) + _FLAT**2)


def _inside(result: ResultFrames, positions: Array) -> Mask:
    height, width = result.changed[0].shape
    x, y = positions[..., 0], positions[..., 1]
    return (x > 0.5) & (y > 0.5) & (x < width - 1.5) & (y < height - 1.5)


def _apply(motion: Map, points: Array) -> Array:
    return (points @ motion[:2, :2].T + motion[:2, 2]).astype(np.float32)


def _own_grid(shape: tuple[int, ...]) -> Array:
    return np.stack(np.meshgrid(np.arange(shape[1]), np.arange(shape[0])), axis=-1).astype(np.float32)


def _sample(image: NDArray[np.float32], at: Array) -> Array:
    return cv2.remap(image, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
