"""Clips of objects that keep their shape or morph, with random textures, outlines and motions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from gpu_server.engines.base import Array, rng

RIGID = ("translation", "rotation", "scale", "falling", "bouncing", "lighting", "grain", "articulated")
MORPHING = ("deform", "dissolve")
_TEXTURE = 192  # samples across an object's own square [-1.6, 1.6] x [-1.6, 1.6], in units of its radius


@dataclass(frozen=True)
class MorphClip:
    """A plate with an object, and a generated clip without it, in which another object moves or morphs.

    Attributes:
        kind: one of RIGID or MORPHING.
        generated: shape [T, H, W, 3], display-encoded.
        plate: shape [T, H, W, 3], display-encoded.
    """

    kind: str
    generated: Array
    plate: Array


@dataclass
class _Object:
    """An object: texture, shape [N, N, 3], and alpha, shape [N, N], over [-1.6, 1.6] in units of the radius."""

    texture: Array
    alpha: Array
    radius: float


Pose = tuple[float, float, float, float]  # x, y, angle, scale
Motion = Callable[[float], Pose]
Renderer = Callable[[float, Array, Pose], Array]
"""Paints an object at a time and pose over a picture, shape [H, W, 3]."""
Change = Callable[[float, Array, Array], tuple[Array, Array]]
"""Texture and alpha of an object at a time."""


def make_morph_clip(kind: str, seed: int, size: tuple[int, int] = (192, 336), frames: int = 28) -> MorphClip:
    """Draw a clip.

    Args:
        kind: one of RIGID or MORPHING.
        seed: the same seed gives the same clip.
        size: height and width in pixels.
        frames: number of frames.
    """
    draw = rng(seed, "morph", kind)
    height, width = size
    world = _texture(draw, (height * 2, width * 2))
    camera = _camera(draw, size)
    short = min(size)
    radius = float(draw.uniform(0.08, 0.19)) * short
    obj = _object(draw, radius)
    motion = _motion(draw, kind, size, frames, radius)
    render = _renderer(draw, kind, obj, frames)
    extra = _object(draw, float(draw.uniform(0.07, 0.12)) * short) if draw.random() < 0.35 else None
    extra_motion = _motion(draw, "translation", size, frames, extra.radius) if extra else None
    removed = _object(draw, float(draw.uniform(0.08, 0.2)) * short)
    removed_motion = _motion(
        draw, str(draw.choice(["translation", "falling", "rotation"])), size, frames, removed.radius
    )
    grain = float(draw.uniform(0.01, 0.04)) if kind == "grain" else float(draw.choice([0.0, 0.0, 0.006, 0.012]))
    blur = float(draw.choice([0.0, 0.0, 0.5]))
    generated, plate = [], []
    for t in range(frames):
        back = cv2.warpPerspective(world, camera(t), (width, height), flags=cv2.INTER_LINEAR)
        picture = back.copy()
        if extra is not None and extra_motion is not None:
            picture = _paint(picture, extra.texture, extra.alpha, extra.radius, extra_motion(t))
        picture = np.mean([render(t + part, picture, motion(t + part)) for part in _shutter(blur)], axis=0)
        original = _paint(back, removed.texture, removed.alpha, removed.radius, removed_motion(t))
        noise = rng(seed, "grain", t).normal(0, 1, back.shape).astype(np.float32)
        generated_noise = rng(seed, "made grain", t).normal(0, 1, back.shape).astype(np.float32)
        differs = np.abs(picture - back).max(axis=2, keepdims=True) > 0.004
        generated.append(picture + grain * np.where(differs, generated_noise, noise))
        plate.append(original + grain * noise)
    return MorphClip(kind, np.stack(generated).astype(np.float32), np.stack(plate).astype(np.float32))


def _shutter(blur: float) -> list[float]:
    """Return the moments of a frame that motion blur averages."""
    return list(np.linspace(0, blur, 4)) if blur else [0.0]


def _texture(draw: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Draw a texture in two colours and a tint, shape [h, w, 3], in [0.05, 0.95]."""
    field = _pattern(draw, shape)
    colours = draw.uniform(0.1, 0.9, (2, 3))
    while np.abs(colours[0] - colours[1]).max() < 0.3:
        colours = draw.uniform(0.1, 0.9, (2, 3))
    mix = np.clip(0.5 + 0.4 * field, 0, 1)[..., None]
    tint = 0.08 * np.stack([_blotches(draw, shape, (0.1,)) for _ in range(3)], axis=-1)
    return np.clip(colours[0] * mix + colours[1] * (1 - mix) + tint, 0.05, 0.95).astype(np.float32)


