"""Camera motion: maps from the pixels of one proxy to another's.

Corners are tracked (B. Lucas and T. Kanade, 1981, in pyramids after J.-Y. Bouguet) there and back, and random sampling
finds the homography that most of them agree on. The simplest motion that explains the tracks as well is then taken:
none, a shift, a similarity, an affine map, a homography. So a locked-off camera gives the identity exactly, and nothing
is resampled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.base import Context
from gpu_server.engines.propagate.survey import PropagateStage, Survey

Map = NDArray[np.float64]  # shape [3, 3], (x, y, 1) to (x, y, 1)
Points = NDArray[np.float32]  # shape [N, 2]

_CORNERS = 500
_PRECISE_CORNERS = 250  # the best of them, for maps that are nearly known
_THERE_AND_BACK_PX = 0.5
_ENOUGH = 24
_AS_GOOD = 1.06, 0.012  # a simpler motion may be worse by this factor and these pixels
_AS_STILL = 1.25, 0.03  # no motion may be worse by these: resampling would cost more than the rest


@dataclass
class Camera:
    """The maps between any two frames of a survey, in proxy pixels.

    Attributes:
        survey: the survey.
        chain: maps from each frame to frame 0.
        sure: whether the step from each frame to the next was tracked.
        corners: corners to track, by frame.
    """

    survey: Survey
    chain: list[Map]
    sure: list[bool]
    corners: dict[int, Points] = field(default_factory=dict)

    def rough(self, target: int, source: int) -> Map:
        """Return the map along the chain of neighbours: quick, with a drift that grows with distance."""
        if target == source:
            return np.eye(3)
        return normalise(np.linalg.inv(self.chain[source]) @ self.chain[target])

    def precise(self, target: int, source: int) -> Map:
        """Return the measured map between two frames, or the rough one without enough overlap."""
        guess = self.rough(target, source)
        if target == source or abs(target - source) == 1:
            return guess
        found = register(self.survey, target, source, guess, self.corners[target][:_PRECISE_CORNERS])
        limit = 2.0 + 0.15 * abs(target - source)
        return found if found is not None and corner_shift(self.survey.shape, found, guess) < limit else guess

    def speed(self, frame: int, neighbour: int) -> float:
        """Return how far a corner of the frame moves at most, in pixels."""
        return corner_shift(self.survey.shape, self.rough(frame, neighbour), np.eye(3))

    @cached_property
    def usual_speed(self) -> float:
        """The median speed over the shot, in pixels a frame."""
        return float(np.median([self.speed(i, i + 1) for i in range(self.survey.frames - 1)] or [0.0]))

    @property
    def kind(self) -> str:
        """`static`, `moving`, or `unsure` if neighbours could not be matched."""
        if not all(self.sure):
            return "unsure"
        still = all(np.array_equal(m, np.eye(3)) for m in self.chain)
        return "static" if still else "moving"


def solve_camera(survey: Survey, context: Context) -> Camera:
    """Track the camera over the shot.

    Raises:
        Cancelled: the job was cancelled.
    """
    corners = {}
    for i in range(survey.frames):
        context.check()
        corners[i] = find_corners(survey.detail[i], ~survey.invalid(i))
    chain, sure, step = [np.eye(3)], [], np.eye(3)
    for i in range(survey.frames - 1):
        context.progress(PropagateStage.CAMERA, i, survey.frames - 1)
        found = register(survey, i + 1, i, step, corners[i + 1])
        if found is None:
            found = register(survey, i + 1, i, np.eye(3), corners[i + 1])
        sure.append(found is not None)
        step = np.eye(3) if found is None else found
        chain.append(normalise(chain[-1] @ step))
    return Camera(survey, chain, sure, corners)


def find_corners(detail: NDArray[np.uint8], valid: NDArray[np.bool_]) -> Points:
    """Return the corners that are best to track, spread over the valid area: (x, y), shape [N, 2], at most 500."""
    distance = max(4, round(0.012 * max(detail.shape)))
    found = cv2.goodFeaturesToTrack(detail, _CORNERS, 0.004, distance, mask=valid.astype(np.uint8), blockSize=5)
    return np.zeros((0, 2), np.float32) if found is None else found.reshape(-1, 2)


def register(survey: Survey, target: int, source: int, guess: Map, corners: Points) -> Map | None:
    """Return the map from `target` to `source`, or None if they show too little of the same."""
    if len(corners) < _ENOUGH:
        return None
    here, there = _track(survey, target, source, guess, corners)
    if len(here) < _ENOUGH:
        return None
    _, agreed = cv2.findHomography(here, there, cv2.RANSAC, 1.2, maxIters=2000, confidence=0.999)
    if agreed is None or agreed.sum() < max(_ENOUGH, 0.2 * len(here)):
        return None
    keep = agreed.ravel() > 0
    return simplest_motion(here[keep].astype(np.float64), there[keep].astype(np.float64))


def _track(survey: Survey, target: int, source: int, guess: Map, corners: Points) -> tuple[Points, Points]:
    """Return corners of the target and their places in the source; only those that are found there and back."""
    a, b = survey.detail[target], survey.detail[source]
    options = {"winSize": (21, 21), "maxLevel": 3, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
    expected = apply_map(guess, corners).astype(np.float32)
    there, found, _ = cv2.calcOpticalFlowPyrLK(a, b, corners, expected.copy(), **options)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(b, a, there, corners.copy(), **options)
    good = (found.ravel() > 0) & (found_back.ravel() > 0)
    good &= np.linalg.norm(back - corners, axis=1) < _THERE_AND_BACK_PX
    good &= look_up(~survey.invalid(source), there)
    return corners[good], there[good]


def simplest_motion(here: NDArray[np.float64], there: NDArray[np.float64]) -> Map:
    """Return the motion with the fewest freedoms that fits about as well as a homography.

    Args:
        here: points, shape [N, 2].
        there: their places after the motion, shape [N, 2].
    """
    weight = np.ones(len(here))
    full = _homography(here, there, weight)
    for _ in range(3):
        error = np.linalg.norm(apply_map(full, here) - there, axis=1)
        reach = max(3.0 * 1.2 * float(np.median(error)), 0.05)
        weight = np.square(np.clip(1 - np.square(error / reach), 0, 1)) + 1e-9
        full = _homography(here, there, weight)
    spread = _spread(full, here, there, weight)
    if _spread(np.eye(3), here, there, weight) <= spread * _AS_STILL[0] + _AS_STILL[1]:
        return np.eye(3)
    best = spread * _AS_GOOD[0] + _AS_GOOD[1]
    models: tuple[Callable[..., Map], ...] = (_shift, _similarity, _affine)
    for fit in models:
        motion = fit(here, there, weight)
        if _spread(motion, here, there, weight) <= best:
            return motion
    return full


def apply_map(motion: Map, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Apply a map to points, shape [N, 2]."""
    moved = points @ motion[:2, :2].T + motion[:2, 2]
    if motion[2, 0] == 0 and motion[2, 1] == 0:
        return np.asarray(moved / motion[2, 2])
    return np.asarray(moved / (points @ motion[2, :2] + motion[2, 2])[:, None])


