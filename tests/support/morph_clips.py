"""Small clips for the morph check, each computed from formulas: value noise for every surface, signed distances for
every outline, and one map from a pixel to the thing's own coordinates that all kinds of motion go through.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.base import Array, rng

Points = NDArray[np.float64]  # shape [H, W]
Surface = Callable[[Points, Points], Points]  # coordinates to brightness, about [-1, 1]
HEIGHT, WIDTH = 192, 320


def clip(kind: str, seed: int, frames: int = 24) -> tuple[Array, Array]:
    """Return a result and its plate, shape [T, H, W, 3] each; kind: one of the benchmark's, rigid or morphing."""
    draw = rng(seed, "formula", kind)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    ground, skin, other = (_value_noise(draw) for _ in range(3))
    tints = draw.uniform(0.15, 0.5, (3, 3)), draw.uniform(0.35, 0.65, (3, 3))
    radius = draw.uniform(18, 36)
    pan = draw.uniform(-1.2, 1.2, 2) * (draw.random() < 0.5)
    pose, warp, sides = _path(draw, kind, frames, radius), _warp(draw, kind, frames), int(draw.integers(0, 5))
    decoy = _path(draw, "translation", frames, 25)
    grain = draw.uniform(0.01, 0.035) if kind == "grain" else draw.choice([0, 0.008])
    made, plate = [], []
    for t in range(frames):
        back = _coloured(ground((x + pan[0] * t) / 22, (y + pan[1] * t) / 22), tints, 0)
        share = np.clip((t / frames - 0.15) / 0.6, 0, 1) if kind == "dissolve" else 0.0
        picture = back
        for u, v, cover in _parts(x, y, pose(t), radius, kind, t / frames, draw_angle=float(sides)):
            u, v = warp(u, v, t)
            skin_now = (1 - share) * skin(4 * u, 4 * v) + share * other(4 * u + 9, 4 * v)
            light = 1 - 0.4 * np.sin(3.5 * t / frames) ** 2 * (kind == "lighting")
            alpha = (_inside(u, v, sides, radius) if cover is None else cover)[..., None]
            picture = picture * (1 - alpha) + alpha * light * _coloured(skin_now, tints, 1)
        u, v, _ = _parts(x, y, decoy(t), 25, "translation", 0, 0)[0]
        alpha = _inside(u, v, 0, 25)[..., None]
        gone = back * (1 - alpha) + alpha * _coloured(other(3 * u, 3 * v), tints, 2)
        made.append(picture + grain * draw.standard_normal(picture.shape))
        plate.append(np.where(picture == back, made[-1] - picture + gone, gone))
    return np.stack(made).astype(np.float32), np.stack(plate).astype(np.float32)


def _value_noise(draw: np.random.Generator) -> Surface:
    """Return three octaves of noise on a lattice that repeats every 64 cells."""
    lattice = draw.uniform(-1, 1, (64, 64))

    def octave(u: Points, v: Points) -> Points:
        i, j = np.floor(u).astype(int), np.floor(v).astype(int)
        a, b = (w * w * (3 - 2 * w) for w in (u - i, v - j))
        rows = [(1 - a) * lattice[k % 64, i % 64] + a * lattice[k % 64, (i + 1) % 64] for k in (j, j + 1)]
        return (1 - b) * rows[0] + b * rows[1]

    return lambda u, v: octave(u, v) + 0.5 * octave(2 * u + 7, 2 * v) + 0.25 * octave(4 * u, 4 * v + 5)


def _coloured(value: Points, tints: tuple[Points, Points], which: int) -> Points:
    slope, level = tints
    return np.clip(level[which] + slope[which] * value[..., None], 0.03, 0.97)


def _inside(u: Points, v: Points, sides: int, radius: float) -> Points:
    """Return the coverage of a disc or a regular polygon of radius 1, with an edge one pixel soft."""
    distance = np.hypot(u, v)
    if sides >= 3:
        sector = 2 * np.pi / sides
        distance = distance * np.cos(np.mod(np.arctan2(v, u), sector) - sector / 2) / np.cos(sector / 4)
    return np.clip(0.5 + (1 - distance) * radius, 0, 1)


def _path(draw: np.random.Generator, kind: str, frames: int, radius: float) -> Callable[[int], tuple[float, ...]]:
    """Return a function from a frame to x, y, angle, scale."""
    x0, y0 = WIDTH * draw.uniform(0.35, 0.65), HEIGHT * draw.uniform(0.4, 0.6)
    dx, dy = draw.uniform(-50, 50), draw.uniform(-25, 25)
    turn = draw.uniform(1.0, 4.0) * (kind == "rotation") + draw.uniform(-0.2, 0.2)
    grow = draw.uniform(-0.35, 0.5) * (kind == "scale")
    drop = HEIGHT - 2.3 * radius

    def pose(t: int) -> tuple[float, ...]:
        s = t / (frames - 1)
        height = {"falling": s * s, "bouncing": 1 - abs(np.cos(2.5 * np.pi * s)) * (1 - 0.4 * s)}.get(kind)
        y = y0 + dy * (s - 0.5) if height is None else 1.15 * radius + drop * height
        return x0 + dx * (s - 0.5), y, turn * s, 1 + grow * s

    return pose


def _parts(
    x: Points, y: Points, pose: tuple[float, ...], radius: float, kind: str, s: float, draw_angle: float
) -> list[tuple[Points, Points, Points | None]]:
    """Return the coordinates of each rigid part, and its coverage where it is not that of the outline."""
    u, v = _turned(x - pose[0], y - pose[1], pose[2], radius * pose[3])
    if kind != "articulated":
        return [(u, v, None)]
    swing = draw_angle + 0.7 * np.sin(2 * np.pi * s)
    hand = _turned(u - 0.5, v, swing, 1.0)
    return [(p, q, _bar(p - shift, q, radius)) for (p, q), shift in (((u, v), -0.3), (hand, 0.6))]


def _turned(x: Points, y: Points, angle: float, unit: float) -> tuple[Points, Points]:
    c, s = np.cos(angle) / unit, np.sin(angle) / unit
    return c * x + s * y, -s * x + c * y


def _bar(u: Points, v: Points, radius: float) -> Points:
    distance = np.maximum(np.abs(u) - 0.8, np.abs(v) - 0.38)
    return np.clip(0.5 - distance * radius, 0, 1)


def _warp(draw: np.random.Generator, kind: str, frames: int) -> Callable[..., tuple[Points, Points]]:
    """Return a warp by waves across the object, 15 to 30 % of its radius high."""
    high = draw.uniform(0.15, 0.3) if kind == "deform" else 0.0
    k, phase, speed = draw.uniform(2.2, 4.5, 2), draw.uniform(0, 6, 2), 2 * np.pi * draw.uniform(0.6, 2) / frames

    def warp(u: Points, v: Points, t: int) -> tuple[Points, Points]:
        swell = high * np.sin(speed * t)
        return u + swell * np.sin(k[0] * v + phase[0]), v + swell * np.cos(k[1] * u + phase[1])

    return warp
