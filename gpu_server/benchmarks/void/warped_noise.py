"""Flow-warped noise: the time that it takes, and its whiteness."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpu_server.engines.base import rng
from gpu_server.engines.void.flow import DenseInverseSearch
from gpu_server.engines.void.latent_geometry import CELL, latent_count
from gpu_server.engines.void.warped_noise import flow_sequence, noise_of_frames, warped_noise

Array = NDArray[np.float32]
Shape = tuple[int, int]

SHAPE: Shape = (48, 84)
FRAMES = 85


@dataclass(frozen=True)
class NoiseStatistics:
    """Statistics of one frame's noise.

    Attributes:
        std: standard deviation.
        kurtosis: kurtosis; 3 for a normal distribution.
        lag_x: correlation with the next cell of a row.
        lag_y: correlation with the next cell of a column.
        between_channels: correlation with the next channel.
    """

    std: float
    kurtosis: float
    lag_x: float
    lag_y: float
    between_channels: float


def statistics(noise: Array) -> NoiseStatistics:
    """Return the statistics of noise, shape [channels, h, w]."""
    centred = noise - noise.mean()
    variance = float(np.mean(centred**2))

    def correlation(a: Array, b: Array) -> float:
        return float(np.mean(a * b)) / variance

    return NoiseStatistics(
        std=variance**0.5,
        kurtosis=float(np.mean(centred**4)) / variance**2,
        lag_x=correlation(centred[:, :, 1:], centred[:, :, :-1]),
        lag_y=correlation(centred[:, 1:], centred[:, :-1]),
        between_channels=correlation(centred[1:], centred[:-1]),
    )


def measure() -> dict[str, float | tuple[float, float]]:
    """Return seconds for 85 frames of 672x384, with and without the flow, and the extent of all frames' statistics."""
    pictures = _pictures(FRAMES)
    flow = DenseInverseSearch()
    flows_s = _seconds(lambda: list(flow_sequence(pictures, flow)))
    whole_s = _seconds(lambda: warped_noise(flow_sequence(pictures, flow), latent_count(FRAMES), SHAPE, seed=1))
    every_frame = [statistics(noise) for noise in noise_of_frames(tour(SHAPE, FRAMES - 1), SHAPE, seed=1)]

    def extent(values: Sequence[float]) -> tuple[float, float]:
        return min(values), max(values)

    return {
        "flow_s": flows_s,
        "flow_and_noise_s": whole_s,
        "std": extent([s.std for s in every_frame]),
        "kurtosis": extent([s.kurtosis for s in every_frame]),
        "lag": extent([lag for s in every_frame for lag in (s.lag_x, s.lag_y)]),
        "between_channels": extent([s.between_channels for s in every_frame]),
    }


def tour(shape: Shape, frames: int) -> Iterator[Array]:
    """Yield the flows of a pan, a zoom in, a zoom out, a rotation and a swirl, one after the other.

    Args:
        shape: height and width in latents.
        frames: number of flows.
    """
    motions = (
        affine(shape, np.eye(2), (3.3, -1.2)),
        affine(shape, 1.03 * np.eye(2)),
        affine(shape, 0.96 * np.eye(2)),
        affine(shape, turn(2)),
        swirl(shape, 4),
    )
    for frame in range(frames):
        yield motions[frame * len(motions) // frames]


def affine(shape: Shape, matrix: ArrayLike, shift: tuple[float, float] = (0, 0)) -> Array:
    """Return the flow of an affine motion about the canvas's centre, shape [H, W, 2], in pixels.

    Args:
        shape: height and width in latents.
        matrix: the linear part, shape [2, 2], of (x, y).
        shift: the translation in pixels.
    """
    offsets = _from_centre(shape)
    return (offsets @ (np.asarray(matrix) - np.eye(2)).T + shift).astype(np.float32)


def swirl(shape: Shape, degrees: float) -> Array:
    """Return the flow of a rotation by `degrees` at the centre that fades outwards, shape [H, W, 2], in pixels.

    Args:
        shape: height and width in latents.
        degrees: the rotation at the centre.
    """
    offsets = _from_centre(shape)
    reach = shape[0] * CELL / 3
    turned = np.exp(1j * np.deg2rad(degrees) * np.exp(-np.sum(offsets**2, axis=-1) / reach**2))
    moved = (offsets[..., 0] + 1j * offsets[..., 1]) * (turned - 1)
    return np.stack([moved.real, moved.imag], axis=-1).astype(np.float32)


def turn(degrees: float) -> NDArray[np.float64]:
    """Return the matrix of a rotation, shape [2, 2]: clockwise on the screen, as y points down."""
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _from_centre(shape: Shape) -> NDArray[np.float64]:
    """Return the offset of each pixel from the canvas's centre, (x, y), shape [H, W, 2]."""
    height, width = (side * CELL for side in shape)
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    return np.stack([columns - (width - 1) / 2, rows - (height - 1) / 2], axis=-1)


def _pictures(frames: int) -> list[Array]:
    """Return frames of a texture that rotates, grows and moves, shape [H, W, 3] each, in [0, 1]."""
    height, width = (side * CELL for side in SHAPE)
    spots = rng(1, "bench texture").random((2 * height, 2 * width, 3), np.float32)
    world = cv2.normalize(cv2.GaussianBlur(spots, (0, 0), 2), None, 0, 1, cv2.NORM_MINMAX)
    pictures = []
    for frame in range(frames):
        motion = cv2.getRotationMatrix2D((width, height), frame / 4, 1 + frame / 300)
        motion[:, 2] += frame - width / 2, frame / 3 - height / 2
        pictures.append(cv2.warpAffine(world, motion, (width, height), borderMode=cv2.BORDER_REFLECT))
    return pictures


def _seconds(work: Callable[[], object]) -> float:
    """Return the seconds that a function takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
