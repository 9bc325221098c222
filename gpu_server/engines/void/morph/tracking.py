"""Following one thing through a result: for every pixel of its first sight, where that is in the other frames.

Flow is chained from frame to frame, each step taken between pictures that are already pulled back onto the first
sight, so that it is small however fast the thing moves or turns; then compared with the first sight itself, so that
the chain does not drift.
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

_FLAT = 0.02  # contrast that is no texture
_LUMA = np.array([0.2126, 0.7152, 0.0722])
_MARGIN = 0.35  # of the radius, around the thing
_LEAST_MARGIN = 8
_LARGEST_CROP = 80  # samples along the longer side
_SEARCH = 40  # samples around the expected place
_SURE = 0.75  # correlation at which no search is needed
_LEAST_ALIKE = 0.5  # correlation of neighbouring frames after a rigid step, below which the thing is lost
_LOST = 0.4  # correlation around a sample in neighbouring frames, below which that is hidden
_SMOOTHING = 0.12  # of the radius: finer deformation is taken for noise
_THERE_AND_BACK = 0.6  # samples
_LEAST_FOUND = 0.5  # of the samples around one, there and back
_LEAST_INSIDE = 0.6  # of the thing, within the frame
_LEAST_ALIVE = 0.5  # of the thing, seen all the way


@dataclass(frozen=True)
class ReferenceView:
    """A thing on a grid of its own. grid: shape [h, w, 2], where each sample is in its frame; unit: pixels a sample.

    channels: shape [2, 3], from RGB to what is looked at: the direction of colour with most contrast, and luma.
    """

    picture: Array  # [h, w, 2]
    mask: Mask  # [h, w]
    core: Mask  # without its outermost samples, where flow takes after the background
    grid: Array
    unit: float
    radius: float  # samples
    channels: NDArray[np.float64]


@dataclass(frozen=True)
class TrackedView:
    """The thing in another frame. there: shape [h, w, 2], where each sample of the first sight is now."""

    frame: int
    there: Array
    picture: Array  # pulled back: [h, w, 2]
    alive: Mask  # seen in every frame up to this one
    motion: Map  # the similarity nearest to `there`


def make_reference_view(footage: ResultFrames, thing: MovingObject) -> ReferenceView:
    rows, columns = np.nonzero(thing.mask)
    margin = max(_LEAST_MARGIN, _MARGIN * thing.radius)
    top, left = rows.min() - margin, columns.min() - margin
    height, width = np.ptp(rows) + 1 + 2 * margin, np.ptp(columns) + 1 + 2 * margin
    unit = max(1.0, max(height, width) / _LARGEST_CROP)
    ys, xs = np.arange(0, height, unit, np.float32) + top, np.arange(0, width, unit, np.float32) + left
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).astype(np.float32)
    mask = _sample(thing.mask.astype(np.float32), grid) > 0.5
    core = cv2.erode(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))) > 0
    channels = _channels(footage.made[thing.frame][thing.mask])
    return ReferenceView(
        _pulled(footage, thing.frame, grid, unit, channels), mask, core, grid, unit, thing.radius / unit, channels
    )


def _channels(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    _, vectors = np.linalg.eigh(np.cov(colours.T.astype(np.float64)) + np.eye(3) * 1e-3)
    axis = vectors[:, -1] * (1 if vectors[:, -1].sum() >= 0 else -1)
    return np.stack([axis, _LUMA])


def warp_to_reference(footage: ResultFrames, frame: int, there: Array, sight: ReferenceView) -> Array:
    """Shape [h, w, 2], the channels of the frame at `there`."""
    return _pulled(footage, frame, there, sight.unit, sight.channels)


def _pulled(footage: ResultFrames, frame: int, there: Array, unit: float, channels: NDArray[np.float64]) -> Array:
    """Smoothed first where samples are further apart than pixels."""
    picture = footage.made[frame]
    left, top = np.floor(there.min(axis=(0, 1))).astype(int) - 4
    right, bottom = np.ceil(there.max(axis=(0, 1))).astype(int) + 5
    left, top = int(np.clip(left, 0, picture.shape[1] - 2)), int(np.clip(top, 0, picture.shape[0] - 2))
    part = picture[top : max(bottom, top + 2), left : max(right, left + 2)].astype(np.float32) / np.float32(255)
    part = cv2.transform(part, channels)
    if unit > 1.2:
        part = cv2.GaussianBlur(part, (0, 0), 0.4 * unit)
    return _sample(part, there - np.float32([left, top]))


def track_object(
    footage: ResultFrames, thing: MovingObject, sight: ReferenceView, flow: Flow, direction: int, reach: int
) -> Iterator[TrackedView]:
    """The frames after (`direction` 1) or before (-1) the first sight, until the thing is lost or leaves."""
    speed, motion = np.eye(3), np.eye(3)
    there, last, alive = sight.grid, sight.picture, sight.mask
    near = max(2.0, 0.15 * sight.radius)
    end = footage.frames if direction > 0 else -1
    stop = min(end, thing.frame + reach + 1) if direction > 0 else max(end, thing.frame - reach - 1)
    for frame in range(thing.frame + direction, stop, direction):
        step = _expected_step(footage, frame, sight, alive, there, last, motion, speed)
        if step is None:
            return
        there = _apply(step, there)
        there, found = _refined(footage, frame, sight, alive, there, last, flow, np.inf)
        there, valid = _refined(footage, frame, sight, alive, there, sight.picture, flow, near)
        picture, within = warp_to_reference(footage, frame, there, sight), _inside(footage, there)
        found = cv2.GaussianBlur(found.astype(np.float32), (0, 0), near) > _LEAST_FOUND
        alive = alive & found & (_locally_alike(last, picture, alive, near) > _LOST) & within
        fitted = fit_similarity(sight.grid, there, alive & valid)
        if fitted is None or alive.sum() < _LEAST_ALIVE * sight.mask.sum():
            return
        if (within & sight.mask).sum() < _LEAST_INSIDE * sight.mask.sum():
            return
        speed, motion, last = fitted @ np.linalg.inv(motion), fitted, picture
        yield TrackedView(frame, there, picture, alive, motion)


def fit_similarity(here: Array, there: Array, mask: Mask) -> Map | None:
    """Shape [3, 3]: turn, scale and shift that most of the samples agree on."""
    before, after = here[mask], there[mask]
    if len(before) < 12:
        return None
    every = max(1, len(before) // 300)
    before, after = (np.ascontiguousarray(p[::every]) for p in (before, after))
    fitted, _ = cv2.estimateAffinePartial2D(before, after, method=cv2.LMEDS)
    return None if fitted is None else np.vstack([fitted, [0, 0, 1]])


def _expected_step(
    footage: ResultFrames,
    frame: int,
    sight: ReferenceView,
    alive: Mask,
    there: Array,
    last: Array,
    motion: Map,
    speed: Map,
) -> Map | None:
    """The rigid step from the frame before: the last one again, or what a search around it finds; None: lost."""

    def alike(step: Map) -> float:
        moved = _apply(step, there)
        return _alike(last, warp_to_reference(footage, frame, moved, sight), alive & _inside(footage, moved))

    steps = [speed, np.eye(3)]
    found = [alike(step) for step in steps]
    for step in steps[:2]:
        if max(found) > _SURE:
            break
        steps.append(_searched(footage, frame, sight, there, last, step))
        found.append(alike(steps[-1]))
    best = int(np.argmax(found))
    return steps[best] if found[best] > _LEAST_ALIKE else None


def _searched(footage: ResultFrames, frame: int, sight: ReferenceView, there: Array, last: Array, step: Map) -> Map:
    """`step` and the shift in pixels after which the frame looks most like the last picture."""
    moved = _apply(step, there)
    fitted = fit_similarity(sight.grid, moved, sight.mask)
    if fitted is None:
        return step
    reach = _SEARCH * sight.unit
    height, width = sight.mask.shape
    unit = sight.unit
    ys = np.arange(-_SEARCH, height + _SEARCH, dtype=np.float32) * unit + sight.grid[0, 0, 1]
    xs = np.arange(-_SEARCH, width + _SEARCH, dtype=np.float32) * unit + sight.grid[0, 0, 0]
    wide = _apply(fitted, np.stack(np.meshgrid(xs, ys), axis=-1).astype(np.float32))
    around = warp_to_reference(footage, frame, wide, sight)
    template, weight = np.ascontiguousarray(last[::2, ::2, 0]), sight.mask[::2, ::2].astype(np.float32)
    found = cv2.matchTemplate(np.ascontiguousarray(around[::2, ::2, 0]), template, cv2.TM_CCOEFF_NORMED, mask=weight)
    found = np.where(np.isfinite(found), found, -1)
    _, _, _, (x, y) = cv2.minMaxLoc(found)
    offset = fitted[:2, :2] @ np.array([2 * x * unit - reach, 2 * y * unit - reach])
    shift = np.eye(3)
    shift[:2, 2] = offset
    return shift @ step


def _refined(
    footage: ResultFrames,
    frame: int,
    sight: ReferenceView,
    alive: Mask,
    there: Array,
    wanted: Array,
    flow: Flow,
    limit: float,
) -> tuple[Array, Mask]:
    """`there`, corrected by the flow from `wanted` to the frame pulled back, and where that was found there and back.

    A correction above `limit` samples is not believed.
    """
    here = _for_flow(wanted, alive)
    pulled = _for_flow(warp_to_reference(footage, frame, there, sight), alive)
    out, back = flow.between(here, pulled), flow.between(pulled, here)
    own = _own_grid(sight.mask.shape)
    error = np.linalg.norm(out + _sample(back, own + out), axis=-1)
    size = np.linalg.norm(out, axis=-1)
    found = (error < _THERE_AND_BACK + 0.1 * size) & _inside(footage, there)
    weight = (found & sight.core & alive & (size < limit)).astype(np.float32)
    smooth = _smoothed(out, weight, max(1.5, _SMOOTHING * sight.radius))
    return _sample(there, own + smooth), found


def _smoothed(field: Array, weight: Array, sigma: float) -> Array:
    """A field of which samples without weight take after those around, and far from any become 0."""
    total = cv2.GaussianBlur(weight, (0, 0), sigma)
    wide = cv2.GaussianBlur(weight, (0, 0), 4 * sigma)
    near = cv2.GaussianBlur(field * weight[..., None], (0, 0), sigma)
    far = cv2.GaussianBlur(field * weight[..., None], (0, 0), 4 * sigma)
    return (near + 0.02 * far) / (total + 0.02 * wide + 1e-5)[..., None]


def _for_flow(picture: Array, mask: Mask) -> Array:
    """Shape [h, w, 3]: the thing alone, at a brightness and contrast of its own: flow expects both to stay.

    What is around it is replaced by what its edge fades into, so that the background does not draw the flow along.
    """
    values = picture[..., 0][mask]
    level = (picture[..., 0] - values.mean()) / max(4 * float(values.std()), 0.08)
    weight = mask.astype(np.float32)
    around = cv2.GaussianBlur(level * weight, (0, 0), 3) / (cv2.GaussianBlur(weight, (0, 0), 3) + 1e-3)
    return cv2.cvtColor(np.clip(np.where(mask, level, around) + np.float32(0.5), 0, 1), cv2.COLOR_GRAY2RGB)


def _alike(one: Array, other: Array, mask: Mask) -> float:
    """Correlation over the mask; -1 where there is too little to compare."""
    if mask.sum() < 12:
        return -1.0
    a, b = (cv2.GaussianBlur(p[..., 0], (0, 0), 1)[mask] for p in (one, other))
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / np.sqrt(float((a * a).sum()) * float((b * b).sum()) + 1e-9))


def _locally_alike(one: Array, other: Array, mask: Mask, sigma: float) -> Array:
    """Correlation around each sample; where there is no texture to compare, 1."""
    weight = mask.astype(np.float32)
    total = cv2.GaussianBlur(weight, (0, 0), sigma) + 1e-6

    def mean(values: Array) -> Array:
        return cv2.GaussianBlur(values * weight, (0, 0), sigma) / total

    a, b = (cv2.GaussianBlur(p[..., 0], (0, 0), 1) for p in (one, other))
    ma, mb = mean(a), mean(b)
    aa, bb, ab = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    return (ab + _FLAT**2) / (np.sqrt(np.maximum(aa, 0) * np.maximum(bb, 0)) + _FLAT**2)


def _inside(footage: ResultFrames, there: Array) -> Mask:
    height, width = footage.changed[0].shape
    x, y = there[..., 0], there[..., 1]
    return (x > 0.5) & (y > 0.5) & (x < width - 1.5) & (y < height - 1.5)


def _apply(motion: Map, points: Array) -> Array:
    return (points @ motion[:2, :2].T + motion[:2, 2]).astype(np.float32)


def _own_grid(shape: tuple[int, ...]) -> Array:
    return np.stack(np.meshgrid(np.arange(shape[1]), np.arange(shape[0])), axis=-1).astype(np.float32)


def _sample(image: NDArray[np.float32], at: Array) -> Array:
    return cv2.remap(image, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
