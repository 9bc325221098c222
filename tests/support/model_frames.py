"""Plates with a known truth, and the results of a stand-in for a video model with a VAE."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from gpu_server.engines.base import Array, rng
from void_bridge.pixels.mattes import AFFECTED, KEEP, OBJECT, OVERLAP
from void_bridge.pixels.model_domain import CURVES
from void_bridge.pixels.resample import resample

TIMES = 4
CANVAS = (96, 168)
PLATE = (CANVAS[0] * TIMES, CANVAS[1] * TIMES)

linear = CURVES["srgb-rolloff"].decode
code = CURVES["srgb-rolloff"].encode


def enlarge(image: Array) -> Array:
    return resample(image, *PLATE)


def shrunk(image: Array) -> Array:
    return resample(image, *CANVAS)


@lru_cache(maxsize=8)
def wall(seed: int = 1, contrast: float = 0.35, finest: float = 2.2) -> Array:
    """Return texture of every size: shape [*PLATE, 3], linear, around 0.2."""
    draw, tone = rng(seed, "wall"), np.zeros(PLATE, np.float32)
    for period, weight in ((90, 0.5), (30, 0.4), (12, 0.35), (5, 0.3), (finest, 0.25)):
        coarse = draw.standard_normal((int(PLATE[0] / period) + 3, int(PLATE[1] / period) + 3), np.float32)
        fine = cv2.resize(coarse, PLATE[::-1], interpolation=cv2.INTER_CUBIC)
        tone += np.float32(weight) * fine / fine.std()
    return (0.2 * np.exp(contrast * tone)[..., None] * np.array([1.1, 1.0, 0.85])).astype(np.float32)


def ellipse(y: float, x: float, height: float, width: float, softness: float) -> Array:
    """Return an ellipse, shape PLATE, in [0, 1]; half axes and softness in pixels."""
    rows, columns = np.mgrid[: PLATE[0], : PLATE[1]].astype(np.float32)
    distance = (1 - np.hypot((rows - y) / height, (columns - x) / width)) * min(height, width)
    return np.clip(distance / softness + 0.5, 0, 1).astype(np.float32)


def grainy(clean: Array, *keys: object) -> Array:
    noise = cv2.GaussianBlur(rng(5, "grain", *keys).standard_normal(clean.shape, np.float32), (0, 0), 0.6)
    strength = np.float32(0.024) * np.sqrt(np.maximum(clean, 0) + np.float32(0.012))
    return np.asarray(clean + noise / noise.std() * strength, np.float32)


def through_vae(picture: Array, *keys: object, noise: float = 0.002, gain: Array | float = 1.0) -> Array:
    """Return a plate as a VAE gives it back: shape [*CANVAS, 3], model domain, soft, with an error of its own."""
    soft = cv2.GaussianBlur(code(shrunk(picture) * np.float32(gain)), (0, 0), 0.7)
    error = cv2.GaussianBlur(rng(6, "vae", *keys).standard_normal(soft.shape, np.float32), (0, 0), 1.0)
    return np.asarray(soft + noise * error / error.std(), np.float32)


@dataclass(frozen=True)
class Scene:
    """A scene with and without its object.

    Attributes:
        dirty: with the object and its effects, shape [*PLATE, 3], linear, no grain.
        truth: without them.
        zone: shape PLATE: the object's effects, without the object.
        quadmask: shape CANVAS.
    """

    dirty: Array
    truth: Array
    zone: np.ndarray
    quadmask: np.ndarray

    def plate(self, frame: int) -> Array:
        return grainy(self.dirty, frame)

    def reconstruction(self, frame: int) -> Array:
        return through_vae(self.plate(frame), "trip", frame)

    def made(self, frame: int, gain: Array | float = 1.0) -> Array:
        return through_vae(self.truth, "made", frame, noise=0.008, gain=gain)


def _with_object(background: Array, truth: Array, doing: Array) -> Scene:
    thing = ellipse(190, 150, 80, 45, 4)
    dirty = background + thing[..., None] * (wall(5) * np.array([2, 0.5, 0.3], np.float32) - background)
    quadmask = np.full(CANVAS, KEEP, np.uint8)
    quadmask[12:84, 24:144] = AFFECTED
    solid = shrunk(thing) > 0.3
    quadmask[solid] = np.where(quadmask[solid] == AFFECTED, OVERLAP, OBJECT)
    apart = cv2.dilate(solid.astype(np.uint8), np.ones((15, 15), np.uint8)).repeat(TIMES, 0).repeat(TIMES, 1) == 0
    return Scene(dirty.astype(np.float32), truth, (doing > 0.02) & apart, quadmask)


@lru_cache(maxsize=8)
def shadow(softness: float = 40, contrast: float = 0.35) -> Scene:
    """Return a scene with a shadow of half the light, a little blue, on a textured wall."""
    shade = ellipse(220, 380, 80, 150, softness)
    clean = wall(1, contrast)
    return _with_object(clean * (1 - 0.55 * shade[..., None] * np.array([1, 0.95, 0.85], np.float32)), clean, shade)


@lru_cache(maxsize=8)
def moved_away(textured: bool = True) -> Scene:
    """Return a scene whose thing has left its place: only the wall is in the truth."""
    thing, clean = ellipse(190, 420, 100, 70, 3), wall(1)
    look = wall(9, 0.4, 1.5) * np.array([1.6, 1, 0.5], np.float32) if textured else wall(9, 0.03) * np.float32(0.35)
    return _with_object(clean + thing[..., None] * (look - clean), clean, thing)


def fine(picture: Array) -> Array:
    return np.asarray(picture - cv2.GaussianBlur(picture, (0, 0), 2.0), np.float32)


def grain_of(frames: list[Array], where: np.ndarray) -> float:
    """Return the standard deviation of the fine detail that differs between two frames, display-encoded."""
    first, second = (code(np.maximum(frame, 0)) for frame in frames)
    return float(fine(first - second)[where].std() / np.sqrt(2))
