"""Noise that moves with the image: white in every frame, and the same noise along the motion.

It follows the three rules of Go-with-the-Flow (R. Burgert and others, CVPR 2025): noise that is stretched is split and
mixed with fresh noise, so that its parts are independent; noise that is squeezed is added up by area; every value stays
N(0, 1). Here the noise is carried by particles that move at the canvas's resolution and are never rounded to a grid. A
latent is the sum of the particles over it. The reasons and the figures are in
docs/contributing/decisions/005-warped-noise.md.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from gpu_server.engines.base import Array, rng
from gpu_server.engines.void.latent_geometry import CELL, LATENT_CHANNELS
from void_bridge.errors import SizeMismatch

Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]

_BIN = 2
"""Pixels across a bin, which always holds a particle: one particle a pixel leaves no bin empty after any rotation."""
_MOST_IN_A_BIN = 8
_MARGIN = CELL
"""Pixels around the canvas that carry noise too, so that a slow pan uncovers noise that was there already."""
_FAR = np.float32(1e5)
"""A motion, in pixels, that leaves any canvas; it stands for NaN and infinity."""
_LEAST_WEIGHT = np.float32(2.0**-20)
_MOST_WEIGHT = np.float32(8)
"""In pixels: the limit for noise that piles up before a moving edge."""
_SOLVER_STEPS = 12
_FOUND_PX = 1.0


class NoiseField:
    """White noise on particles over the canvas and a margin around it.

    A particle has a position (x, y; pixel centres are whole numbers), one value a channel, N(0, 1) and independent of
    the others', and a weight: the area of the first frame, or of new noise, that it stands for.

    Args:
        shape: height and width in latents; the canvas is 8 times that in pixels.
        seed: of the job.
        channels: number of channels.
    """

    def __init__(self, shape: tuple[int, int], seed: int, channels: int = LATENT_CHANNELS) -> None:
        self._shape, self._seed, self._channels = shape, seed, channels
        self._canvas = (shape[0] * CELL, shape[1] * CELL)
        self._bins = tuple((side + 2 * _MARGIN) // _BIN for side in self._canvas)
        self._moves = 0
        self._position = np.empty((2, 0), np.float32)
        self._value = np.empty((channels, 0), np.float32)
        self._weight = np.empty(0, np.float32)
        self._add_new(self._positions_in(np.arange(self._bins[0] * self._bins[1])), rng(seed, "warped noise", 0))

    def latents(self) -> Array:
        """Return the noise of the current frame: shape [channels, h, w], float32, N(0, 1), all values independent."""
        height, width = self._shape
        columns, rows = _pixels(self._position) // CELL
        beyond = height * width
        cell = np.where(_inside(self._position, self._canvas), rows * width + columns, beyond)
        value, _ = _merged(self._value, self._weight, cell, beyond + 1)
        return value[:, :beyond].reshape(self._channels, height, width)

    def move(self, flow: Array) -> None:
        """Move the noise to the next frame.

        Args:
            flow: shape [8 h, 8 w, 2], x and y in pixels: the content at p goes to p + flow[p].

        Raises:
            SizeMismatch: if the flow has another shape.
        """
        if flow.shape != (*self._canvas, 2):
            raise SizeMismatch(f"got a flow of shape {flow.shape}, expected {(*self._canvas, 2)}: the canvas's pixels")
        self._moves += 1
        draws = rng(self._seed, "warped noise", self._moves)
        finite = _finite(flow)
        before = np.zeros(self._bins[0] * self._bins[1], np.intp)
        before[self._bin_of(self._position)] = np.arange(self._weight.size)
        self._position += _sampled(finite, self._position)
        self._fill(finite, before, draws)
        self._thin()

    def _fill(self, flow: Array, before: Indices, draws: np.random.Generator) -> None:
        """Fill all empty bins with noise from the frame before, or with new noise.

        Args:
            flow: of the move, finite.
            before: for each bin, a particle that was in it in the frame before.
            draws: of this move.
        """
        kept = self._within(self._position)
        occupied = self._occupied(kept)
        uncovered = np.flatnonzero(~occupied)
        pixels = self._positions_of(uncovered)
        beyond = ~self._within(pixels - _sampled(flow, pixels))
        occupied[uncovered[beyond]] = True
        height, width = self._bins
        empty = np.flatnonzero(~occupied.reshape(height, _BIN, width, _BIN).any(axis=(1, 3)))
        centres = self._centres_of(empty)
        sources, found = _sources(flow, centres)
        found &= self._within(sources) & _inside(centres, self._canvas)
        self._keep_and_split(kept, before[self._bin_of(sources[:, found])], centres[:, found], draws)
        self._add_new(np.concatenate([pixels[:, beyond], self._positions_in(empty[~found])], axis=1), draws)

    def _occupied(self, kept: Mask) -> Mask:
        """Return whether each pixel of the canvas and its margin has a particle."""
        elsewhere = self._bins[0] * self._bins[1] * _BIN**2
        pixel = np.where(kept, self._pixel_of(self._position), elsewhere)
        return np.bincount(pixel, minlength=elsewhere + 1)[:elsewhere] > 0

    def _keep_and_split(self, kept: Mask, parents: Indices, positions: Array, draws: np.random.Generator) -> None:
        """Drop particles that left, and split others.

        The k parts of a value n are n / sqrt(k) plus draws that sum to zero.

        Args:
            kept: which particles stay.
            parents: for each new particle, the one that it is split from.
            positions: positions of the new particles, shape [2, n].
            draws: of this move.
        """
        shared, family, children = np.unique(parents, return_inverse=True, return_counts=True)
        members = np.concatenate([np.arange(shared.size), family])
        size = (children + 1).astype(np.float32)
        value = draws.standard_normal((self._channels, members.size), np.float32)
        value += (self._value[:, shared] / np.sqrt(size) - _sums(value, members, shared.size) / size)[:, members]
        weight = np.maximum(self._weight[shared] / size, _LEAST_WEIGHT)
        self._value[:, shared] = value[:, : shared.size]
        self._weight[shared] = weight
        if not kept.all():
            self._select(np.flatnonzero(kept))
        self._append(positions, value[:, shared.size :], weight[family])

    def _thin(self) -> None:
        """Merge particles of a crowded bin that are on the same pixel, at their centre of gravity."""
        bins = self._bin_of(self._position)
        crowded = np.bincount(bins)[bins] > _MOST_IN_A_BIN
        if not crowded.any():
            return
        pixels, group = np.unique(self._pixel_of(self._position[:, crowded]), return_inverse=True)
        weights = self._weight[crowded].astype(np.float64)
        value, weight = _merged(self._value[:, crowded], weights, group, pixels.size)
        position = _sums(self._position[:, crowded] * weights, group, pixels.size) / weight
        self._select(np.flatnonzero(~crowded))
        self._append(position.astype(np.float32), value, np.minimum(weight, _MOST_WEIGHT).astype(np.float32))

    def _add_new(self, positions: Array, draws: np.random.Generator) -> None:
        count = positions.shape[1]
        value = draws.standard_normal((self._channels, count), np.float32)
        self._append(positions, value, np.ones(count, np.float32))

    def _append(self, position: Array, value: Array, weight: Array) -> None:
        if weight.size:
            self._position = np.concatenate([self._position, position], axis=1)
            self._value = np.concatenate([self._value, value], axis=1)
            self._weight = np.concatenate([self._weight, weight])

    def _select(self, indices: Indices) -> None:
        self._position = self._position.take(indices, axis=1)
        self._value = self._value.take(indices, axis=1)
        self._weight = self._weight[indices]

    def _within(self, position: Array) -> Mask:
        return _inside(position, self._canvas, _MARGIN)

    def _bin_of(self, position: Array) -> Indices:
        columns, rows = (_pixels(position) + _MARGIN) // _BIN
        return rows * self._bins[1] + columns

    def _pixel_of(self, position: Array) -> Indices:
        columns, rows = _pixels(position) + _MARGIN
        return rows * (self._bins[1] * _BIN) + columns

    def _positions_in(self, bins: Indices) -> Array:
        steps = np.arange(_BIN, dtype=np.float32) - np.float32((_BIN - 1) / 2)
        offsets = np.stack(np.meshgrid(steps, steps)).reshape(2, 1, -1)
        return (self._centres_of(bins)[:, :, None] + offsets).reshape(2, -1)

    def _positions_of(self, pixels: Indices) -> Array:
        rows, columns = np.divmod(pixels, self._bins[1] * _BIN)
        return np.stack([columns, rows]).astype(np.float32) - np.float32(_MARGIN)

    def _centres_of(self, bins: Indices) -> Array:
        rows, columns = np.divmod(bins, self._bins[1])
        return np.stack([columns, rows]).astype(np.float32) * _BIN + np.float32((_BIN - 1) / 2 - _MARGIN)


def _pixels(position: Array) -> Indices:
    """Return the pixel of each position."""
    return np.floor(position + np.float32(0.5)).astype(np.intp)


def _inside(position: Array, canvas: tuple[int, int], margin: int = 0) -> Mask:
    (x, y), (height, width) = position + np.float32(0.5), canvas
    return (x >= -margin) & (x < width + margin) & (y >= -margin) & (y < height + margin)


def _finite(flow: Array) -> Array:
    finite = np.nan_to_num(np.asarray(flow, np.float32), nan=_FAR, posinf=_FAR, neginf=-_FAR)
    return np.ascontiguousarray(np.clip(finite, -_FAR, _FAR))


def _sampled(flow: Array, position: Array) -> Array:
    """Return the flow at positions between pixels, shape [2, n]; beyond the border, the flow at the border."""
    count, width = position.shape[1], 1024  # a side of what OpenCV remaps has to stay below 32767
    padded = np.zeros((2, (count // width + 1) * width), np.float32)
    padded[:, :count] = position
    x, y = padded.reshape(2, -1, width)
    x, y = np.clip(x, -1, flow.shape[1]), np.clip(y, -1, flow.shape[0])
    at = cv2.remap(flow, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(at.reshape(-1, 2)[:count].T, np.float32)


def _sources(flow: Array, positions: Array) -> tuple[Array, Mask]:
    """Return the points of the frame before that the flow moves to `positions`, and whether there is such a point."""
    source = positions.copy()
    for _ in range(_SOLVER_STEPS):  # by half steps: they converge where the flow stretches by up to four
        source += (positions - source - _sampled(flow, source)) / 2
    miss = positions - source - _sampled(flow, source)
    return source, (np.abs(miss) <= _FOUND_PX).all(axis=0)


def _merged(
    value: Array, weight: NDArray[np.floating], group: Indices, groups: int
) -> tuple[Array, NDArray[np.float64]]:
    """Add up the noise of each group of particles: return values, N(0, 1), and weights."""
    total = np.bincount(group, weight, groups)
    summed = _sums(value * np.sqrt(weight), group, groups)
    return (summed / np.sqrt(total)).astype(np.float32), total


def _sums(value: Array, group: Indices, groups: int) -> NDArray[np.float64]:
    """Return sums by group, shape [channels, groups], added in the order of `value`."""
    return np.stack([np.bincount(group, channel, groups) for channel in value])
