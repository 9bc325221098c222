"""Synthetic footage whose clean background is known: for tests, `make bench` and `make demo`.

    clip = make_clip(camera="pan_zoom_rotation", height=270, width=480, frames=24, seed=1)
    scene = Scene(camera="pan", height=2160, width=3840, frames=96, seed=1)
    scene.frame(12).plate

Linear and scene-referred: ordinary surfaces are between 0.01 and 1, lamps above 10, and a few dark, saturated spots
below 0. The world is one large picture, band-limited before it is sampled, so that it stays free of aliasing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.base import Array, rng

Camera = Literal["static", "pan", "pan_zoom_rotation"]
ObjectMotion = Literal["crossing", "still"]

_LANCZOS_FROM_FRAME = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP


@dataclass(frozen=True)
class SyntheticFrame:
    """One frame. Pictures have shape [H, W, 3] and are linear. Mattes have shape [H, W], in [0, 1], with soft edges.

    Attributes:
        plate: the picture with the object, its shadow and grain.
        background: the clean plate without grain.
        background_grained: the clean plate with the grain of `plate`.
        remove: the matte of the object.
        affected: the matte of its shadow.
    """

    plate: Array
    background: Array
    background_grained: Array
    remove: Array
    affected: Array


@dataclass(frozen=True)
class SyntheticFootage:
    """A whole clip: the pictures and mattes of `SyntheticFrame`, with time as the first axis.

    Attributes:
        plates: shape [T, H, W, 3].
        backgrounds: shape [T, H, W, 3].
        backgrounds_grained: shape [T, H, W, 3].
        remove: shape [T, H, W].
        affected: shape [T, H, W].
        to_world: shape [T, 3, 3], maps a pixel of a frame (x, y, 1) to the world's.
    """

    plates: Array
    backgrounds: Array
    backgrounds_grained: Array
    remove: Array
    affected: Array
    to_world: NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """Footage that is rendered frame by frame.

    Attributes:
        camera: the camera's motion.
        height: height in pixels.
        width: width in pixels.
        frames: number of frames.
        seed: the same seed gives the same footage.
        grain: strength of the grain; 1 is a fine-grained 35 mm stock, 0 none.
        parallax: how much faster a near layer moves than the background; 0 for no such layer.
        exposure_drift: stops between the first and the last frame.
        object_motion: whether the object crosses the frame or stands still in it.
        object_size: height of the object as a share of the frame's.
    """

    camera: Camera = "static"
    height: int = 270
    width: int = 480
    frames: int = 24
    seed: int = 1
    grain: float = 1.0
    parallax: float = 0.0
    exposure_drift: float = 0.0
    object_motion: ObjectMotion = "crossing"
    object_size: float = 0.42

    def frame(self, index: int) -> SyntheticFrame:
        """Render a frame, counted from 0."""
        clean = self._background(index) * self._exposure(index)
        remove, affected, colour = self._object(index)
        shaded = clean * (1 - 0.55 * affected[..., None])
        alpha = np.clip(remove * 1.6 - 0.6, 0, 1)[..., None]  # the matte is drawn a little wider than the object
        dirty = shaded + alpha * (colour * self._exposure(index) - shaded)
        noise = self._grain(index)
        return SyntheticFrame(
            dirty + noise * _grain_std(dirty), clean, clean + noise * _grain_std(clean), remove, affected
        )

    def to_world(self, index: int) -> NDArray[np.float64]:
        """Return the map of (x, y, 1) of a frame to (x, y, 1) of the world picture, shape [3, 3]."""
        zoom, angle, shift_x, shift_y = self._path(index)
        cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
        centre = np.array([(self.width - 1) / 2, (self.height - 1) / 2])
        turn = np.array([[cos, -sin], [sin, cos]])
        offset = centre + self._margin + np.array([shift_x, shift_y]) - turn @ centre
        return np.vstack([np.hstack([turn, offset[:, None]]), [0, 0, 1]])

    def _path(self, index: int) -> tuple[float, float, float, float]:
        """Return magnification, angle in radians, and shift of the centre in pixels."""
        if self.camera == "static":
            return 1.0, 0.0, 0.0, 0.0
        done = index / max(1, self.frames - 1)
        ease = done + 0.1 * np.sin(2 * np.pi * done) / np.pi
        travel = self._travel * (ease - 0.5)
        sway = 0.012 * self.height * np.sin(2.3 * np.pi * done)
        if self.camera == "pan":
            return 1.0, 0.0, travel, sway
        return 1.02 + 0.10 * ease, np.radians(3.0) * (ease - 0.5), travel, sway

    @property
    def _travel(self) -> float:
        return self.width * min(0.3, 0.0083 * max(1, self.frames - 1))

    @property
    def _margin(self) -> float:
        return 8.0 if self.camera == "static" else 8.0 + 0.5 * self._travel + 0.05 * (self.width + self.height)

    def _exposure(self, index: int) -> float:
        return float(2.0 ** (self.exposure_drift * (index / max(1, self.frames - 1) - 0.5)))

    @cached_property
    def _world(self) -> Array:
        return _paint_world(self._world_shape, self.height, self.seed)

    @cached_property
    def _near(self) -> Array:
        """Posts and leaves, premultiplied, with alpha, shape [h, w, 4]."""
        return _paint_near_layer(self._world_shape, self.height, self.seed)

    @property
    def _world_shape(self) -> tuple[int, int]:
        # Near layers move faster: leave room for them.
        room = int(np.ceil(2 * self._margin * (1 + self.parallax)))
        return self.height + room, self.width + room

    def _background(self, index: int) -> Array:
        size = (self.width, self.height)
        view = self.to_world(index)
        if self.camera == "static":
            x, y = round(view[0, 2]), round(view[1, 2])
            far = self._world[y : y + self.height, x : x + self.width].copy()
        else:
            far = cv2.warpPerspective(self._world, view, size, flags=_LANCZOS_FROM_FRAME, borderMode=cv2.BORDER_REFLECT)
        if not self.parallax:
            return far
        near_view = view.copy()
        near_view[:2, 2] += self.parallax * np.array(self._path(index)[2:])
        near = cv2.warpPerspective(self._near, near_view, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
        return np.asarray(far * (1 - near[..., 3:]) + near[..., :3], np.float32)

    def _object(self, index: int) -> tuple[Array, Array, Array]:
        """Return the object's matte, shape [H, W], that of its shadow, and its colour, shape [H, W, 3]."""
        done = 0.5 if self.object_motion == "still" else index / max(1, self.frames - 1)
        half = self.object_size * self.height / 2
        x = self.width * (0.18 + 0.64 * done)
        y = self.height * (0.46 + 0.05 * np.sin(7 * done))
        grid_y, grid_x = np.mgrid[0 : self.height, 0 : self.width].astype(np.float32)
        body = _ellipse(grid_x - x, grid_y - y, 0.52 * half, half, softness=1.5)
        head = _ellipse(grid_x - x - 0.2 * half, grid_y - y + 0.95 * half, 0.32 * half, 0.32 * half, softness=1.5)
        remove = np.maximum(body, head)
        shadow = _ellipse(
            grid_x - x - 0.5 * half, grid_y - y - 1.05 * half, 0.9 * half, 0.2 * half, softness=0.06 * half
        )
        stripes = 0.5 + 0.5 * np.sin((grid_x - x + 0.4 * (grid_y - y)) * (12 / half))
        colour = np.stack([0.55 + 0.3 * stripes, 0.12 + 0.1 * stripes, 0.05 + 0.02 * stripes], -1)
        return remove, shadow, colour.astype(np.float32)

    def _grain(self, index: int) -> Array:
        """Return grain, shape [H, W, 3]: unit variance, slightly soft, independent from frame to frame."""
        shape = (self.height, self.width, 3)
        if not self.grain:
            return np.zeros(shape, np.float32)
        noise = rng(self.seed, "footage grain", index).standard_normal(shape, np.float32)
        soft = cv2.GaussianBlur(noise, (0, 0), 0.6)
        return soft * np.float32(self.grain / _retained_std(0.6))


