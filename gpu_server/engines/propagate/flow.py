"""Residual motion beyond the camera's, such as parallax: measured around the hole and continued into it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.propagate.camera import Map
from gpu_server.engines.propagate.survey import Survey
from void_bridge.pixels.arrays import Array, Mask
from void_bridge.pixels.box import Box
from void_bridge.pixels.membrane import membrane

_NOTICEABLE_PX = 0.12  # median of the residual around the hole, above which it is believed
_LOCALLY_NOTICEABLE_PX = 0.6  # ninth decile
_LEAST_SIDE_PX = 24
_MOST_PX = 40.0
_OFF_LINE_PX = 1.0
_SMOOTH_SIGMA = 2.5
_RING_PX = 40
_COMPLETE_STEP = 4  # wide windows are taken on a grid this much coarser
_DOUBT = 0.05  # mean trust at which a narrower window counts as much as the wider one


@dataclass(frozen=True)
class RegisteredSource:
    """A source laid over a part of a target by the camera's motion.

    Attributes:
        here: the target, shape [h, w].
        there: the source, shape [h, w].
        usable: shape [h, w]: both show the background.
        touched: shape [h, w]: of that, the pixels that the object may have changed in either.
        flow: shape [h, w, 2]: offset from a pixel of `here` to its place in `there`.
    """

    here: NDArray[np.uint8]
    there: NDArray[np.uint8]
    usable: Mask
    touched: Mask
    flow: Array


def register_source(survey: Survey, target: int, source: int, motion: Map, box: Box) -> RegisteredSource:
    """Lay a source over `box` of a target's proxy and measure the flow.

    The flow is dense inverse search (T. Kroeger and others, 2016).
    Each picture fills the hidden pixels of the other, so that neither the object nor the border of its matte moves
    anything.
    """
    size, to_source = (box.width, box.height), motion @ _shift(box)
    here = survey.detail[target][box.slices]
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    there = cv2.warpPerspective(survey.detail[source], to_source, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    bad_there = warped_mask(survey.unseen(source), to_source, size)
    bad_here = survey.unseen(target)[box.slices]
    touched = survey.invalid(target)[box.slices] | warped_mask(survey.invalid(source), to_source, size)
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    search.setFinestScale(1)
    flow = search.calc(np.where(bad_here, there, here), np.where(bad_there, here, there), None)
    return RegisteredSource(here, there, ~(bad_here | bad_there), touched, flow)


def residual_flow(survey: Survey, target: int, source: int, motion: Map, box: Box) -> Array | None:
    """Return the motion that the camera's leaves over: shape [box.height, box.width, 2], x and y in proxy pixels.

    A point p of the target is at, in the source, motion(p + residual(p)).

    Returns:
        The flow, or None if the camera's motion explains everything.
    """
    if np.array_equal(motion, np.eye(3)) or min(box.shape) < _LEAST_SIDE_PX:
        return None
    over = register_source(survey, target, source, motion, box)
    return _trusted_flow(over, survey.hole(target)[box.slices])


def warped_mask(mask: Mask, to_source: Map, size: tuple[int, int]) -> Mask:
    """Return the pixels that a mask touches after a warp, shape [size[1], size[0]]; pixels outside of it count, too."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(mask.astype(np.uint8) * 255, to_source, size, flags=flags, borderValue=255)
    return np.asarray(warped > 8, bool)


def _shift(box: Box) -> Map:
    return np.array([[1, 0, box.x0], [0, 1, box.y0], [0, 0, 1]], np.float64)