def _pattern(draw: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Draw blotches, stripes, checks, dots or lines, shape [h, w], about [-1, 1]."""
    style = draw.integers(6)
    h, w = shape
    ys, xs = np.mgrid[:h, :w].astype(np.float32)
    unit = min(h, w)
    if style == 0:
        return _blotches(draw, shape, (0.02, 0.06, 0.15))
    if style == 1:
        angle, period = draw.uniform(0, np.pi), unit * draw.uniform(0.08, 0.2)
        stripes = np.sin(2 * np.pi * (xs * np.cos(angle) + ys * np.sin(angle)) / period) * 0.7
        return stripes + _blotches(draw, shape, (0.05,))
    if style == 2:
        period = unit * draw.uniform(0.08, 0.18)
        checks = np.sign(np.sin(2 * np.pi * xs / period) * np.sin(2 * np.pi * ys / period))
        return checks + 0.6 * _blotches(draw, shape, (0.08,))
    if style == 3:
        dots = np.zeros(shape, np.float32)
        for _ in range(90):
            centre, size = (int(draw.integers(w)), int(draw.integers(h))), int(unit * draw.uniform(0.015, 0.07))
            cv2.circle(dots, centre, size, float(draw.uniform(-1, 1)), -1, cv2.LINE_AA)
        return dots
    if style == 4:
        lines = _blotches(draw, shape, (0.1,))
        for _ in range(50):
            a, b = (tuple(int(v) for v in draw.integers(0, [w, h])) for _ in range(2))
            value, width = float(draw.uniform(-2, 2)), max(1, int(unit * draw.uniform(0.005, 0.03)))
            cv2.line(lines, a, b, value, width, cv2.LINE_AA)
        return lines
    return _blotches(draw, shape, (0.012, 0.03))


def _blotches(draw: np.random.Generator, shape: tuple[int, int], periods: tuple[float, ...]) -> Array:
    total = np.zeros(shape, np.float32)
    for period in periods:
        step = max(1.0, min(shape) * period)
        small = draw.normal(0, 1, (int(shape[0] / step) + 3, int(shape[1] / step) + 3)).astype(np.float32)
        total += cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return total / np.sqrt(len(periods))


_SPAN = 1.6


def _own_axes() -> tuple[Array, Array]:
    axis = np.linspace(-_SPAN, _SPAN, _TEXTURE, dtype=np.float32)
    return np.meshgrid(axis, axis)  # type: ignore[return-value]


def _soft(distance: Array) -> Array:
    return np.clip(0.5 - distance / 0.04, 0, 1).astype(np.float32)


def _object(draw: np.random.Generator, radius: float) -> _Object:
    return _Object(_texture(draw, (_TEXTURE, _TEXTURE)), _outline(draw), radius)


def _outline(draw: np.random.Generator) -> Array:
    x, y = _own_axes()
    style = draw.integers(4)
    if style == 0:
        return _soft(np.hypot(x, y) - 1)
    if style == 1:
        aspect = draw.uniform(0.6, 1.0)
        return _soft(np.maximum(np.abs(x), np.abs(y) / aspect) - 0.9)
    angle = np.arctan2(y, x)
    if style == 2:
        reach = 1 + sum(draw.uniform(-0.12, 0.12) * np.cos(k * angle + draw.uniform(0, 7)) for k in (2, 3, 4, 5))
        return _soft(np.hypot(x, y) - reach)
    sides = int(draw.integers(3, 7))
    sector = np.mod(angle + draw.uniform(0, 7), 2 * np.pi / sides) - np.pi / sides
    return _soft(np.hypot(x, y) * np.cos(sector) - np.cos(np.pi / sides) * 1.1)


def _camera(draw: np.random.Generator, size: tuple[int, int]) -> Callable[[float], Array]:
    """Draw a camera motion: a function of time that returns the map of the world to the picture, shape [3, 3].

    The world has twice the picture's size.
    """
    height, width = size
    kind = draw.integers(3)
    pan = draw.uniform(-1.5, 1.5, 2) * (kind > 0)
    zoom, roll = draw.uniform(-0.002, 0.002) * (kind == 2), draw.uniform(-0.002, 0.002) * (kind == 2)

    def at(t: float) -> Array:
        motion = cv2.getRotationMatrix2D((float(width), float(height)), float(np.degrees(roll * t)), 1 + zoom * t)
        motion[:, 2] += pan * t - np.array([width / 2, height / 2])
        return np.vstack([motion, [0, 0, 1]])

    return at


def _motion(draw: np.random.Generator, kind: str, size: tuple[int, int], frames: int, radius: float) -> Motion:
    height, width = size
    if kind not in RIGID[:5]:
        kind = str(draw.choice(["translation", "translation", "rotation", "falling", "rest"]))
    x0, y0 = draw.uniform(0.3, 0.7) * width, draw.uniform(0.35, 0.65) * height
    vx, vy = draw.uniform(-0.35, 0.35, 2) * np.array([width, height]) / frames
    angle, spin = draw.uniform(0, 7), draw.uniform(-0.01, 0.01)
    x0, y0 = x0 - vx * frames / 2, y0 - vy * frames / 2
    if kind == "rotation":
        spin = float(draw.choice([-1, 1])) * draw.uniform(0.03, 0.2)
        vx, vy = 0.3 * vx, 0.3 * vy
    grow = draw.uniform(-0.5, 0.6) / frames if kind == "scale" else 0.0
    if kind in ("falling", "bouncing"):
        return _thrown(draw, size, frames, radius, kind == "bouncing")
    if kind == "rest":
        return lambda t: (width / 2, height / 2, angle, 1.0)
    return lambda t: (x0 + vx * t, y0 + vy * t, angle + spin * t, 1 + grow * t)


def _thrown(draw: np.random.Generator, size: tuple[int, int], frames: int, radius: float, bounces: bool) -> Motion:
    height, width = size
    floor, top = height - 1.1 * radius, 1.1 * radius
    fall_frames = frames * draw.uniform(0.35, 0.9)
    gravity = 2 * (floor - top) / fall_frames**2
    vx, x0 = draw.uniform(-0.3, 0.3) * width / frames, draw.uniform(0.35, 0.65) * width
    angle, spin, keeps = draw.uniform(0, 7), draw.uniform(-0.06, 0.06), draw.uniform(0.5, 0.8) if bounces else 0.0

    def at(t: float) -> Pose:
        y, speed, left = top, 0.0, max(t, 0.0)
        for _ in range(8):
            hit = (-speed + np.sqrt(speed**2 + 2 * gravity * max(floor - y, 0))) / gravity
            if left <= hit:
                y = y + speed * left + gravity * left**2 / 2
                break
            y, left, speed = floor, left - hit, -keeps * (speed + gravity * hit)
            if abs(speed) < 0.3:
                break
        return x0 + vx * min(t, fall_frames if not bounces else t), float(y), angle + spin * min(t, fall_frames), 1.0

    return at


def _paint(picture: Array, texture: Array, alpha: Array, radius: float, pose: Pose) -> Array:
    x, y, angle, scale = pose
    unit = radius * scale * 2 * _SPAN / (_TEXTURE - 1)
    c, s = np.cos(angle) * unit, np.sin(angle) * unit
    half = (_TEXTURE - 1) / 2
    motion = np.array([[c, -s, x - c * half + s * half], [s, c, y - s * half - c * half]])
    size = picture.shape[1::-1]
    shrink = max(0.01, 0.35 / unit)
    colour = cv2.warpAffine(
        cv2.GaussianBlur(texture, (0, 0), shrink), motion, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    cover = cv2.warpAffine(cv2.GaussianBlur(alpha, (0, 0), shrink), motion, size, flags=cv2.INTER_LINEAR)[..., None]
    return picture * (1 - cover) + colour * cover


def _renderer(draw: np.random.Generator, kind: str, obj: _Object, frames: int) -> Renderer:
    """Draw how an object of a kind changes, and return the function that paints it."""
    if kind == "articulated":
        limbs = _limbs(draw, frames)
        return lambda t, picture, pose: limbs(t, picture, obj, pose)
    change = _CHANGES[kind](draw, frames) if kind in _CHANGES else lambda t, texture, alpha: (texture, alpha)

    def render(t: float, picture: Array, pose: Pose) -> Array:
        texture, alpha = change(t, obj.texture, obj.alpha)
        return _paint(picture, texture, alpha, obj.radius, pose)

    return render


def _deformation(draw: np.random.Generator, frames: int) -> Change:
    """Draw a smooth field of displacements of 15 to 30 % of the radius that swings, or grows and stays."""
    amount = draw.uniform(0.15, 0.3)
    fields = [
        np.stack([_blotches(draw, (_TEXTURE, _TEXTURE), (draw.uniform(0.22, 0.5),)) for _ in range(2)], -1)
        for _ in range(2)
    ]
    x, y = _own_axes()
    inside = np.hypot(x, y) < 1
    fields = [_beyond_similarity(f, x, y, inside) for f in fields]
    period, phase, grows = frames * draw.uniform(0.4, 1.2), draw.uniform(0, 7), draw.random() < 0.4

    def bend(t: float, texture: Array, alpha: Array) -> tuple[Array, Array]:
        turn = 2 * np.pi * t / period + phase
        weights = (min(1.0, t / (0.8 * frames)), 0.0) if grows else (np.sin(turn), np.cos(turn))
        shift = amount * sum(w * f for w, f in zip(weights, fields, strict=True))
        step = (_TEXTURE - 1) / (2 * _SPAN)
        at = (np.stack([x, y], -1) - shift + _SPAN) * step
        at = at.astype(np.float32)
        return cv2.remap(texture, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), cv2.remap(
            alpha, at, None, cv2.INTER_LINEAR
        )

    return bend


def _beyond_similarity(field: Array, x: Array, y: Array, inside: Array) -> Array:
    """Remove translation, rotation and scale from a field, so that its longest displacement inside is 1."""
    one, zero = np.ones_like(x), np.zeros_like(x)
    base = np.stack([np.stack([one, zero], -1), np.stack([zero, one], -1), np.stack([x, y], -1), np.stack([-y, x], -1)])
    inner = base[:, inside].reshape(4, -1)
    share = np.linalg.lstsq(inner.T, field[inside].ravel(), rcond=None)[0]
    rest = field - np.tensordot(share.astype(np.float32), base, 1)
    return rest / np.linalg.norm(rest, axis=-1)[inside].max()


def _dissolve(draw: np.random.Generator, frames: int) -> Change:
    """Draw a dissolve to another texture."""
    other = _texture(draw, (_TEXTURE, _TEXTURE))
    start, length = frames * draw.uniform(0, 0.4), frames * draw.uniform(0.4, 0.8)

    def dissolve(t: float, texture: Array, alpha: Array) -> tuple[Array, Array]:
        share = float(np.clip((t - start) / length, 0, 1))
        return texture * (1 - share) + other * share, alpha

    return dissolve


def _lighting(draw: np.random.Generator, frames: int) -> Change:
    """Draw a light whose strength, colour and direction swing."""
    depth, period, phase = draw.uniform(0.2, 0.55), frames * draw.uniform(0.4, 2), draw.uniform(0, 7)
    tint = 1 + draw.uniform(-0.15, 0.15, 3)
    gamma, slope, sweeps = draw.uniform(0.8, 1.2), draw.normal(0, 0.3, 2), draw.random() < 0.5
    x, y = _own_axes()

    def light(t: float, texture: Array, alpha: Array) -> tuple[Array, Array]:
        swing = 0.5 + 0.5 * np.sin(2 * np.pi * t / period + phase)
        gain = (1 - depth * swing) * (1 + (slope[0] * x + slope[1] * y) * swing * sweeps)[..., None]
        lit = texture ** (1 + (gamma - 1) * swing) * gain * (1 + (tint - 1) * swing)
        return np.clip(lit, 0, 1).astype(np.float32), alpha

    return light


_CHANGES: dict[str, Callable[[np.random.Generator, int], Change]] = {
    "deform": _deformation,
    "dissolve": _dissolve,
    "lighting": _lighting,
}


def _limbs(draw: np.random.Generator, frames: int) -> Callable[[float, Array, _Object, Pose], Array]:
    """Draw a body with one to three arms that swing about their joints."""
    count = int(draw.integers(1, 4))
    x, y = _own_axes()
    body = _soft(np.maximum(np.abs(x) / draw.uniform(0.35, 0.6), np.abs(y) / draw.uniform(0.6, 0.9)) - 1)
    width, length = draw.uniform(0.16, 0.28), draw.uniform(0.6, 1.0)
    arm = _soft(np.maximum(np.abs(x) - width, np.maximum(-y - width, y - length)))
    joints = [(draw.uniform(-0.35, 0.35), draw.uniform(-0.6, 0.6)) for _ in range(count)]
    swings = [
        (draw.uniform(0, 7), draw.uniform(0.3, 0.9), frames * draw.uniform(0.5, 1.5), draw.uniform(0, 7))
        for _ in range(count)
    ]
    textures = [_texture(draw, (_TEXTURE, _TEXTURE)) for _ in range(count)]

    def limbs(t: float, picture: Array, obj: _Object, pose: Pose) -> Array:
        px, py, angle, scale = pose
        picture = _paint(picture, obj.texture, body, obj.radius, pose)
        for (jx, jy), (rest, depth, period, phase), texture in zip(joints, swings, textures, strict=True):
            c, s, r = np.cos(angle), np.sin(angle), obj.radius * scale
            at = (px + r * (c * jx - s * jy), py + r * (s * jx + c * jy))
            turn = angle + rest + depth * np.sin(2 * np.pi * t / period + phase)
            picture = _paint(picture, texture, arm, obj.radius, (*at, turn, scale))
        return picture

    return limbs