def look_up(mask: NDArray[np.bool_], points: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return the mask at the pixel nearest to each point, shape [N]; False outside of the mask."""
    height, width = mask.shape
    x, y = np.rint(points[:, 0]), np.rint(points[:, 1])
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    result = np.zeros(len(points), bool)
    result[inside] = mask[y[inside].astype(np.intp), x[inside].astype(np.intp)]
    return result


def corner_shift(shape: tuple[int, int], one: Map, other: Map) -> float:
    """Return the largest distance between the places that two maps give a frame's corner, in pixels."""
    height, width = shape
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    return float(np.abs(apply_map(one, corners) - apply_map(other, corners)).max())


def normalise(motion: Map) -> Map:
    """Scale a map so that its last element is 1."""
    return np.asarray(motion / motion[2, 2])


def _spread(motion: Map, here: Map, there: Map, weight: Map) -> float:
    squared = np.sum(np.square(apply_map(motion, here) - there), axis=1)
    return float(np.sqrt(np.sum(weight * squared) / np.sum(weight)))


def _shift(here: Map, there: Map, weight: Map) -> Map:
    motion = np.eye(3)
    motion[:2, 2] = np.average(there - here, axis=0, weights=weight)
    return motion


def _similarity(here: Map, there: Map, weight: Map) -> Map:
    rows = np.zeros((2 * len(here), 4))
    rows[0::2] = np.column_stack([here[:, 0], -here[:, 1], np.ones(len(here)), np.zeros(len(here))])
    rows[1::2] = np.column_stack([here[:, 1], here[:, 0], np.zeros(len(here)), np.ones(len(here))])
    root = np.sqrt(np.repeat(weight, 2))
    a, b, x, y = np.linalg.lstsq(rows * root[:, None], there.reshape(-1) * root, rcond=None)[0]
    return np.array([[a, -b, x], [b, a, y], [0, 0, 1]])


def _affine(here: Map, there: Map, weight: Map) -> Map:
    root = np.sqrt(weight)[:, None]
    rows = np.column_stack([here, np.ones(len(here))]) * root
    solution = np.linalg.lstsq(rows, there * root, rcond=None)[0]
    return np.vstack([solution.T, [0, 0, 1]])


def _homography(here: Map, there: Map, weight: Map) -> Map:
    """Fit a homography by the weighted direct linear transform on normalised points (R. Hartley, 1997)."""
    (a, start), (b, end) = _conditioned(here), _conditioned(there)
    ones, zeros = np.ones((len(a), 1)), np.zeros((len(a), 3))
    first = np.hstack([a, ones, zeros, -b[:, :1] * a, -b[:, :1]])
    second = np.hstack([zeros, a, ones, -b[:, 1:] * a, -b[:, 1:]])
    root = np.sqrt(weight)[:, None]
    rows = np.vstack([first * root, second * root])
    _, vectors = np.linalg.eigh(rows.T @ rows)
    return normalise(np.linalg.inv(end) @ vectors[:, 0].reshape(3, 3) @ start)


def _conditioned(points: Map) -> tuple[Map, Map]:
    centre = points.mean(axis=0)
    scale = np.sqrt(2) / max(1e-9, float(np.mean(np.linalg.norm(points - centre, axis=1))))
    matrix = np.array([[scale, 0, -scale * centre[0]], [0, scale, -scale * centre[1]], [0, 0, 1]])
    return (points - centre) * scale, matrix