def _trusted_flow(over: RegisteredSource, hole: Mask) -> Array | None:
    flow, here, there = over.flow, over.here, over.there
    close = cv2.dilate(hole.astype(np.uint8), np.ones((2 * _RING_PX + 1,) * 2, np.uint8)) > 0
    length = np.linalg.norm(flow, axis=-1)
    ring = length[over.usable & ~over.touched & close]
    if len(ring) < 50 or (np.median(ring) < _NOTICEABLE_PX and np.quantile(ring, 0.9) < _LOCALLY_NOTICEABLE_PX):
        return None
    x, y = _split(_grid(flow.shape[0], flow.shape[1]) + flow)
    moved = cv2.remap(there, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    before, after = _mismatch(here, there), _mismatch(here, moved)
    trust = (over.usable & (length < _MOST_PX) & (after <= before + 1.0)).astype(np.float32)
    trust *= 1 / (1 + np.square(after / 12.0)) * (0.02 + _texture(here))
    return complete_field(flow, trust * _rigid(flow, trust, over.touched), _SMOOTH_SIGMA)


def _rigid(flow: Array, trust: Array, touched: Mask) -> Array:
    """Return how surely this motion comes from the camera's travel through a still scene: shape [h, w], in [0, 1].

    The motion that a homography leaves then runs along lines through one point, the epipole (R. Hartley and A.
    Zisserman, Multiple View Geometry, plane plus parallax). The epipole is found where the object touched nothing;
    there, motion off those lines belongs to another thing, and inside `touched` to the object's doing.
    """
    height, width = trust.shape
    start = (_grid(height, width) - np.array([width / 2, height / 2], np.float32)) / width
    end = start + flow / width
    sampled = (slice(None, None, 4),) * 2
    sure = (trust > 0.1) & ~touched & (np.linalg.norm(flow, axis=-1) > 0.5)
    a, b = _homogeneous(start[sampled][sure[sampled]]), _homogeneous(end[sampled][sure[sampled]])
    if len(a) < 60:
        return np.where(touched, 0, 1).astype(np.float32)
    epipole = _meeting_point(np.cross(a, b))
    line = np.cross(_homogeneous(start), epipole)
    off = np.abs(np.sum(line * _homogeneous(end), axis=-1)) / np.maximum(np.hypot(line[..., 0], line[..., 1]), 1e-12)
    return np.exp(-np.square(off * width / _OFF_LINE_PX)).astype(np.float32)


def _meeting_point(lines: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the point, shape [3], that most lines, shape [N, 3], pass; by reweighted least squares."""
    weight = np.ones(len(lines))
    point = np.zeros(3)
    for _ in range(8):
        _, vectors = np.linalg.eigh((lines * weight[:, None]).T @ lines)
        point = vectors[:, 0]
        off = np.abs(lines @ point)
        weight = 1 / (1 + np.square(off / (1.5 * np.median(off) + 1e-12)))
    return point


def _homogeneous(points: Array) -> NDArray[np.float64]:
    return np.concatenate([points, np.ones((*points.shape[:-1], 1))], axis=-1, dtype=np.float64)


def complete_field(field: Array, trust: Array, sigma: float) -> Array:
    """Return a smooth field from one that is trusted in places.

    It averages weighted by trust (H. Knutsson and C.-F. Westin, normalised convolution), over wide windows where little
    is trusted and over narrow ones where much is; far from trusted pixels, it is the membrane over the known ones.

    Args:
        field: shape [h, w, C].
        trust: shape [h, w], in [0, 1].
        sigma: width of the narrowest window, in pixels.
    """
    h, w = trust.shape
    small = (max(1, w // _COMPLETE_STEP), max(1, h // _COMPLETE_STEP))
    known = cv2.resize(trust, small, interpolation=cv2.INTER_AREA)
    means = cv2.resize(field * trust[..., None], small, interpolation=cv2.INTER_AREA)
    wide, weight = _average(means, known, 9 * sigma / _COMPLETE_STEP)
    enough = weight > 0.02 * max(float(weight.max()), 1e-9)
    smooth = membrane(wide, enough)
    middle, weight = _average(means, known, 3 * sigma / _COMPLETE_STEP)
    smooth += (weight / (weight + _DOUBT))[..., None] * (middle - smooth)
    smooth = cv2.resize(smooth, (w, h), interpolation=cv2.INTER_LINEAR).reshape(field.shape)
    narrow, weight = _average(field * trust[..., None], trust, sigma)
    return np.asarray(smooth + (weight / (weight + _DOUBT))[..., None] * (narrow - smooth), np.float32)


def _average(weighted: Array, trust: Array, sigma: float) -> tuple[Array, Array]:
    total = cv2.GaussianBlur(trust, (0, 0), sigma)
    mean = cv2.GaussianBlur(weighted, (0, 0), sigma).reshape(weighted.shape) / np.maximum(total, 1e-9)[..., None]
    return np.asarray(mean, np.float32), total


def _mismatch(one: Array, other: Array) -> Array:
    return cv2.GaussianBlur(cv2.absdiff(one, other).astype(np.float32), (0, 0), 2.0)


def _texture(detail: Array) -> Array:
    """Return how much texture there is to match: in [0, 1]."""
    edges = np.abs(cv2.Scharr(detail, cv2.CV_32F, 1, 0)) + np.abs(cv2.Scharr(detail, cv2.CV_32F, 0, 1))
    return np.asarray(np.clip(cv2.GaussianBlur(edges, (0, 0), 2.0) / 400.0, 0, 1), np.float32)


def _grid(height: int, width: int) -> Array:
    """Return (x, y) of every pixel, shape [height, width, 2]."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack([x, y], axis=-1)


def _split(points: Array) -> tuple[Array, Array]:
    return np.ascontiguousarray(points[..., 0]), np.ascontiguousarray(points[..., 1])


def source_places(grid: Array, motion: Map, residual: Array | None, box: Box) -> tuple[Array, Array]:
    """Return x and y in the source's proxy, shape [H, W] each, of points of the target's proxy.

    Args:
        grid: the points, shape [H, W, 2].
        motion: map of the camera.
        residual: see `residual_flow`.
        box: the box of the residual.
    """
    points = grid
    if residual is not None:
        x, y = _split(grid - np.array([box.x0, box.y0], np.float32))
        points = grid + cv2.remap(residual, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    m = motion.astype(np.float64)
    px, py = points[..., 0].astype(np.float64), points[..., 1].astype(np.float64)
    depth = m[2, 0] * px + m[2, 1] * py + m[2, 2]
    x_there = (m[0, 0] * px + m[0, 1] * py + m[0, 2]) / depth
    y_there = (m[1, 0] * px + m[1, 1] * py + m[1, 2]) / depth
    return x_there.astype(np.float32), y_there.astype(np.float32)


def resized_grid(rows: slice, columns: slice, step: Map) -> Array:
    """Return (x, y), through the scaling `step`, of the pixels of these rows and columns: shape [H, W, 2]."""
    x = np.arange(columns.start, columns.stop, dtype=np.float64) * step[0, 0] + step[0, 2]
    y = np.arange(rows.start, rows.stop, dtype=np.float64) * step[1, 1] + step[1, 2]
    return np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)