def make_clip(*arguments: Any, **options: Any) -> SyntheticFootage:
    """Render all frames of a `Scene` of these arguments."""
    scene = Scene(*arguments, **options)
    frames = [scene.frame(i) for i in range(scene.frames)]
    return SyntheticFootage(
        np.stack([f.plate for f in frames]),
        np.stack([f.background for f in frames]),
        np.stack([f.background_grained for f in frames]),
        np.stack([f.remove for f in frames]),
        np.stack([f.affected for f in frames]),
        np.stack([scene.to_world(i) for i in range(scene.frames)]),
    )


def _grain_std(linear: Array) -> Array:
    return np.float32(0.024) * np.sqrt(np.maximum(linear, 0) + np.float32(0.012))


def _retained_std(sigma: float) -> float:
    """Return the standard deviation that white noise keeps through `cv2.GaussianBlur` of a sigma."""
    impulse = np.zeros((31, 31), np.float32)
    impulse[15, 15] = 1
    return float(np.sqrt(np.sum(cv2.GaussianBlur(impulse, (0, 0), sigma) ** 2)))


def _ellipse(dx: Array, dy: Array, radius_x: float, radius_y: float, softness: float) -> Array:
    distance = (1 - np.sqrt((dx / radius_x) ** 2 + (dy / radius_y) ** 2)) * min(radius_x, radius_y)
    return np.asarray(np.clip(distance / max(softness, 1e-3) + 0.5, 0, 1), np.float32)


def _noise(draw: np.random.Generator, shape: tuple[int, int], period: float) -> Array:
    """Return smooth noise of unit variance, one feature every `period` pixels, shape [h, w]."""
    coarse = (int(np.ceil(shape[0] / period)) + 3, int(np.ceil(shape[1] / period)) + 3)
    field = draw.standard_normal(coarse, np.float32)
    full = cv2.resize(field, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(full / (full.std() + 1e-6), np.float32)


def _paint_world(shape: tuple[int, int], frame_height: int, seed: int) -> Array:
    """Return the world, shape [h, w, 3], linear: a wall of bricks, foliage, hard shapes, fine detail, lamps."""
    draw = rng(seed, "footage world")
    unit = frame_height / 270
    tone = np.full(shape, -1.6, np.float32)  # natural logarithm of the luminance
    for period, weight in ((140, 0.45), (60, 0.3), (25, 0.2), (11, 0.14), (5, 0.10), (2.4, 0.06)):
        tone += np.float32(weight) * _noise(draw, shape, max(1.0, period * unit))
    tint = np.stack([0.22 * _noise(draw, shape, 90 * unit) for _ in range(3)], -1)
    world = np.exp(tone[..., None] + tint)
    _lay_bricks(world, draw, unit)
    _grow_foliage(world, draw, unit)
    _scatter(world, draw, unit, 26, lambda d: np.exp(d.uniform(-3, 0.2, 3)), (4, 18))
    _scatter(world, draw, unit, 16, lambda d: d.uniform(11, 24) * np.array([1, 0.9, 0.7]), (1.5, 4))
    _scatter(world, draw, unit, 6, lambda d: np.array([0.25, 0.05, -0.006]), (3, 6))
    return np.asarray(cv2.GaussianBlur(world.astype(np.float32), (0, 0), 0.65), np.float32)


def _lay_bricks(world: Array, draw: np.random.Generator, unit: float) -> None:
    height, width = world.shape[:2]
    top, row = int(0.55 * height), max(3, round(11 * unit))
    length = max(6, round(28 * unit))
    y, x = np.mgrid[0 : height - top, 0:width]
    course = y // row
    column = (x + (course % 2) * (length // 2)) // length
    shade = draw.uniform(0.6, 1.5, (course.max() + 1, column.max() + 1)).astype(np.float32)[course, column]
    mortar = (y % row < max(1, unit)) | ((x + (course % 2) * (length // 2)) % length < max(1, unit))
    bricks = np.where(mortar[..., None], [0.42, 0.40, 0.37], shade[..., None] * np.array([0.26, 0.13, 0.09]))
    world[top:] *= (bricks / 0.2).astype(np.float32)


def _grow_foliage(world: Array, draw: np.random.Generator, unit: float) -> None:
    shape = world.shape[:2]
    bush = _noise(draw, shape, 70 * unit) + 0.6 * _noise(draw, shape, 9 * unit) > 1.0
    leaves = np.exp(0.5 * _noise(draw, shape, max(1.2, 4 * unit)))[..., None] * np.array([0.07, 0.16, 0.04])
    world[bush] = leaves[bush]


def _scatter(
    world: Array,
    draw: np.random.Generator,
    unit: float,
    count: int,
    colour: Callable[[np.random.Generator], NDArray[np.float64]],
    radii: tuple[float, float],
) -> None:
    height, width = world.shape[:2]
    for _ in range(count):
        centre = (int(draw.uniform(0, width)), int(draw.uniform(0, height)))
        size = tuple(max(1, round(draw.uniform(*radii) * unit)) for _ in range(2))
        value = tuple(float(v) for v in colour(draw))
        if draw.random() < 0.5:
            cv2.ellipse(world, centre, size, draw.uniform(0, 180), 0, 360, value, -1)
        else:
            corner = (centre[0] + 2 * size[0], centre[1] + size[1])
            cv2.rectangle(world, centre, corner, value, -1)


def _paint_near_layer(shape: tuple[int, int], frame_height: int, seed: int) -> Array:
    draw = rng(seed, "footage near layer")
    unit = frame_height / 270
    height, width = shape
    alpha = np.zeros(shape, np.float32)
    x = 0.0
    while x < width:
        post = max(2, round(draw.uniform(10, 22) * unit))
        alpha[int(draw.uniform(0.3, 0.6) * height) :, int(x) : int(x) + post] = 1
        x += draw.uniform(70, 130) * unit
    alpha = cv2.GaussianBlur(alpha, (0, 0), 0.7)
    tone = np.exp(-1.2 + 0.3 * _noise(draw, shape, 14 * unit) + 0.15 * _noise(draw, shape, max(1.2, 3 * unit)))
    colour = tone[..., None] * np.array([1.0, 0.8, 0.55]) * alpha[..., None]
    return np.dstack([colour, alpha]).astype(np.float32)
